//! A request as everything behind the wire sees it: one normal form, whatever version it came in.

use std::cell::{Cell, OnceCell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use bytes::Bytes;
use http::header::{HeaderName, REFERER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};

use super::body::Body;
use super::cause::Cause;
use super::crowd::InFlight;
use super::field_block::FieldBlock;
use super::hang_up::HangUp;
use super::id::Id;
use super::limit::Fields;
pub use super::response::{Parts, Response};
use super::seen::Seen;
use super::tls::TlsInfo;
use crate::config::WebListenerConfig;
use crate::net::stream::Target;
use crate::route::RequestTarget;
use crate::telemetry::requests::Counts;

/// A request. `headers` holds end-to-end fields only (RFC 9110 §7.6.1): what serves the client has taken Connection
/// and what it names, Keep-Alive, Proxy-Connection, TE (see `trailers`), Transfer-Encoding, Upgrade, Expect, and Host
/// and Content-Length, which stand in `authority` and in the body's size hint.
#[derive(Debug)]
pub struct Request {
    /// What to do.
    pub method: Method,
    /// The host that the client named.
    pub authority: Authority,
    /// Path and query.
    pub target: RequestTarget,
    /// How the client spoke.
    pub version: Version,
    /// End-to-end fields.
    pub headers: FieldBlock,
    /// The body. Its size hint is exact where the client gave a length, and 0 where there is none.
    pub body: Body,
    /// The client takes trailers (TE: trailers).
    pub trailers: bool,
    /// The client waits for a 100 before it sends the body (Expect: 100-continue).
    pub expects_continue: bool,
    /// What the client wants to upgrade to (Upgrade of HTTP/1.1, `:protocol` of RFC 8441), in lower case; never `h2c`.
    pub upgrade: Option<Box<str>>,
    /// Where 1xx answers go, 100 too; none: the client cannot take any.
    pub interim: Option<Rc<Interim>>,
    /// The connection it came on.
    pub connection: Rc<Connection>,
    /// What becomes of it.
    pub record: Rc<Record>,
}

impl Request {
    /// The client's address: as forwarded by trusted proxies, else the connection's.
    pub fn client_ip(&self) -> IpAddr {
        self.record.client.get().unwrap_or_else(|| self.connection.client.ip())
    }

    /// Keeps what the access log says of it. Before anything changes it.
    pub fn keep_seen(&self) {
        let field = |name: HeaderName| self.headers.value(&name);
        let seen = Seen {
            method: self.method.clone(),
            uri: self.target.as_bytes().clone(),
            host: self.authority.written.clone(),
            version: self.version,
            referer: field(REFERER),
            agent: field(USER_AGENT),
        };
        // It is not kept twice.
        let _ = self.record.seen.set(Box::new(seen));
    }
}

/// The authority of a request (RFC 9110 §7.2). Empty if the client named none (HTTP/1.0).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Authority {
    /// As written: goes to the backend as Host.
    pub written: HeaderValue,
    /// Canonical: lower case, no port, no trailing dot; IPv6 without brackets.
    pub host: Box<str>,
    /// The port, if it was written.
    pub port: Option<u16>,
}

/// What is known of a client's connection.
#[derive(Debug)]
pub struct Connection {
    /// The listener.
    pub listener: Arc<WebListenerConfig>,
    /// The client: by the PROXY protocol, if it was believed; else the peer. A Unix socket's is 127.0.0.1:0.
    pub client: SocketAddr,
    /// Where the client wanted to go: likewise.
    pub local: SocketAddr,
    /// The peer is a proxy that is trusted.
    pub trusted: bool,
    /// What is known of its TLS; none: it came without.
    pub tls: Option<Box<TlsInfo>>,
}

/// 1xx answers on their way back. Filled by what asks the backend, emptied by what serves the client.
#[derive(Debug, Default)]
pub struct Interim {
    waiting: RefCell<Vec<(StatusCode, HeaderMap)>>,
    waker: RefCell<Option<Waker>>,
}

impl Interim {
    /// No more than this many wait; later ones are dropped: a 1xx is never needed (RFC 9110 §15.2).
    pub const MOST: usize = 8;

    /// Sends one on its way.
    pub fn send(&self, status: StatusCode, headers: HeaderMap) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() < Self::MOST {
            waiting.push((status, headers));
        }
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes those that wait; `waker` is woken by the next.
    pub fn take(&self, waker: &Waker) -> Vec<(StatusCode, HeaderMap)> {
        let mut kept = self.waker.borrow_mut();
        if !kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            *kept = Some(waker.clone());
        }
        std::mem::take(&mut self.waiting.borrow_mut())
    }
}

/// What becomes of a request: for metrics and the access log.
#[derive(Debug)]
pub struct Record {
    /// When its first byte was there.
    pub started: Instant,
    /// The answer's status; 0: none was sent. Set by what serves the client.
    pub status: Cell<u16>,
    /// The client as forwarded by trusted proxies; none: the connection's.
    pub client: Cell<Option<IpAddr>>,
    /// The client spoke TLS, with us or with a trusted proxy.
    pub https: Cell<bool>,
    /// Who it is, once that is proved.
    pub user: RefCell<Option<Box<str>>>,
    /// The route, as an index into the snapshot's.
    pub route: Cell<Option<u32>>,
    /// The snapshot's generation, which `route` and `pool` are of.
    pub generation: Cell<u64>,
    /// The pool, as an index into the snapshot's.
    pub pool: Cell<Option<u32>>,
    /// The backend that answered, or was tried last.
    pub backend: RefCell<Option<Target>>,
    /// Tries after the first.
    pub retries: Cell<u32>,
    /// Microseconds from the request's start to the backend's head.
    pub first_byte_us: Cell<Option<u32>>,
    /// Bytes of the request's body.
    pub received: Cell<u64>,
    /// Bytes of the answer's body.
    pub sent: Cell<u64>,
    /// Its place among the requests in flight.
    pub place: RefCell<Option<InFlight>>,
    /// Why the proxy answered by itself, or cut the answer.
    pub cause: Cell<Option<&'static str>>,
    /// What its client is told of limits.
    pub limits: RefCell<Option<Box<Fields>>>,
    /// It is to get no answer, but this.
    pub hang_up: Cell<Option<HangUp>>,
    /// It is a call of gRPC, and who answers it can hear one: its client sends when it has something to say.
    pub talks: Cell<bool>,
    /// The request's id, once it has one.
    pub id: RefCell<Option<Id>>,
    /// Fields that say who the request is from, but for its id, as lines of HTTP/1.1; empty: they are among its fields.
    pub presented: OnceCell<Bytes>,
    /// What the access log says of it; empty: it is not written down.
    pub seen: OnceCell<Box<Seen>>,
    /// Where the worker counts it, once its route is known.
    pub counts: RefCell<Option<Arc<Counts>>>,
}

impl Record {
    /// What serves its connection is going, and has not answered it for that: the connection must go, too.
    pub fn is_stranded(&self) -> bool {
        self.cause.get() == Some(Cause::Stopping.word())
    }

    /// Of a request that begins now.
    pub fn begin(started: Instant) -> Self {
        Self {
            started,
            status: Cell::new(0),
            client: Cell::new(None),
            https: Cell::new(false),
            user: RefCell::new(None),
            route: Cell::new(None),
            generation: Cell::new(0),
            pool: Cell::new(None),
            backend: RefCell::new(None),
            retries: Cell::new(0),
            first_byte_us: Cell::new(None),
            received: Cell::new(0),
            sent: Cell::new(0),
            place: RefCell::new(None),
            cause: Cell::new(None),
            limits: RefCell::new(None),
            hang_up: Cell::new(None),
            talks: Cell::new(false),
            id: RefCell::new(None),
            presented: OnceCell::new(),
            seen: OnceCell::new(),
            counts: RefCell::new(None),
        }
    }
}

//! A connection from its backend to its end: connected, relayed, counted, written down.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::BytesMut;

use super::both::{End, Next, Patience, Relay};
use super::connect::{Connected, Wanted, connect};
use super::hand_off::{HandOff, Kept, Passed, Reserved};
use crate::config::{WebLimits, WebListenerConfig};
use crate::l7::crowd::ListenerCrowd;
use crate::l7::line::Relayed;
use crate::l7::refuse::{self, Alert};
use crate::l7::tls::TlsInfo;
use crate::l7::worker::Worker;
use crate::net::proxy_protocol::{Addresses, Said};
use crate::net::stream::{Stream, Target};
use crate::telemetry::handshakes::Version;
use crate::telemetry::steering::{Open, Refused};
use crate::upstream::{Backend, Pool};

/// What is known of a client's connection.
#[derive(Clone, Debug)]
pub(in crate::l7) struct About {
    pub(in crate::l7) worker: Rc<Worker>,
    pub(in crate::l7) listener: Arc<WebListenerConfig>,
    pub(in crate::l7) crowd: Arc<ListenerCrowd>,
    pub(in crate::l7) started: Instant,
    /// Who it is from, as trusted proxies say, and where it was to go.
    pub(in crate::l7) addresses: Addresses,
    /// The host that the client named; empty: none.
    pub(in crate::l7) sni: Box<str>,
    pub(in crate::l7) ja4: Option<Box<str>>,
    /// What the client would speak, the dearest first.
    pub(in crate::l7) alpn: Option<Box<[u8]>>,
    /// A limit counts it for as long as it is there.
    pub(in crate::l7) counted: bool,
}

/// Where a connection goes. Nothing of the snapshot it was found in: that may be replaced many times before it ends.
#[derive(Clone, Debug)]
pub(in crate::l7) struct To {
    pub(in crate::l7) route: Box<str>,
    pub(in crate::l7) pool: Arc<Pool>,
    pub(in crate::l7) hand_off: Option<Arc<dyn HandOff>>,
}

impl To {
    /// Of its route and pool.
    fn names(&self) -> (&str, &str) {
        (&self.route, self.pool.name().as_str())
    }
}

/// Where a connection goes that has no requests, once it is decrypted; none: requests are read of it.
pub(in crate::l7) type Onward = Option<Box<(About, To)>>;

/// What a connection that is decrypted here was agreed to be.
#[derive(Clone, Copy, Debug)]
pub(in crate::l7) struct Decrypted {
    version: Version,
    /// The client has shown a certificate.
    certificate: bool,
}

impl Decrypted {
    /// What a handshake came to.
    pub(in crate::l7) fn of(info: &TlsInfo) -> Self {
        Self { version: info.agreed.version, certificate: info.client.is_some() }
    }
}

/// Relays a client's connection, of which `first` was read already, to its end. `decrypted`: by us; none: it goes on as it is.
pub(in crate::l7) async fn pass<S: Stream>(
    client: S,
    first: BytesMut,
    about: About,
    to: To,
    decrypted: Option<Decrypted>,
) {
    let open = Open::of(&about.crowd.steered.route(&to.route));
    let mut leaving = Leaving { open: &open, about: &about, to: &to, reserved: None };
    let wanted = wanted(&about, &to, decrypted);
    let prepare = |socket: std::os::fd::BorrowedFd<'_>, backend| {
        if let Some(fd) = client.socket() {
            leaving.reserve(socket, fd, backend);
        }
    };
    let connected = Box::pin(connect(&about.worker, wanted, prepare)).await;
    let Connected { permit, stream } = match connected {
        Ok(connected) => connected,
        Err(why) => {
            tracing::debug!(client = %about.addresses.source, route = %to.route, "no connection to relay to: {why}");
            about.crowd.steered.refused(Refused::NoBackend);
            write(&about, to.names(), None, (0, 0), Outcome::Refused(Refused::NoBackend));
            let words = if decrypted.is_none() { Alert::InternalError.record().to_vec() } else { Vec::new() };
            return refuse::say(client, words);
        }
    };
    let patience =
        Patience { idle: about.listener.limits.relay_idle, total: about.listener.limits.relay_total };
    let mut relay = Relay::new(client, stream, first, patience);
    relay.obey(Arc::clone(&about.worker.snapshot().bans), about.addresses.source.ip());
    relay.want_moments(leaving.reserved.is_some());
    let mut counted = (0, 0);
    let end = loop {
        let next = relay.next().await;
        count(&open, (relay.up.moved, relay.down.moved), &mut counted);
        match next {
            Next::End(end) => break end,
            Next::Count => {}
            Next::Moment(moment) => {
                let sockets = relay.client.socket().zip(relay.backend.socket());
                let Some((one, other)) = sockets else { continue };
                match leaving.try_leave(one, other, permit.backend(), moment) {
                    Ok(()) => break End::HandedOff,
                    Err(kept) => relay.put_off(kept.again),
                }
            }
        }
    };
    relay.end(end);
    let outcome = if decrypted.is_some() { Outcome::Decrypted(end) } else { Outcome::Passed(end) };
    write(&about, to.names(), Some(permit.backend()), counted, outcome);
}

fn wanted<'a>(about: &'a About, to: &'a To, decrypted: Option<Decrypted>) -> Wanted<'a> {
    let ssl = decrypted.map(|it| {
        let version = match it.version {
            Version::Tls12 => "TLSv1.2",
            Version::Tls13 => "TLSv1.3",
        };
        (version, it.certificate)
    });
    Wanted {
        pool: &to.pool,
        addresses: about.addresses,
        said: Said {
            alpn: about.alpn.as_deref(),
            authority: Some(&*about.sni).filter(|sni| !sni.is_empty()),
            ssl,
        },
        // Who was decrypted speaks without TLS to the backend, or by the pool's own.
        starttls: about.listener.steer.starttls.filter(|_| decrypted.is_none()),
        secure: decrypted.is_some() && to.pool.tls().is_some(),
    }
}

/// What moved since it was last counted.
fn count(open: &Open, (up, down): (u64, u64), counted: &mut (u64, u64)) {
    open.counts().received.fetch_add(up - counted.0, Ordering::Relaxed);
    open.counts().sent.fetch_add(down - counted.1, Ordering::Relaxed);
    *counted = (up, down);
}

/// A connection that may leave this process.
struct Leaving<'a> {
    open: &'a Open,
    about: &'a About,
    to: &'a To,
    reserved: Option<Reserved>,
}

/// Why a connection stays that a limit counts as long as it is there.
pub(super) const LIMITED: &str = "limited";

/// Whether somebody has said how many of its kind there may be, or how long they last: only who is here is counted.
pub(super) fn is_bound(about: &About, to: &To) -> bool {
    let (limits, usual) = (&about.listener.limits, WebLimits::default());
    about.counted
        || limits.relay_total.is_some()
        || limits.connections != usual.connections
        || limits.connections_per_client != usual.connections_per_client
        || to.pool.is_bounded()
}

impl Leaving<'_> {
    fn who(&self) -> Option<&Arc<dyn HandOff>> {
        self.to.hand_off.as_ref().filter(|_| self.about.listener.steer.handoff)
    }

    fn reserve(
        &mut self,
        socket: std::os::fd::BorrowedFd<'_>,
        client: std::os::fd::BorrowedFd<'_>,
        backend: SocketAddr,
    ) {
        self.reserved = None;
        let Some(who) = self.who() else { return };
        if is_bound(self.about, self.to) {
            return self.open.counts().kept(LIMITED);
        }
        let Some(about) = self.passed(client, backend) else { return };
        match who.reserve(socket, client, &about) {
            Ok(reserved) => self.reserved = Some(reserved),
            Err(kept) => self.open.counts().kept(kept.reason),
        }
    }

    fn try_leave(
        &mut self,
        client: std::os::fd::BorrowedFd<'_>,
        socket: std::os::fd::BorrowedFd<'_>,
        backend: &Backend,
        moment: super::hand_off::Moment,
    ) -> Result<(), Kept> {
        let gone = Kept { reason: "unknown", again: false };
        let Target::Tcp(backend) = backend.target else { return Err(gone) };
        let about = self.passed(client, backend).ok_or(gone)?;
        let who = self.who().cloned().ok_or(gone)?;
        let counts = self.open.counts();
        match who.try_hand_off(client, socket, &mut self.reserved, &about, moment) {
            Ok(()) => {
                counts.handed_off.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(kept) => {
                counts.kept(kept.reason);
                Err(kept)
            }
        }
    }

    /// The connection itself, whatever proxies say of it.
    fn passed(&self, client: std::os::fd::BorrowedFd<'_>, backend: SocketAddr) -> Option<Passed> {
        let socket = socket2::SockRef::from(&client);
        Some(Passed {
            listener: self.about.listener.name.clone(),
            route: self.to.route.clone(),
            pool: self.to.pool.name().clone(),
            client: socket.peer_addr().ok()?.as_socket()?,
            local: socket.local_addr().ok()?.as_socket()?,
            backend,
        })
    }
}

/// What became of a connection.
#[derive(Clone, Copy, Debug)]
pub(in crate::l7) enum Outcome {
    /// It went on as it was.
    Passed(End),
    /// It was decrypted here.
    Decrypted(End),
    /// It came to nothing.
    Refused(Refused),
}

impl Outcome {
    /// What was decided, and how it ended if not well.
    fn words(self) -> (&'static str, Option<&'static str>) {
        let (word, end) = match self {
            Self::Passed(end) => ("passed", end),
            Self::Decrypted(end) => ("decrypted", end),
            Self::Refused(why) => return ("refused", Some(why.word())),
        };
        let cause = match end {
            End::Done => None,
            End::ClientGone => Some("client_reset"),
            End::BackendGone => Some("backend_reset"),
            End::Idle => Some("relay_idle"),
            End::Total => Some("relay_total"),
            End::Crowded => Some("crowded"),
            End::Banned => Some("banned"),
            End::HandedOff => return ("handed_off", None),
        };
        (word, cause)
    }
}

/// Writes a connection that is over to the access log: its route and pool, if it has any.
pub(in crate::l7) fn write(
    about: &About,
    (route, pool): (&str, &str),
    backend: Option<&Arc<Backend>>,
    (received, sent): (u64, u64),
    outcome: Outcome,
) {
    if !about.listener.access_log {
        return;
    }
    let held = about.worker.snapshot();
    let Some(book) = held.logbook(&about.worker.shared) else { return };
    let (decision, cause) = outcome.words();
    book.write_relayed(Relayed {
        time: "",
        took_us: about.started.elapsed().as_micros() as u64,
        client: about.addresses.source.ip(),
        listener: about.listener.name.as_str(),
        route,
        pool,
        backend: backend.map(|backend| &backend.target),
        sni: &about.sni,
        ja4: about.ja4.as_deref(),
        decision,
        cause,
        received,
        sent,
    });
}

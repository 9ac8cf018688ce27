//! What a configuration says of how a pool's backends are chosen and spoken to by HTTP.

use std::time::Duration;

use super::tls::PoolTlsConfig;
use http::{HeaderName, HeaderValue, Method};

/// How a pool's backends are spoken to by HTTP, and chosen.
#[derive(Clone, PartialEq, Debug)]
pub struct WebPoolConfig {
    /// Who gets the next request.
    pub balance: Balance,
    /// What is spoken.
    pub protocol: UpstreamProtocol,
    /// A connection comes about within this.
    pub connect_timeout: Duration,
    /// From the request's end to the answer's head.
    pub first_byte_timeout: Duration,
    /// Between two pieces of an answer or a tunnel.
    pub idle_timeout: Duration,
    /// The whole exchange, retries too; none: any time.
    pub request_timeout: Option<Duration>,
    /// Connections to one backend at a time, of all workers.
    pub max_connections: u32,
    /// Requests that wait for a connection, of all workers: more are answered 503.
    pub max_queue: u32,
    /// A request waits no longer than this: then it is answered 503.
    pub queue_timeout: Duration,
    /// A connection without requests is closed after this.
    pub keepalive: Duration,
    /// Connections without requests that are kept for one backend, of each worker.
    pub keepalive_connections: u32,
    /// The header that begins each connection to a backend.
    pub send_proxy_protocol: Option<ProxyProtocolVersion>,
    /// What is tried again.
    pub retry: RetryConfig,
    /// When a backend that fails is left alone for a while; none: never.
    pub eject: Option<EjectConfig>,
    /// TLS to its backends; none: without. With it HTTP/2 is spoken with those that choose it (ALPN).
    pub tls: Option<PoolTlsConfig>,
    /// The Host that is sent; none: the client's.
    pub host: Option<HeaderValue>,
}

/// Who gets the next request. `weight` counts in each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Balance {
    /// In turn (smooth).
    RoundRobin,
    /// The backend with the fewest requests in flight.
    LeastConnections,
    /// Of two at random, the one with the lower peak-EWMA latency times requests in flight.
    P2c,
    /// By the key's hash: the same key the same backend.
    Maglev(HashKey),
    /// At random.
    Random,
}

/// What is hashed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HashKey {
    /// The client's address.
    ClientIp,
    /// A field.
    Header(HeaderName),
    /// A cookie.
    Cookie(Box<str>),
    /// Path and query.
    Uri,
}

/// What is spoken with backends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: with prior knowledge (`h2c`), or with TLS as the only one that is offered.
    H2c,
    /// With TLS, what the backend chooses of both (ALPN): HTTP/1.1 if it chooses nothing.
    Auto,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ProxyProtocolVersion {
    /// The line of text.
    V1,
    /// Binary.
    V2,
}

/// `retry = { attempts = 2, on = ["connect", "502", "503"], methods = [..], budget = 0.2 }`.
#[derive(Clone, PartialEq, Debug)]
pub struct RetryConfig {
    /// Tries after the first.
    pub attempts: u32,
    /// The backend could not be connected to, or closed an idle connection: nothing was processed.
    pub on_connect: bool,
    /// The connection broke after the request was sent. Only for `methods`.
    pub on_reset: bool,
    /// No answer within `first_byte_timeout`. Only for `methods`.
    pub on_timeout: bool,
    /// The answer's status is one of these. Only for `methods`.
    pub on_status: Vec<u16>,
    /// Methods that may be repeated.
    pub methods: Vec<Method>,
    /// Retries of the pool are at most this share of its requests in flight (at least 3 at a time).
    pub budget: f64,
    /// Bytes of a body that are kept so that it can be sent again.
    pub body_bytes: usize,
}

/// `eject = { failures = 5, for = "10s", max_share = 0.5 }`.
#[derive(Clone, PartialEq, Debug)]
pub struct EjectConfig {
    /// Failures in a row (no connection, reset, timeout, 502, 503, 504) after which a backend is left alone.
    pub failures: u32,
    /// For this long, doubled each time, up to [`EjectConfig::MAX_FOR`].
    pub duration: Duration,
    /// No more than this share of a pool's backends at a time.
    pub max_share: f64,
}

impl EjectConfig {
    /// No ejection is longer.
    pub const MAX_FOR: Duration = Duration::from_secs(300);
}

impl Default for WebPoolConfig {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self {
            balance: Balance::RoundRobin,
            protocol: UpstreamProtocol::Http1,
            connect_timeout: 5 * second,
            first_byte_timeout: 60 * second,
            idle_timeout: 60 * second,
            request_timeout: None,
            max_connections: 10_000,
            max_queue: 1_000,
            queue_timeout: 5 * second,
            keepalive: 60 * second,
            keepalive_connections: 256,
            send_proxy_protocol: None,
            retry: RetryConfig::default(),
            eject: Some(EjectConfig::default()),
            tls: None,
            host: None,
        }
    }
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            attempts: 2,
            on_connect: true,
            on_reset: true,
            on_timeout: false,
            on_status: Vec::new(),
            methods: vec![
                Method::GET,
                Method::HEAD,
                Method::OPTIONS,
                Method::TRACE,
                Method::PUT,
                Method::DELETE,
            ],
            budget: 0.2,
            body_bytes: 64 << 10,
        }
    }
}

impl Default for EjectConfig {
    fn default() -> Self {
        Self { failures: 5, duration: Duration::from_secs(10), max_share: 0.5 }
    }
}

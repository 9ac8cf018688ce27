//! What a configuration says of HTTP: listeners, routes, and what happens to requests on their way.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, Method, StatusCode};
use ipnet::IpNet;

use super::host_pattern::HostPattern;
use super::limit::GuardConfig;
use super::name::{ListenerName, PoolName};
pub use super::steer::{HelloCondition, Refuse, Speaks, StartTls, SteerConfig, version_word};
pub use super::template::{Template, TemplatePart, Variable};
use super::tls::ListenerTlsConfig;

/// An `http`, `https`, `tls` or `quic` listener: clients come to a socket, requests or connections are routed.
#[derive(Clone, PartialEq, Debug)]
pub struct WebListenerConfig {
    /// Its name.
    pub name: ListenerName,
    /// At least one, each bound by no other listener.
    pub bind: Vec<WebBind>,
    /// HTTP/2 is spoken with clients that begin with its preface.
    pub http2: bool,
    /// Every connection begins with a PROXY protocol header (v1 or v2), else it is refused.
    pub proxy_protocol: bool,
    /// Proxies before this one: what they say in `Forwarded` and `X-Forwarded-*`, and in the PROXY protocol, is
    /// believed. Of others it is removed.
    pub trusted_proxies: Vec<IpNet>,
    /// What a client may ask for.
    pub limits: WebLimits,
    /// Requests are written down.
    pub access_log: bool,
    /// What floods meet, where there is a `[kernel]`.
    pub guard: GuardConfig,
    /// What TLS is like; none: protocol `http`.
    pub tls: Option<ListenerTlsConfig>,
    /// What becomes of connections that no request is read from.
    pub steer: SteerConfig,
    /// Requests for what an `https` listener of the same address serves are sent there; none: they are not.
    pub redirect_https: Option<RedirectHttps>,
}

/// Where requests go that came without TLS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RedirectHttps {
    /// The listener that serves them.
    pub listener: ListenerName,
    /// Its port, as clients see it.
    pub port: u16,
}

/// Where an `http` listener waits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum WebBind {
    /// TCP, or UDP where clients speak QUIC.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for WebBind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What one client, one connection and one request may take.
#[derive(Clone, PartialEq, Debug)]
pub struct WebLimits {
    /// Bytes of a request's head, of an HTTP/2 header list (RFC 9113 §6.5.2): more is 431.
    pub header_bytes: usize,
    /// Fields of a request's head or trailers: more is 431.
    pub header_count: usize,
    /// Bytes of the request target: more is 414.
    pub uri_bytes: usize,
    /// From a request's first byte (or the connection's start) to the end of its head. In total: a drip does not
    /// extend it.
    pub header_timeout: Duration,
    /// Between requests of a connection.
    pub idle_timeout: Duration,
    /// Between two pieces of a body, either way.
    pub body_timeout: Duration,
    /// Bytes a second that a body must make, averaged from its start and after a grace of `body_timeout`: less is 408.
    pub body_min_rate: u64,
    /// Bytes of a request's body: more is 413; none: any.
    pub body_bytes: Option<u64>,
    /// Connections of the listener at a time, of all workers.
    pub connections: u32,
    /// Connections of one client at a time: of an address, or of a /64 of IPv6.
    pub connections_per_client: u32,
    /// Requests of one connection; then it is closed in good order.
    pub requests_per_connection: u64,
    /// A relayed connection without a byte either way is closed after this.
    pub relay_idle: Duration,
    /// A relayed connection is closed after this, whatever it does; none: never.
    pub relay_total: Option<Duration>,
    /// Streams of an HTTP/2 connection at a time (SETTINGS_MAX_CONCURRENT_STREAMS).
    pub h2_streams: u32,
    /// Resets an HTTP/2 connection may cost within [`H2_WINDOW`], the peer's and those it provokes.
    pub h2_resets: u32,
    /// Frames without progress (SETTINGS, PING, PRIORITY, WINDOW_UPDATE, empty DATA, CONTINUATION) within
    /// [`H2_WINDOW`].
    pub h2_idle_frames: u32,
}

/// Over what HTTP/2 budgets are counted.
pub const H2_WINDOW: Duration = Duration::from_secs(10);

/// `[server]`: the workers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerConfig {
    /// Worker threads; none: one for each CPU this process may use.
    pub workers: Option<NonZeroU32>,
    /// Requests in flight, of all workers: above it the answer is 503.
    pub max_requests: u32,
    /// Bytes that bodies and heads may hold in memory, of all workers: above it the answer is 503.
    pub max_buffer_bytes: u64,
    /// How long requests in flight may take after SIGTERM or an upgrade.
    pub grace: Duration,
    /// Whether requests are counted, with their times.
    pub request_metrics: bool,
    /// Where requests are written down.
    pub access_log: Option<AccessLogConfig>,
}

/// `[access_log]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessLogConfig {
    /// Where to.
    pub to: AccessLogTarget,
    /// The shape of a line.
    pub format: AccessLogFormat,
}

/// Where requests are written down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AccessLogTarget {
    /// Standard output.
    Stdout,
    /// A file, opened again at SIGHUP.
    File(PathBuf),
    /// The local syslog (RFC 5424 over /dev/log).
    Syslog,
}

/// The shape of a line of the access log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AccessLogFormat {
    /// One JSON object a line.
    Json,
    /// The combined format of Apache and nginx.
    Combined,
}

/// `[[route]]`: which requests go where.
#[derive(Clone, Debug)]
pub struct RouteConfig {
    /// Its name, for people and metrics: as given, else `route-N`, N counted from 1 in file order.
    pub name: Box<str>,
    /// Listeners it belongs to, at least one.
    pub listeners: Vec<ListenerName>,
    /// Any of these; empty: every host. Canonical: lower case, no port, no trailing dot, A-labels.
    pub hosts: Vec<HostPattern>,
    /// What the canonical path must be.
    pub path: PathPattern,
    /// Any of these; empty: every method.
    pub methods: Vec<Method>,
    /// All of these.
    pub headers: Vec<FieldCondition>,
    /// All of these, names as decoded.
    pub query: Vec<QueryCondition>,
    /// Any of these; empty: every client.
    pub client_ip: Vec<IpNet>,
    /// What the client's ClientHello must say.
    pub client_hello: HelloCondition,
    /// Connections go to the pool as they are.
    pub passthrough: bool,
    /// What is done with the request, or the connection.
    pub action: RouteAction,
    /// What happens to the request on its way.
    pub middleware: MiddlewareConfig,
    /// Overrides the pool's `timeout.request`.
    pub request_timeout: Option<Duration>,
    /// The route's line in the file, from 1.
    pub line: usize,
}

/// A path of a route. Compared with the canonical path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PathPattern {
    /// Every path.
    Any,
    /// `path_exact`.
    Exact(Box<str>),
    /// `path`: begins with this. `/api/` also matches `/api`; `/api` matches `/api`, `/api/x` and not `/apix`.
    Prefix(Box<str>),
    /// `path_regex`: matches anywhere unless it is anchored. It compiles.
    Regex(Box<str>),
}

/// A condition on a field of the head.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldCondition {
    /// Which field.
    pub name: HeaderName,
    /// What one of its lines must be.
    pub value: ValuePattern,
}

/// A condition on a parameter of the query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueryCondition {
    /// Which parameter.
    pub name: Box<str>,
    /// What one of its values must be.
    pub value: ValuePattern,
}

/// What a value must be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ValuePattern {
    /// It is there.
    Present,
    /// It is not there.
    Absent,
    /// It is this.
    Exact(Box<str>),
    /// It matches this regular expression, which compiles.
    Regex(Box<str>),
}

/// What is done with a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RouteAction {
    /// It goes to a pool.
    Pool(PoolName),
    /// It is answered with a redirect.
    Redirect(RedirectConfig),
    /// It is answered with this.
    Respond(RespondConfig),
    /// The connection is refused.
    Refuse(Refuse),
}

/// `redirect = { to = "https://{host}{uri}", status = 308 }`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RedirectConfig {
    /// The Location, with variables.
    pub to: Template,
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
}

/// `respond = { status = 404, body = "..." }`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RespondConfig {
    /// The status.
    pub status: StatusCode,
    /// The body, `text/plain; charset=utf-8` unless `response_headers` says otherwise.
    pub body: Box<str>,
}

/// What happens to a request on its way, outermost first, in this order: `allow`/`deny`, `basic_auth`, `max_body`,
/// `request_headers`, `strip_prefix`, `rewrite_path`; and to the answer: `error_pages`, `compress`, `response_headers`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MiddlewareConfig {
    /// Only these clients; empty: all. Others get 403.
    pub allow: Vec<IpNet>,
    /// Not these clients. `allow` does not help them.
    pub deny: Vec<IpNet>,
    /// Who may ask.
    pub basic_auth: Option<BasicAuthConfig>,
    /// Bytes of a body: more is 413. Replaces the listener's.
    pub max_body: Option<u64>,
    /// Changes to the request's fields.
    pub request_headers: HeaderEdits,
    /// Removed from the path's beginning.
    pub strip_prefix: Option<Box<str>>,
    /// The path becomes this: `{path}` is what is left of it. With `path_regex`, `$1` or `${name}` are its groups.
    pub rewrite_path: Option<RewriteConfig>,
    /// Changes to the answer's fields.
    pub response_headers: HeaderEdits,
    /// How bodies of answers are compressed.
    pub compress: Option<CompressConfig>,
    /// Files that stand in for answers with these statuses.
    pub error_pages: BTreeMap<StatusRange, PathBuf>,
}

/// Statuses from and to, both inclusive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct StatusRange {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

/// `rewrite_path = "/new{path}"` or `{ regex = "^/v(\\d+)/", to = "/api/$1/" }`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RewriteConfig {
    /// The path becomes this.
    To(Template),
    /// The first match becomes this.
    Regex {
        /// What is looked for. It compiles.
        regex: Box<str>,
        /// With `$1` and `${name}`.
        to: Box<str>,
    },
}

/// Changes to fields: first `remove`, then `set`, then `add`. Hop-by-hop fields, Host, Content-Length and
/// Transfer-Encoding cannot be changed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HeaderEdits {
    /// These go.
    pub remove: Vec<HeaderName>,
    /// These are replaced, or added.
    pub set: Vec<(HeaderName, Template)>,
    /// These are added to what is there.
    pub add: Vec<(HeaderName, Template)>,
}

impl HeaderEdits {
    /// There is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}

/// `basic_auth = { realm = "...", users = { alice = "$2y$..." } }` or `file = "htpasswd"`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BasicAuthConfig {
    /// What the client is shown.
    pub realm: Box<str>,
    /// User and bcrypt hash.
    pub users: Vec<(Box<str>, Box<str>)>,
    /// Sent to the backend in this field, if named.
    pub user_header: Option<HeaderName>,
}

/// `compress = ["zstd", "br", "gzip"]` or a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CompressConfig {
    /// In the order of preference, at least one.
    pub encodings: Vec<Encoding>,
    /// Bodies known to be shorter stay as they are.
    pub min_bytes: u64,
    /// Media types, `text/*` means all of them.
    pub types: Vec<Box<str>>,
}

/// A content coding (RFC 9110 §8.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoding {
    /// `gzip`.
    Gzip,
    /// `br`.
    Brotli,
    /// `zstd`.
    Zstd,
}

impl Default for WebLimits {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self {
            header_bytes: 64 << 10,
            header_count: 100,
            uri_bytes: 16 << 10,
            header_timeout: 5 * second,
            idle_timeout: 10 * second,
            body_timeout: 10 * second,
            body_min_rate: 256,
            body_bytes: None,
            connections: 65_536,
            connections_per_client: 16_384,
            requests_per_connection: 1_000_000,
            relay_idle: 600 * second,
            relay_total: None,
            h2_streams: 100,
            h2_resets: 100,
            h2_idle_frames: 1_000,
        }
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            workers: None,
            max_requests: 100_000,
            max_buffer_bytes: 512 << 20,
            grace: Duration::from_secs(30),
            request_metrics: true,
            access_log: None,
        }
    }
}

impl RouteConfig {
    /// Whether it takes connections, and never requests.
    pub fn takes_connections(&self) -> bool {
        self.passthrough || matches!(self.action, RouteAction::Refuse(_))
    }
}

impl WebListenerConfig {
    /// Whether its connections are steered, and have no requests.
    pub fn is_raw(&self) -> bool {
        matches!(self.steer.speaks, Speaks::Tls | Speaks::Quic)
    }

    /// Whether its clients send datagrams.
    pub fn is_quic(&self) -> bool {
        self.steer.speaks == Speaks::Quic
    }

    /// Whether its clients begin with a ClientHello.
    pub fn has_hellos(&self) -> bool {
        self.tls.is_some() || self.is_quic()
    }

    /// Its protocol, as the file says it.
    pub fn protocol(&self) -> &'static str {
        self.steer.speaks.word()
    }
}

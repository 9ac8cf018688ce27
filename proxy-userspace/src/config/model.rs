//! What the configuration means: names resolved, units converted, defaults filled in, and every promise that the
//! types make was checked. Only [`super::parse`] makes these.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

pub use proxy_common::listener::Forward;
use serde::Serialize;

use super::acme::AcmeConfig;
use super::address::Endpoint;
use super::ban::{AutoBanConfig, BanConfig};
use super::diagnostic::Diagnostic;
use super::limit::{GuardConfig, LimitConfig};
use super::name::{ListenerName, PoolName};
use super::tls::TlsConfig;
use super::web::{RouteConfig, ServerConfig, WebListenerConfig};
use super::web_pool::WebPoolConfig;

/// A configuration without a mistake.
#[derive(Clone, Debug)]
pub struct Config {
    /// The kernel part, if there is one. Never absent when there are listeners.
    pub kernel: Option<KernelConfig>,
    /// How the daemon is reached.
    pub admin: AdminConfig,
    /// Those balanced in the kernel, in file order. Each has addresses of one family and a pool that exists.
    pub listeners: Vec<ListenerConfig>,
    /// The `http` listeners, in file order.
    pub web_listeners: Vec<WebListenerConfig>,
    /// In file order.
    pub routes: Vec<RouteConfig>,
    /// The workers.
    pub server: ServerConfig,
    /// In file order.
    pub pools: Vec<PoolConfig>,
    /// Certificates.
    pub tls: TlsConfig,
    /// Certificates that come by themselves.
    pub acme: AcmeConfig,
    /// How much is let through, in file order.
    pub limits: Vec<LimitConfig>,
    /// Who is kept out.
    pub ban: BanConfig,
    /// Who is kept out by what they do, in file order.
    pub auto_bans: Vec<AutoBanConfig>,
    /// What is allowed, and probably not meant.
    pub warnings: Vec<Diagnostic>,
}

/// `[kernel]`: the part that balances packets.
#[derive(Clone, PartialEq, Debug)]
pub struct KernelConfig {
    /// Interfaces to attach to, at least one, each once.
    pub interfaces: Vec<String>,
    /// How to attach.
    pub attach: AttachMode,
    /// Entries of the IPv4 flow table.
    pub flows: u32,
    /// Keys of limits that are remembered at a time. A power of two.
    pub limit_keys: u32,
    /// Ports that connections to backends leave from; none: the largest range that the host itself does not use.
    pub nat_ports: Option<RangeInclusive<u16>>,
    /// Addresses that connections to backends leave from; empty: the one that the route to the backend prefers.
    pub nat_source: Vec<IpAddr>,
    /// Seed of the flow hash; none: drawn once, and kept with the flow table.
    pub hash_seed: Option<u64>,
    /// An idle TCP flow is forgotten after this.
    pub tcp_idle: Duration,
    /// A TCP flow that was closed or reset is forgotten after this.
    pub tcp_closing: Duration,
    /// An idle UDP flow is forgotten after this.
    pub udp_idle: Duration,
    /// Unsolicited ICMP messages a second to our addresses; none: any number.
    pub icmp_limit: Option<u32>,
    /// Where maps and links are pinned.
    pub pin_dir: PathBuf,
}

/// How the kernel part is attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AttachMode {
    /// Native if the driver can, else generic, and said so.
    Auto,
    /// In the driver, or not at all.
    Native,
    /// Behind the driver.
    Generic,
}

/// `[admin]`: how the daemon is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdminConfig {
    /// Path of the Unix socket.
    pub socket: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// Where it is written down what operators changed; none: in the log alone.
    pub audit_log: Option<PathBuf>,
}

/// A listener of one address family. A `[listener.NAME]` that binds both is two: `NAME.v4` and `NAME.v6`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListenerConfig {
    /// Its name.
    pub name: ListenerName,
    /// Concrete addresses of one family, at least one, each bound by no other listener of the protocol.
    /// With `dsr` all have the same port.
    pub bind: Vec<SocketAddr>,
    /// What it balances.
    pub protocol: Protocol,
    /// The pool that answers. [`Config::backends`] says which of its backends do.
    pub pool: PoolName,
    /// How packets get to the backend.
    pub forward: Forward,
    /// What floods meet.
    pub guard: GuardConfig,
}

impl ListenerConfig {
    /// Whether its addresses are IPv6.
    pub fn is_ipv6(&self) -> bool {
        self.bind.first().is_some_and(SocketAddr::is_ipv6)
    }
}

/// What a listener balances.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP connections.
    Tcp,
    /// UDP datagrams.
    Udp,
}

impl Protocol {
    /// `IPPROTO_TCP` or `IPPROTO_UDP`.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// `[pool.NAME]`: the backends of a service.
#[derive(Clone, PartialEq, Debug)]
pub struct PoolConfig {
    /// Its name.
    pub name: PoolName,
    /// At least one, in file order, each address once.
    pub backends: Vec<BackendConfig>,
    /// How they are checked; none: they are taken to be well.
    pub health: Option<HealthConfig>,
    /// How its backends are chosen and spoken to by HTTP.
    pub web: WebPoolConfig,
}

/// One backend of a pool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackendConfig {
    /// Where it is. An address, if a kernel listener uses the pool; with a port, unless only `dsr` listeners do.
    pub endpoint: Endpoint,
    /// Its share of new flows, relative to the others'; 0: none.
    pub weight: u32,
    /// Gets no new flows; old ones stay.
    pub drain: bool,
}

/// How the backends of a pool are checked.
#[derive(Clone, PartialEq, Debug)]
pub struct HealthConfig {
    /// What is asked.
    pub probe: Probe,
    /// The port that is asked; none: the backend's, which then has one.
    pub port: Option<u16>,
    /// From one check to the next.
    pub interval: Duration,
    /// A check that takes longer has failed. Never longer than `interval`.
    pub timeout: Duration,
    /// Checks in a row that must succeed before a backend is up again. At least 1.
    pub rise: u32,
    /// Checks in a row that must fail before a backend is down. At least 1.
    pub fall: u32,
    /// Each interval is longer or shorter by up to this share of itself, at random. 0 to 0.5.
    pub jitter: f64,
}

impl HealthConfig {
    /// What a check of `backend` asks: the backend, on the port of the check if it has one.
    pub fn target(&self, backend: &BackendConfig) -> Endpoint {
        let mut target = backend.endpoint.clone();
        match &mut target {
            Endpoint::Ip(address) => address.port = self.port.or(address.port),
            Endpoint::Name { port, .. } => *port = self.port.unwrap_or(*port),
            Endpoint::Unix(_) => {}
        }
        target
    }
}

/// What a check asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Probe {
    /// A TCP connection comes about.
    Tcp,
    /// A GET is answered with the right status.
    Http(HttpProbe),
}

/// A check by HTTP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpProbe {
    /// TLS, if it is HTTPS.
    pub tls: Option<ProbeTls>,
    /// Path and query. Begins with `/`.
    pub path: String,
    /// The Host header, and with TLS the server name; none: the address.
    pub host: Option<String>,
    /// Statuses that mean well: at least one range.
    pub status: Vec<RangeInclusive<u16>>,
}

/// How far a check trusts a backend's certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProbeTls {
    /// It must be valid for the host, signed by a root that this machine trusts.
    Verify,
    /// Anything goes.
    Trust,
}

impl Config {
    /// A pool by its name.
    pub fn pool(&self, name: &PoolName) -> Option<&PoolConfig> {
        self.pools.iter().find(|pool| pool.name == *name)
    }

    /// The backends of a listener and the address of each: those of its pool that are of its family.
    pub fn backends<'a>(
        &'a self,
        listener: &'a ListenerConfig,
    ) -> impl Iterator<Item = (SocketAddr, &'a BackendConfig)> + 'a {
        let port = listener.bind.first().map_or(0, SocketAddr::port);
        let backends = self.pool(&listener.pool).map_or(&[][..], |pool| &pool.backends);
        backends
            .iter()
            .filter_map(|backend| Some((backend.endpoint.ip()?, backend)))
            .filter(|(address, _)| address.ip.is_ipv6() == listener.is_ipv6())
            .map(move |(address, backend)| (address.at(port), backend))
    }
}

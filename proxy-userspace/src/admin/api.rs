//! What is asked and what is answered, as it stands in JSON. The server, the client and `--json` share these types.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::route::{HelloQuestion, Question};

use super::bans::{BansAnswer, BansRequest};
use super::certificates::{CertsAnswer, CertsRequest};
use super::limits::{LimitsAnswer, LimitsRequest};
use super::trace::{TraceRequest, Traced};

/// What can be asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// `GET /status`
    Status,
    /// `GET /metrics`
    Metrics,
    /// `GET /health`: whether the daemon itself is well.
    Health,
    /// `POST /reload`
    Reload,
    /// `POST /upgrade`
    Upgrade,
    /// `POST /drain`
    Drain(Drain),
    /// `POST /undrain`
    Undrain(Drain),
    /// `GET /explain?tuple=…`
    Explain(String),
    /// `POST /explain`
    ExplainRequest(Question),
    /// `POST /explain/hello`
    ExplainHello(HelloQuestion),
    /// About certificates.
    Certs(CertsRequest),
    /// About limits.
    Limits(LimitsRequest),
    /// `POST /trace`
    Trace(TraceRequest),
    /// About bans.
    Bans(BansRequest),
}

/// Which backend to drain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// Its address, as the configuration has it.
    pub backend: String,
    /// Only in this pool; none: wherever it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
}

/// What is answered.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Metrics`]: text for Prometheus.
    Metrics(String),
    /// To [`Request::Health`].
    Health(Daemon),
    /// To [`Request::Reload`].
    Reload(Reload),
    /// To [`Request::Upgrade`].
    Upgrade(Upgrade),
    /// To [`Request::Drain`] and [`Request::Undrain`].
    Drain(Drained),
    /// To [`Request::Explain`] and [`Request::ExplainRequest`].
    Explain(serde_json::Value),
    /// To [`Request::Certs`].
    Certs(CertsAnswer),
    /// To [`Request::Limits`].
    Limits(LimitsAnswer),
    /// To [`Request::Trace`].
    Trace(Traced),
    /// To [`Request::Bans`].
    Bans(BansAnswer),
}

/// Why nothing was done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// Whose fault it is.
    pub kind: RefusalKind,
    /// In one sentence.
    pub error: String,
    /// Every mistake of a configuration.
    #[serde(default, rename = "diagnostics", skip_serializing_if = "Vec::is_empty")]
    pub mistakes: Vec<Mistake>,
}

/// Whose fault it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// The request makes no sense.
    BadRequest,
    /// It names what is not there.
    NotFound,
    /// The configuration has mistakes.
    BadConfig,
    /// It could not be done.
    Failed,
}

/// A mistake in the configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mistake {
    /// `error` or `warning`.
    pub severity: String,
    /// The file.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// All of it, with the line, for people.
    pub text: String,
}

/// A reload that was made.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Reload {
    /// What is different from before; empty: nothing.
    pub changes: Vec<Change>,
    /// What is allowed, and probably not meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Mistake>,
}

/// An upgrade that was made.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Upgrade {
    /// The new daemon's process.
    pub pid: u32,
    /// Of the new program.
    pub version: String,
}

/// One difference between two configurations.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Change {
    /// `listener`, `pool`, `backend`, `kernel`, …
    pub what: String,
    /// Which one.
    pub name: String,
    /// `added`, `removed` or `changed`, and how.
    pub how: String,
}

/// What was drained, or no longer is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Drained {
    /// Each place where the backend is.
    pub backends: Vec<DrainedBackend>,
}

/// A backend of a pool that was drained, or no longer is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DrainedBackend {
    /// The pool.
    pub pool: String,
    /// The backend.
    pub backend: String,
    /// What it is now.
    pub state: State,
    /// Flows that it still has.
    pub flows: u64,
}

/// Everything that is to be known.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Status {
    /// None: no daemon runs, and this was read from the kernel.
    pub daemon: Option<Daemon>,
    /// None: nothing is loaded.
    pub kernel: Option<Kernel>,
    /// By name: those balanced in the kernel.
    pub listeners: Vec<Listener>,
    /// By name: those of HTTP.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpListener>,
    /// By name. Without a daemon, one "pool" a listener, of the listener's name.
    pub pools: Vec<Pool>,
}

/// The daemon.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Daemon {
    /// Of the program.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Since it started, in seconds.
    pub uptime: u64,
    /// The configuration's file.
    pub config: String,
    /// Configurations that were put in force, the first one included.
    pub reloads: u64,
    /// Configurations that were refused.
    pub reloads_refused: u64,
    /// Why the last one was, if the file on disk is not what is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// The kernel part.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Kernel {
    /// What it is attached to.
    pub interfaces: Vec<Interface>,
    /// `v4` and `v6`.
    pub flow_tables: Vec<FlowTable>,
    /// Listeners that can be guarded from floods of SYNs, by name.
    #[serde(default)]
    pub guards: Vec<Guard>,
    /// Packets dropped, by reason.
    pub drops: Vec<Counter>,
    /// What else was counted.
    pub notices: Vec<Counter>,
    /// What came of handing relayed connections over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handoffs: Vec<Counter>,
    /// Hosts that ClientHellos name, as far as the kernel programs see.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<NamedHost>,
}

/// A host that ClientHellos name.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct NamedHost {
    /// The listener.
    pub listener: String,
    /// The host, or the hosts: `*` is whatever no other row is for, and who names none.
    pub host: String,
    /// The route that decides; empty: the worker finds out.
    pub route: String,
    /// `pass`, `drop` or `reset`.
    pub action: String,
    /// ClientHellos.
    pub seen: u64,
    /// Those of them that were refused.
    pub refused: u64,
    /// Those that a limit refused.
    pub limited: u64,
}

/// An interface.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// `native`, `generic`, or `detached`.
    pub mode: String,
    /// Why it is not attached, or not in the mode that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// How a listener stands that can be guarded from floods of SYNs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Guard {
    /// The listener's name.
    pub listener: String,
    /// Whether it is guarded: its SYNs are answered with cookies, or their senders are asked whether they are there.
    pub on: bool,
    /// Whether that is so whatever the rate.
    pub always: bool,
    /// SYNs that count towards its threshold, in the last second that had any.
    pub syns: u32,
}

/// How full a flow table is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct FlowTable {
    /// `v4` or `v6`.
    pub family: String,
    /// Entries in use when they were last counted.
    pub used: u64,
    /// Entries there are.
    pub size: u64,
}

/// A counter.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Counter {
    /// Its label.
    pub name: String,
    /// What it means.
    pub meaning: String,
    /// How often.
    pub count: u64,
}

/// A listener.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// `nat` or `dsr`.
    pub forward: String,
    /// What it is bound to.
    pub bind: Vec<SocketAddr>,
    /// The pool that answers.
    pub pool: String,
    /// Sum over its backends.
    #[serde(flatten)]
    pub use_: Use,
}

/// A listener of HTTP.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct HttpListener {
    /// Its name.
    pub name: String,
    /// What it is bound to.
    pub bind: Vec<String>,
    /// Connections that are open.
    pub connections: u32,
    /// Connections that were taken, since the daemon started.
    pub accepted: u64,
    /// Those of them that were refused: the listener or their client had too many, or a PROXY protocol header was
    /// missing.
    pub refused: u64,
    /// Requests that are over.
    pub requests: u64,
    /// Those of them that were answered with 5xx.
    pub failed: u64,
    /// Bytes of their bodies.
    pub received: u64,
    /// Bytes of the answers' bodies.
    pub sent: u64,
    /// `http`, `https` or `tls`.
    #[serde(default)]
    pub protocol: String,
    /// Connections by what their ClientHello has led to; none: nobody looks at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steered: Option<Steered>,
}

/// Connections by what their ClientHello has led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Steered {
    /// Open ones whose first flight is being read.
    pub peeked: u32,
    /// Open ones that are relayed by this process.
    pub relayed: u32,
    /// Open ones that were decrypted, and have requests.
    pub terminated: u32,
    /// Those that the kernel part took over, since the daemon started.
    pub handed_off: u64,
    /// Those that came to nothing, since the daemon started.
    pub refused: u64,
    /// Bytes that were relayed from clients.
    pub received: u64,
    /// Bytes that were relayed to clients.
    pub sent: u64,
}

/// What a backend has to do for HTTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct HttpUse {
    /// Requests in flight.
    pub requests: u32,
    /// Connections, idle ones too.
    pub connections: u32,
    /// It has failed too often, and is left alone for a while.
    #[serde(default)]
    pub ejected: bool,
}

/// A pool.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// How its backends are checked, in a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// In the order of the configuration.
    pub backends: Vec<Backend>,
}

/// A backend of a pool: all listeners that use the pool together.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Backend {
    /// Its address.
    pub address: String,
    /// Its weight; none: no daemon runs, and the kernel part does not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Whether it gets new flows.
    pub state: State,
    /// By whom it is drained: `hand` or `config`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drained_by: Option<String>,
    /// What the checks say.
    pub health: Health,
    /// What it has to do.
    #[serde(flatten)]
    pub use_: Use,
    /// What it has to do for HTTP, if a route leads to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpUse>,
}

/// Whether a backend gets new flows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It does.
    Ready,
    /// It does not, and keeps the old ones.
    Draining,
    /// It does not: it does not answer.
    Down,
}

impl State {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Down => "down",
        }
    }
}

/// What the checks of a backend say.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Health {
    /// `up`, `down`, `unknown` (no check has ended yet, or no daemon runs) or `unchecked` (there are none).
    pub word: String,
    /// Why it is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How long it has been so, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// How long the last check took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<f64>,
}

/// Flows and traffic.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Use {
    /// Established flows when they were last counted.
    pub flows: u64,
    /// Since the kernel part was loaded.
    pub traffic: Traffic,
    /// A second, over the last interval that the daemon measured.
    pub rate: Rate,
}

/// What passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Traffic {
    /// From clients.
    pub packets: u64,
    /// From clients, whole frames.
    pub bytes: u64,
    /// From the backend.
    pub return_packets: u64,
    /// From the backend, whole frames.
    pub return_bytes: u64,
    /// Bare SYNs and first datagrams.
    pub new_flows: u64,
}

/// What passes in a second.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Rate {
    /// From clients.
    pub packets: f64,
    /// From clients, bytes.
    pub bytes: f64,
    /// From the backend.
    pub return_packets: f64,
    /// From the backend, bytes.
    pub return_bytes: f64,
    /// Bare SYNs and first datagrams.
    pub new_flows: f64,
}

impl std::ops::AddAssign for Traffic {
    fn add_assign(&mut self, more: Self) {
        self.packets += more.packets;
        self.bytes += more.bytes;
        self.return_packets += more.return_packets;
        self.return_bytes += more.return_bytes;
        self.new_flows += more.new_flows;
    }
}

impl Traffic {
    /// What passed a second, from `earlier` until now. A counter that went back began anew.
    pub fn rate_since(self, earlier: Self, seconds: f64) -> Rate {
        let per = |now: u64, then: u64| {
            let grown = if now >= then { now - then } else { now };
            if seconds > 0.0 { grown as f64 / seconds } else { 0.0 }
        };
        Rate {
            packets: per(self.packets, earlier.packets),
            bytes: per(self.bytes, earlier.bytes),
            return_packets: per(self.return_packets, earlier.return_packets),
            return_bytes: per(self.return_bytes, earlier.return_bytes),
            new_flows: per(self.new_flows, earlier.new_flows),
        }
    }
}

impl std::ops::AddAssign for Rate {
    fn add_assign(&mut self, more: Self) {
        self.packets += more.packets;
        self.bytes += more.bytes;
        self.return_packets += more.return_packets;
        self.return_bytes += more.return_bytes;
        self.new_flows += more.new_flows;
    }
}

impl std::ops::AddAssign for Use {
    fn add_assign(&mut self, more: Self) {
        self.flows += more.flows;
        self.traffic += more.traffic;
        self.rate += more.rate;
    }
}

impl Refusal {
    /// Without mistakes of a configuration.
    pub fn new(kind: RefusalKind, error: impl Into<String>) -> Self {
        Self { kind, error: error.into(), mistakes: Vec::new() }
    }
}

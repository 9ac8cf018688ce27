//! `[listener.NAME]`.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::guard;
use super::limits::read_limits;
use super::tls::read_listener_tls;
use crate::config::diagnostic::Fact;
use crate::config::keys::guard::{AMPLIFICATION, SYN_COOKIES, SYN_THRESHOLD};
use crate::config::keys::limits::RELAY_IDLE;
use crate::config::keys::listener::{
    BIND, FORWARD, HTTP2, KERNEL_BIND, LISTENER_LIMITS, LISTENER_POOL, LOGGED, PROTOCOL, PROXY_PROTOCOL,
    Spoken, TRUSTED_PROXIES,
};
use crate::config::keys::steer::{HANDOFF, STARTTLS};
use crate::config::keys::tls::{HSTS, LISTENER_TLS, REDIRECT_HTTPS};
use crate::config::kind::MaybePort;
use crate::config::limit::GuardConfig;
use crate::config::model::{Forward, Protocol};
use crate::config::reader::Entries;
use crate::config::report::{At, Report, Reported};
use crate::config::steer::{Speaks, SteerConfig};
use crate::config::table::{Key, Kind};
use crate::config::tls::ListenerTlsConfig;
use crate::config::web::{WebBind, WebLimits, WebListenerConfig};

/// What the table of a listener that is balanced in the kernel says. Each value stands for itself: one that is wrong
/// does not hide mistakes in others.
#[derive(Debug)]
pub(in crate::config) struct FileListener {
    pub(in crate::config) name: At<Box<str>>,
    pub(in crate::config) bind: Result<Vec<At<SocketAddr>>, Reported>,
    pub(in crate::config) protocol: Result<Protocol, Reported>,
    pub(in crate::config) pool: Result<At<Box<str>>, Reported>,
    pub(in crate::config) forward: Result<Forward, Reported>,
    pub(in crate::config) guard: Result<GuardConfig, Reported>,
}

/// What the table of an `http` or `https` listener says.
#[derive(Debug)]
pub(in crate::config) struct FileWebListener {
    pub(in crate::config) name: At<Box<str>>,
    pub(in crate::config) bind: Result<Vec<At<WebBind>>, Reported>,
    /// As it is said, if it is.
    pub(in crate::config) redirect_https: Result<Option<At<MaybePort>>, Reported>,
    /// All of it, but for what it is bound to and where it redirects to.
    pub(in crate::config) rest: Result<WebListenerConfig, Reported>,
}

/// One of both.
#[derive(Debug)]
pub(super) enum AnyListener {
    Kernel(FileListener),
    Web(Box<FileWebListener>),
}

impl AnyListener {
    /// Reads everything. A listener whose protocol cannot be read is read as one of the kernel.
    pub(super) fn read(name: At<Box<str>>, entries: &Entries, report: &mut Report<'_>) -> Self {
        match entries.get(&PROTOCOL, report).map(|protocol| protocol.value) {
            Ok(Spoken::Web(speaks)) => {
                Self::Web(Box::new(FileWebListener::read(name, speaks, entries, report)))
            }
            Ok(Spoken::Kernel(protocol)) => {
                refuse_of_http(entries, report);
                Self::Kernel(FileListener::read(name, Ok(protocol), entries, report))
            }
            Err(reported) => Self::Kernel(FileListener::read(name, Err(reported), entries, report)),
        }
    }
}

impl FileListener {
    fn read(
        name: At<Box<str>>,
        protocol: Result<Protocol, Reported>,
        entries: &Entries,
        report: &mut Report<'_>,
    ) -> Self {
        let bind = match protocol {
            Ok(_) => {
                entries.get(&KERNEL_BIND, report).map(|bind| bind.value.into_iter().filter_map(tcp).collect())
            }
            // What is allowed is not known without the protocol.
            Err(reported) => entries.get(&BIND, report).and(Err(reported)),
        };
        // Whether a pool is wanted is not known without the protocol.
        let pool = match (protocol, entries.has(&LISTENER_POOL)) {
            (Err(reported), false) => Err(reported),
            _ => entries.get(&LISTENER_POOL, report),
        };
        let forward = entries.get(&FORWARD, report).map(|forward| forward.value);
        let guard = read_guard(protocol, forward, entries, report);
        Self { name, bind, protocol, pool, forward, guard }
    }
}

impl FileWebListener {
    fn read(name: At<Box<str>>, speaks: Speaks, entries: &Entries, report: &mut Report<'_>) -> Self {
        let bind = entries.get(&BIND, report).map(|bind| bind.value);
        let bind =
            if speaks == Speaks::Quic { bind.and_then(|bind| of_one_place(bind, report)) } else { bind };
        let redirect_https = entries.find(&REDIRECT_HTTPS, report);
        if speaks != Speaks::Http {
            refuse_of_one(entries, &REDIRECT_HTTPS, "http", report);
        }
        if matches!(speaks, Speaks::Tls | Speaks::Quic) {
            refuse_of_one(entries, &HTTP2, BOTH, report);
            refuse_of_one(entries, &HSTS, "https", report);
        }
        if speaks == Speaks::Quic {
            refuse_of_datagrams(entries, report);
        }
        let tls = read_tls(speaks, entries, report);
        let steer = read_steer(speaks, entries, report);
        let rest = read_rest(&name.value, speaks, entries, report)
            .and_then(|rest| Ok(WebListenerConfig { tls: tls?, steer: steer?, ..rest }));
        Self { name, bind, redirect_https, rest }
    }
}

/// What floods meet.
fn read_guard(
    protocol: Result<Protocol, Reported>,
    forward: Result<Forward, Reported>,
    entries: &Entries,
    report: &mut Report<'_>,
) -> Result<GuardConfig, Reported> {
    match protocol? {
        Protocol::Tcp => {
            refuse_of_one(entries, &AMPLIFICATION, "udp", report);
            guard::read_tcp(forward?, entries, report)
        }
        Protocol::Udp => {
            refuse_of_one(entries, &SYN_COOKIES, OF_TCP, report);
            refuse_of_one(entries, &SYN_THRESHOLD, OF_TCP, report);
            if forward? == Forward::Dsr {
                refuse(entries, &AMPLIFICATION, &AnswersPassBy, report)?;
            }
            guard::read_udp(entries, report)
        }
    }
}

/// Protocols that begin with a SYN.
const OF_TCP: &str = "tcp, tls, http and https";
/// Protocols that have requests.
const BOTH: &str = "http and https";
/// Protocols that have sockets.
const LOCAL: &str = "http, https, tls and quic";
/// Protocols that have sockets, and connections.
const OF_STREAMS: &str = "http, https and tls";
/// Protocols that begin with a ClientHello.
const SECURE: &str = "https and tls";
/// Protocols that are steered by their ClientHello.
const STEERED: &str = "https, tls and quic";
/// How long a flow of QUIC may be silent, if nothing is said: few clients keep one for longer (RFC 9308 §3.2).
const QUIC_IDLE: Duration = Duration::from_secs(120);

/// What TLS is like, where there is any.
fn read_tls(
    speaks: Speaks,
    entries: &Entries,
    report: &mut Report<'_>,
) -> Result<Option<ListenerTlsConfig>, Reported> {
    match speaks {
        Speaks::Https | Speaks::Tls => return read_listener_tls(entries, report).map(Some),
        Speaks::Http => refuse_of_one(entries, &HSTS, "https", report),
        Speaks::Quic => {}
    }
    refuse_of_one(entries, &LISTENER_TLS, SECURE, report);
    Ok(None)
}

/// What becomes of connections that are passed through.
fn read_steer(speaks: Speaks, entries: &Entries, report: &mut Report<'_>) -> Result<SteerConfig, Reported> {
    if speaks == Speaks::Http {
        refuse_of_one(entries, &HANDOFF, STEERED, report);
    }
    if speaks != Speaks::Tls {
        refuse_of_one(entries, &STARTTLS, "tls", report);
    }
    let handoff = entries.get(&HANDOFF, report);
    let starttls = entries.find(&STARTTLS, report);
    Ok(SteerConfig { speaks, handoff: handoff?.value, starttls: starttls?.map(|starttls| starttls.value) })
}

/// The address; always there where [`KERNEL_BIND`] was read.
fn tcp(bind: At<WebBind>) -> Option<At<SocketAddr>> {
    match bind.value {
        WebBind::Tcp(address) => Some(At { value: address, span: bind.span }),
        WebBind::Unix(_) => None,
    }
}

fn read_rest(
    name: &str,
    speaks: Speaks,
    entries: &Entries,
    report: &mut Report<'_>,
) -> Result<WebListenerConfig, Reported> {
    let pool = refuse(entries, &LISTENER_POOL, &NotForHttp::Pool, report);
    let forward = refuse(entries, &FORWARD, &NotForHttp::Forward, report);
    let http2 = entries.get(&HTTP2, report);
    let proxy_protocol = entries.get(&PROXY_PROTOCOL, report);
    let trusted_proxies = entries.find(&TRUSTED_PROXIES, report);
    let access_log = entries.get(&LOGGED, report);
    refuse_of_one(entries, &AMPLIFICATION, "udp", report);
    let guard = guard::read_local(entries, report);
    let limits = entries.find(&LISTENER_LIMITS, report).and_then(|limits| match limits {
        Some(limits) => {
            let idle = limits.value.has(&RELAY_IDLE) || speaks != Speaks::Quic;
            let read = read_limits(&limits.value, report);
            read.map(|read| if idle { read } else { WebLimits { relay_idle: QUIC_IDLE, ..read } })
        }
        None if speaks == Speaks::Quic => Ok(WebLimits { relay_idle: QUIC_IDLE, ..WebLimits::default() }),
        None => Ok(WebLimits::default()),
    });
    pool?;
    forward?;
    let trusted_proxies = trusted_proxies?.map_or_else(Vec::new, |list| list.value);
    Ok(WebListenerConfig {
        name: name.into(),
        bind: Vec::new(),
        http2: http2?.value,
        proxy_protocol: proxy_protocol?.value,
        trusted_proxies: trusted_proxies.into_iter().map(|network| network.value).collect(),
        limits: limits?,
        access_log: access_log?.value,
        guard: guard?,
        tls: None,
        steer: SteerConfig::default(),
        redirect_https: None,
    })
}

/// Reports keys that only listeners with sockets have.
fn refuse_of_http(entries: &Entries, report: &mut Report<'_>) {
    refuse_of_one(entries, &HTTP2, BOTH, report);
    refuse_of_one(entries, &PROXY_PROTOCOL, OF_STREAMS, report);
    refuse_of_one(entries, &TRUSTED_PROXIES, OF_STREAMS, report);
    refuse_of_one(entries, &LOGGED, LOCAL, report);
    refuse_of_one(entries, &LISTENER_LIMITS, LOCAL, report);
    refuse_of_one(entries, &LISTENER_TLS, SECURE, report);
    refuse_of_one(entries, &HSTS, "https", report);
    refuse_of_one(entries, &HANDOFF, STEERED, report);
    refuse_of_one(entries, &STARTTLS, "tls", report);
    refuse_of_one(entries, &REDIRECT_HTTPS, "http", report);
}

/// Reports keys that only listeners with connections have.
fn refuse_of_datagrams(entries: &Entries, report: &mut Report<'_>) {
    refuse_of_one(entries, &PROXY_PROTOCOL, OF_STREAMS, report);
    refuse_of_one(entries, &TRUSTED_PROXIES, OF_STREAMS, report);
    refuse_of_one(entries, &SYN_COOKIES, OF_TCP, report);
    refuse_of_one(entries, &SYN_THRESHOLD, OF_TCP, report);
}

/// Addresses alone, each one place: answers must leave from where the question went.
fn of_one_place(binds: Vec<At<WebBind>>, report: &mut Report<'_>) -> Result<Vec<At<WebBind>>, Reported> {
    let unfit = |bind: &WebBind| !matches!(bind, WebBind::Tcp(address) if !address.ip().is_unspecified());
    let mut wrong = None;
    for bind in binds.iter().filter(|bind| unfit(&bind.value)) {
        wrong = Some(report.error(&bind.span, &NoOnePlace { bind: &bind.value }));
    }
    wrong.map_or(Ok(binds), Err)
}

/// Reports a key that only listeners of another protocol have.
fn refuse_of_one<K: Kind>(
    entries: &Entries,
    key: &'static Key<K>,
    protocol: &'static str,
    report: &mut Report<'_>,
) {
    // Its mistake was reported, and nothing depends on it.
    let _ = refuse(entries, key, &OnlyFor { key: key.name, protocol }, report);
}

/// Reports a key that is there and has nothing to say.
fn refuse<K: Kind, F: Fact>(
    entries: &Entries,
    key: &'static Key<K>,
    fact: &F,
    report: &mut Report<'_>,
) -> Result<(), Reported> {
    if entries.has(key) { Err(report.error(&entries.span_of(key), fact)) } else { Ok(()) }
}

#[derive(Debug, thiserror::Error)]
enum NotForHttp {
    #[error("an http, https, tls or quic listener names no pool: its routes do")]
    Pool,
    #[error("forward has a meaning for tcp and udp listeners only")]
    Forward,
}

impl Fact for NotForHttp {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Pool => "remove it, and add a [[route]] with pool = …".to_owned(),
            Self::Forward => "remove forward".to_owned(),
        })
    }
}

struct NoOnePlace<'a> {
    bind: &'a WebBind,
}

impl fmt::Display for NoOnePlace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a quic listener cannot be bound to {}: answers must leave from one address", self.bind)
    }
}

impl Fact for NoOnePlace<'_> {
    fn help(&self) -> Option<String> {
        Some("name each address of this machine that clients send to: \"203.0.113.10:443\"".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("amplification cannot be seen with dsr: answers do not pass here")]
struct AnswersPassBy;

impl Fact for AnswersPassBy {
    fn help(&self) -> Option<String> {
        Some("remove it, or forward by nat".to_owned())
    }
}

struct OnlyFor {
    key: &'static str,
    protocol: &'static str,
}

impl fmt::Display for OnlyFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has a meaning for {} listeners only", self.key, self.protocol)
    }
}

impl Fact for OnlyFor {
    fn help(&self) -> Option<String> {
        Some(format!("remove {}", self.key))
    }
}

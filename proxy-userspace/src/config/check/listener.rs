//! Listeners against each other, the kernel part and the pools.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;

use crate::config::diagnostic::Fact;
use crate::config::file::{FileListener, FileWebListener};
use crate::config::model::{Forward, ListenerConfig, Protocol};
use crate::config::nearest::instead;
use crate::config::report::{At, Report, Reported};
use crate::config::web::{WebBind, WebListenerConfig};

/// Each address, port and protocol, and each Unix socket, is bound once.
pub(super) fn check_binds(listeners: &[FileListener], web: &[FileWebListener], report: &mut Report<'_>) {
    let mut taken: HashMap<(Protocol, WebBind), &str> = HashMap::new();
    let mut take = |protocol, bind: WebBind, span: &Range<usize>, name| {
        if let Some(other) = taken.insert((protocol, bind.clone()), name) {
            report.error(span, &BoundTwice { protocol, bind: &bind, name, other });
        }
    };
    for listener in listeners {
        let (Ok(protocol), Ok(bind)) = (listener.protocol, &listener.bind) else {
            continue;
        };
        for address in bind {
            take(protocol, WebBind::Tcp(address.value), &address.span, &*listener.name.value);
        }
    }
    for listener in web {
        let quic = listener.rest.as_ref().is_ok_and(WebListenerConfig::is_quic);
        let protocol = if quic { Protocol::Udp } else { Protocol::Tcp };
        for bind in listener.bind.iter().flatten() {
            take(protocol, bind.value.clone(), &bind.span, &*listener.name.value);
        }
    }
}

/// Headers that are read and not believed are probably not meant.
pub(super) fn check_trust(listeners: &[FileWebListener], report: &mut Report<'_>) {
    for listener in listeners {
        if listener.rest.as_ref().is_ok_and(|rest| rest.proxy_protocol && rest.trusted_proxies.is_empty()) {
            report.warn(&listener.name.span, &NobodyTrusted { name: &listener.name.value });
        }
    }
}

/// The pool exists.
pub(super) fn check_pool_name(listener: &FileListener, pools: &[String], report: &mut Report<'_>) {
    if let Ok(pool) = &listener.pool
        && pools.iter().all(|known| known.as_str() != &*pool.value)
    {
        report.error(&pool.span, &NoSuchPool { listener: &listener.name.value, pool: &pool.value, pools });
    }
}

/// A `dsr` listener has one port: packets reach the backend with the port that the client wrote.
pub(super) fn check_ports(listener: &FileListener, report: &mut Report<'_>) {
    let (Ok(Forward::Dsr), Ok(bind)) = (listener.forward, &listener.bind) else {
        return;
    };
    let Some(first) = bind.first() else {
        return;
    };
    for address in bind.iter().filter(|address| address.value.port() != first.value.port()) {
        let fact =
            DsrPorts { name: &listener.name.value, port: address.value.port(), first: first.value.port() };
        report.error(&address.span, &fact);
    }
}

/// What a listener means: one listener for each family that it is bound to.
pub(super) fn resolve(listener: FileListener) -> Result<Vec<ListenerConfig>, Reported> {
    let (protocol, forward, pool) = (listener.protocol?, listener.forward?, listener.pool?);
    let guard = listener.guard?;
    let bind: Vec<_> = listener.bind?.into_iter().map(|At { value, .. }| value).collect();
    let (v4, v6): (Vec<_>, Vec<_>) = bind.into_iter().partition(SocketAddr::is_ipv4);
    let name = &*listener.name.value;
    let both = !v4.is_empty() && !v6.is_empty();
    let named = |suffix: &str| if both { format!("{name}{suffix}") } else { name.to_owned() };
    let of_family = |name: String, bind| ListenerConfig {
        name: name.as_str().into(),
        bind,
        protocol,
        pool: (&*pool.value).into(),
        forward,
        guard,
    };
    let families = [(named(".v4"), v4), (named(".v6"), v6)];
    Ok(families
        .into_iter()
        .filter(|(_, bind)| !bind.is_empty())
        .map(|(name, bind)| of_family(name, bind))
        .collect())
}

/// What an `http` listener means.
pub(super) fn resolve_web(listener: FileWebListener) -> Result<WebListenerConfig, Reported> {
    let bind = listener.bind?.into_iter().map(|At { value, .. }| value).collect();
    Ok(WebListenerConfig { bind, ..listener.rest? })
}

/// There are listeners, and nothing that could serve them.
pub(super) struct NoKernel<'a> {
    pub(super) name: &'a str,
}

impl fmt::Display for NoKernel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "listener {:?} is balanced in the kernel, and there is no [kernel]", self.name)
    }
}

impl Fact for NoKernel<'_> {
    fn help(&self) -> Option<String> {
        Some("say which interfaces packets arrive on: [kernel] interfaces = [\"eth0\"]".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "listener {name:?} reads PROXY protocol headers, and believes nobody: each client counts as its proxy"
)]
struct NobodyTrusted<'a> {
    name: &'a str,
}

impl Fact for NobodyTrusted<'_> {
    fn help(&self) -> Option<String> {
        Some("name the proxies: trusted_proxies = [\"10.0.0.0/8\"]".to_owned())
    }
}

struct BoundTwice<'a> {
    protocol: Protocol,
    bind: &'a WebBind,
    name: &'a str,
    other: &'a str,
}

impl fmt::Display for BoundTwice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, bind, name, other } = self;
        write!(f, "listener {name:?} is bound to {bind}")?;
        if matches!(bind, WebBind::Tcp(_)) {
            write!(f, " ({protocol})")?;
        }
        if name == other { f.write_str(" twice") } else { write!(f, ", and so is listener {other:?}") }
    }
}

impl Fact for BoundTwice<'_> {
    fn help(&self) -> Option<String> {
        Some("an address, port and protocol belong to one listener".to_owned())
    }
}

struct NoSuchPool<'a> {
    listener: &'a str,
    pool: &'a str,
    pools: &'a [String],
}

impl fmt::Display for NoSuchPool<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "listener {:?} names the pool {:?}, and there is none of that name",
            self.listener, self.pool
        )
    }
}

impl Fact for NoSuchPool<'_> {
    fn help(&self) -> Option<String> {
        Some(instead("pool", "pools are", self.pool, self.pools))
    }
}

struct DsrPorts<'a> {
    name: &'a str,
    port: u16,
    first: u16,
}

impl fmt::Display for DsrPorts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, port, first } = self;
        write!(f, "listener {name:?} forwards by dsr and is bound to port {first} and to port {port}")
    }
}

impl Fact for DsrPorts<'_> {
    fn help(&self) -> Option<String> {
        Some("make a listener for each port; they can share a pool whose backends have no port".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("there is no listener: nothing will be served")]
pub(super) struct NothingToServe;

impl Fact for NothingToServe {
    fn help(&self) -> Option<String> {
        Some("add a [listener.NAME]; examples/quickstart.toml shows one".to_owned())
    }
}

//! Looks for what keeps packets from flowing, and says which command mends it. Changes nothing.

/// Backends: the way to each, and its neighbour.
mod backend;
/// The host: rights, kernel, file system, forwarding.
mod host;
/// Interfaces: driver, queues, offloads, whose program is on them.
mod interface;

use serde::Serialize;

use crate::config::Config;
use crate::net::link::{self, Link};
use crate::net::netlink::Socket;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Good,
    /// Works, and could be better; or cannot be seen from here.
    Hint,
    /// Some packets will not flow.
    Warning,
    /// It cannot work like this.
    Error,
}

/// What was looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// Rights of this process.
    Capabilities,
    /// What the kernel can.
    Kernel,
    /// The compiler of BPF programs in the kernel.
    Jit,
    /// The BPF file system.
    Bpffs,
    /// The embedded programs.
    Object,
    /// Whether packets may be forwarded.
    Forwarding,
    /// The reverse path filter.
    ReversePath,
    /// Whether an interface is there and up.
    Link,
    /// Whose XDP program is on it.
    Xdp,
    /// Receive and transmit queues.
    Queues,
    /// Large and generic receive offload, checksum offload.
    Offloads,
    /// The other end of a veth pair.
    Peer,
    /// The address of a listener.
    Address,
    /// The way to a backend.
    Route,
    /// Whether its answers pass an interface that we are attached to.
    Return,
    /// Its neighbour.
    Neighbour,
}

/// Something that was found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was looked at.
    pub check: Check,
    /// Whose it is: `host`, an interface, a listener, a backend.
    pub subject: String,
    /// What was found.
    pub found: String,
    /// The command that mends it, or what else to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// Findings as they are gathered.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, severity: Severity, check: Check, subject: &str, found: impl Into<String>) {
        let (subject, found) = (subject.to_owned(), found.into());
        self.0.push(Finding { severity, check, subject, found, fix: None });
    }

    fn good(&mut self, check: Check, subject: &str, found: impl Into<String>) {
        self.add(Severity::Good, check, subject, found);
    }

    fn bad(
        &mut self,
        severity: Severity,
        check: Check,
        subject: &str,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let (subject, found) = (subject.to_owned(), found.into());
        self.0.push(Finding { severity, check, subject, found, fix: Some(fix.into()) });
    }
}

/// Looks at the host, and with a configuration at its interfaces, listeners and backends.
pub fn doctor(config: Option<&Config>) -> Vec<Finding> {
    let mut findings = Findings::default();
    let kernel = config.and_then(|config| config.kernel.as_ref());
    host::look(kernel, &mut findings);
    let links = Socket::open().and_then(|mut socket| link::all(&mut socket)).unwrap_or_default();
    let around = Around { config, links: &links };
    if let Some(kernel) = kernel {
        for name in &kernel.interfaces {
            interface::look(&around, name, &kernel.pin_dir, &mut findings);
        }
    }
    if let Some(config) = config {
        backend::look(&around, config, &mut findings);
    }
    findings.0
}

/// What the host has.
struct Around<'a> {
    config: Option<&'a Config>,
    links: &'a [Link],
}

impl Around<'_> {
    fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    fn by_index(&self, index: u32) -> Option<&Link> {
        self.links.iter().find(|link| link.index == index)
    }

    /// Whether any listener is of this family.
    fn balances(&self, v6: bool) -> bool {
        self.config.is_some_and(|config| config.listeners.iter().any(|l| l.is_ipv6() == v6))
    }
}

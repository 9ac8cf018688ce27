//! What the doctor finds.

use serde::Serialize;

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
    /// What guards listeners of sockets from floods of SYNs.
    SynCookies,
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
pub(super) struct Findings(pub(super) Vec<Finding>);

impl Findings {
    pub(super) fn add(&mut self, severity: Severity, check: Check, subject: &str, found: impl Into<String>) {
        let (subject, found) = (subject.to_owned(), found.into());
        self.0.push(Finding { severity, check, subject, found, fix: None });
    }

    pub(super) fn good(&mut self, check: Check, subject: &str, found: impl Into<String>) {
        self.add(Severity::Good, check, subject, found);
    }

    pub(super) fn bad(
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

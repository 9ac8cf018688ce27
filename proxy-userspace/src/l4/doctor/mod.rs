//! Looks for what keeps packets from flowing, and says which command mends it. Changes nothing.

/// What the host has.
mod around;
/// Backends: the way to each, and its neighbour.
mod backend;
/// What the doctor finds.
mod finding;
/// The host: rights, kernel, file system, forwarding.
mod host;
/// Interfaces: driver, queues, offloads, whose program is on them.
mod interface;

use around::Around;
use finding::Findings;
pub use finding::{Check, Finding, Severity};

use crate::config::Config;
use crate::net::link;
use crate::net::netlink::Socket;

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

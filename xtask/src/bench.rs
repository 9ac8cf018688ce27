//! `cargo xtask bench NAME`: the benches, in release, on what is shipped.

use crate::setup::{self, Need};
use crate::{ebpf, process, workspace};
use anyhow::Result;
use std::process::Command;

/// Runs bench/ with these arguments: `kernel` measures the kernel path, packet by packet; `http` measures requests beside
/// other proxies, `tls` handshakes and requests by TLS; `metrics` what it costs to count requests; `steering` connections that are passed
/// through; `reload` how soon a changed configuration serves; `route` look-ups among routes, `certs` those among certificates.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let name = arguments.first().map_or("", String::as_str);
    // They have nginx for a backend.
    setup::run(if matches!(name, "http" | "tls" | "metrics" | "reload" | "steering") {
        Need::Test
    } else {
        Need::Run
    })?;
    if matches!(name, "http" | "tls") {
        setup::peers()?;
    }
    ebpf::run()?;
    let mut build = process::cargo();
    // Both at once: what they share is built once.
    build.args(["build", "--release", "--quiet", "--package", "proxy-bench", "--package", "proxy-userspace"]);
    process::run(&mut build)?;
    process::run(Command::new(workspace::target().join("release/proxy-bench")).args(arguments))
}

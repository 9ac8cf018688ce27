//! `cargo xtask bench NAME`: the benches, in release, on what is shipped.

use crate::setup::{self, Need};
use crate::{ebpf, process, workspace};
use anyhow::Result;
use std::process::Command;

/// Runs bench/ with these arguments: `kernel` measures the kernel path, packet by packet; `http` measures requests beside
/// other proxies; `route` measures look-ups among routes.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if arguments.first().is_some_and(|name| name == "http") {
        setup::run(Need::Test)?;
        setup::peers()?;
    } else {
        setup::run(Need::Run)?;
    }
    ebpf::run()?;
    let mut build = process::cargo();
    // Both at once: what they share is built once.
    build.args(["build", "--release", "--quiet", "--package", "proxy-bench", "--package", "proxy-userspace"]);
    process::run(&mut build)?;
    process::run(Command::new(workspace::target().join("release/proxy-bench")).args(arguments))
}

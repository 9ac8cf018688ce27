//! `cargo xtask bench NAME`: the benches, in release, on the object that is shipped.

use crate::setup::{self, Need};
use crate::{ebpf, process};
use anyhow::Result;

/// Runs bench/ with these arguments: `kernel` measures the kernel path, packet by packet.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    setup::run(Need::Run)?;
    ebpf::run()?;
    let mut command = process::cargo();
    command.args(["run", "--release", "--quiet", "--package", "proxy-bench", "--"]);
    process::run(command.args(arguments))
}

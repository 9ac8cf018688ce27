//! `cargo xtask test`: every test, from the arithmetic to the whole system in network namespaces.

use crate::setup::{self, Need};
use crate::{daemon, ebpf, process};
use anyhow::Result;

/// Runs the tests; `arguments` go to `cargo test` (a name to run only what contains it, `-p PACKAGE`).
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    setup::run(Need::Test)?;
    // The kernel programs first: what is wrong with them is said here, not by the daemon's build script.
    ebpf::run()?;
    // The whole-system tests run the daemon that is shipped.
    daemon::build()?;
    process::run(process::cargo().args(["test", "--workspace", "--no-fail-fast"]).args(arguments))
}

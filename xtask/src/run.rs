//! `cargo xtask run`: the daemon with a configuration of yours, or the demonstration.

/// The small world that shows what the balancer does.
mod demo;
/// What the demonstration tells its reader.
mod guide;
/// Requests, and who answered them.
mod traffic;

use crate::setup::{self, Need};
use crate::{daemon, say};
use anyhow::{Context, Result};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Builds in release, then becomes the daemon; without a configuration, shows the demonstration.
pub(crate) fn run(config: Option<&Path>, once: bool) -> Result<()> {
    setup::run(Need::Run)?;
    say::step("building the daemon");
    let binary = daemon::build()?;
    let Some(config) = config else { return demo::run(once) };
    // From here on it is the daemon's process: signals and the exit code are its own.
    let error = Command::new(&binary).arg("run").arg("--config").arg(config).exec();
    Err(error).with_context(|| format!("cannot start {}", binary.display()))
}

//! The demonstration: a client, a balancer and three backends in network namespaces, `examples/quickstart.toml`, and
//! real requests. What a crashed one left is removed by the next.

use super::{guide, traffic};
use crate::{process, say, workspace};
use anyhow::{Context, Result, bail};
use proxy_tests::daemon::Daemon;
use proxy_tests::leftovers::{self, BPF_DIR, RUN_DIR};
use proxy_tests::netns::NETNS_DIR;
use proxy_tests::world::{Family, World};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::fs;
use std::path::PathBuf;

/// The configuration that is shown.
const CONFIG: &str = "examples/quickstart.toml";
/// Requests of each address family, each on a connection of its own.
const REQUESTS: usize = 300;

/// Lays out the world, sends traffic, and stays until Ctrl-C; with `once` it leaves after the traffic.
pub(super) fn run(once: bool) -> Result<()> {
    if !process::is_root() {
        bail!("network namespaces and BPF need root: run `sudo -E cargo xtask run`");
    }
    show(once)?;
    let left = left_behind();
    if !left.is_empty() {
        bail!("the demonstration left something behind; the next one will remove it: {}", left.join(", "));
    }
    Ok(())
}

/// The demonstration from beginning to end; everything in it goes when it returns, however it does.
fn show(once: bool) -> Result<()> {
    // Before there is anything to leave behind: from now on a signal only asks us to come to an end.
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    leftovers::prepare().context("what an earlier run left cannot be removed")?;
    say::step("laying out a client, a balancer and three backends in network namespaces");
    let world = World::routed().build()?;
    say::step(&format!("starting the balancer with {CONFIG}"));
    let daemon = Daemon::start(&world, &config(&world)?)?;
    say::step(&format!("sending {REQUESTS} requests over IPv4 and over IPv6"));
    for family in Family::BOTH {
        guide::tally(&world, family, &traffic::send(&world, family, REQUESTS)?);
    }
    say::line(&format!("\n$ proxy-now status\n{}", daemon.cli(&["status"])?));
    if once {
        return Ok(());
    }
    guide::commands(&world);
    let _asked = signals.forever().next();
    say::step("removing everything");
    Ok(())
}

/// What is still there of the worlds of this process: namespaces, folders, pins.
fn left_behind() -> Vec<String> {
    let ours = format!("pn-{}-", std::process::id());
    let folders = [NETNS_DIR, RUN_DIR, BPF_DIR].into_iter().filter_map(|folder| fs::read_dir(folder).ok());
    let paths = folders.flatten().flatten().map(|entry| entry.path());
    let is_ours =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&ours));
    paths.filter(is_ours).map(|path| path.display().to_string()).collect()
}

/// The example, with pins and a socket of its own: a balancer that serves on this machine is left alone.
fn config(world: &World) -> Result<String> {
    let path = workspace::root().join(CONFIG);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {CONFIG}"))?;
    let kernel = format!("[kernel]\npin_dir = {:?}", world.pin_dir());
    if !text.contains("[kernel]") || text.contains("[admin]") {
        bail!("{CONFIG} should have [kernel] and no [admin]: the demonstration adds its own pins and socket");
    }
    let text = text.replacen("[kernel]", &kernel, 1);
    Ok(format!("{text}\n[admin]\nsocket = {:?}\n", world.folder().join("admin.sock")))
}

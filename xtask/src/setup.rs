//! `cargo xtask setup`: everything that a machine with rustup's stable toolchain, git and gcc lacks.
//!
//! Each thing is looked for first, so that a second run takes no time and changes nothing.

/// Debian's packages.
mod debian;
/// What a machine is needed for.
mod need;
/// Pebble, an ACME server.
mod pebble;
/// Programs that cargo builds: bpf-linker, cargo-deny.
mod programs;
/// What comes from the index of Python's packages.
mod python;
/// What is needed, and how it is got.
mod wants;

use crate::bpf_build::{self, Missing};
use crate::{process, say, workspace};
use anyhow::{Result, bail};
pub(crate) use need::Need;
use std::fs;
use std::process::Command;
use wants::Want;

/// Installs what is missing, saying what and why.
pub(crate) fn run(need: Need) -> Result<()> {
    // Programs with a package first: one call of the package manager for all of them.
    let missing: Vec<&Want> =
        wants::ALL.iter().filter(|want| want.need <= need && !(want.present)()).collect();
    if !missing.is_empty() {
        install(&missing)?;
    }
    // The linker needs LLVM, which is a package.
    programs::bpf_linker()?;
    // Maps and links outlive the daemon in bpffs alone.
    if need >= Need::Run {
        mount_bpffs()?;
    }
    if need >= Need::Test {
        python::clients()?;
        pebble::fetch()?;
    }
    // The slowest last: minutes, once.
    if need >= Need::Ci {
        programs::components()?;
        programs::cargo_deny()?;
    }
    verify()
}

/// Fetches the peers of `cargo xtask bench http` that no distribution has.
pub(crate) fn peers() -> Result<()> {
    python::peers()
}

/// Packages where the distribution's names are known; else a list for the reader.
fn install(missing: &[&Want]) -> Result<()> {
    for want in missing {
        say::step(&format!("missing: {}: {}", want.what, want.why));
    }
    if debian::is_here() {
        let left: Vec<&Want> = debian::install(missing)?;
        return if left.is_empty() || (only_compiler(&left) && programs::nightly()) {
            Ok(())
        } else {
            refuse(&left)
        };
    }
    if only_compiler(missing) && programs::nightly() {
        return Ok(());
    }
    refuse(missing)
}

fn only_compiler(missing: &[&Want]) -> bool {
    missing.iter().all(|want| want.what == wants::COMPILER)
}

fn refuse(missing: &[&Want]) -> Result<()> {
    let list: Vec<String> =
        missing.iter().map(|want| format!("  - {}: {}", want.what, want.elsewhere)).collect();
    bail!(
        "{} has no packages that are known here for the following; install them and try again:\n{}",
        debian::distribution(),
        list.join("\n")
    )
}

/// The folder where pinned maps and links live must be a bpffs; only root can make it one.
fn mount_bpffs() -> Result<()> {
    const BPFFS: &str = "/sys/fs/bpf";
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    if mounts.lines().any(|line| line.split(' ').nth(1) == Some(BPFFS)) {
        return Ok(());
    }
    let command = format!("mount -t bpf bpf {BPFFS}");
    if !process::is_root() {
        bail!("no bpffs at {BPFFS}, and mounting it needs root: run `sudo {command}`");
    }
    say::step(&format!("mounting bpffs at {BPFFS}: maps and links that outlive the daemon stay there"));
    process::run(Command::new("mount").args(["-t", "bpf", "bpf", BPFFS]))
}

/// Looks again, as a build does.
fn verify() -> Result<()> {
    match bpf_build::find_toolchain(&workspace::root()) {
        Ok(_) => Ok(()),
        Err(missing @ (Missing::Compiler | Missing::Linker)) => bail!("{missing} even after the set-up"),
    }
}

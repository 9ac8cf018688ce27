//! Debian's packages (and those of distributions made from it).

use super::wants::Want;
use crate::{process, say};
use anyhow::{Result, bail};
use std::fs;
use std::process::Command;

/// Whether this machine's packages are Debian's.
pub(super) fn is_here() -> bool {
    process::on_path("apt-get") && process::on_path("dpkg-query")
}

/// The name of the distribution, for messages.
pub(super) fn distribution() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "this distribution".into(), |name| name.trim_matches('"').to_string())
}

/// Installs the packages of `missing`; returns what this distribution has no package for.
pub(super) fn install<'a>(missing: &[&'a Want]) -> Result<Vec<&'a Want>> {
    let wanted: Vec<&str> = missing.iter().flat_map(|want| want.packages).copied().collect();
    if !process::is_root() {
        bail!(
            "installing packages needs root: run `sudo apt-get install --no-install-recommends {}`",
            wanted.join(" ")
        );
    }
    if !wanted.iter().all(|package| has_candidate(package)) {
        say::step("some packages are not in the lists of this machine: renewing the lists");
        process::run(Command::new("apt-get").args(["update", "-q"]))?;
    }
    let (known, unknown): (Vec<&Want>, Vec<&Want>) =
        missing.iter().copied().partition(|want| want.packages.iter().all(|package| has_candidate(package)));
    let packages: Vec<&str> = known.iter().flat_map(|want| want.packages).copied().collect();
    if !packages.is_empty() {
        say::step(&format!("installing Debian packages: {}", packages.join(" ")));
        // `--no-remove`: rustc-web and rustc exclude each other, and what somebody installed stays.
        let mut command = Command::new("apt-get");
        command.args(["install", "-y", "-q", "--no-install-recommends", "--no-remove"]).args(&packages);
        process::run(command.env("DEBIAN_FRONTEND", "noninteractive"))?;
    }
    let useless = known.into_iter().filter(|want| !(want.present)());
    Ok(unknown.into_iter().chain(useless).collect())
}

fn has_candidate(package: &str) -> bool {
    let policy = process::ask("apt-cache", &["policy", package]).unwrap_or_default();
    policy
        .lines()
        .any(|line| line.trim().strip_prefix("Candidate: ").is_some_and(|version| version != "(none)"))
}

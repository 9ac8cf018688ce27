//! Who is measured: a peer is another program with the same work, configured by a file in `bench/peers`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::load;
use super::place::{BACKEND, Place, Ports};
use super::process::{LOAD_CPU, PROXY_CPU, Running};

/// A peer, and how it is started.
#[derive(Debug)]
pub(super) struct Peer {
    /// Its name.
    pub(super) name: &'static str,
    /// Its configuration: files and templates. The first is given to the program.
    pub(super) files: &'static [(&'static str, &'static str)],
    /// The program, from the folder of its configuration and its ports.
    pub(super) command: fn(&Path, Ports) -> Result<Command>,
    /// What it takes.
    pub(super) takes: Takes,
}

/// What a peer takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// HTTP/1.1 and HTTP/2 in the clear.
    Http,
    /// WebSockets too.
    HttpAndTunnels,
    /// Both versions by TLS.
    Tls,
}

impl Takes {
    fn ports(self, ports: Ports) -> Vec<u16> {
        match self {
            Self::Http => vec![ports.h1, ports.h2],
            Self::HttpAndTunnels => vec![ports.h1, ports.h2, ports.ws],
            Self::Tls => vec![ports.tls],
        }
    }

    /// One request, which it answers as it should.
    fn ask(self, ports: Ports) -> Result<()> {
        let mut load =
            if self == Self::Tls { load::tls(ports.tls, 1, "/")? } else { load::h1(ports.h1, 1, "/")? };
        load.run(1).map(drop)
    }
}

/// Us.
pub(super) const OURS: &str = "proxy-now";

impl Peer {
    /// Starts it, and waits until it listens.
    pub(super) fn start(&self, place: &Place, ports: Ports) -> Result<Running> {
        let folder = place.folder_of(&format!("{}-{}", self.name.replace(' ', "-"), ports.h1))?;
        for (name, template) in self.files {
            place.write(&folder.join(name), template, ports)?;
        }
        let mut command = (self.command)(&folder, ports)?;
        // One thread's worth of CPU is what all of them have.
        command.env("GOMAXPROCS", "1").env("HOME", &folder);
        let log = folder.join("log");
        let mut running = Running::start(&place.namespace, PROXY_CPU, command, &log)?;
        running.wait(&place.namespace, &self.takes.ports(ports), &log, || self.takes.ask(ports))?;
        Ok(running)
    }
}

/// Ours with another configuration, on both CPUs.
pub(super) fn ours_with(place: &Place, config: &Path, ports: Ports) -> Result<Running> {
    let log = place.folder.join("ours.log");
    let mut running = Running::start_anywhere(&place.namespace, ours(config)?, &log)?;
    running.wait(&place.namespace, &[ports.h1], &log, || Takes::Http.ask(ports))?;
    Ok(running)
}

/// The backend of them all: nginx, which answers by itself.
pub(super) fn backend(place: &Place) -> Result<Running> {
    let config = place.folder.join("backend.conf");
    place.write(&config, include_str!("../../peers/backend.conf"), Ports::of(0))?;
    let log = place.folder.join("backend.log");
    let command = program("nginx", &["-c", &config.display().to_string()]);
    let mut running = Running::start(&place.namespace, LOAD_CPU, command, &log)?;
    let ask = || load::h1(BACKEND, 1, "/")?.run(1).map(drop);
    running.wait(&place.namespace, &[BACKEND], &log, ask)?;
    Ok(running)
}

/// A program by its name, with these words.
pub(super) fn program(name: &str, words: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(words);
    // Debian's path for people leaves out the folders where servers are.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

/// A file of the folder, as a word.
pub(super) fn path(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(target)
}

/// A program that `cargo xtask bench` has fetched.
pub(super) fn fetched(name: &str) -> Result<String> {
    let program = target().join("peers/bin").join(name);
    ensure!(
        program.exists(),
        "{} is not there: `cargo xtask bench http` or `tls` brings it",
        program.display()
    );
    Ok(program.display().to_string())
}

/// Our own release build; `PROXY_NOW_BIN` names another.
pub(super) fn ours(config: &Path) -> Result<Command> {
    let binary = std::env::var_os("PROXY_NOW_BIN")
        .map_or_else(|| target().join("release/proxy-now"), PathBuf::from)
        .canonicalize()
        .context("the daemon is not built: cargo build --release -p proxy-userspace")?;
    let mut command = Command::new(binary);
    command.args(["run", "--config"]).arg(config).env("NO_COLOR", "1");
    Ok(command)
}

//! Who is measured: the list is the whole policy. A peer is another program with the same work, configured by a file in
//! `bench/peers`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::place::{BACKEND, Place, Ports};
use super::process::{LOAD_CPU, PROXY_CPU, Running};

/// A peer, and how it is started.
pub(super) struct Peer {
    /// Its name.
    pub(super) name: &'static str,
    /// Its configuration: files and templates. The first is given to the program.
    files: &'static [(&'static str, &'static str)],
    /// The program, the folder of its configuration, its ports.
    command: fn(&Path, Ports) -> Result<Command>,
    /// It takes WebSockets.
    pub(super) tunnels: bool,
}

/// Us.
pub(super) const OURS: &str = "proxy-now";

/// All peers.
pub(super) const PEERS: &[Peer] = &[
    Peer {
        name: OURS,
        files: &[("proxy-now.toml", include_str!("../../peers/proxy-now.toml"))],
        command: |folder, _| ours(&folder.join("proxy-now.toml")),
        tunnels: true,
    },
    Peer {
        name: "nginx",
        files: &[("nginx.conf", include_str!("../../peers/nginx.conf"))],
        command: |folder, _| Ok(program("nginx", &["-c", &path(folder, "nginx.conf")])),
        tunnels: true,
    },
    Peer {
        name: "haproxy",
        files: &[("haproxy.cfg", include_str!("../../peers/haproxy.cfg"))],
        command: |folder, _| Ok(program("haproxy", &["-db", "-f", &path(folder, "haproxy.cfg")])),
        tunnels: true,
    },
    Peer {
        name: "bare hyper",
        files: &[],
        command: |_, ports| {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("bare-hyper").args([ports.h1, ports.h2, BACKEND].map(|port| port.to_string()));
            Ok(command)
        },
        tunnels: false,
    },
    Peer {
        name: "envoy",
        files: &[("envoy.yaml", include_str!("../../peers/envoy.yaml"))],
        command: |folder, _| {
            let config = path(folder, "envoy.yaml");
            let words = ["-c", &config, "--concurrency", "1", "-l", "error", "--disable-hot-restart"];
            Ok(program(&fetched("envoy")?, &words))
        },
        tunnels: true,
    },
    Peer {
        name: "traefik",
        files: &[
            ("traefik.toml", include_str!("../../peers/traefik.toml")),
            ("dynamic.toml", include_str!("../../peers/traefik-dynamic.toml")),
        ],
        command: |folder, _| {
            Ok(program(&fetched("traefik")?, &[&format!("--configFile={}", path(folder, "traefik.toml"))]))
        },
        tunnels: true,
    },
    Peer {
        name: "caddy",
        files: &[("Caddyfile", include_str!("../../peers/Caddyfile"))],
        command: |folder, _| {
            let config = path(folder, "Caddyfile");
            Ok(program(&fetched("caddy")?, &["run", "--adapter", "caddyfile", "--config", &config]))
        },
        tunnels: true,
    },
];

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
        let ports = if self.tunnels { vec![ports.h1, ports.h2, ports.ws] } else { vec![ports.h1, ports.h2] };
        running.wait(&place.namespace, &ports, &log)?;
        Ok(running)
    }
}

/// Ours with another configuration, on both CPUs.
pub(super) fn ours_with(place: &Place, config: &Path, ports: Ports) -> Result<Running> {
    let log = place.folder.join("ours.log");
    let mut running = Running::start_anywhere(&place.namespace, ours(config)?, &log)?;
    running.wait(&place.namespace, &[ports.h1], &log)?;
    Ok(running)
}

/// The backend of them all: nginx, which answers by itself.
pub(super) fn backend(place: &Place) -> Result<Running> {
    let config = place.folder.join("backend.conf");
    place.write(&config, include_str!("../../peers/backend.conf"), Ports::of(0))?;
    let log = place.folder.join("backend.log");
    let command = program("nginx", &["-c", &config.display().to_string()]);
    let mut running = Running::start(&place.namespace, LOAD_CPU, command, &log)?;
    running.wait(&place.namespace, &[BACKEND], &log)?;
    Ok(running)
}

fn program(name: &str, words: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(words);
    // Debian's path for people leaves out the folders where servers are.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(target)
}

/// A program that `cargo xtask bench http` has fetched.
fn fetched(name: &str) -> Result<String> {
    let program = target().join("peers/bin").join(name);
    ensure!(program.exists(), "{} is not there: `cargo xtask bench http` brings it", program.display());
    Ok(program.display().to_string())
}

/// Our own release build; `PROXY_NOW_BIN` names another.
fn ours(config: &Path) -> Result<Command> {
    let binary = std::env::var_os("PROXY_NOW_BIN")
        .map_or_else(|| target().join("release/proxy-now"), PathBuf::from)
        .canonicalize()
        .context("the daemon is not built: cargo build --release -p proxy-userspace")?;
    let mut command = Command::new(binary);
    command.args(["run", "--config"]).arg(config).env("NO_COLOR", "1");
    Ok(command)
}

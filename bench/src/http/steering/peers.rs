//! Who is measured: ours in three ways, and others with the same work.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::super::peer;
use super::super::process::{self, PROXY_CPU, Running};
use super::load;
use super::no_pipes;
use super::wires::{BACKEND, Wires};
use crate::say::say;

/// A way to pass connections through.
pub(super) struct Peer {
    pub(super) name: &'static str,
    pub(super) ours: bool,
    /// The file of its configuration, and what is in it.
    config: (&'static str, &'static str),
    /// What stands for `@HANDOFF@`.
    handoff: bool,
    command: fn(&Path) -> Result<Command>,
}

pub(super) const COPY: &str = "proxy-now-copy";
pub(super) const SPLICE: &str = "proxy-now-splice";
pub(super) const HANDED_OFF: &str = "proxy-now";
pub(super) const HAPROXY: &str = "haproxy";
pub(super) const NGINX: &str = "nginx";

const OUR_CONFIG: (&str, &str) = ("proxy-now.toml", include_str!("../../../peers/steering/proxy-now.toml"));

pub(super) const PEERS: [Peer; 5] = [
    Peer {
        name: COPY,
        ours: true,
        config: OUR_CONFIG,
        handoff: false,
        // Where no pipe is to be had, bytes are copied.
        command: |config| peer::ours(config).map(no_pipes::refuse),
    },
    Peer { name: SPLICE, ours: true, config: OUR_CONFIG, handoff: false, command: peer::ours },
    Peer { name: HANDED_OFF, ours: true, config: OUR_CONFIG, handoff: true, command: peer::ours },
    Peer {
        name: HAPROXY,
        ours: false,
        config: ("haproxy.cfg", include_str!("../../../peers/steering/haproxy.cfg")),
        handoff: false,
        command: |config| Ok(peer::program("haproxy", &["-db", "-f", &config.display().to_string()])),
    },
    Peer {
        name: NGINX,
        ours: false,
        config: ("nginx.conf", include_str!("../../../peers/steering/nginx.conf")),
        handoff: false,
        command: |config| Ok(peer::program("nginx", &["-c", &config.display().to_string()])),
    },
];

/// A peer that runs, with all it needs.
pub(super) struct Stand {
    pub(super) name: &'static str,
    ours: bool,
    pub(super) handoff: bool,
    // Before its wires: it ends first.
    pub(super) running: Running,
    pub(super) wires: Wires,
}

impl Stand {
    /// Starts a peer.
    pub(super) fn start(peer: &Peer) -> Result<Self> {
        let wires = Wires::lay()?;
        if !peer.ours {
            wires.let_pass()?;
        }
        let (file, template) = peer.config;
        let (config, log) = (wires.folder().join(file), wires.folder().join("log"));
        let values = [
            ("@SERVICE@", super::wires::SERVICE.to_owned()),
            ("@BACKEND@", BACKEND.to_owned()),
            ("@HANDOFF@", peer.handoff.to_string()),
            ("@PINS@", wires.pins().display().to_string()),
            ("@DIR@", wires.folder().display().to_string()),
            ("@CONNECTIONS@", "12000".to_owned()),
        ];
        let text = values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(name, value));
        fs::write(&config, text)?;
        let mut running = Running::start(&wires.balancer, PROXY_CPU, (peer.command)(&config)?, &log)?;
        process::everywhere()?;
        let listener = wires.listen()?;
        std::thread::spawn(move || load::serve(&listener));
        running.wait(&wires.balancer, &[], &log, || load::answered(wires.connect()?).map(drop))?;
        wires.thread()?;
        Ok(Self { name: peer.name, ours: peer.ours, handoff: peer.handoff, running, wires })
    }

    /// Says how ours passed its connections on, and makes sure that it was as it should be.
    pub(super) fn say_what_became(&self, streams: usize) -> Result<()> {
        if !self.ours {
            return Ok(());
        }
        let socket = self.wires.folder().join("admin.sock");
        let output = Command::new("curl")
            .args(["--silent", "--unix-socket"])
            .arg(socket)
            .arg("http://localhost/metrics")
            .output()
            .context("curl")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let of = |metric: &str| {
            let lines = text.lines().filter(|line| line.starts_with(metric));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
        };
        let (handed, kept) = (of("proxy_now_relay_handed_off_total{"), of("proxy_now_relay_kept_total{"));
        say(&format!("  {}: {handed} connections were handed off, {kept} times one was kept", self.name));
        // All streams, and perhaps some that were about to end.
        let enough = if self.handoff { handed >= streams as f64 } else { handed == 0.0 };
        ensure!(enough, "{handed} connections were handed off, there were {streams} streams: {text}");
        Ok(())
    }
}

//! One case with one peer: the traffic, and what it cost.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

use super::case::{Case, Load};
use super::echo;
use super::load::{self, Outcome};
use super::options::Options;
use super::peer::{self, Peer, Takes};
use super::place::{ECHO, Place, Ports};
use super::process::{self, LOAD_CPU, Running};
use crate::say::say;

/// Everything that runs during a measurement.
#[derive(Debug)]
pub(super) struct Stand {
    // Programs end before their namespace and folder go.
    peers: Vec<Standing>,
    _backend: Running,
    place: Place,
}

/// A peer that runs.
#[derive(Debug)]
pub(super) struct Standing {
    /// Its name.
    pub(super) name: &'static str,
    program: &'static Peer,
    /// Its place in the list.
    number: usize,
    ports: Ports,
    process: Running,
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figure {
    /// Seconds of CPU for a million exchanges.
    pub(super) cpu: f64,
    /// Exchanges a second.
    pub(super) rate: f64,
    /// Microseconds.
    pub(super) p50: f64,
    /// Microseconds.
    pub(super) p99: f64,
    /// KiB after the traffic.
    pub(super) pss_kib: f64,
    /// Bytes of memory for each idle connection.
    pub(super) idle_bytes: f64,
}

/// The number of a peer's second process: no list is longer.
const AGAIN: usize = 20;

/// All measurements, by case and peer.
#[derive(Debug, Default)]
pub(super) struct Figures(BTreeMap<(&'static str, &'static str), Vec<Figure>>);

impl Stand {
    /// Starts the backends and those peers that are wanted.
    pub(super) fn build(list: &'static [Peer], options: &Options) -> Result<Self> {
        process::pin(LOAD_CPU)?;
        process::allow_files()?;
        let place = Place::make()?;
        let backend = peer::backend(&place)?;
        place.namespace.enter(|| echo::start(ECHO))??;
        let mut peers = Vec::new();
        for (number, peer) in list.iter().enumerate().filter(|(_, peer)| options.wants(peer.name)) {
            let (name, ports) = (peer.name, Ports::of(number));
            match peer.start(&place, ports) {
                Ok(process) => peers.push(Standing { name, program: peer, number, ports, process }),
                Err(why) => say(&format!("without {name}: {why:#}")),
            }
        }
        ensure!(!peers.is_empty(), "no peer could be started");
        Ok(Self { peers, _backend: backend, place })
    }

    /// Whether one of them runs.
    pub(super) fn has(&self, name: &str) -> bool {
        self.peers.iter().any(|peer| peer.name == name)
    }

    /// Those that run.
    pub(super) fn peers(&self) -> &[Standing] {
        &self.peers
    }
}

/// Runs a case with a peer once and adds what it cost.
pub(super) fn one(
    stand: &Stand,
    peer: &Standing,
    case: &Case,
    options: &Options,
    figures: &mut Figures,
) -> Result<()> {
    if matches!(case.load, Load::WebSocket { .. }) && peer.program.takes != Takes::HttpAndTunnels {
        return Ok(());
    }
    let count = options.share(case.count);
    let figure = if case.load == Load::Idle {
        // What memory was used before would hide what is used now.
        let ports = Ports::of(AGAIN + peer.number);
        let fresh = peer.program.start(&stand.place, ports)?;
        stand.place.namespace.enter(|| idle(&fresh, ports, count))?
    } else {
        stand.place.namespace.enter(|| traffic(&peer.process, peer.ports, case.load, count))?
    };
    let figure = figure.with_context(|| format!("{} with {}", case.name, peer.name))?;
    figures.0.entry((case.name, peer.name)).or_default().push(figure);
    Ok(())
}

fn traffic(process: &Running, ports: Ports, load: Load, count: usize) -> Result<Figure> {
    let mut load = match load {
        Load::H1 { connections, path } => load::h1(ports.h1, connections, path)?,
        Load::New { connections } => load::new(ports.h1, connections)?,
        Load::H2 { connections, streams } => load::h2(ports.h2, connections, streams)?,
        Load::WebSocket { connections } => load::websocket(ports.ws, connections)?,
        Load::Handshakes { connections, hello } => load::handshakes(ports.tls, connections, hello)?,
        Load::Tls { connections, path } => load::tls(ports.tls, connections, path)?,
        Load::TlsH2 { connections, streams } => load::tls_h2(ports.tls, connections, streams)?,
        Load::Idle => bail!("idle connections are no traffic"),
    };
    // Connections, pools, caches: there before the clock runs.
    load.run(count / 10 + 1)?;
    let before = process.cpu_seconds()?;
    let mut outcome = load.run(count)?;
    let cpu = process.cpu_seconds()? - before;
    Ok(figure(&mut outcome, cpu, process.pss_kib()?))
}

fn figure(outcome: &mut Outcome, cpu: f64, pss_kib: f64) -> Figure {
    let count = outcome.count() as f64;
    Figure {
        cpu: cpu / count * 1e6,
        rate: count / outcome.seconds,
        p50: outcome.percentile(50.0),
        p99: outcome.percentile(99.0),
        pss_kib,
        idle_bytes: 0.0,
    }
}

/// What connections cost that do nothing; all of them must still answer afterwards.
fn idle(process: &Running, ports: Ports, count: usize) -> Result<Figure> {
    load::h1(ports.h1, 64, "/")?.run(6_400)?;
    let (before, cpu) = (process.pss_kib()?, process.cpu_seconds()?);
    let mut load = load::h1(ports.h1, count, "/")?;
    let mut outcome = load.visit(64)?;
    let (pss_kib, cpu) = (process.pss_kib()?, process.cpu_seconds()? - cpu);
    load.visit(64).context("idle connections were dropped")?;
    let idle_bytes = (pss_kib - before).max(0.0) * 1024.0 / count as f64;
    Ok(Figure { idle_bytes, ..figure(&mut outcome, cpu, pss_kib) })
}

impl Figures {
    /// The median of one figure of a case and a peer.
    pub(super) fn median(&self, case: &str, peer: &str, of: fn(&Figure) -> f64) -> Option<f64> {
        let rounds = self.0.iter().find(|((c, p), _)| *c == case && *p == peer)?.1;
        let mut values: Vec<f64> = rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }

    /// Seconds of CPU for a million exchanges.
    pub(super) fn cpu(&self, case: &str, peer: &str) -> Option<f64> {
        self.median(case, peer, |figure| figure.cpu)
    }

    /// MiB after the traffic.
    pub(super) fn pss_mib(&self, case: &str, peer: &str) -> Option<f64> {
        self.median(case, peer, |figure| figure.pss_kib / 1024.0)
    }
}

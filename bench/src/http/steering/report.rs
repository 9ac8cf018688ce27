//! What is printed, and what is promised.

use std::collections::BTreeMap;
use std::process::ExitCode;

use super::cpu::Cpu;
use super::load::{BYTES, CONNECTIONS};
use super::peers::{HANDED_OFF, HAPROXY, NGINX, SPLICE};
use crate::say::say;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Case {
    /// Bytes to the client.
    Down,
    /// Bytes from the client.
    Up,
    /// New connections.
    New,
}

impl Case {
    /// Its name on the command line.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Up => "up",
            Self::New => "new",
        }
    }
}

/// One measurement, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct One {
    /// Whose CPU.
    pub(super) cpu: Cpu,
    /// How long it took.
    pub(super) seconds: f64,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Figures(BTreeMap<(&'static str, Case), Vec<One>>);

impl Figures {
    pub(super) fn add(&mut self, peer: &'static str, case: Case, one: One) {
        self.0.entry((peer, case)).or_default().push(one);
    }

    fn median(&self, peer: &'static str, case: Case, of: fn(&One) -> f64) -> f64 {
        let mut all: Vec<f64> = self.0.get(&(peer, case)).into_iter().flatten().map(of).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// Seconds of the balancer's CPU for a GiB.
    fn cpu(&self, peer: &'static str, case: Case) -> f64 {
        self.median(peer, case, |one| one.cpu.balancer) / (BYTES as f64 / f64::from(1 << 30))
    }

    /// The same with what clients and servers cost.
    fn whole(&self, peer: &'static str, case: Case) -> f64 {
        self.median(peer, case, |one| one.cpu.all) / (BYTES as f64 / f64::from(1 << 30))
    }

    /// Gb/s
    fn speed(&self, peer: &'static str, case: Case) -> f64 {
        BYTES as f64 * 8.0 / 1e9 / self.median(peer, case, |one| one.seconds)
    }

    /// New connections for each second of the balancer's CPU.
    fn rate(&self, peer: &'static str) -> f64 {
        CONNECTIONS as f64 / self.median(peer, Case::New, |one| one.cpu.balancer)
    }
}

/// CPU for a GiB that is handed off, beside the better peer's.
const CPU: f64 = 0.65;
/// Throughput of what is handed off, beside the better peer's.
const SPEED: f64 = 1.5;
/// New connections for each second of CPU, beside HAProxy's.
const NEW: f64 = 1.2;

pub(super) fn print(peers: &[&'static str], figures: &Figures) -> ExitCode {
    say(&format!(
        "  {:<24}{:>14}{:>11}{:>14}{:>11}{:>18}   {}",
        "",
        "down CPU s/GiB",
        "down Gb/s",
        "up CPU s/GiB",
        "up Gb/s",
        "new / CPU second",
        "s/GiB with client and server"
    ));
    for peer in peers {
        say(&format!(
            "  {peer:<24}{:>14.3}{:>11.2}{:>14.3}{:>11.2}{:>18.0}{:>10.2} and {:.2}",
            figures.cpu(peer, Case::Down),
            figures.speed(peer, Case::Down),
            figures.cpu(peer, Case::Up),
            figures.speed(peer, Case::Up),
            figures.rate(peer),
            figures.whole(peer, Case::Down),
            figures.whole(peer, Case::Up)
        ));
    }
    let mut missed = 0;
    let mut promise = |what: &str, found: f64, kept: bool, sign: &str, bound: f64| {
        // Not all of it was asked for.
        if found.is_nan() {
            return;
        }
        let word = if kept { "kept  " } else { "MISSED" };
        say(&format!("{word} {what}: × {found:.2} ({sign} {bound})"));
        missed += usize::from(!kept);
    };
    let best = |of: &dyn Fn(&'static str) -> f64, better: fn(f64, f64) -> f64| {
        [HAPROXY, NGINX].into_iter().filter(|peer| peers.contains(peer)).map(of).fold(f64::NAN, better)
    };
    for (case, way) in [(Case::Down, "down"), (Case::Up, "up")] {
        let cpu = figures.cpu(HANDED_OFF, case) / best(&|peer| figures.cpu(peer, case), f64::min);
        promise(
            &format!("CPU for a GiB {way}, handed off, beside the better peer"),
            cpu,
            cpu <= CPU,
            "≤",
            CPU,
        );
        let speed = figures.speed(HANDED_OFF, case) / best(&|peer| figures.speed(peer, case), f64::max);
        promise(
            &format!("throughput {way}, handed off, beside the better peer"),
            speed,
            speed >= SPEED,
            "≥",
            SPEED,
        );
    }
    let new = figures.rate(SPLICE) / figures.rate(HAPROXY);
    promise("new connections for each second of CPU, beside HAProxy", new, new >= NEW, "≥", NEW);
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

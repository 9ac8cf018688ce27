//! What connections cost that are passed through by the name in their ClientHello: CPU for each GiB, throughput, and new
//! connections for each second of CPU; copied, spliced and handed off, beside HAProxy and nginx. All in the same run, in
//! turn.
//!
//! Each has a client, a balancer and a backend of its own, joined by the same wires: packets of 1500 bytes, for nothing
//! sends larger ones (TSO and GSO are off), and XDP on both interfaces of the balancer (for the peers: a program that lets
//! everything pass). Packets that are handed off cost no process anything: so CPU is that of all who take part, the
//! kernel's threads too.

/// CPU of all who take part.
mod cpu;
/// A client and a server.
mod load;
/// A program without pipes.
mod no_pipes;
/// Who is measured.
mod peers;
/// What is printed, and what is promised.
mod report;
/// Three namespaces, and what joins them.
mod wires;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use proxy_tests::leftovers;

use super::options::Options;
use super::process;
use crate::say::say;
use load::{ANSWER, SEND, TAKE};
use peers::{PEERS, Stand};
use report::{Case, Figures, One};

/// Measures, and prints a table. Fails where a promised figure is missed.
pub(crate) fn run(words: &[String]) -> Result<ExitCode> {
    let options = Options::read(words)?;
    process::allow_files()?;
    leftovers::prepare()?;
    let mut stands = Vec::new();
    for peer in PEERS.iter().filter(|peer| options.wants(peer.name)) {
        match Stand::start(peer) {
            Ok(stand) => stands.push(stand),
            Err(why) if !peer.ours => say(&format!("{} is left out: {why:#}", peer.name)),
            Err(why) => return Err(why.context(peer.name)),
        }
    }
    let mut figures = Figures::default();
    for round in 1..=options.rounds {
        for stand in &stands {
            for (case, what) in CASES.into_iter().filter(|(case, _)| options.wants_case(case.word())) {
                // Each connection that is handed off has a port of its own for a while: streams need some, too.
                if case == Case::New && stand.handoff && round < options.rounds {
                    continue;
                }
                let one = one(stand, what).with_context(|| format!("{}: {case:?}", stand.name))?;
                figures.add(stand.name, case, one);
            }
        }
    }
    for stand in &stands {
        stand.say_what_became()?;
    }
    Ok(report::print(&stands.iter().map(|stand| stand.name).collect::<Vec<_>>(), &figures))
}

const CASES: [(Case, u8); 3] = [(Case::Down, SEND), (Case::Up, TAKE), (Case::New, ANSWER)];

fn one(stand: &Stand, what: u8) -> Result<One> {
    let (all, own, begun) = (cpu::of_all(&stand.running)?, stand.running.cpu_exactly()?, Instant::now());
    stand.wires.load(what)?;
    let seconds = begun.elapsed().as_secs_f64();
    Ok(One { all: cpu::of_all(&stand.running)? - all, own: stand.running.cpu_exactly()? - own, seconds })
}

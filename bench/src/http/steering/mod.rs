//! What connections cost that are passed through by the name in their ClientHello: CPU for each GiB, throughput, and new
//! connections for each second of CPU; copied, spliced and handed off, beside HAProxy and nginx. All in the same run, in
//! turn.
//!
//! Each has a client, a balancer and a backend of its own, joined by the same wires: packets of 1500 bytes, for nothing
//! sends larger ones (TSO and GSO are off), and XDP on both interfaces of the balancer (for the peers: a program that lets
//! everything pass). What comes by an interface is worked on by a thread of that interface: so the balancer's CPU is its
//! process and the threads of its two interfaces, and what clients and servers cost is not in it. Throughput is that of
//! the machine, which all of them share.

/// Whose CPU.
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
use cpu::Cpu;
use load::{ANSWER, SEND, STREAMS, TAKE};
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
    let bytes = [Case::Down, Case::Up].into_iter().filter(|case| options.wants_case(case.word())).count();
    for stand in &stands {
        stand.say_what_became(STREAMS * bytes * options.rounds)?;
    }
    Ok(report::print(&stands.iter().map(|stand| stand.name).collect::<Vec<_>>(), &figures))
}

const CASES: [(Case, u8); 3] = [(Case::Down, SEND), (Case::Up, TAKE), (Case::New, ANSWER)];

fn one(stand: &Stand, what: u8) -> Result<One> {
    let ready = stand.wires.ready(what)?;
    let (before, begun) = (Cpu::so_far(&stand.running)?, Instant::now());
    stand.wires.load(what, ready)?;
    let seconds = begun.elapsed().as_secs_f64();
    let cpu = Cpu::so_far(&stand.running)?.since(before);
    Ok(One { cpu, seconds })
}

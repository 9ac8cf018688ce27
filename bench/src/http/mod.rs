//! What a request costs a proxy: CPU time, time of an answer, memory. Every peer in the same run, in turn.
//!
//! The proxy has CPU 0 for itself; the backend and the generator share CPU 1. Everything is in a network namespace of its
//! own and speaks by its loopback; counts are bounded.

/// A proxy of hyper and nothing else.
pub(crate) mod bare;
/// What is measured.
mod case;
/// The certificate that every peer serves.
mod certificate;
/// Backends that answer by themselves: echo for WebSockets.
mod echo;
/// Clients.
mod load;
/// One case with one peer.
mod measure;
/// What was asked for on the command line.
mod options;
/// Who is measured.
mod peer;
/// Namespace, folder, ports.
mod place;
/// A program that runs on one CPU.
mod process;
/// What is promised.
mod promise;
/// How soon a change of the configuration serves.
pub(crate) mod reload;
/// What connections cost that are passed through.
pub(crate) mod steering;
/// What belongs together.
mod suite;
/// Suites: data.
mod suites;
/// What is printed.
mod table;

use std::process::ExitCode;

use anyhow::{Result, ensure};

use crate::say::say;
use measure::{Figures, Stand};
use options::Options;
use suite::Suite;
pub(crate) use suites::{HTTP, METRICS, TLS};

/// Measures and prints a table. Fails where a promised figure is missed, or ours fails or cannot be
/// measured.
pub(crate) fn run(suite: &Suite, words: &[String]) -> Result<ExitCode> {
    let options = Options::read(words)?;
    let cases: Vec<_> = suite.cases.iter().filter(|case| options.wants_case(case.name)).collect();
    let names = || suite.cases.iter().map(|case| case.name).collect::<Vec<_>>().join(" ");
    ensure!(!cases.is_empty(), "no case has such a name; there are: {}", names());
    let stand = Stand::build(suite.peers, &options)?;
    let (mut figures, mut broken) = (Figures::default(), 0);
    for case in cases {
        say(&format!("{}: {}", case.name, case.what));
        // In turn, so that whatever else the machine does meanwhile meets all alike.
        for _ in 0..options.rounds {
            for peer in stand.peers() {
                if let Err(why) = measure::one(&stand, peer, case, &options, &mut figures) {
                    say(&format!("  {} FAILED: {why:#}", peer.name));
                    broken += usize::from(peer.name == peer::OURS);
                }
            }
        }
        table::print(case, &stand, &figures);
    }
    let measured = stand.has(peer::OURS) || !options.wants(peer::OURS);
    let missed = promise::judge(suite.promises, suite.memory, &figures);
    Ok(if measured && missed + broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

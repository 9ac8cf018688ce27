//! What was asked for on the command line.

use anyhow::{Context, Result, bail};

/// `[--quick] [--rounds N] [--peers A,B] [CASE]...`
#[derive(Debug)]
pub(super) struct Options {
    /// A tenth of the requests, one round.
    pub(super) quick: bool,
    /// How often everything is measured; the median counts.
    pub(super) rounds: usize,
    /// Only these peers.
    pub(super) peers: Option<Vec<String>>,
    /// Only cases of these names.
    pub(super) cases: Vec<String>,
}

impl Options {
    /// Reads the words after the suite's name.
    pub(super) fn read(words: &[String]) -> Result<Self> {
        let mut options = Self { quick: false, rounds: 3, peers: None, cases: Vec::new() };
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            match word {
                "--quick" => (options.quick, options.rounds) = (true, 1),
                "--rounds" => options.rounds = words.next().context("--rounds wants a number")?.parse()?,
                "--peers" => {
                    let names = words.next().context("--peers wants names, with commas between")?;
                    options.peers = Some(names.split(',').map(str::to_owned).collect());
                }
                other if other.starts_with('-') => {
                    bail!("{other} is not known: [--quick] [--rounds N] [--peers A,B] [CASE]...")
                }
                case => options.cases.push(case.to_owned()),
            }
        }
        Ok(options)
    }

    /// Whether a peer is wanted.
    pub(super) fn wants(&self, peer: &str) -> bool {
        self.peers.as_ref().is_none_or(|names| names.iter().any(|name| name == peer))
    }

    /// Whether a case is wanted.
    pub(super) fn wants_case(&self, case: &str) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|name| name == case)
    }

    /// How many, of so many.
    pub(super) fn share(&self, count: usize) -> usize {
        if self.quick { (count / 10).max(1) } else { count }
    }
}

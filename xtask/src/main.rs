//! `cargo xtask WORD`: set-up, build, run, test and checks of proxy-now, one file a word.

/// `bench`
mod bench;
/// How the kernel programs are built; the daemon's build script does the same.
mod bpf_build;
/// `ci`
mod ci;
/// The daemon's release build.
mod daemon;
/// `docs`
mod docs;
/// `ebpf`
mod ebpf;
/// Starting other programs.
mod process;
/// `run`
mod run;
/// What xtask says.
mod say;
/// `setup`
mod setup;
/// `test`
mod test;
/// `tidy`
mod tidy;
/// Where things are in the workspace.
mod workspace;

use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Set-up, build, run, test and checks of proxy-now.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    word: Word,
}

#[derive(Debug, Subcommand)]
enum Word {
    /// Install what is missing on this machine to build, run and test
    Setup,
    /// Run the daemon; without a configuration, show it at work in a small world of network namespaces
    Run {
        /// The daemon's configuration
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// End the demonstration after its traffic
        #[arg(long, conflicts_with = "config")]
        once: bool,
    },
    /// Build the kernel programs: target/bpf/proxy-ebpf.o
    Ebpf,
    /// Check arrows between modules, sizes, and words that name one machine
    Tidy,
    /// Run every test
    Test {
        /// Passed on to `cargo test`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measure: `kernel` is nanoseconds per packet of the kernel path, `http` and `tls` CPU time beside other proxies
    Bench {
        /// What to measure, and its options
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Write the documents that are made from the program itself
    Docs,
    /// Run every check: what CI runs
    Ci {
        /// Only these
        #[arg(value_name = "STEP", value_parser = PossibleValuesParser::new(ci::names()))]
        steps: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().word {
        Word::Setup => setup::run(setup::Need::Ci),
        Word::Run { config, once } => run::run(config.as_deref(), once),
        Word::Ebpf => ebpf::run(),
        Word::Tidy => tidy::run(),
        Word::Test { arguments } => test::run(&arguments),
        Word::Bench { arguments } => bench::run(&arguments),
        Word::Docs => docs::run(),
        Word::Ci { steps } => ci::run(&steps),
    };
    say::outcome(&done)
}

//! `cargo xtask WORD`: set-up, build, run, test and checks of proxy-now, one file a word.

/// How the kernel programs are built; the daemon's build script does the same.
mod bpf_build;
/// `ci`
mod ci;
/// The daemon's release build.
mod daemon;
/// `ebpf`
mod ebpf;
/// Starting other programs.
mod process;
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

use clap::{Parser, Subcommand};
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
    /// Run every check: what CI runs
    Ci,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().word {
        Word::Setup => setup::run(setup::Need::Ci),
        Word::Ebpf => ebpf::run(),
        Word::Tidy => tidy::run(),
        Word::Test { arguments } => test::run(&arguments),
        Word::Ci => ci::run(),
    };
    say::outcome(&done)
}

//! `cargo xtask WORD`: set-up, build, run, test and checks of proxy-now, one file a word.

/// How the kernel programs are built; the daemon's build script does the same.
mod bpf_build;
/// `ebpf`
mod ebpf;
/// Starting other programs.
mod process;
/// What xtask says.
mod say;
/// `setup`
mod setup;
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
}

fn main() -> ExitCode {
    let done = match Arguments::parse().word {
        Word::Setup => setup::run(setup::Need::Ci),
        Word::Ebpf => ebpf::run(),
        Word::Tidy => tidy::run(),
    };
    say::outcome(&done)
}

//! `cargo xtask WORD`: set-up, build, run, test and checks of proxy-now, one file a word.

/// How the kernel programs are built; the daemon's build script does the same.
mod bpf_build;
/// `ebpf`
mod ebpf;
/// What xtask says.
mod say;
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
    /// Build the kernel programs: target/bpf/proxy-ebpf.o
    Ebpf,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().word {
        Word::Ebpf => ebpf::run(),
    };
    say::outcome(&done)
}

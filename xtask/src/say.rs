//! Everything that xtask says goes through here.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the one place that prints")]

use anyhow::Result;
use std::process::ExitCode;

/// One line of result.
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// What is being done, and why: on standard error, so that results stay apart.
pub(crate) fn step(text: &str) {
    eprintln!("xtask: {text}");
}

/// A command line that is about to run.
pub(crate) fn command(text: &str) {
    eprintln!("   $ {text}");
}

/// Turns what happened into an exit code, and says what went wrong.
pub(crate) fn outcome(done: &Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

//! Everything that xtask says goes through here.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the one place that prints")]

use anyhow::Result;
use std::process::ExitCode;

/// One line of result.
pub(crate) fn line(text: &str) {
    println!("{text}");
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

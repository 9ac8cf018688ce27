//! How a command ends: 0 it worked, 1 it failed, 2 it was asked wrongly.

use std::error::Error;
use std::process::ExitCode;

use super::output::Output;
use crate::config::ConfigErrors;

/// What a command gives back. Its answer is printed by then.
pub type Outcome = Result<(), Failure>;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// It failed, and has said so itself.
    Shown,
    /// It failed.
    Failed(Box<dyn Error>),
    /// It was asked wrongly.
    Usage(Box<dyn Error>),
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// Says what went wrong, if anything did, and gives the code to exit with.
pub(super) fn conclude(outcome: Outcome, output: &Output) -> ExitCode {
    let (error, code) = match outcome {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Shown) => return ExitCode::from(1),
        Err(Failure::Failed(error)) => (error, 1),
        Err(Failure::Usage(error)) => (error, 2),
    };
    match error.downcast_ref::<ConfigErrors>() {
        Some(ConfigErrors::Wrong(mistakes)) => output.diagnostics(&mistakes.0),
        _ => output.error(error.as_ref()),
    }
    ExitCode::from(code)
}

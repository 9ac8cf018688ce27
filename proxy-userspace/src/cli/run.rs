//! `proxy-now run`: the daemon.

use clap::Args;

use super::context::Context;
use super::outcome::{Failure, Outcome};
use crate::control::{self, RunError, RunOptions};
use crate::telemetry::log::Format;

/// Options of `run`.
#[derive(Debug, Args)]
pub(super) struct Run {}

impl Run {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let options = RunOptions {
            config: context.config_path(),
            socket: context.socket_override().map(Into::into),
            log: if context.output.is_json() { Format::Json } else { Format::Text },
            give_back: Some(context.give_back),
        };
        control::run(&options).map_err(|error| match error {
            // Printed as `check` prints them.
            RunError::Config(mistakes) => Failure::from(mistakes),
            other => Failure::from(other),
        })
    }
}

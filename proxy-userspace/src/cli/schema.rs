//! `proxy-now schema`: what can stand in `proxy.toml`, for editors and for people.

use clap::Args;

use super::context::Context;
use super::outcome::Outcome;
use crate::config;

/// Options of `schema`.
#[derive(Debug, Args)]
pub(super) struct Schema {
    /// Print the reference for people instead: docs/configuration.md
    #[arg(long)]
    markdown: bool,
}

impl Schema {
    pub(super) fn run(self, context: &Context) -> Outcome {
        if self.markdown {
            context.output.text(&config::markdown());
        } else {
            context.output.json(&config::json_schema());
        }
        Ok(())
    }
}

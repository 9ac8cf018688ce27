//! `proxy-now reload`: puts the configuration on disk in force, and says what changed.

use clap::Args;

use super::context::Context;
use super::daemon::ask;
use super::outcome::Outcome;

/// Options of `reload`.
#[derive(Debug, Args)]
pub(super) struct Reload {}

impl Reload {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let done = ask(context, async |daemon| daemon.reload().await)?;
        context.output.answer(&done, |output| {
            for warning in &done.warnings {
                output.note(format_args!("{}\n", warning.text));
            }
            for change in &done.changes {
                output.line(format_args!("{} {}: {}", change.what, change.name, change.how));
            }
            output.line(match done.changes.len() {
                0 => "reloaded; nothing is different".to_owned(),
                1 => "reloaded; 1 change is in force".to_owned(),
                more => format!("reloaded; {more} changes are in force"),
            });
        });
        Ok(())
    }
}

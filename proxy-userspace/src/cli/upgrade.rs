//! `proxy-now upgrade`: hands everything over to the program on disk, without a lost connection.

use clap::Args;

use super::context::Context;
use super::daemon::ask;
use super::outcome::Outcome;

/// Options of `upgrade`.
#[derive(Debug, Args)]
pub(super) struct Upgrade {}

impl Upgrade {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let done = ask(context, async |daemon| daemon.upgrade().await)?;
        context.output.answer(&done, |output| {
            output.line(format_args!(
                "upgraded: {} serves, pid {}; the old daemon serves those who are in, and ends",
                done.version, done.pid
            ));
        });
        Ok(())
    }
}

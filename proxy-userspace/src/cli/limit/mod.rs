//! `proxy-now limit`: what is let through, who is refused, and what is to be let through from now on.

/// Asks the daemon, or the pinned tables.
mod asked;
/// Captured packets.
pub(super) mod capture;
/// From bytes to who sent them where.
mod frame;
/// `limit list`
mod list;
/// Writes limits into the configuration's file.
mod save;
/// `limit set`, `limit reset`
mod set;
/// `limit top`
mod top;
/// `limit try`
mod trial;

use clap::{Args, Subcommand};

use super::context::Context;
use super::outcome::Outcome;

/// Options of `limit`.
#[derive(Debug, Args)]
pub(super) struct Limit {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show limits: how much they let through, what they have counted and refused
    List(list::List),
    /// Let something else through, from the next packet and request on
    Set(set::Set),
    /// Let through what the configuration says again, or forget what an address has used up
    Reset(set::Reset),
    /// Show who is being refused now
    Top(top::Top),
    /// Tell what a limit would have refused of captured packets
    Try(trial::Try),
}

impl Limit {
    pub(super) fn run(self, context: &Context) -> Outcome {
        match self.command {
            Command::List(list) => list.run(context),
            Command::Set(set) => set.run(context),
            Command::Reset(reset) => reset.run(context),
            Command::Top(top) => top.run(context),
            Command::Try(tried) => tried.run(context),
        }
    }
}

//! `proxy-now certs`: certificates, where they come from, and who trusts our own CA.

/// `certs export`
mod export;
/// `certs list`
mod list;
/// `certs renew`, `certs revoke`
mod renew;
/// Lists of trusted roots on this machine.
mod stores;
/// `certs trust`
mod trust;

use clap::{Args, Subcommand};

use super::context::Context;
use super::outcome::Outcome;

/// Options of `certs`.
#[derive(Debug, Args)]
pub(super) struct Certs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show certificates: who issued them, when they end, when they are renewed, what went wrong
    List(list::List),
    /// Get another certificate for a name now
    Renew(renew::Renew),
    /// Have a name's certificate revoked, and get another one
    Revoke(renew::Revoke),
    /// Make this machine trust the internal CA
    Trust(trust::Trust),
    /// Write a name's certificate and key to a folder
    Export(export::Export),
}

impl Certs {
    pub(super) fn run(self, context: &Context) -> Outcome {
        match self.command {
            Command::List(list) => list.run(context),
            Command::Renew(renew) => renew.run(context),
            Command::Revoke(revoke) => revoke.run(context),
            Command::Trust(trust) => trust.run(context),
            Command::Export(export) => export.run(context),
        }
    }
}

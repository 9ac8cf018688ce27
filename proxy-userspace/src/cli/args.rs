//! What can be written on the command line.

use clap::{CommandFactory as _, Parser, Subcommand};

use super::context::{Context, Global};
use super::outcome::Outcome;
use super::{
    ban, certs, check, completions, detach, doctor, drain, explain, limit, reload, run, schema, status,
    trace, upgrade,
};

/// An eBPF-accelerated load balancer for Linux
#[derive(Debug, Parser)]
#[command(name = "proxy-now", version, disable_help_subcommand = true, arg_required_else_help = true)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the daemon
    Run(run::Run),
    /// Put the configuration on disk in force, and say what changed
    Reload(reload::Reload),
    /// Start the program on disk and hand everything over to it, without a lost connection
    Upgrade(upgrade::Upgrade),
    /// Show listeners, pools, backends and what passes through them
    Status(status::Status),
    /// Give a backend no new flows; the old ones stay
    Drain(drain::Drain),
    /// Give a drained backend new flows again
    Undrain(drain::Undrain),
    /// Keep clients out, let them in again, show who is kept out
    Ban(ban::Ban),
    /// Show certificates, renew, revoke and export them, trust the internal CA
    Certs(certs::Certs),
    /// Show and change how much is let through, and who is refused
    Limit(limit::Limit),
    /// Tell what becomes of a packet or a request, and why
    Explain(explain::Explain),
    /// Show connections by their ClientHello, as the kernel part and the workers decide about them
    Trace(trace::Trace),
    /// Look for what keeps packets from flowing, and say what mends it
    Doctor(doctor::Doctor),
    /// Take everything out of the kernel: programs, tables, pins
    Detach(detach::Detach),
    /// Check a configuration: every mistake at once, and what would be served
    Check(check::Check),
    /// Print the JSON schema of proxy.toml
    Schema(schema::Schema),
    /// Print a completion script for a shell
    Completions(completions::Completions),
}

impl Command {
    /// Runs the command.
    pub(super) fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Run(run) => run.run(context),
            Self::Reload(reload) => reload.run(context),
            Self::Upgrade(upgrade) => upgrade.run(context),
            Self::Status(status) => status.run(context),
            Self::Drain(drain) => drain.run(context),
            Self::Undrain(undrain) => undrain.run(context),
            Self::Ban(ban) => ban.run(context),
            Self::Certs(certs) => certs.run(context),
            Self::Limit(limit) => limit.run(context),
            Self::Explain(explain) => explain.run(context),
            Self::Trace(trace) => trace.run(context),
            Self::Doctor(doctor) => doctor.run(context),
            Self::Detach(detach) => detach.run(context),
            Self::Check(check) => check.run(context),
            Self::Schema(schema) => schema.run(context),
            Self::Completions(completions) => completions.run(&mut Cli::command(), context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}

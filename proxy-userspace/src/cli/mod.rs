//! The command line: one file a command. A command asks the layers below and prints the answer through [`output`];
//! nothing is decided here.

/// What can be written on the command line.
mod args;
/// `proxy-now ban`
mod ban;
/// `proxy-now certs`
mod certs;
/// `proxy-now check`
mod check;
/// Hosts and their certificates, as `check` shows them.
mod check_hosts;
/// Routes and `http` listeners, as `check` shows them.
mod check_routes;
/// `proxy-now completions`
mod completions;
/// Routes that were considered, as `explain` shows them.
mod considered;
/// What holds for every command.
mod context;
/// Asks the daemon.
mod daemon;
/// `proxy-now detach`
mod detach;
/// `proxy-now doctor`
mod doctor;
/// `proxy-now drain`, `proxy-now undrain`
mod drain;
/// `proxy-now explain`
mod explain;
/// `proxy-now explain --sni`.
mod explain_hello;
/// `proxy-now explain URL`
mod explain_request;
/// Numbers that people can take in.
mod human;
/// `proxy-now limit`
mod limit;
/// How a command ends.
mod outcome;
/// Everything that is printed.
pub mod output;
/// `proxy-now reload`
mod reload;
/// `proxy-now run`
mod run;
/// `proxy-now schema`
mod schema;
/// `proxy-now status`
mod status;
/// `proxy-now trace`
mod trace;
/// `proxy-now upgrade`
mod upgrade;

use std::process::ExitCode;

use clap::Parser as _;

pub use context::Context;
pub use outcome::{Failure, Outcome};

/// Runs the command that the process was started with. `give_back` gives unused memory back to the system.
pub fn main(give_back: fn()) -> ExitCode {
    let cli = args::Cli::parse();
    let context = Context::new(cli.global, give_back);
    outcome::conclude(cli.command.run(&context), &context.output)
}

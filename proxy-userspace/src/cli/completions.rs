//! `proxy-now completions`: a script that lets a shell complete our command line.

use clap::Args;
use clap_complete::Shell;

use super::context::Context;
use super::outcome::Outcome;

/// Options of `completions`.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, command: &mut clap::Command, context: &Context) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, command, "proxy-now", &mut script);
        context.output.text(&String::from_utf8_lossy(&script));
        Ok(())
    }
}

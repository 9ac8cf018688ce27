//! `proxy-now certs renew` and `revoke`: another certificate now.

use clap::{Args, ValueEnum};

use crate::admin::certificates::{self as api, Named, Renewed, RevokeReason};
use crate::cli::context::Context;
use crate::cli::daemon::ask;
use crate::cli::outcome::Outcome;

/// Options of `certs renew`.
#[derive(Debug, Args)]
pub(super) struct Renew {
    /// The name, as `certs list` shows it
    name: String,
}

/// Options of `certs revoke`.
#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// The name, as `certs list` shows it
    name: String,
    /// Why: what the CA is told
    #[arg(long, value_enum, default_value = "unspecified")]
    reason: Reason,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Reason {
    /// None of the others
    Unspecified,
    /// Somebody else has the key
    KeyCompromise,
    /// Another certificate took its place
    Superseded,
    /// The name is no longer served
    CessationOfOperation,
}

impl From<Reason> for RevokeReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Unspecified => Self::Unspecified,
            Reason::KeyCompromise => Self::KeyCompromise,
            Reason::Superseded => Self::Superseded,
            Reason::CessationOfOperation => Self::CessationOfOperation,
        }
    }
}

impl Renew {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let which = Named { name: self.name };
        let done = ask(context, async |daemon| daemon.renew(&which).await)?;
        show(context, &done, "is renewed");
        Ok(())
    }
}

impl Revoke {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let which = api::Revoke { name: self.name, reason: self.reason.into() };
        let done = ask(context, async |daemon| daemon.revoke(&which).await)?;
        show(context, &done, "is revoked, and another one is served");
        Ok(())
    }
}

fn show(context: &Context, done: &Renewed, what: &str) {
    context.output.answer(done, |output| {
        let name = &done.name;
        output.line(match done.done {
            true => format!("the certificate for {name} {what}"),
            false => {
                format!("the certificate for {name}: it takes long and goes on; see `proxy-now certs list`")
            }
        });
    });
}

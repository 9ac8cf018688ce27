//! Asks the daemon about limits; while none runs, the pinned tables answer.

use crate::admin::ClientError;
use crate::admin::limits::{Changed, Limits, LimitsAnswer, LimitsRequest, ResetLimit, SetLimit, Top};
use crate::cli::context::Context;
use crate::cli::daemon::{refused, try_ask};
use crate::cli::outcome::Failure;
use crate::control::limits::limits_without_daemon;

/// What was answered was not asked.
#[derive(Debug, thiserror::Error)]
#[error("the answer is to another question: is the daemon of another version?")]
struct Other;

fn ask(context: &Context, request: &LimitsRequest) -> Result<LimitsAnswer, Failure> {
    let answered = try_ask(context, async |daemon| match request {
        LimitsRequest::List => daemon.limits().await.map(LimitsAnswer::List),
        LimitsRequest::Top => daemon.limited().await.map(LimitsAnswer::Top),
        LimitsRequest::Set(wanted) => daemon.set_limit(wanted).await.map(LimitsAnswer::Changed),
        LimitsRequest::Reset(wanted) => daemon.reset_limit(wanted).await.map(LimitsAnswer::Changed),
    })?;
    match answered {
        Ok(answer) => Ok(answer),
        Err(ClientError::NoDaemon(_)) => {
            let config = context.load_config().ok();
            Ok(limits_without_daemon(&context.pin_dir(), config.as_ref(), request)?)
        }
        Err(error) => Err(refused(context, error)),
    }
}

/// All limits.
pub(super) fn list(context: &Context) -> Result<Limits, Failure> {
    match ask(context, &LimitsRequest::List)? {
        LimitsAnswer::List(limits) => Ok(limits),
        _ => Err(Other.into()),
    }
}

/// Who has been refused.
pub(super) fn refused_keys(context: &Context) -> Result<Top, Failure> {
    match ask(context, &LimitsRequest::Top)? {
        LimitsAnswer::Top(top) => Ok(top),
        _ => Err(Other.into()),
    }
}

/// How much a limit lets through, for the next that comes.
pub(super) fn set(context: &Context, wanted: SetLimit) -> Result<Changed, Failure> {
    changed(context, &LimitsRequest::Set(wanted))
}

/// What operators have set of a limit, or what an address has used up, is forgotten.
pub(super) fn reset(context: &Context, wanted: ResetLimit) -> Result<Changed, Failure> {
    changed(context, &LimitsRequest::Reset(wanted))
}

fn changed(context: &Context, request: &LimitsRequest) -> Result<Changed, Failure> {
    match ask(context, request)? {
        LimitsAnswer::Changed(changed) => Ok(changed),
        _ => Err(Other.into()),
    }
}

//! Asks the daemon.

use super::context::Context;
use super::outcome::Failure;
use crate::admin::{Client, ClientError};

/// Asks the daemon of this context. What it refuses is shown here.
pub(super) fn ask<T>(
    context: &Context,
    question: impl AsyncFnOnce(&Client) -> Result<T, ClientError>,
) -> Result<T, Failure> {
    try_ask(context, question)?.map_err(|error| refused(context, error))
}

/// Asks the daemon of this context, and leaves its errors to the caller.
pub(super) fn try_ask<T>(
    context: &Context,
    question: impl AsyncFnOnce(&Client) -> Result<T, ClientError>,
) -> Result<Result<T, ClientError>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = Client::new(context.socket_path());
    Ok(runtime.block_on(question(&client)))
}

/// A configuration's mistakes are many lines; everything else is one.
pub(super) fn refused(context: &Context, error: ClientError) -> Failure {
    let ClientError::Refused(refusal) = error else { return Failure::from(error) };
    if context.output.is_json() {
        context.output.json(&refusal);
        return Failure::Shown;
    }
    for mistake in &refusal.mistakes {
        context.output.note(format_args!("{}\n", mistake.text));
    }
    Failure::from(ClientError::Refused(refusal))
}

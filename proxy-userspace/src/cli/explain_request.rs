//! `proxy-now explain URL`: which route a request takes, and what the others refused.

use super::considered;
use super::context::Context;
use super::daemon::{refused, try_ask};
use super::outcome::{Failure, Outcome};
use super::output::{Output, Style};
use crate::admin::ClientError;
use crate::route::{Explanation, Question};

/// Asks the daemon; without one, the configuration on disk.
pub(super) fn run(context: &Context, question: &Question) -> Outcome {
    question.check().map_err(|error| Failure::Usage(Box::new(error)))?;
    let said = match try_ask(context, async |daemon| daemon.explain_request(question).await)? {
        Ok(said) => said,
        Err(ClientError::NoDaemon(_)) => from_file(context, question)?,
        Err(error) => return Err(refused(context, error)),
    };
    context.output.answer(&said, |output| print(output, &said));
    Ok(())
}

fn from_file(context: &Context, question: &Question) -> Result<Explanation, Failure> {
    let config = context.load_config()?;
    context.output.note(format_args!("no daemon answers: explained by {}", context.config_path().display()));
    Ok(question.explain(&config)?)
}

fn print(output: &Output, said: &Explanation) {
    let line = |name: &str, value: &str| output.line(format_args!("{name:<11}{value}"));
    match &said.route {
        Some(route) => line("route", &output.paint(route, Style::Good)),
        None => line("route", &output.paint("none: the answer is 404", Style::Bad)),
    }
    if let Some(action) = &said.action {
        line("action", action);
    }
    if !said.middleware.is_empty() {
        line("middleware", &said.middleware.join(", "));
    }
    line("listener", &said.listener);
    line("host", if said.host.is_empty() { "(none)" } else { &said.host });
    line("path", &said.path);
    if let Some(other) = &said.other_reading {
        line("read as", other);
    }
    considered::print(output, "PATTERN", &said.considered);
    if said.left_out > 0 {
        output.line(format_args!("{} more routes of this host are not listed", said.left_out));
    }
    if said.elsewhere > 0 {
        output.line(format_args!("{} routes have another listener or host", said.elsewhere));
    }
}

//! `proxy-now explain`: what becomes of a packet, and why.

use clap::Args;
use serde_json::Value as Json;

use super::context::Context;
use super::daemon::{refused, try_ask};
use super::outcome::{Failure, Outcome};
use super::output::{Output, Style};
use crate::admin::ClientError;
use crate::l4::{Tuple, TupleError, View};

/// Options of `explain`.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The packet: PROTOCOL SOURCE DESTINATION, such as tcp 192.0.2.7:40000 203.0.113.10:80
    #[arg(required = true, num_args = 1..=4, value_name = "TUPLE")]
    tuple: Vec<String>,
}

/// There is nothing to ask.
#[derive(Debug, thiserror::Error)]
#[error("no daemon runs and nothing is pinned under {}: start it with `proxy-now run`", .0.display())]
struct NothingThere(std::path::PathBuf);

impl Explain {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let tuple: Tuple = match self.tuple.join(" ").parse() {
            Ok(tuple) => tuple,
            Err(error) => return Err(Failure::Usage(Box::<TupleError>::new(error))),
        };
        let said = match try_ask(context, async |daemon| daemon.explain(&tuple.to_string()).await)? {
            Ok(said) => said,
            // The tables tell it as well.
            Err(ClientError::NoDaemon(_)) => from_pins(context, &tuple)?,
            Err(error) => return Err(refused(context, error)),
        };
        context.output.answer(&said, |output| print(output, &said));
        Ok(())
    }
}

fn from_pins(context: &Context, tuple: &Tuple) -> Result<Json, Failure> {
    let pin_dir = context.pin_dir();
    let view = View::open(&pin_dir)?.ok_or(NothingThere(pin_dir))?;
    let said = view.explain(tuple)?;
    Ok(serde_json::to_value(said)?)
}

fn print(output: &Output, said: &Json) {
    let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let verdict = text(&said["verdict"]);
    let style = match verdict.as_str() {
        "forward" => Style::Good,
        "drop" => Style::Bad,
        _ => Style::Plain,
    };
    let reason = said["reason"].as_str().map(|reason| format!(" ({reason})")).unwrap_or_default();
    output.line(format_args!("{:<10}{}{reason}", "verdict", output.paint(&verdict, style)));
    let backend = &said["backend"];
    let backend = match (&backend["address"], &backend["state"]) {
        (Json::String(address), Json::String(state)) => Json::String(format!("{address} ({state})")),
        _ => Json::Null,
    };
    for (name, value) in [
        ("listener", &said["listener"]),
        ("forward", &said["forward"]),
        ("hash", &said["hash"]),
        ("slot", &said["slot"]),
        ("flow", &said["flow"]["kind"]),
        ("backend", &backend),
        ("leaves by", &said["way"]["interface"]),
    ] {
        if !value.is_null() {
            output.line(format_args!("{name:<10}{}", text(value)));
        }
    }
    output.line("");
    for (step, why) in said["why"].as_array().into_iter().flatten().enumerate() {
        output.line(format_args!("{}. {}", step + 1, text(why)));
    }
}

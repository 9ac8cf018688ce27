//! `proxy-now limit set` and `reset`: what is let through from now on.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use super::asked;
use super::save::{Prepared, prepare};
use crate::admin::limits::{Changed, ResetLimit, SetLimit};
use crate::cli::context::Context;
use crate::cli::daemon::try_ask;
use crate::cli::outcome::{Failure, Outcome};

/// Options of `limit set`.
#[derive(Debug, Args)]
pub(super) struct Set {
    /// The limit's name, as the configuration has it
    name: String,
    /// How much of what: connections=500/s, bytes=10MB/s burst=20MB, concurrent=200
    #[arg(required = true, value_name = "MEASURE=AMOUNT")]
    amounts: Vec<String>,
    /// Write it into the configuration's file too: comments and order stay
    #[arg(long)]
    save: bool,
}

/// Options of `limit reset`.
#[derive(Debug, Args)]
pub(super) struct Reset {
    /// The limit's name, as the configuration has it
    name: String,
    /// Forget what this address has used up, and leave the limit as it is
    #[arg(long, value_name = "ADDRESS")]
    key: Option<String>,
}

/// An argument that says nothing.
#[derive(PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum BadAmount {
    #[error(
        "{0:?} does not say how much of what: write it as connections=500/s or connections=500/s burst=100"
    )]
    Shape(String),
    #[error("burst stands behind the rate that it belongs to: connections=500/s burst=100")]
    Burst,
    #[error("{0} is said twice")]
    Twice(String),
}

/// What the arguments say, by measure. A burst belongs to what stands before it.
pub(super) fn amounts(arguments: &[String]) -> Result<BTreeMap<String, String>, BadAmount> {
    let mut amounts = BTreeMap::new();
    let mut last: Option<String> = None;
    for argument in arguments {
        let shape = || BadAmount::Shape(argument.clone());
        let (name, amount) = argument.split_once('=').ok_or_else(shape)?;
        let (name, amount) = (name.trim(), amount.trim());
        if name.is_empty() || amount.is_empty() {
            return Err(shape());
        }
        if name == "burst" {
            let rate: &mut String =
                last.take().and_then(|last| amounts.get_mut(&last)).ok_or(BadAmount::Burst)?;
            rate.push_str(" burst ");
            rate.push_str(amount);
        } else if amounts.insert(name.to_owned(), amount.to_owned()).is_some() {
            return Err(BadAmount::Twice(name.to_owned()));
        } else {
            last = Some(name.to_owned());
        }
    }
    Ok(amounts)
}

impl Set {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let amounts = amounts(&self.amounts).map_err(|error| Failure::Usage(Box::new(error)))?;
        let wanted = SetLimit { limit: self.name, amounts };
        // What cannot be written is found before anything is changed.
        let prepared =
            self.save.then(|| prepare(&file(context)?, &wanted).map_err(Failure::from)).transpose()?;
        let changed = asked::set(context, wanted)?;
        show(context, &changed);
        if let Some(prepared) = prepared {
            saved(context, prepared)?;
        }
        Ok(())
    }
}

impl Reset {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let wanted = ResetLimit { limit: self.name, key: self.key };
        let changed = asked::reset(context, wanted)?;
        show(context, &changed);
        Ok(())
    }
}

/// The file that the daemon reads, if one answers; else the one that commands read.
fn file(context: &Context) -> Result<PathBuf, Failure> {
    let read = try_ask(context, async |daemon| daemon.health().await)?.ok();
    let read = read.map(|daemon| PathBuf::from(daemon.config)).filter(|path| path.is_absolute());
    Ok(read.unwrap_or_else(|| context.config_path()))
}

fn saved(context: &Context, prepared: Prepared) -> Outcome {
    let path = prepared.path().display().to_string();
    let lines = prepared.write()?;
    let lines: Vec<_> = lines.iter().map(|line| format!("line {line}")).collect();
    context.output.line(format_args!("saved in {path}, {}", lines.join(", ")));
    Ok(())
}

fn show(context: &Context, changed: &Changed) {
    context.output.answer(changed, |output| {
        let limit = &changed.limit;
        for change in &changed.changes {
            let (measure, from, to) = (&change.measure, &change.from, &change.to);
            if from == to {
                output.line(format_args!("limit {limit}: {measure} is {to}, as before"));
            } else {
                output.line(format_args!("limit {limit}: {measure} is {to}; it was {from}"));
            }
        }
        match changed.forgotten {
            Some(0) => output.line(format_args!("limit {limit}: nothing is remembered of that address")),
            Some(_) => output.line(format_args!("limit {limit}: what that address has used up is forgotten")),
            None if changed.changes.is_empty() => {
                output
                    .line(format_args!("limit {limit} lets through what the configuration says, as before"));
            }
            None => {}
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Vec<(String, String)>, BadAmount> {
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        amounts(&arguments).map(|amounts| amounts.into_iter().collect())
    }

    #[test]
    fn a_burst_belongs_to_the_rate_before_it() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let found = read(&["connections=500/s", "burst=100", "bytes=1MB/s burst 2MB", "concurrent=7"]);
        let wanted = [
            pair("bytes", "1MB/s burst 2MB"),
            pair("concurrent", "7"),
            pair("connections", "500/s burst 100"),
        ];
        assert_eq!(found.unwrap(), wanted);
        assert_eq!(read(&["burst=100"]), Err(BadAmount::Burst));
        assert_eq!(read(&["packets=5/s", "burst=1", "burst=2"]), Err(BadAmount::Burst));
        assert_eq!(read(&["packets=5/s", "packets=6/s"]), Err(BadAmount::Twice("packets".into())));
        assert_eq!(read(&["packets"]), Err(BadAmount::Shape("packets".into())));
        assert_eq!(read(&["packets="]), Err(BadAmount::Shape("packets=".into())));
    }
}

//! `proxy-now limit top`: who is being refused now. Two looks tell.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::asked;
use crate::admin::limits::LimitedKey;
use crate::cli::context::Context;
use crate::cli::human::short;
use crate::cli::outcome::Outcome;
use crate::cli::output::{Table, left, right};

/// From one look to the next.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Options of `limit top`.
#[derive(Debug, Args)]
pub(super) struct Top {
    /// Show so many keys
    #[arg(short = 'n', long, default_value_t = 20, value_name = "COUNT")]
    count: usize,
    /// Go on, a look a second
    #[arg(long)]
    watch: bool,
}

/// Who is being refused now.
#[derive(Serialize)]
struct Now {
    keys: Vec<KeyNow>,
}

/// A key that is being refused now.
#[derive(PartialEq, Debug, Serialize)]
struct KeyNow {
    limit: String,
    measure: String,
    key: String,
    /// A second, between two looks.
    refused_per_second: f64,
    /// Since the key is remembered.
    refused: u64,
}

impl Top {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let (mut before, mut looked) = (asked::refused_keys(context)?.keys, Instant::now());
        loop {
            thread::sleep(LOOK_EVERY);
            let now = asked::refused_keys(context)?.keys;
            let keys = between(&before, &now, looked.elapsed(), self.count);
            (before, looked) = (now, Instant::now());
            show(context, &Now { keys });
            if !self.watch {
                return Ok(());
            }
            context.output.line("");
        }
    }
}

/// Who was refused between two looks, the most first.
fn between(before: &[LimitedKey], now: &[LimitedKey], time: Duration, count: usize) -> Vec<KeyNow> {
    let name = |key: &LimitedKey| (key.limit.clone(), key.measure.clone(), key.key.clone());
    let before: HashMap<_, _> = before.iter().map(|key| (name(key), key.refused)).collect();
    let seconds = time.as_secs_f64().max(0.001);
    let mut keys: Vec<_> = now
        .iter()
        .filter_map(|key| {
            let then = before.get(&name(key)).copied().unwrap_or(0);
            // A key that was forgotten meanwhile began anew.
            let more = key.refused.checked_sub(then).unwrap_or(key.refused);
            let (limit, measure, who) = name(key);
            let refused_per_second = more as f64 / seconds;
            (more > 0).then_some(KeyNow {
                limit,
                measure,
                key: who,
                refused_per_second,
                refused: key.refused,
            })
        })
        .collect();
    keys.sort_by(|a, b| b.refused_per_second.total_cmp(&a.refused_per_second));
    keys.truncate(count);
    keys
}

fn show(context: &Context, now: &Now) {
    context.output.answer(now, |output| {
        if now.keys.is_empty() {
            output.line("nobody is being refused by a limit now");
            return;
        }
        let mut table =
            Table::new([left("LIMIT"), left("MEASURE"), left("KEY"), right("REFUSED/S"), right("REFUSED")]);
        for key in &now.keys {
            table.row([
                key.limit.clone(),
                key.measure.clone(),
                key.key.clone(),
                short(key.refused_per_second),
                key.refused.to_string(),
            ]);
        }
        output.table(&table);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_are_shown_who_were_refused_between_two_looks() {
        let key = |key: &str, refused| LimitedKey {
            limit: "a".into(),
            measure: "packets".into(),
            key: key.into(),
            refused,
        };
        let before = [key("old", 900), key("busy", 10), key("anew", 50)];
        let now = [key("old", 900), key("busy", 110), key("anew", 20), key("new", 400)];
        let found = between(&before, &now, Duration::from_secs(2), 2);
        let found: Vec<_> = found.iter().map(|key| (&*key.key, key.refused_per_second)).collect();
        assert_eq!(found, [("new", 200.0), ("busy", 50.0)]);
    }
}

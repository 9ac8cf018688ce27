//! `proxy-now limit list`: every measure of every limit.

use clap::Args;

use super::asked;
use crate::admin::limits::LimitRow;
use crate::cli::context::Context;
use crate::cli::outcome::Outcome;
use crate::cli::output::{Style, Table, left, right};

/// Options of `limit list`.
#[derive(Debug, Args)]
pub(super) struct List {}

impl List {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let limits = asked::list(context)?;
        context.output.answer(&limits, |output| {
            if limits.limits.is_empty() {
                output.line("no limits: the configuration has no [limit.NAME]");
                return;
            }
            let mut table = Table::new([
                left("LIMIT"),
                left("PER"),
                left("MEASURE"),
                left("AMOUNT"),
                left("ACTION"),
                right("PASSED"),
                right("REFUSED"),
                right("OBSERVED"),
                right("EXEMPT"),
                left("NOTE"),
            ]);
            for row in &limits.limits {
                table.styled_row(cells(row));
            }
            output.table(&table);
        });
        Ok(())
    }
}

fn cells(row: &LimitRow) -> [(String, Style); 10] {
    let plain = |text: String| (text, Style::Plain);
    let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let refused = if row.refused > 0 { Style::Warning } else { Style::Plain };
    let note = row.file.as_ref().map(|file| format!("set by hand; the file says {file}"));
    [
        plain(row.limit.clone()),
        plain(known(&row.per)),
        plain(row.measure.clone()),
        plain(row.amount.clone()),
        plain(known(&row.action)),
        plain(row.passed.to_string()),
        (row.refused.to_string(), refused),
        plain(row.observed.to_string()),
        plain(row.exempt.to_string()),
        plain(note.unwrap_or_default()),
    ]
}

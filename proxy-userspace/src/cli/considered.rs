//! What each route that was considered says, as `explain` shows it.

use super::output::{Output, Table, left, right};
use crate::route::{Considered, Verdict};

/// Prints them, in the order in which they were asked; `pattern` is the head of the column that says what they match.
pub(super) fn print(output: &Output, pattern: &'static str, considered: &[Considered]) {
    let mut table =
        Table::new([right(""), left("VERDICT"), left("ROUTE"), right("LINE"), left(pattern), left("WHY")]);
    for (place, one) in considered.iter().enumerate() {
        let verdict = match one.verdict {
            Verdict::Taken => "taken",
            Verdict::Refused => "refused",
            Verdict::Outranked => "outranked",
        };
        table.row([
            (place + 1).to_string(),
            verdict.to_owned(),
            one.route.clone(),
            one.line.to_string(),
            one.pattern.clone(),
            one.why.clone(),
        ]);
    }
    output.line("");
    if !table.is_empty() {
        output.table(&table);
        output.line("");
    }
}

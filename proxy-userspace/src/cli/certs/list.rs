//! `proxy-now certs list`: every certificate, and every name that waits for one.

use clap::Args;

use crate::admin::certificates::CertificateRow;
use crate::cli::context::Context;
use crate::cli::daemon::ask;
use crate::cli::human::span;
use crate::cli::outcome::Outcome;
use crate::cli::output::{Style, Table, left};

/// Less than this until a certificate ends is worth a colour.
const SOON: i64 = 86_400;

/// Options of `certs list`.
#[derive(Debug, Args)]
pub(super) struct List {}

impl List {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let known = ask(context, async |daemon| daemon.certificates().await)?;
        context.output.answer(&known, |output| {
            if known.certificates.is_empty() {
                output.line("no certificates: the configuration has no https listener with hosts");
                return;
            }
            let mut table = Table::new([
                left("NAME"),
                left("FROM"),
                left("ISSUER"),
                left("EXPIRES"),
                left("RENEWS"),
                left("NOTE"),
            ]);
            for row in &known.certificates {
                table.styled_row(cells(row));
            }
            output.table(&table);
        });
        Ok(())
    }
}

fn cells(row: &CertificateRow) -> [(String, Style); 6] {
    let plain = |text: String| (text, Style::Plain);
    let note = note(row);
    let style = if row.last_error.is_some() { Style::Bad } else { Style::Plain };
    [
        plain(row.name.clone()),
        plain(row.from.clone()),
        plain(row.issuer.clone().unwrap_or_else(|| "-".into())),
        expires(row),
        plain(row.renews_in.map_or_else(|| "-".into(), |seconds| format!("in {}", span(seconds)))),
        (note, style),
    ]
}

fn expires(row: &CertificateRow) -> (String, Style) {
    match row.expires_in {
        None if row.from == "files" => ("-".into(), Style::Plain),
        None => ("none yet".into(), Style::Bad),
        Some(left @ ..=0) => (format!("{} ago", span(left.unsigned_abs())), Style::Bad),
        Some(left) => {
            let style = if left < SOON { Style::Warning } else { Style::Good };
            (format!("in {}", span(left.unsigned_abs())), style)
        }
    }
}

fn note(row: &CertificateRow) -> String {
    let on_demand = row.on_demand.then(|| "on demand".to_owned());
    let unstored = (!row.stored && row.not_after.is_some()).then(|| "in memory only".to_owned());
    let parts = [on_demand, unstored, row.last_error.clone(), row.file.clone()];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_when_it_ends_and_what_went_wrong() {
        let row = CertificateRow {
            name: "a.example.com".into(),
            expires_in: Some(-90),
            not_after: Some(1),
            last_error: Some("the CA cannot be reached".into()),
            ..CertificateRow::default()
        };
        assert_eq!(expires(&row), ("1m 30s ago".into(), Style::Bad));
        assert_eq!(note(&row), "in memory only; the CA cannot be reached");
        let none = CertificateRow { on_demand: true, ..CertificateRow::default() };
        assert_eq!(expires(&none), ("none yet".into(), Style::Bad));
        assert_eq!(note(&none), "on demand");
    }
}

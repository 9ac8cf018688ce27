//! Everything that is printed: tables and sentences for people, JSON for programs. Answers go to standard output, what
//! went wrong to standard error; with `--json` all of it is JSON on standard output. Colour only on a terminal, and
//! never with `NO_COLOR` (no-color.org).

use std::error::Error;
use std::fmt;
use std::io::{IsTerminal as _, Write as _};

use serde::Serialize;
use serde_json::json;

use crate::config::{Diagnostic, Severity};

/// Where and how to print.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
    colour: bool,
    error_colour: bool,
}

/// A colour with a meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// As it is.
    Plain,
    /// Well.
    Good,
    /// Not quite well.
    Warning,
    /// Not well.
    Bad,
    /// The head of something.
    Head,
    /// Less important.
    Faint,
}

impl Style {
    /// SGR parameters (ECMA-48).
    const fn sgr(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "32",
            Self::Warning => "1;33",
            Self::Bad => "1;31",
            Self::Head => "1",
            Self::Faint => "2",
        }
    }
}

impl Output {
    /// For the standard output and error of this process.
    pub fn new(json: bool) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            json,
            colour: wanted && !json && std::io::stdout().is_terminal(),
            error_colour: wanted && std::io::stderr().is_terminal(),
        }
    }

    /// Whether JSON is wanted.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// A text as it is, without an end of line.
    pub fn text(&self, text: &str) {
        // A reader that went away (`| head`) wants no more.
        let _ = std::io::stdout().write_all(text.as_bytes());
    }

    /// A line for people; nothing with `--json`.
    pub fn line(&self, line: impl fmt::Display) {
        if !self.json {
            self.text(&format!("{line}\n"));
        }
    }

    /// A line beside the answer, to standard error; nothing with `--json`.
    pub fn note(&self, line: impl fmt::Display) {
        if !self.json {
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }

    /// JSON.
    pub fn json(&self, value: &impl Serialize) {
        let text = serde_json::to_string_pretty(value)
            .unwrap_or_else(|error| json!({ "error": error.to_string() }).to_string());
        self.text(&(text + "\n"));
    }

    /// The answer: JSON if that is wanted, else what `people` prints.
    pub fn answer(&self, value: &impl Serialize, people: impl FnOnce(&Self)) {
        if self.json { self.json(value) } else { people(self) }
    }

    /// What went wrong, with its causes.
    pub fn error(&self, error: &dyn Error) {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !message.contains(&text) {
                message += &format!(": {text}");
            }
            cause = error.source();
        }
        if self.json {
            self.json(&json!({ "error": message }));
        } else {
            let head = paint("error", Style::Bad, self.error_colour);
            let _ = writeln!(std::io::stderr(), "{head}: {message}");
        }
    }

    /// Mistakes of a configuration, and how many there are.
    pub fn diagnostics(&self, diagnostics: &[Diagnostic]) {
        let errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
        if self.json {
            let count = format!("the configuration has {errors} mistakes");
            self.json(&json!({ "error": count, "diagnostics": diagnostics }));
            return;
        }
        for diagnostic in diagnostics {
            self.diagnostic(diagnostic);
        }
        let mistakes = if errors == 1 { "mistake" } else { "mistakes" };
        let head = paint("error", Style::Bad, self.error_colour);
        let _ = writeln!(std::io::stderr(), "{head}: the configuration has {errors} {mistakes}");
    }

    /// One mistake or warning, to standard error.
    pub fn diagnostic(&self, diagnostic: &Diagnostic) {
        let text = diagnostic.to_string();
        let (head, rest) = text.split_once(':').unwrap_or(("", &text));
        let style = if head == "error" { Style::Bad } else { Style::Warning };
        let head = paint(head, style, self.error_colour);
        let _ = writeln!(std::io::stderr(), "{head}:{rest}\n");
    }

    /// A table.
    pub fn table(&self, table: &Table) {
        self.text(&table.render(self.colour));
    }

    /// A text in a style, for [`Output::line`].
    pub fn paint(&self, text: &str, style: Style) -> String {
        paint(text, style, self.colour)
    }
}

fn paint(text: &str, style: Style, colour: bool) -> String {
    if colour && style != Style::Plain {
        format!("\x1b[{}m{text}\x1b[0m", style.sgr())
    } else {
        text.to_owned()
    }
}

/// A table for people: columns as wide as their widest cell, two spaces between them.
#[derive(Clone, Debug)]
pub struct Table {
    heads: Vec<Column>,
    rows: Vec<Vec<(String, Style)>>,
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    head: &'static str,
    right: bool,
}

/// A column of text.
pub const fn left(head: &'static str) -> Column {
    Column { head, right: false }
}

/// A column of numbers.
pub const fn right(head: &'static str) -> Column {
    Column { head, right: true }
}

impl Table {
    /// An empty table.
    pub fn new(columns: impl Into<Vec<Column>>) -> Self {
        Self { heads: columns.into(), rows: Vec::new() }
    }

    /// Adds a row of plain cells.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| (cell, Style::Plain)).collect());
    }

    /// Adds a row of cells with a style each.
    pub fn styled_row(&mut self, cells: impl IntoIterator<Item = (String, Style)>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn render(&self, colour: bool) -> String {
        let width_of = |index: usize, column: &Column| {
            let cells =
                self.rows.iter().filter_map(|row| row.get(index)).map(|(cell, _)| cell.chars().count());
            cells.chain([column.head.chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<_> = self.heads.iter().enumerate().map(|(i, column)| width_of(i, column)).collect();
        let heads: Vec<_> = self.heads.iter().map(|column| (column.head.to_owned(), Style::Head)).collect();
        let mut text = String::new();
        for row in std::iter::once(&heads).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, style), (column, width)) in row.iter().zip(self.heads.iter().zip(&widths)) {
                let fill = " ".repeat(width.saturating_sub(cell.chars().count()));
                let cell = paint(cell, *style, colour);
                let cell = if column.right { fill + &cell } else { cell + &fill };
                line += &cell;
                line += "  ";
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_columns_as_wide_as_their_widest_cell() {
        let mut table = Table::new([left("BACKEND"), right("FLOWS")]);
        table.row(["10.0.0.11:8080".to_owned(), "7".to_owned()]);
        table.row(["[::1]:80".to_owned(), "1234567".to_owned()]);
        let expected = "BACKEND           FLOWS\n10.0.0.11:8080        7\n[::1]:80        1234567\n";
        assert_eq!(table.render(false), expected);
    }

    #[test]
    fn colour_does_not_move_columns() {
        let mut table = Table::new([left("STATE"), left("WHY")]);
        table.styled_row([("up".to_owned(), Style::Good), ("-".to_owned(), Style::Plain)]);
        assert!(table.render(true).contains("\x1b[32mup\x1b[0m     -"), "{:?}", table.render(true));
    }
}

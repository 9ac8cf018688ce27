//! A mistake in the configuration, with the place where it was made, as people and programs read it.

use std::cell::OnceCell;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;

use super::secrets::hidden;

/// What is wrong: a small type beside the code that finds it. Its `Display` names the thing and the value.
pub trait Fact: fmt::Display {
    /// What to do about it.
    fn help(&self) -> Option<String> {
        None
    }
}

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is served with it.
    Error,
    /// Allowed, and probably not meant.
    Warning,
}

/// One mistake at one place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file's name as it was given.
    #[serde(serialize_with = "as_str")]
    pub file: Arc<str>,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The line itself; of a long one what is around the place.
    #[serde(skip)]
    pub source_line: String,
    /// Where in `source_line` the place begins, in characters from 0.
    #[serde(skip)]
    pub indent: usize,
    /// How many characters of `source_line` are meant, at least 1.
    #[serde(skip)]
    pub width: usize,
}

impl Diagnostic {
    /// A fact about a line, counted from 1, of a configuration that says `text`: for what only those find who compile
    /// it.
    pub fn at_line(severity: Severity, name: &str, text: &str, line: usize, fact: &dyn Fact) -> Self {
        let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        let length = text[start..].lines().next().map_or(0, |line| line.trim_end().len());
        Source::new(name, text).diagnose(severity, &(start..start + length), fact)
    }
}

/// serde keeps `Arc` behind a feature of its own.
fn as_str<S: serde::Serializer>(text: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(text)
}

impl fmt::Display for Diagnostic {
    /// As rustc does: what, where, the line, a caret, help.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let gutter = self.line.to_string().len();
        writeln!(f, "{severity}: {}", self.message)?;
        writeln!(f, "{:gutter$}--> {}:{}:{}", "", self.file, self.line, self.column)?;
        writeln!(f, "{:gutter$} |", "")?;
        writeln!(f, "{} | {}", self.line, self.source_line)?;
        write!(
            f,
            "{:gutter$} | {:indent$}{:^<width$}",
            "",
            "",
            "",
            indent = self.indent,
            width = self.width
        )?;
        if let Some(help) = &self.help {
            write!(f, "\n{:gutter$} = help: {help}", "")?;
        }
        Ok(())
    }
}

/// A configuration file, to find places in it.
#[derive(Clone, Debug)]
pub(super) struct Source<'a> {
    name: Arc<str>,
    text: &'a str,
    /// Where lines begin, once somebody asks: a file may have very many mistakes.
    lines: OnceCell<Vec<usize>>,
}

impl<'a> Source<'a> {
    pub(super) fn new(name: &str, text: &'a str) -> Self {
        Self { name: name.into(), text, lines: OnceCell::new() }
    }

    /// The text at a place.
    pub(super) fn slice(&self, span: &Range<usize>) -> &'a str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    /// A fact about a place. A place of several lines is cut at the end of its first.
    pub(super) fn diagnose(&self, severity: Severity, span: &Range<usize>, fact: &dyn Fact) -> Diagnostic {
        let start = floor_boundary(self.text, span.start);
        let end = floor_boundary(self.text, span.end).max(start);
        let (line, line_start) = self.line(start);
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |at| start + at);
        let before = self.text[line_start..start].chars().count();
        let meant = self.text[start..end.min(line_end)].chars().count();
        let (source_line, indent) = excerpt(&hidden(&self.text[line_start..line_end]), before);
        let rest = source_line.chars().count().saturating_sub(indent);
        Diagnostic {
            severity,
            file: self.name.clone(),
            line,
            column: before + 1,
            message: fact.to_string(),
            help: fact.help(),
            source_line,
            indent,
            width: meant.min(rest).max(1),
        }
    }
}

impl Source<'_> {
    /// The line of a place, from 1, and where it begins.
    fn line(&self, at: usize) -> (usize, usize) {
        let lines = self.lines.get_or_init(|| {
            std::iter::once(0).chain(self.text.match_indices('\n').map(|(end, _)| end + 1)).collect()
        });
        let line = lines.partition_point(|start| *start <= at);
        (line, lines[line - 1])
    }
}

/// A line as it is shown, and where in it the character `at` is. Of a long line, what is around that character.
fn excerpt(line: &str, at: usize) -> (String, usize) {
    const LONGEST: usize = 240;
    const BEFORE: usize = 80;
    let line = line.replace('\t', " ");
    let line = line.trim_end_matches('\r');
    if line.chars().count() <= LONGEST {
        return (line.to_owned(), at);
    }
    let skipped = at.saturating_sub(BEFORE);
    let shown: String = line.chars().skip(skipped).take(LONGEST).collect();
    if skipped == 0 { (shown + "…", at) } else { (format!("…{shown}…"), at - skipped + 1) }
}

/// The nearest place at or before `at` where a character begins.
fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Everything that is wrong with a configuration, or doubtful, in the order of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n\n" };
            write!(f, "{gap}{diagnostic}")?;
        }
        Ok(())
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigErrors {
    /// The file could not be read.
    #[error("cannot read the configuration {}: {error}", path.display())]
    Unreadable {
        /// Its path.
        path: std::path::PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It has mistakes.
    #[error("{0}")]
    Wrong(Diagnostics),
}

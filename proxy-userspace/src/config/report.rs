//! Where mistakes are collected while a file is read, so that one run finds them all.

use std::collections::HashSet;
use std::ops::Range;

use super::diagnostic::{Diagnostic, Fact, Severity, Source};

/// Stands for a value that could not be had, because of a mistake that was reported. Only [`Report`] makes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Reported(());

/// A value and its place in the file.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    /// In bytes from the start of the file.
    pub(super) span: Range<usize>,
}

/// The mistakes found so far.
#[derive(Debug)]
pub(super) struct Report<'a> {
    source: Source<'a>,
    found: Vec<Diagnostic>,
    /// Where each begins, and what it says: nothing is said twice.
    said: HashSet<(usize, String)>,
    spoilt: bool,
}

impl<'a> Report<'a> {
    pub(super) fn new(source: Source<'a>) -> Self {
        Self { source, found: Vec::new(), said: HashSet::new(), spoilt: false }
    }

    /// Reports a mistake.
    pub(super) fn error(&mut self, span: &Range<usize>, fact: &dyn Fact) -> Reported {
        self.spoilt = true;
        self.add(Severity::Error, span, fact);
        Reported(())
    }

    /// Reports what is allowed, and probably not meant.
    pub(super) fn warn(&mut self, span: &Range<usize>, fact: &dyn Fact) {
        self.add(Severity::Warning, span, fact);
    }

    fn add(&mut self, severity: Severity, span: &Range<usize>, fact: &dyn Fact) {
        let diagnostic = self.source.diagnose(severity, span, fact);
        if self.said.insert((span.start, diagnostic.message.clone())) {
            self.found.push(diagnostic);
        }
    }

    /// The text at a place, as it stands in the file.
    pub(super) fn text(&self, span: &Range<usize>) -> &'a str {
        self.source.slice(span)
    }

    /// Whether an error was reported, and everything that was, in the order of the file.
    pub(super) fn finish(mut self) -> (bool, Vec<Diagnostic>) {
        self.found.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
        (self.spoilt, self.found)
    }
}

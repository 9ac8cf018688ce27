//! Something that is not as it should be.

use std::fmt;

/// One line of what `tidy` says.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    file: String,
    line: usize,
    what: String,
}

impl Finding {
    /// In `file`, on `line` (from 1).
    pub(super) fn new(file: &str, line: usize, what: String) -> Self {
        Self { file: file.into(), line, what }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

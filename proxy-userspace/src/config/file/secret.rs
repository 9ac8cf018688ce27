//! Secrets: in the file itself, in files of their own, in the environment.

use std::path::Path;

use crate::config::diagnostic::Fact;
use crate::config::kind::{Path as PathKind, Secret};
use crate::config::reader::Entries;
use crate::config::report::{At, Report, Reported};
use crate::config::table::Key;

/// No secret is longer.
const MOST_BYTES: u64 = 64 << 10;

/// The secret of a key, or of the file that the other names; else of an environment variable.
pub(super) fn read_secret(
    entries: &Entries,
    key: &'static Key<Secret>,
    file: &'static Key<PathKind>,
    variable: Option<&str>,
    report: &mut Report<'_>,
) -> Result<Option<Box<str>>, Reported> {
    let said = entries.find(key, report);
    let path = entries.find(file, report);
    match (said?, path?) {
        (Some(_), Some(path)) => Err(report.error(&path.span, &Both { key: key.name, file: file.name })),
        (Some(said), None) => Ok(Some(said.value)),
        (None, Some(At { value, span })) => {
            read_file(&value).map(Some).map_err(|why| report.error(&span, &BadFile { key: file.name, why }))
        }
        (None, None) => Ok(variable.and_then(from_environment)),
    }
}

/// What a variable of the daemon's environment says, if it says something.
pub(super) fn from_environment(variable: &str) -> Option<Box<str>> {
    let value = std::env::var(variable).ok()?;
    let value = value.trim();
    (!value.is_empty()).then(|| value.into())
}

fn read_file(path: &Path) -> Result<Box<str>, Why> {
    if std::fs::metadata(path)?.len() > MOST_BYTES {
        return Err(Why::TooLong);
    }
    let text = std::fs::read_to_string(path)?;
    let text = text.trim();
    if text.is_empty() { Err(Why::Empty) } else { Ok(text.into()) }
}

#[derive(Debug, thiserror::Error)]
enum Why {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error("it has more than {MOST_BYTES} bytes")]
    TooLong,
    #[error("it is empty")]
    Empty,
}

#[derive(Debug, thiserror::Error)]
#[error("{key}: {why}")]
struct BadFile {
    key: &'static str,
    why: Why,
}

impl Fact for BadFile {
    fn help(&self) -> Option<String> {
        Some("name a file that holds the secret alone, and that the daemon may read".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{key} and {file} exclude each other")]
struct Both {
    key: &'static str,
    file: &'static str,
}

impl Fact for Both {
    fn help(&self) -> Option<String> {
        Some(format!("remove {}", self.key))
    }
}

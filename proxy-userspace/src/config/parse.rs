//! From text to configuration.

use std::path::Path;

use toml::de::DeTable;

use super::check;
use super::diagnostic::{ConfigErrors, Diagnostics, Fact, Severity, Source};
use super::file::File;
use super::model::Config;
use super::node::Table;
use super::report::Report;

/// Reads a configuration file.
///
/// # Errors
/// The file cannot be read, or has mistakes: all of them.
pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
    match std::fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => parse(&text, &path.display().to_string()),
            Err(error) => {
                let error = std::io::Error::new(std::io::ErrorKind::InvalidData, error.utf8_error());
                Err(ConfigErrors::Unreadable { path: path.to_owned(), error })
            }
        },
        Err(error) => Err(ConfigErrors::Unreadable { path: path.to_owned(), error }),
    }
}

/// Reads a configuration. `name` stands for the file in messages.
///
/// # Errors
/// The text has mistakes: all of them. If it is not TOML, the first mistake of each line.
pub fn parse(text: &str, name: &str) -> Result<Config, ConfigErrors> {
    let mut report = Report::new(Source::new(name, text));
    let (root, mistakes) = DeTable::parse_recoverable(text);
    for mistake in &mistakes {
        let span = mistake.span().unwrap_or(text.len()..text.len());
        report.error(&span, &NotToml { message: mistake.message() });
    }
    if !mistakes.is_empty() {
        let mut found = report.finish().1;
        // What follows a mistake in its line follows from it.
        found.dedup_by_key(|diagnostic| diagnostic.line);
        return Err(ConfigErrors::Wrong(Diagnostics(found)));
    }
    // One after the other: what a large file takes in one form is there for the next.
    let table = Table::from(root.get_ref());
    drop(root);
    let file = File::read(&table, &mut report);
    drop(table);
    let config = check::resolve(file, &mut report);
    match (config, report.finish()) {
        (Ok(config), (false, warnings)) => Ok(Config { warnings, ..config }),
        (_, (_, mut found)) => {
            // Some warnings only follow from errors: a listener that could not be read uses no pool.
            found.retain(|diagnostic| diagnostic.severity == Severity::Error);
            Err(ConfigErrors::Wrong(Diagnostics(found)))
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("this is not TOML: {message}")]
struct NotToml<'a> {
    message: &'a str,
}

impl Fact for NotToml<'_> {}

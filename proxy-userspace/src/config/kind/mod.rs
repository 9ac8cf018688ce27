//! The kinds of values: how each is read, and how it is described.

/// Addresses to bind, of backends, and of the balancer itself.
mod address;
/// Lists.
mod list;
/// Numbers, durations, ports and statuses: everything with a range.
mod number;
/// Texts: paths, names, file modes.
mod text;
/// Words from a fixed set.
mod words;

pub(super) use address::{BackendAddress, Bind, HostAddress};
pub(super) use list::{List, OneOrMore};
pub(super) use number::{Flag, Lasting, Number, Port, PortRange, Share, StatusRange};
pub(super) use text::{FileMode, HostName, HttpPath, Interface, Name, Path, SocketPath, check_name};
pub(super) use words::{Word, Words};

use std::fmt;

use super::diagnostic::Fact;
use super::node::Value;
use super::report::{Report, Reported};
use super::table::Place;

/// A value of another kind than is wanted.
pub(super) struct WrongKind<'a> {
    what: &'a str,
    wanted: String,
    example: &'a str,
    found: String,
}

impl<'a> WrongKind<'a> {
    pub(super) fn of(what: &'a str, wanted: &str, example: &'a str, found: &Value) -> Self {
        Self { what, wanted: wanted.to_owned(), example, found: describe(found) }
    }
}

impl fmt::Display for WrongKind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, found {}", self.what, self.wanted, self.found)
    }
}

impl Fact for WrongKind<'_> {
    fn help(&self) -> Option<String> {
        Some(format!("write it as: {}", self.example))
    }
}

/// A value of the right kind that is not right, with the reason.
pub(super) struct WrongValue<'a> {
    pub(super) key: &'static str,
    /// As it stands in the file.
    pub(super) value: &'a str,
    pub(super) reason: &'a dyn fmt::Display,
    pub(super) help: Option<String>,
}

impl fmt::Display for WrongValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}: {}", self.key, self.value, self.reason)
    }
}

impl Fact for WrongValue<'_> {
    fn help(&self) -> Option<String> {
        self.help.clone()
    }
}

/// Reports a value that is not of the kind `wanted`.
fn wrong_kind(place: Place<'_>, wanted: &str, example: &str, report: &mut Report<'_>) -> Reported {
    let fact = WrongKind::of(place.key, wanted, example, &place.node.value);
    report.error(&place.node.span, &fact)
}

/// Reports a value that is of the right kind and yet not right.
fn wrong_value(
    place: Place<'_>,
    reason: &dyn fmt::Display,
    help: Option<String>,
    report: &mut Report<'_>,
) -> Reported {
    let span = &place.node.span;
    let value = report.text(span);
    let value = if value.contains('\n') { "…" } else { value };
    report.error(span, &WrongValue { key: place.key, value, reason, help })
}

/// A text, or a report that it is none.
fn text<'a>(
    place: Place<'a>,
    wanted: &str,
    example: &str,
    report: &mut Report<'_>,
) -> Result<&'a str, Reported> {
    match &place.node.value {
        Value::Text(text) => Ok(text),
        _ => Err(wrong_kind(place, wanted, example, report)),
    }
}

/// What a value is, for people.
fn describe(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("the text {text:?}"),
        Value::Integer(number) => format!("the number {number}"),
        Value::Float(number) => format!("the number {number}"),
        Value::Flag(flag) => format!("{flag}"),
        Value::Date(date) => format!("the date {date}"),
        Value::List(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
    }
}

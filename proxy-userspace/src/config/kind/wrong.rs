//! A value that is of another kind than is wanted, or not right: the report, in one form for all kinds.

use std::fmt;

use crate::config::diagnostic::Fact;
use crate::config::node::Value;
use crate::config::report::{Report, Reported};
use crate::config::table::Place;

/// A value of another kind than is wanted.
pub(in crate::config) struct WrongKind<'a> {
    what: &'a str,
    wanted: String,
    example: &'a str,
    found: String,
}

impl<'a> WrongKind<'a> {
    pub(in crate::config) fn of(what: &'a str, wanted: &str, example: &'a str, found: &Value) -> Self {
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
pub(in crate::config) struct WrongValue<'a> {
    pub(in crate::config) key: &'static str,
    /// As it stands in the file.
    pub(in crate::config) value: &'a str,
    pub(in crate::config) reason: &'a dyn fmt::Display,
    pub(in crate::config) help: Option<String>,
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
pub(super) fn wrong_kind(place: Place<'_>, wanted: &str, example: &str, report: &mut Report<'_>) -> Reported {
    let fact = WrongKind::of(place.key, wanted, example, &place.node.value);
    report.error(&place.node.span, &fact)
}

/// Reports a value that is of the right kind and yet not right.
pub(super) fn wrong_value(
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
pub(super) fn text<'a>(
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

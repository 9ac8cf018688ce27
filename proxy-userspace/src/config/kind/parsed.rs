//! Texts that a function reads.

use serde_json::{Value as Json, json};

use super::wrong::{text, wrong_value};
use crate::config::diagnostic::Fact;
use crate::config::report::{Report, Reported};
use crate::config::table::{Kind, Place};

/// A text that a function reads.
#[derive(Debug)]
pub(in crate::config) struct Parsed<T: 'static> {
    /// As in "expected …".
    pub(super) wanted: &'static str,
    /// A value, in TOML.
    pub(super) example: &'static str,
    /// A regular expression, for the schema.
    pub(super) pattern: &'static str,
    pub(super) parse: fn(&str) -> Result<T, Box<dyn Fact>>,
}

impl<T> Kind for Parsed<T> {
    type Value = T;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<T, Reported> {
        let text = text(place, self.wanted, self.example, report)?;
        (self.parse)(text).map_err(|fact| wrong_value(place, &fact, fact.help(), report))
    }

    fn wanted(&self) -> String {
        self.wanted.to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "pattern": self.pattern })
    }
}

/// A text that stays one.
pub(in crate::config) type PlainText = Parsed<Box<str>>;

/// A mistake in a text, for [`Parsed::parse`].
pub(super) fn bad<T, F: Fact + 'static>(fact: F) -> Result<T, Box<dyn Fact>> {
    Err(Box::new(fact))
}

//! Lists.

use serde_json::{Value as Json, json};

use super::wrong::{wrong_kind, wrong_value};
use crate::config::node::Value;
use crate::config::report::{At, Report, Reported};
use crate::config::table::{Kind, Place, Section};

/// A list with at least one entry.
#[derive(Debug)]
pub(in crate::config) struct List<K> {
    pub(in crate::config) of: K,
    /// An entry, in TOML.
    pub(in crate::config) example: &'static str,
}

impl<K: Kind> Kind for List<K> {
    type Value = Vec<At<K::Value>>;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<Self::Value, Reported> {
        let example = format!("[{}]", self.example);
        let Value::List(array) = &place.node.value else {
            return Err(wrong_kind(place, &self.wanted(), &example, report));
        };
        if array.is_empty() {
            let help = Some(format!("write it as: {example}"));
            return Err(wrong_value(place, &"the list is empty", help, report));
        }
        let read = |node| {
            let value = self.of.read(place.inner(node), report)?;
            Ok(At { value, span: node.span.clone() })
        };
        // Collected twice, so that every entry is read though the first was wrong.
        array.iter().map(read).collect::<Vec<_>>().into_iter().collect()
    }

    fn wanted(&self) -> String {
        format!("a list, each entry {}", self.of.wanted())
    }

    fn schema(&self) -> Json {
        json!({ "type": "array", "items": self.of.schema(), "minItems": 1 })
    }

    fn section(&self) -> Option<&'static Section> {
        self.of.section()
    }
}

/// A list, or its one entry alone.
#[derive(Debug)]
pub(in crate::config) struct OneOrMore<K>(pub(in crate::config) List<K>);

impl<K: Kind> Kind for OneOrMore<K> {
    type Value = Vec<At<K::Value>>;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<Self::Value, Reported> {
        if let Value::List(_) = &place.node.value {
            return self.0.read(place, report);
        }
        let value = self.0.of.read(place, report)?;
        Ok(vec![At { value, span: place.node.span.clone() }])
    }

    fn wanted(&self) -> String {
        format!("{}, or a list of them", self.0.of.wanted())
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [self.0.of.schema(), self.0.schema()] })
    }

    fn section(&self) -> Option<&'static Section> {
        self.0.section()
    }
}

//! Tables whose keys are names that the user gives.

use serde_json::{Value as Json, json};

use super::wrong::{wrong_kind, wrong_value};
use crate::config::node::{Node, Value};
use crate::config::report::{At, Report, Reported};
use crate::config::table::{Kind, Place, Section};

/// A table with at least one entry, its names of one kind and its values of another.
#[derive(Debug)]
pub(in crate::config) struct Map<N, V> {
    pub(in crate::config) name: N,
    pub(in crate::config) value: V,
    /// The table, in TOML.
    pub(in crate::config) example: &'static str,
}

/// Names and values, in the order of the file.
pub(in crate::config) type Named<N, V> = Vec<(At<N>, V)>;

impl<N: Kind, V: Kind> Kind for Map<N, V> {
    type Value = Named<N::Value, V::Value>;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<Self::Value, Reported> {
        let Value::Table(table) = &place.node.value else {
            return Err(wrong_kind(place, &self.wanted(), self.example, report));
        };
        if table.iter().next().is_none() {
            let help = Some(format!("write it as: {}", self.example));
            return Err(wrong_value(place, &"the table is empty", help, report));
        }
        let read = |(key, node): (&At<String>, &Node)| {
            let text = Node { value: Value::Text(key.value.clone()), span: key.span.clone() };
            let name = self.name.read(place.inner(&text), report);
            let value = self.value.read(place.inner(node), report);
            Ok((At { value: name?, span: key.span.clone() }, value?))
        };
        // Collected twice, so that every entry is read though the first was wrong.
        table.iter().map(read).collect::<Vec<_>>().into_iter().collect()
    }

    fn wanted(&self) -> String {
        format!("a table of names with values, each value {}", self.value.wanted())
    }

    fn schema(&self) -> Json {
        json!({ "type": "object", "additionalProperties": self.value.schema(), "minProperties": 1 })
    }

    fn section(&self) -> Option<&'static Section> {
        self.value.section()
    }
}

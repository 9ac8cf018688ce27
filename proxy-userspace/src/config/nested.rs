//! Tables within values.

use serde_json::{Value as Json, json};

use super::address::Endpoint;
use super::kind::BackendAddress;
use super::node::Value;
use super::reader::Entries;
use super::report::{Report, Reported};
use super::table::{Kind, Place, Presence, Section};

/// A table within a value.
#[derive(Debug)]
pub(super) struct Nested(pub(super) &'static Section);

impl Kind for Nested {
    type Value = Entries;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<Entries, Reported> {
        Entries::open(self.0, format!("{} of {}", place.key, place.owner), place.node, report)
    }

    fn wanted(&self) -> String {
        "a table".to_owned()
    }

    fn schema(&self) -> Json {
        section_schema(self.0)
    }

    fn section(&self) -> Option<&'static Section> {
        Some(self.0)
    }
}

/// What an entry of `backends` says.
#[derive(Clone, Debug)]
pub(super) enum AddressOrTable {
    /// Its address alone.
    Address(Endpoint),
    /// More.
    Table(Entries),
}

/// An address, or a table that has one.
#[derive(Debug)]
pub(super) struct AddressOr(pub(super) &'static Section);

impl Kind for AddressOr {
    type Value = AddressOrTable;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<AddressOrTable, Reported> {
        match &place.node.value {
            Value::Table(_) => Nested(self.0).read(place, report).map(AddressOrTable::Table),
            _ => BackendAddress.read(place, report).map(AddressOrTable::Address),
        }
    }

    fn wanted(&self) -> String {
        format!("{}, or a table", BackendAddress.wanted())
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [BackendAddress.schema(), section_schema(self.0)] })
    }

    fn section(&self) -> Option<&'static Section> {
        Some(self.0)
    }
}

/// The JSON schema of a table.
pub(super) fn section_schema(section: &Section) -> Json {
    let mut properties = serde_json::Map::new();
    let mut required = Vec::new();
    for key in section.keys {
        let mut schema = key.schema();
        if let Json::Object(object) = &mut schema {
            object.insert("description".to_owned(), json!(key.meaning()));
            if let Presence::Default(text) = key.presence() {
                object.insert("default".to_owned(), default_json(text));
            }
        }
        if key.presence() == Presence::Required {
            required.push(key.name());
        }
        properties.insert(key.name().to_owned(), schema);
    }
    json!({
        "type": "object",
        "description": section.meaning,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// A default, in TOML, as JSON.
fn default_json(text: &str) -> Json {
    let document = format!("value = {text}");
    let table = document.parse::<toml::Table>().ok();
    table.and_then(|table| serde_json::to_value(table.get("value")?).ok()).unwrap_or(Json::Null)
}

//! Tables within values.

use serde_json::{Value as Json, json};

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

/// What a value says that can be short.
#[derive(Clone, Debug)]
pub(super) enum Short<T> {
    /// One thing.
    One(T),
    /// More.
    Table(Entries),
}

/// A value, or a table that says more.
#[derive(Debug)]
pub(super) struct ShortOr<K>(pub(super) K, pub(super) &'static Section);

impl<K: Kind> Kind for ShortOr<K> {
    type Value = Short<K::Value>;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<Self::Value, Reported> {
        match &place.node.value {
            Value::Table(_) => Nested(self.1).read(place, report).map(Short::Table),
            _ => self.0.read(place, report).map(Short::One),
        }
    }

    fn wanted(&self) -> String {
        format!("{}, or a table", self.0.wanted())
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [self.0.schema(), section_schema(self.1)] })
    }

    fn section(&self) -> Option<&'static Section> {
        Some(self.1)
    }
}

/// `false`, or something.
#[derive(Debug)]
pub(super) struct OrFalse<K>(pub(super) K);

impl<K: Kind> Kind for OrFalse<K> {
    type Value = Option<K::Value>;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<Self::Value, Reported> {
        match &place.node.value {
            Value::Flag(false) => Ok(None),
            _ => self.0.read(place, report).map(Some),
        }
    }

    fn wanted(&self) -> String {
        format!("{}, or false", self.0.wanted())
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [self.0.schema(), { "const": false }] })
    }

    fn section(&self) -> Option<&'static Section> {
        self.0.section()
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

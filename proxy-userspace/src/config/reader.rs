//! Reads the keys of a table as the table of keys says: what is unknown, missing or wrong is reported, all of it.

use std::ops::Range;

use toml::de::DeValue;

use super::diagnostic::Fact;
use super::kind::WrongKind;
use super::nearest::{list, nearest};
use super::node::{Node, Table, Value};
use super::report::{At, Report, Reported};
use super::table::{Key, Kind, Place, Presence, Section};

/// A table of the file, its unknown keys reported.
#[derive(Clone, Debug)]
pub(super) struct Entries {
    /// As a message names it: `[pool.app]`.
    pub(super) owner: String,
    /// The header, or the table itself if it is written inline.
    pub(super) span: Range<usize>,
    table: Table,
    /// Keys that unknown ones were probably meant to be: they are not reported again as missing.
    mistyped: Vec<(&'static str, Reported)>,
}

impl Entries {
    /// Opens a table.
    pub(super) fn open(
        section: &Section,
        owner: String,
        node: &Node,
        report: &mut Report<'_>,
    ) -> Result<Self, Reported> {
        let Value::Table(table) = &node.value else {
            let wrong = WrongKind::of(&owner, "a table", section.title, &node.value);
            return Err(report.error(&node.span, &wrong));
        };
        let mut mistyped = Vec::new();
        for (key, _) in table.iter() {
            let name = &*key.value;
            if section.names().all(|known| known != name) {
                if let Some((_, why)) = section.elsewhere.iter().find(|(other, _)| *other == name) {
                    report.error(&key.span, &NotInThisBuild { name, why });
                    continue;
                }
                let reported = report.error(&key.span, &UnknownKey { name, owner: &owner, section });
                mistyped.extend(nearest(name, section.names()).map(|meant| (meant, reported)));
            }
        }
        Ok(Self { owner, span: node.span.clone(), table: table.clone(), mistyped })
    }

    /// A table that is not in the file: every key has its default.
    pub(super) fn absent(owner: &str) -> Self {
        Self { owner: owner.to_owned(), span: 0..0, table: Table::default(), mistyped: Vec::new() }
    }

    /// The value of a key that is required or has a default.
    pub(super) fn get<K: Kind>(
        &self,
        key: &'static Key<K>,
        report: &mut Report<'_>,
    ) -> Result<At<K::Value>, Reported> {
        if let Some(value) = self.find(key, report)? {
            return Ok(value);
        }
        if let Some(reported) = self.missing(key) {
            return Err(reported);
        }
        let missing = Missing { key: key.name, owner: &self.owner, example: key.example };
        let Presence::Default(text) = key.presence else {
            return Err(report.error(&self.span, &missing));
        };
        let Ok(node) = DeValue::parse(text) else {
            return Err(report.error(&self.span, &missing));
        };
        let place = Place { key: key.name, owner: &self.owner, node: &Node::from(&node) };
        Ok(At { value: key.kind.read(place, report)?, span: self.span.clone() })
    }

    /// The value of a key, or what it is where it is not said: the default of the key's table, already read.
    pub(super) fn or<K: Kind>(
        &self,
        key: &'static Key<K>,
        default: K::Value,
        report: &mut Report<'_>,
    ) -> Result<K::Value, Reported> {
        Ok(self.find(key, report)?.map_or(default, |found| found.value))
    }

    /// The report of an unknown key that was probably meant to be this one.
    pub(super) fn missing<K: Kind>(&self, key: &'static Key<K>) -> Option<Reported> {
        self.mistyped.iter().find(|(meant, _)| *meant == key.name).map(|(_, reported)| *reported)
    }

    /// Whether a key is there.
    pub(super) fn has<K: Kind>(&self, key: &'static Key<K>) -> bool {
        self.table.get(key.name).is_some()
    }

    /// The place of a key.
    pub(super) fn span_of<K: Kind>(&self, key: &'static Key<K>) -> Range<usize> {
        self.table.get(key.name).map_or_else(|| self.span.clone(), |(name, _)| name.clone())
    }

    /// The value of a key, if it is there.
    pub(super) fn find<K: Kind>(
        &self,
        key: &'static Key<K>,
        report: &mut Report<'_>,
    ) -> Result<Option<At<K::Value>>, Reported> {
        let Some((_, node)) = self.table.get(key.name) else {
            return Ok(None);
        };
        let place = Place { key: key.name, owner: &self.owner, node };
        Ok(Some(At { value: key.kind.read(place, report)?, span: node.span.clone() }))
    }
}

struct UnknownKey<'a> {
    name: &'a str,
    owner: &'a str,
    section: &'a Section,
}

impl std::fmt::Display for UnknownKey<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "unknown key {:?} in {}", self.name, self.owner)
    }
}

impl Fact for UnknownKey<'_> {
    fn help(&self) -> Option<String> {
        let known = list(self.section.names());
        Some(match nearest(self.name, self.section.names()) {
            Some(name) => format!("did you mean {name:?}? Keys here are: {known}"),
            None => format!("keys here are: {known}"),
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{name}: {why}")]
struct NotInThisBuild<'a> {
    name: &'a str,
    why: &'static str,
}

impl Fact for NotInThisBuild<'_> {
    fn help(&self) -> Option<String> {
        Some(format!("remove {}", self.name))
    }
}

struct Missing<'a> {
    key: &'static str,
    owner: &'a str,
    example: &'static str,
}

impl std::fmt::Display for Missing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} has no {:?}", self.owner, self.key)
    }
}

impl Fact for Missing<'_> {
    fn help(&self) -> Option<String> {
        Some(format!("add: {} = {}", self.key, self.example))
    }
}

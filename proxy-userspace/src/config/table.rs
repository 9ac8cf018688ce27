//! What a key of the configuration is: its name, kind, default and meaning, once. The reader, the suggestions for
//! unknown keys, the JSON schema and docs/configuration.md are all made from this.

use serde_json::Value as Json;

use super::node::Node;
use super::report::{Report, Reported};

/// A value in the file, and what it is the value of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// The key.
    pub(super) key: &'static str,
    /// The table that the key stands in, as a message names it.
    pub(super) owner: &'a str,
    pub(super) node: &'a Node,
}

impl<'a> Place<'a> {
    /// A value within this one.
    pub(super) fn inner(self, node: &'a Node) -> Self {
        Self { node, ..self }
    }
}

/// A kind of value: how it is read, and how it is described.
pub(super) trait Kind: Sync {
    /// What is read.
    type Value;

    /// Reads a value, or reports everything that is wrong with it.
    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<Self::Value, Reported>;

    /// What is wanted, as in "expected …": a noun with its article.
    fn wanted(&self) -> String;

    /// The JSON schema of the value.
    fn schema(&self) -> Json;

    /// The tables that the value consists of, if it does.
    fn section(&self) -> Option<&'static Section> {
        None
    }
}

/// What holds when a key is not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Presence {
    /// It must be there.
    Required,
    /// This value, in TOML.
    Default(&'static str),
    /// What happens then, for people.
    Optional(&'static str),
}

/// A key.
#[derive(Debug)]
pub(super) struct Key<K> {
    pub(super) name: &'static str,
    pub(super) kind: K,
    pub(super) presence: Presence,
    /// What it means. Markdown, whole sentences.
    pub(super) meaning: &'static str,
    /// A value, in TOML.
    pub(super) example: &'static str,
}

/// A key, whatever its kind.
pub(super) trait AnyKey: Sync {
    fn name(&self) -> &'static str;
    fn presence(&self) -> Presence;
    fn meaning(&self) -> &'static str;
    fn example(&self) -> &'static str;
    fn wanted(&self) -> String;
    fn schema(&self) -> Json;
    fn section(&self) -> Option<&'static Section>;
    /// Whether a value, in TOML, can be read without a mistake.
    #[cfg(test)]
    fn accepts(&self, toml: &str) -> bool;
}

impl<K: Kind> AnyKey for Key<K> {
    fn name(&self) -> &'static str {
        self.name
    }
    fn presence(&self) -> Presence {
        self.presence
    }
    fn meaning(&self) -> &'static str {
        self.meaning
    }
    fn example(&self) -> &'static str {
        self.example
    }
    fn wanted(&self) -> String {
        self.kind.wanted()
    }
    fn schema(&self) -> Json {
        self.kind.schema()
    }
    fn section(&self) -> Option<&'static Section> {
        self.kind.section()
    }
    #[cfg(test)]
    fn accepts(&self, toml: &str) -> bool {
        let node = Node::from(&toml::de::DeValue::parse(toml).expect("TOML"));
        let mut report = Report::new(super::diagnostic::Source::new("", toml));
        self.kind.read(Place { key: self.name, owner: "", node: &node }, &mut report).is_ok()
    }
}

/// A table of keys.
pub(super) struct Section {
    /// Its header in the file, or the key whose value it is.
    pub(super) title: &'static str,
    /// What it is for. Markdown, whole sentences.
    pub(super) meaning: &'static str,
    pub(super) keys: &'static [&'static dyn AnyKey],
    /// Keys that later versions have, and why this one has not.
    pub(super) elsewhere: &'static [(&'static str, &'static str)],
}

impl Section {
    /// The names of its keys.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().map(|key| key.name())
    }
}

impl std::fmt::Debug for Section {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.title)
    }
}

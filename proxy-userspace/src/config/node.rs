//! The file as a tree of values with their places, in the order of the file.

use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::report::At;

/// A value and its place.
pub(super) type Node = At<Value>;

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(Integer),
    /// As it is written.
    Float(String),
    Flag(bool),
    /// As it is written.
    Date(String),
    List(Vec<Node>),
    Table(Table),
}

/// A whole number, as it is written: it may be greater than any type.
#[derive(Clone, Debug)]
pub(super) struct Integer {
    /// With its sign.
    digits: String,
    radix: u32,
}

impl Integer {
    /// The number, if it fits.
    pub(super) fn to_u64(&self) -> Option<u64> {
        u64::from_str_radix(&self.digits, self.radix).ok()
    }
}

impl fmt::Display for Integer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = match self.radix {
            2 => "0b",
            8 => "0o",
            16 => "0x",
            _ => "",
        };
        write!(f, "{prefix}{}", self.digits)
    }
}

/// Keys and values. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Table(Rc<[(At<String>, Node)]>);

impl Table {
    /// In the order of the file.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&At<String>, &Node)> {
        self.0.iter().map(|(key, node)| (key, node))
    }

    /// A key's place and value.
    pub(super) fn get(&self, name: &str) -> Option<(&Range<usize>, &Node)> {
        self.0.iter().find(|(key, _)| key.value == name).map(|(key, node)| (&key.span, node))
    }
}

impl From<&DeTable<'_>> for Table {
    fn from(table: &DeTable<'_>) -> Self {
        let entry = |(key, node): (&Spanned<_>, _)| {
            (At { value: std::borrow::Cow::to_string(key.get_ref()), span: key.span() }, Node::from(node))
        };
        let mut entries: Vec<_> = table.iter().map(entry).collect();
        entries.sort_by_key(|(key, _)| key.span.start);
        Self(entries.into())
    }
}

impl From<&Spanned<DeValue<'_>>> for Node {
    fn from(node: &Spanned<DeValue<'_>>) -> Self {
        let value = match node.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => {
                Value::Integer(Integer { digits: number.as_str().to_owned(), radix: number.radix() })
            }
            DeValue::Float(number) => Value::Float(number.as_str().to_owned()),
            DeValue::Boolean(flag) => Value::Flag(*flag),
            DeValue::Datetime(date) => Value::Date(date.to_string()),
            DeValue::Array(list) => Value::List(list.iter().map(Self::from).collect()),
            DeValue::Table(table) => Value::Table(table.into()),
        };
        Self { value, span: node.span() }
    }
}

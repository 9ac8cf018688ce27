//! The file's outermost tables.

use std::fmt;
use std::ops::Range;

use super::{FileAdmin, FileKernel, FileListener, FilePool};
use crate::config::diagnostic::Fact;
use crate::config::keys::{ADMIN, KERNEL, LISTENER, POOL, SECTIONS_ELSEWHERE};
use crate::config::kind::{WrongKind, check_name};
use crate::config::nearest::nearest;
use crate::config::node::{Node, Table, Value};
use crate::config::reader::Entries;
use crate::config::report::{At, Report, Reported};
use crate::config::table::Section;

/// The names of the outermost tables.
const TABLES: [&str; 4] = ["kernel", "admin", "listener", "pool"];

/// The whole file. What could not be read is an `Err`, and was reported.
#[derive(Debug)]
pub(in crate::config) struct File {
    pub(in crate::config) kernel: Result<Option<FileKernel>, Reported>,
    pub(in crate::config) admin: Result<FileAdmin, Reported>,
    pub(in crate::config) listeners: Vec<FileListener>,
    pub(in crate::config) pools: Vec<FilePool>,
    /// The names of all pools, those that could not be read too.
    pub(in crate::config) pool_names: Vec<String>,
}

impl File {
    /// Reads a file's tables.
    pub(in crate::config) fn read(root: &Table, report: &mut Report<'_>) -> Self {
        for (key, _) in root.iter() {
            refuse_unknown(&key.value, &key.span, report);
        }
        let kernel = root.get("kernel").map(|(_, node)| {
            let entries = Entries::open(&KERNEL, "[kernel]".to_owned(), node, report)?;
            FileKernel::read(&entries, report)
        });
        let admin = match root.get("admin") {
            Some((_, node)) => Entries::open(&ADMIN, "[admin]".to_owned(), node, report),
            None => Ok(Entries::absent("[admin]")),
        };
        let listeners = named(root, "listener", &LISTENER, report);
        let pools = named(root, "pool", &POOL, report);
        Self {
            kernel: kernel.transpose(),
            admin: admin.and_then(|entries| FileAdmin::read(&entries, report)),
            listeners: listeners
                .into_iter()
                .map(|(name, entries)| FileListener::read(name, &entries, report))
                .collect(),
            pools: pools.into_iter().map(|(name, entries)| FilePool::read(name, &entries, report)).collect(),
            pool_names: names(root, "pool"),
        }
    }
}

/// The tables below `[<key>.NAME]`, by name.
fn named(
    root: &Table,
    key: &'static str,
    section: &'static Section,
    report: &mut Report<'_>,
) -> Vec<(At<Box<str>>, Entries)> {
    let Some((_, node)) = root.get(key) else {
        return Vec::new();
    };
    let Value::Table(tables) = &node.value else {
        report.error(&node.span, &WrongKind::of(key, "tables with names", section.title, &node.value));
        return Vec::new();
    };
    let mut found = Vec::new();
    for (name, node) in tables.iter() {
        if let Ok(entry) = open_named(key, section, name, node, report) {
            found.push(entry);
        }
    }
    found
}

fn open_named(
    key: &'static str,
    section: &'static Section,
    name: &At<String>,
    node: &Node,
    report: &mut Report<'_>,
) -> Result<(At<Box<str>>, Entries), Reported> {
    let text = &*name.value;
    let good =
        check_name(text).map_err(|reason| report.error(&name.span, &BadName { key, name: text, reason }));
    let entries = Entries::open(section, format!("[{key}.{text}]"), node, report);
    good?;
    Ok((At { value: text.into(), span: name.span.clone() }, entries?))
}

fn names(root: &Table, key: &str) -> Vec<String> {
    match root.get(key).map(|(_, node)| &node.value) {
        Some(Value::Table(tables)) => tables.iter().map(|(name, _)| name.value.clone()).collect(),
        _ => Vec::new(),
    }
}

fn refuse_unknown(name: &str, span: &Range<usize>, report: &mut Report<'_>) {
    if TABLES.contains(&name) {
        return;
    }
    match SECTIONS_ELSEWHERE.iter().find(|(table, _)| *table == name) {
        Some((_, why)) => report.error(span, &NotInThisBuild { name, why }),
        None => report.error(span, &UnknownTable { name }),
    };
}

struct UnknownTable<'a> {
    name: &'a str,
}

impl fmt::Display for UnknownTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown table or key {:?}", self.name)
    }
}

impl Fact for UnknownTable<'_> {
    fn help(&self) -> Option<String> {
        let tables = "[kernel], [admin], [listener.NAME], [pool.NAME]";
        Some(match nearest(self.name, TABLES) {
            Some(name) => format!("did you mean {name:?}? Tables are: {tables}"),
            None => format!("tables are: {tables}"),
        })
    }
}

struct NotInThisBuild<'a> {
    name: &'a str,
    why: &'static str,
}

impl fmt::Display for NotInThisBuild<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: this build balances tcp and udp in the kernel, and nothing else yet", self.name)
    }
}

impl Fact for NotInThisBuild<'_> {
    fn help(&self) -> Option<String> {
        Some(format!("{}; remove the table", self.why))
    }
}

struct BadName<'a, E> {
    key: &'static str,
    name: &'a str,
    reason: E,
}

impl<E: fmt::Display> fmt::Display for BadName<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}: {}", self.key, self.name, self.reason)
    }
}

impl<E: fmt::Display> Fact for BadName<'_, E> {}

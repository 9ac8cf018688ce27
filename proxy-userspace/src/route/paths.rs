//! The routes of one host pattern, as a record.

use super::arena::{Reader, Writer};
use super::entry::{Entry, RouteRef};
use super::pattern::Patterns;
use super::rule::{PathRule, is_within};
use super::tree;

/// Up to this many routes are tried one by one, in the order of their ranks; more make a tree.
const FEW: usize = 8;
/// Stands in place of the number of few routes.
const TREE: u8 = u8::MAX;

/// What stands before one of few routes.
const ANY: u8 = 0;
const EXACT: u8 = 1;
const PREFIX: u8 = 2;
const REGEX: u8 = 3;

/// Writes the record of these routes, which stand in the order of their ranks.
pub(super) fn write(entries: &[Entry], writer: &mut Writer, patterns: &mut Patterns) {
    if entries.len() > FEW {
        writer.byte(TREE);
        return tree::write(entries, writer, patterns);
    }
    writer.byte(entries.len() as u8);
    for entry in entries {
        let kind = match &entry.path {
            PathRule::Any => ANY,
            PathRule::Exact(_) => EXACT,
            PathRule::Prefix(_) => PREFIX,
            PathRule::Regex(_) => REGEX,
        };
        writer.byte(kind);
        writer.number(entry.route.raw());
        match &entry.path {
            PathRule::Any => {}
            PathRule::Exact(text) | PathRule::Prefix(text) => writer.text(text.as_bytes()),
            PathRule::Regex(regex) => writer.number(patterns.add(regex)),
        }
    }
}

/// The first route, in the order of ranks, whose path is so and that `accepts` says yes to.
pub(super) fn find(
    records: &[u8],
    mut paths: Reader<'_>,
    path: &[u8],
    patterns: &Patterns,
    accepts: &mut impl FnMut(RouteRef) -> bool,
) -> Option<RouteRef> {
    let count = paths.byte();
    if count == TREE {
        return tree::find(records, paths, path, patterns, accepts);
    }
    for _ in 0..count {
        let kind = paths.byte();
        let route = RouteRef::from_raw(paths.number());
        let matches = match kind {
            EXACT => paths.text() == path,
            PREFIX => is_within(path, paths.text()),
            REGEX => patterns.matches(paths.number(), path),
            _ => true,
        };
        if matches && accepts(route) {
            return Some(route);
        }
    }
    None
}

//! A radix tree over paths: exact ones, prefixes, and regular expressions by what they begin with. A node is a record:
//! its label, what ends there, then the first bytes of its children's labels and where they are. Children follow their
//! parent.

use std::collections::BTreeMap;
use std::ops::Range;

use smallvec::SmallVec;

use super::arena::{List, Reader, Writer};
use super::entry::{Entry, RouteRef};
use super::pattern::Patterns;
use super::rule::{PathRule, literal_prefix};

/// What a node has beside its label.
const EXACT: u8 = 1;
const PREFIX: u8 = 2;
const REGEX: u8 = 4;
const CHILDREN: u8 = 8;

/// What ends at one text.
#[derive(Default)]
struct End<'a> {
    exact: Vec<RouteRef>,
    prefix: Vec<RouteRef>,
    regex: Vec<&'a Entry>,
}

/// Texts that have their first `depth` bytes in common, and where the place of their node is to be written.
struct Branch {
    texts: Range<usize>,
    depth: usize,
    patch: Option<u32>,
}

/// What a path goes through in the tree.
#[derive(Default)]
struct Way<'a> {
    exact: Option<List<'a>>,
    /// The longest last.
    prefixes: SmallVec<[List<'a>; 8]>,
    regexes: SmallVec<[u32; 8]>,
}

/// Writes the tree of these entries, which stand in the order of their ranks.
pub(super) fn write(entries: &[Entry], writer: &mut Writer, patterns: &mut Patterns) {
    let mut ends: BTreeMap<&[u8], End<'_>> = BTreeMap::new();
    let mut any = Vec::new();
    for entry in entries {
        match &entry.path {
            PathRule::Any => any.push(entry.route.raw()),
            PathRule::Exact(path) => ends.entry(path.as_bytes()).or_default().exact.push(entry.route),
            PathRule::Prefix(path) => ends.entry(path.as_bytes()).or_default().prefix.push(entry.route),
            PathRule::Regex(regex) => {
                let begin = literal_prefix(regex.as_str()).as_bytes();
                ends.entry(begin).or_default().regex.push(entry);
            }
        }
    }
    writer.list(any.into_iter());
    // The root's label is empty: it is there whatever the texts are.
    ends.entry(b"").or_default();
    let ends: Vec<(&[u8], End<'_>)> = ends.into_iter().collect();
    let mut branches = vec![Branch { texts: 0..ends.len(), depth: 0, patch: None }];
    while let Some(branch) = branches.pop() {
        if let Some(at) = branch.patch {
            writer.patch(at, writer.at());
        }
        write_node(&ends, &branch, &mut branches, writer, patterns);
    }
}

fn write_node(
    ends: &[(&[u8], End<'_>)],
    branch: &Branch,
    branches: &mut Vec<Branch>,
    writer: &mut Writer,
    patterns: &mut Patterns,
) {
    let mut texts = branch.texts.clone();
    let (first, end) = &ends[texts.start];
    let last = ends[texts.end - 1].0;
    // Texts are sorted: what the first and the last have in common, all have.
    let same =
        first[branch.depth..].iter().zip(&last[branch.depth..]).take_while(|(one, other)| one == other);
    let depth = branch.depth + same.count();
    writer.text(&first[branch.depth..depth]);
    let ends_here = first.len() == depth;
    if ends_here {
        texts.start += 1;
    }
    let has = |flag: u8, is_so: bool| if is_so { flag } else { 0 };
    writer.byte(
        has(EXACT, ends_here && !end.exact.is_empty())
            | has(PREFIX, ends_here && !end.prefix.is_empty())
            | has(REGEX, ends_here && !end.regex.is_empty())
            | has(CHILDREN, !texts.is_empty()),
    );
    if ends_here {
        for list in [&end.exact, &end.prefix].into_iter().filter(|list| !list.is_empty()) {
            writer.list(list.iter().map(|route| route.raw()));
        }
        if !end.regex.is_empty() {
            writer.number(patterns.add_list(&end.regex));
        }
    }
    if texts.is_empty() {
        return;
    }
    let mut groups = Vec::new();
    while !texts.is_empty() {
        let byte = ends[texts.start].0[depth];
        let count = ends[texts.clone()].partition_point(|(text, _)| text[depth] <= byte);
        groups.push((byte, texts.start..texts.start + count));
        texts.start += count;
    }
    writer.text(&groups.iter().map(|(byte, _)| *byte).collect::<Vec<_>>());
    let patches: Vec<u32> = groups
        .iter()
        .map(|_| {
            let at = writer.at();
            writer.number(0);
            at
        })
        .collect();
    // The first child is written next.
    let children = groups.into_iter().zip(patches).rev();
    branches.extend(children.map(|((_, texts), at)| Branch { texts, depth, patch: Some(at) }));
}

/// The first route, in the order of ranks, whose path is so and that `accepts` says yes to.
pub(super) fn find(
    records: &[u8],
    mut tree: Reader<'_>,
    path: &[u8],
    patterns: &Patterns,
    accepts: &mut impl FnMut(RouteRef) -> bool,
) -> Option<RouteRef> {
    let any = tree.list();
    let mut way = Way::default();
    walk(records, tree, path, &mut way);
    let mut first = |list: List<'_>| list.iter().map(RouteRef::from_raw).find(|&route| accepts(route));
    if let Some(route) = way.exact.and_then(&mut first) {
        return Some(route);
    }
    if let Some(route) = way.prefixes.iter().rev().find_map(|&list| first(list)) {
        return Some(route);
    }
    if !way.regexes.is_empty()
        && let Some(route) = patterns.find(&way.regexes, path, accepts)
    {
        return Some(route);
    }
    any.iter().map(RouteRef::from_raw).find(|&route| accepts(route))
}

fn walk<'a>(records: &'a [u8], mut node: Reader<'a>, path: &[u8], way: &mut Way<'a>) {
    let mut rest = path;
    while let Some(below) = rest.strip_prefix(node.text()) {
        rest = below;
        let flags = node.byte();
        if flags & EXACT != 0 {
            let list = node.list();
            way.exact = rest.is_empty().then_some(list);
        }
        if flags & PREFIX != 0 {
            let list = node.list();
            if matches!(rest.first(), None | Some(b'/')) {
                way.prefixes.push(list);
            }
        }
        if flags & REGEX != 0 {
            way.regexes.push(node.number());
        }
        let Some(&next) = rest.first().filter(|_| flags & CHILDREN != 0) else { return };
        let Some(child) = node.text().iter().position(|&first| first == next) else { return };
        node = Reader::new(records, node.number_at(child));
    }
}

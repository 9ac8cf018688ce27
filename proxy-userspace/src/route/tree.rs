//! A radix tree over paths: exact ones, prefixes, and regular expressions by what they begin with.

use std::collections::BTreeMap;
use std::ops::Range;

use regex::bytes::RegexSet;
use smallvec::SmallVec;

use super::entry::Entry;
use super::rule::{PathRule, REGEX_BYTES, literal_prefix};

/// More regular expressions than this, in one node, are searched together.
const FEW_REGEXES: usize = 4;
/// No more than this many are searched together.
const MOST_REGEXES: usize = 256;

/// Routes of one host pattern, by path. Nodes stand in one array, the children of a node side by side.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Box<[Node]>,
    /// Of each node, the first byte of its label.
    firsts: Box<[u8]>,
    labels: Box<[u8]>,
    /// Routes of the nodes, those of one list side by side and in the order of their ranks.
    routes: Box<[u32]>,
    regexes: Box<[RegexList]>,
    /// Routes without a path.
    any: Range<u32>,
}

#[derive(Debug)]
struct Node {
    label: Range<u32>,
    children: Range<u32>,
    exact: Range<u32>,
    prefix: Range<u32>,
    /// Index into `regexes`.
    regex: Option<u32>,
}

/// Regular expressions whose matches begin with the same text.
#[derive(Debug)]
struct RegexList {
    /// In the order of their ranks.
    entries: Box<[Entry]>,
    /// All of them, in parts. Empty: they are few.
    sets: Box<[RegexSet]>,
}

/// What ends at one text.
#[derive(Default)]
struct Terminal {
    exact: Vec<u32>,
    prefix: Vec<u32>,
    regex: Vec<Entry>,
}

/// Nodes that a path goes through, the deepest last.
type Way = SmallVec<[u32; 16]>;

impl Tree {
    /// Of entries in the order of their ranks.
    pub(super) fn new(entries: &[Entry]) -> Self {
        let mut texts: BTreeMap<&[u8], Terminal> = BTreeMap::new();
        let mut any = Vec::new();
        for entry in entries {
            match &entry.path {
                PathRule::Any => any.push(entry.route),
                PathRule::Exact(path) => texts.entry(path.as_bytes()).or_default().exact.push(entry.route),
                PathRule::Prefix(path) => texts.entry(path.as_bytes()).or_default().prefix.push(entry.route),
                PathRule::Regex(regex) => {
                    let begin = literal_prefix(regex.as_str()).as_bytes();
                    texts.entry(begin).or_default().regex.push(entry.clone());
                }
            }
        }
        let texts: Vec<(&[u8], Terminal)> = texts.into_iter().collect();
        Builder::default().build(&texts, &any)
    }

    /// The first route, in the order of ranks, whose path is so and that `accepts` says yes to.
    pub(super) fn find(&self, path: &str, mut accepts: impl FnMut(u32) -> bool) -> Option<u32> {
        let (mut prefixes, mut regexes) = (Way::new(), Way::new());
        let exact = self.walk(path.as_bytes(), &mut prefixes, &mut regexes);
        let mut first =
            |range: &Range<u32>| self.routes[as_usize(range)].iter().copied().find(|&route| accepts(route));
        if let Some(route) = exact.and_then(|node| first(&self.nodes[node as usize].exact)) {
            return Some(route);
        }
        if let Some(route) = prefixes.iter().rev().find_map(|&node| first(&self.nodes[node as usize].prefix))
        {
            return Some(route);
        }
        if !regexes.is_empty()
            && let Some(route) = self.find_regex(path, &regexes, &mut accepts)
        {
            return Some(route);
        }
        self.routes[as_usize(&self.any)].iter().copied().find(|&route| accepts(route))
    }

    /// Goes down the tree; gives the node where the path ends.
    fn walk(&self, path: &[u8], prefixes: &mut Way, regexes: &mut Way) -> Option<u32> {
        let mut at = 0_u32;
        let mut rest = path;
        loop {
            let node = self.nodes.get(at as usize)?;
            rest = rest.strip_prefix(&self.labels[as_usize(&node.label)])?;
            if !node.prefix.is_empty() && matches!(rest.first(), None | Some(b'/')) {
                prefixes.push(at);
            }
            if node.regex.is_some() {
                regexes.push(at);
            }
            let Some(next) = rest.first() else { return Some(at) };
            let child = memchr::memchr(*next, &self.firsts[as_usize(&node.children)])?;
            at = node.children.start + child as u32;
        }
    }

    fn find_regex(&self, path: &str, nodes: &[u32], accepts: &mut impl FnMut(u32) -> bool) -> Option<u32> {
        let lists = || nodes.iter().filter_map(|&node| self.nodes[node as usize].regex);
        let mut candidates: SmallVec<[(&Entry, bool); 16]> = SmallVec::new();
        for list in lists().map(|list| &self.regexes[list as usize]) {
            if list.sets.is_empty() {
                candidates.extend(list.entries.iter().map(|entry| (entry, false)));
            } else {
                candidates.extend(list.matches(path).map(|entry| (entry, true)));
            }
        }
        candidates.sort_unstable_by_key(|(entry, _)| entry.place);
        let matching = |&&(entry, known): &&(&Entry, bool)| known || entry.path.matches(path);
        let mut matching = candidates.iter().filter(matching).map(|(entry, _)| entry.route);
        matching.find(|&route| accepts(route))
    }
}

impl RegexList {
    fn new(entries: Vec<Entry>) -> Self {
        let mut sets = Vec::new();
        if entries.len() > FEW_REGEXES {
            let texts: Vec<&str> = entries.iter().filter_map(|entry| entry.path.regex()).collect();
            let parts = texts.chunks(MOST_REGEXES);
            // Too many or too large for a set: each is searched by itself.
            sets = parts.map(set).collect::<Option<_>>().unwrap_or_default();
        }
        Self { entries: entries.into(), sets: sets.into() }
    }

    fn matches<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Entry> + 'a {
        let parts = self.entries.chunks(MOST_REGEXES).zip(&self.sets);
        parts.flat_map(move |(part, set)| {
            set.matches(path.as_bytes()).into_iter().map(move |index| &part[index])
        })
    }
}

fn set(texts: &[&str]) -> Option<RegexSet> {
    let limit = REGEX_BYTES * 8;
    regex::bytes::RegexSetBuilder::new(texts).size_limit(limit).dfa_size_limit(limit).build().ok()
}

/// The tree while it is built.
#[derive(Default)]
struct Builder {
    nodes: Vec<Node>,
    firsts: Vec<u8>,
    labels: Vec<u8>,
    routes: Vec<u32>,
    regexes: Vec<RegexList>,
}

impl Builder {
    fn build(mut self, texts: &[(&[u8], Terminal)], any: &[u32]) -> Tree {
        let any = self.list(any);
        // Each node of the queue stands for texts that have their first `depth` bytes in common.
        let mut queue = std::collections::VecDeque::from([(0..texts.len(), 0)]);
        self.reserve(0);
        let mut at = 0;
        while let Some((range, depth)) = queue.pop_front() {
            self.fill(at, texts, range, depth, &mut queue);
            at += 1;
        }
        Tree {
            nodes: self.nodes.into(),
            firsts: self.firsts.into(),
            labels: self.labels.into(),
            routes: self.routes.into(),
            regexes: self.regexes.into(),
            any,
        }
    }

    fn fill(
        &mut self,
        at: usize,
        texts: &[(&[u8], Terminal)],
        mut range: Range<usize>,
        depth: usize,
        queue: &mut std::collections::VecDeque<(Range<usize>, usize)>,
    ) {
        let Some(((first, terminal), (last, _))) =
            texts[range.clone()].first().zip(texts[range.clone()].last())
        else {
            return;
        };
        // Texts are sorted: what the first and the last have in common, all have.
        let common = depth + first[depth..].iter().zip(&last[depth..]).take_while(|(a, b)| a == b).count();
        let label = self.labels.len() as u32;
        self.labels.extend(&first[depth..common]);
        self.nodes[at].label = label..self.labels.len() as u32;
        if first.len() == common {
            self.nodes[at].exact = self.list(&terminal.exact);
            self.nodes[at].prefix = self.list(&terminal.prefix);
            if !terminal.regex.is_empty() {
                self.nodes[at].regex = Some(self.regexes.len() as u32);
                self.regexes.push(RegexList::new(terminal.regex.clone()));
            }
            range.start += 1;
        }
        let children = self.nodes.len() as u32;
        while !range.is_empty() {
            let byte = texts[range.start].0[common];
            let some = texts[range.clone()].partition_point(|(text, _)| text[common] <= byte);
            let group = range.start..range.start + some;
            range.start = group.end;
            queue.push_back((group, common));
            self.reserve(byte);
        }
        self.nodes[at].children = children..self.nodes.len() as u32;
    }

    fn reserve(&mut self, first: u8) {
        self.nodes.push(Node { label: 0..0, children: 0..0, exact: 0..0, prefix: 0..0, regex: None });
        self.firsts.push(first);
    }

    fn list(&mut self, routes: &[u32]) -> Range<u32> {
        let start = self.routes.len() as u32;
        self.routes.extend(routes);
        start..self.routes.len() as u32
    }
}

fn as_usize(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

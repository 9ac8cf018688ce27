//! Regular expressions over paths: by themselves, or many searched together.

use std::collections::HashMap;

use regex::bytes::{Regex, RegexSet, RegexSetBuilder};
use smallvec::SmallVec;

use super::entry::{Entry, RouteRef};
use super::rule::{PathRule, REGEX_BYTES};

/// More than this are searched together.
const FEW: usize = 4;
/// No more than this many are searched together.
const MOST: usize = 256;
/// Bytes that a set may take, and as much again for its cache.
const SET_BYTES: usize = REGEX_BYTES * 8;

/// The regular expressions of a router, by number.
#[derive(Default, Debug)]
pub(super) struct Patterns {
    single: Vec<Regex>,
    lists: Vec<PatternList>,
    numbers: HashMap<Box<str>, u32>,
}

/// Those whose matches begin with the same text.
#[derive(Debug)]
struct PatternList {
    /// In the order of their ranks.
    entries: Box<[Pattern]>,
    /// All of them, in parts. Empty: they are few.
    sets: Box<[RegexSet]>,
}

#[derive(Clone, Copy, Debug)]
struct Pattern {
    place: u32,
    route: RouteRef,
    single: u32,
}

impl Patterns {
    /// The number of a regular expression.
    pub(super) fn add(&mut self, regex: &Regex) -> u32 {
        if let Some(&number) = self.numbers.get(regex.as_str()) {
            return number;
        }
        let number = self.single.len() as u32;
        self.single.push(regex.clone());
        self.numbers.insert(regex.as_str().into(), number);
        number
    }

    /// The number of a list, in the order of ranks.
    pub(super) fn add_list(&mut self, entries: &[&Entry]) -> u32 {
        let mut patterns = Vec::with_capacity(entries.len());
        for entry in entries {
            if let PathRule::Regex(regex) = &entry.path {
                let single = self.add(regex);
                patterns.push(Pattern { place: entry.place, route: entry.route, single });
            }
        }
        let sets = if patterns.len() > FEW { self.sets(&patterns) } else { None };
        let list = PatternList { entries: patterns.into(), sets: sets.unwrap_or_default().into() };
        self.lists.push(list);
        self.lists.len() as u32 - 1
    }

    /// None: they are too large together, and each is searched by itself.
    fn sets(&self, patterns: &[Pattern]) -> Option<Vec<RegexSet>> {
        let set = |part: &[Pattern]| {
            let texts = part.iter().map(|pattern| self.single[pattern.single as usize].as_str());
            RegexSetBuilder::new(texts).size_limit(SET_BYTES).dfa_size_limit(SET_BYTES).build().ok()
        };
        patterns.chunks(MOST).map(set).collect()
    }

    pub(super) fn matches(&self, number: u32, path: &[u8]) -> bool {
        self.single[number as usize].is_match(path)
    }

    /// The first route, in the order of ranks, of these lists that matches and that `accepts` says yes to.
    pub(super) fn find(
        &self,
        lists: &[u32],
        path: &[u8],
        accepts: &mut impl FnMut(RouteRef) -> bool,
    ) -> Option<RouteRef> {
        let mut candidates: SmallVec<[(Pattern, bool); 16]> = SmallVec::new();
        for list in lists.iter().map(|&list| &self.lists[list as usize]) {
            if list.sets.is_empty() {
                candidates.extend(list.entries.iter().map(|pattern| (*pattern, false)));
            }
            for (part, set) in list.entries.chunks(MOST).zip(&list.sets) {
                candidates.extend(set.matches(path).into_iter().map(|index| (part[index], true)));
            }
        }
        candidates.sort_unstable_by_key(|(pattern, _)| pattern.place);
        let matching = |(pattern, known): &(Pattern, bool)| *known || self.matches(pattern.single, path);
        let mut matching = candidates.into_iter().filter(matching).map(|(pattern, _)| pattern.route);
        matching.find(|&route| accepts(route))
    }
}

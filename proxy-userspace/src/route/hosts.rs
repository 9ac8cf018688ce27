//! The host patterns of one listener: where the record of each is.

use super::arena::{self, Reader, Writer};
use super::entry::Entry;
use super::paths;
use super::pattern::Patterns;
use crate::config::HostPattern;

/// The host patterns of one listener. A hash table of its own: a look-up reads one slot, and the record.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    /// A power of two, at most half of them taken; empty: there are no patterns.
    slots: Box<[Slot]>,
    /// Labels of the longest wildcard, without `*`.
    labels: usize,
    /// The record of routes without host.
    every: Option<u32>,
}

/// Where a host pattern's record is.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Half of its hash.
    tag: u32,
    /// Where it is, from 1; 0: the slot is free.
    record: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Kind {
    Exact,
    Wildcard,
}

impl Hosts {
    /// Writes the records of host patterns. `None` stands for every host.
    pub(super) fn new(
        patterns: Vec<(Option<&HostPattern>, Vec<Entry>)>,
        writer: &mut Writer,
        regexes: &mut Patterns,
    ) -> Self {
        let size = (patterns.len() * 2).next_power_of_two();
        let mut hosts = Self { slots: vec![Slot::default(); size].into(), labels: 0, every: None };
        for (pattern, entries) in patterns {
            let at = writer.at();
            if let Some((kind, name)) = pattern.map(key) {
                writer.byte(kind as u8);
                writer.text(name.as_bytes());
                hosts.insert(hash(kind, name.as_bytes()), at);
                if kind == Kind::Wildcard {
                    hosts.labels = hosts.labels.max(name.split('.').count());
                }
            } else {
                hosts.every = Some(at);
            }
            paths::write(&entries, writer, regexes);
        }
        hosts
    }

    fn insert(&mut self, hash: u64, record: u32) {
        let free = self.probe(hash).find(|&slot| self.slots[slot].record == 0);
        let slot = free.expect("half of the slots are free");
        self.slots[slot] = Slot { tag: tag(hash), record: record + 1 };
    }

    /// The routes of the patterns that the host is, the most specific first.
    pub(super) fn matching<'a>(
        &'a self,
        records: &'a [u8],
        host: &'a str,
    ) -> impl Iterator<Item = Reader<'a>> + 'a {
        let exact = self.find(records, Kind::Exact, host);
        let wildcards = suffixes(host, self.labels);
        let wildcards = wildcards.filter_map(|suffix| self.find(records, Kind::Wildcard, suffix));
        exact.into_iter().chain(wildcards).chain(self.every.map(|at| Reader::new(records, at)))
    }

    fn find<'a>(&self, records: &'a [u8], kind: Kind, name: &str) -> Option<Reader<'a>> {
        let hash = hash(kind, name.as_bytes());
        for slot in self.probe(hash).map(|slot| self.slots[slot]) {
            let at = slot.record.checked_sub(1)?;
            if slot.tag == tag(hash) {
                arena::expect(records, at);
                let mut record = Reader::new(records, at);
                if record.byte() == kind as u8 && record.text() == name.as_bytes() {
                    return Some(record);
                }
            }
        }
        None
    }

    fn probe(&self, hash: u64) -> impl Iterator<Item = usize> + use<> {
        let size = self.slots.len();
        (0..size).map(move |step| (hash as usize).wrapping_add(step) & (size - 1))
    }
}

fn key(pattern: &HostPattern) -> (Kind, &str) {
    match pattern {
        HostPattern::Exact(name) => (Kind::Exact, name),
        HostPattern::Wildcard(suffix) => (Kind::Wildcard, suffix),
    }
}

/// What may follow `*.` in a wildcard that the host is, of at most so many labels, the longest first.
fn suffixes(host: &str, labels: usize) -> impl Iterator<Item = &str> {
    let dots = if labels == 0 { 0 } else { host.bytes().filter(|&byte| byte == b'.').count() };
    let mut rest = host;
    let next = move || {
        rest = rest.split_once('.')?.1;
        Some(rest)
    };
    std::iter::from_fn(next).skip(dots.saturating_sub(labels)).take(labels)
}

/// Nobody but the configuration fills the table: the hash need not withstand chosen names.
fn hash(kind: Kind, name: &[u8]) -> u64 {
    const PRIME: u64 = 0x9E37_79B9_7F4A_7C15;
    let mix = |hash: u64, word: u64| {
        let mixed = (hash ^ word).wrapping_mul(PRIME);
        mixed ^ (mixed >> 29)
    };
    let seed = mix(kind as u64, name.len() as u64);
    name.chunks(8).fold(seed, |hash, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        mix(hash, u64::from_le_bytes(word))
    })
}

fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

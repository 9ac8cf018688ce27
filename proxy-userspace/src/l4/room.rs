//! The daemon's side of [`proxy_common::room`]: each walk over the flow tables says anew how many more flows without a proof of
//! life they take.

use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::SeqCst;

use proxy_common::addr::{Ip4, Ip6};
use proxy_common::room;

use super::maps::SharedWords;

/// What is left for flows that nobody has proved, of the IPv4 and of the IPv6 table.
#[derive(Debug)]
pub(super) struct Room {
    words: SharedWords,
    entries: [u32; 2],
    /// As much as there is of it: half of a table, or all where nobody needs the other half.
    most: [AtomicI64; 2],
}

impl Room {
    /// Beside tables of so many entries.
    pub(super) fn new(words: SharedWords, entries: [u32; 2]) -> Self {
        Self { words, entries, most: entries.map(|entries| AtomicI64::new(room::of_table(entries))) }
    }

    /// What is used up, or was never set, is all there until the first walk is over.
    pub(super) fn begin(&self) {
        for family in [0, 1] {
            let left = self.left(family);
            if left <= 0 {
                self.add(family, self.most(family) - left);
            }
        }
    }

    /// Whether others share each table: connections whose clients show that they are there. For them half of it is kept
    /// free; without them it is all for the rest.
    pub(super) fn share(&self, shared: [bool; 2]) {
        for family in [0, 1] {
            let entries = self.entries[family];
            let most = if shared[family] { room::of_table(entries) } else { i64::from(entries) };
            let before = self.most[family].swap(most, SeqCst);
            self.add(family, most - before);
        }
    }

    fn most(&self, family: usize) -> i64 {
        self.most[family].load(SeqCst)
    }

    /// What is left.
    pub(super) fn left(&self, family: usize) -> i64 {
        self.words.words()[at(family)].load(SeqCst) as i64
    }

    /// Whether more than three quarters are taken.
    pub(super) fn is_short(&self, family: usize) -> bool {
        self.left(family) < self.most(family) / 4
    }

    /// A walk has found so many entries; `before` was left when it began. What was entered meanwhile may not be among them.
    pub(super) fn settle(&self, family: usize, before: i64, found: u64) {
        let left = self.left(family);
        let entered = (before - left).max(0);
        let found = i64::try_from(found).unwrap_or(i64::MAX);
        let now = self.most(family).saturating_sub(found).saturating_sub(entered);
        self.add(family, now.saturating_sub(left));
    }

    fn add(&self, family: usize, by: i64) {
        self.words.words()[at(family)].fetch_add(by as u64, SeqCst);
    }
}

const fn at(family: usize) -> usize {
    (if family == 0 { room::place::<Ip4>() } else { room::place::<Ip6>() }) as usize
}

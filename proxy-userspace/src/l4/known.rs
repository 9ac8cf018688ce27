//! The daemon's side of [`proxy_common::known`]: each walk over the flow tables makes the set anew, without the flows
//! that are gone.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use proxy_common::addr::Address;
use proxy_common::flow::FlowKey;
use proxy_common::known;
use proxy_common::young_word::YoungWord;

use super::maps::SharedWords;

/// The set of flows that may be in the tables.
#[derive(Debug)]
pub(super) struct KnownFlows(SharedWords);

impl KnownFlows {
    pub(super) fn new(words: SharedWords) -> Self {
        Self(words)
    }

    /// Clears the copy that is not asked. To be called before a walk begins: the kernel enters a flow here after it has
    /// put it into its table, so one whose bits are cleared is there for the walk to find.
    pub(super) fn begin(&self) {
        let first = known::of_copy(self.aside(), 0) as usize;
        self.0.words()[first..first + known::WORDS as usize].iter().for_each(|word| word.store(0, SeqCst));
    }

    /// Enters a flow that a walk has found.
    pub(super) fn enter<A: Address>(&self, key: &FlowKey<A>) {
        let (word, bits) = known::place(known::hash(key));
        self.0.words()[known::of_copy(self.aside(), word) as usize].fetch_or(bits, Relaxed);
    }

    /// Enters a flow that this process has just put into a table: into both copies, as the kernel does.
    pub(super) fn note<A: Address>(&self, key: &FlowKey<A>) {
        let (word, bits) = known::place(known::hash(key));
        for copy in 0..known::COPIES {
            self.0.words()[known::of_copy(copy.into(), word) as usize].fetch_or(bits, SeqCst);
        }
    }

    /// Has the copy asked that a whole walk was entered into.
    pub(super) fn finish(&self) {
        self.0.words()[known::ASKED as usize].fetch_xor(1, SeqCst);
    }

    /// What the kernel would be told of a flow.
    #[cfg(test)]
    pub(super) fn may_have<A: Address>(&self, key: &FlowKey<A>) -> bool {
        let (word, bits) = known::place(known::hash(key));
        let asked = 1 - self.aside();
        known::has(self.0.words()[known::of_copy(asked, word) as usize].load(Relaxed), bits)
    }

    /// The young flow of `dsr` that may be that of a 5-tuple, whose hash under the secret seed is `seeded`.
    pub(super) fn young(&self, seeded: u64) -> YoungWord {
        YoungWord(self.0.words()[known::young(seeded) as usize].load(Relaxed))
    }

    /// The copy that is not asked: 0 or 1.
    fn aside(&self) -> u64 {
        1 - (self.0.words()[known::ASKED as usize].load(Relaxed) & 1)
    }
}

//! The daemon's side of [`proxy_common::known`]: each walk over the flow tables makes the set anew, without the flows
//! that are gone.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use proxy_common::addr::Address;
use proxy_common::flow::FlowKey;
use proxy_common::known;

use super::maps::SharedWords;

/// The set of flows that may be in the tables.
#[derive(Debug)]
pub(super) struct KnownFlows(SharedWords);

impl KnownFlows {
    pub(super) fn new(words: SharedWords) -> Self {
        Self(words)
    }

    /// Clears the copy that is not asked. To be called before a walk begins: the kernel enters a flow here after it has
    /// put it into its table, so one whose bit is cleared is there for the walk to find.
    pub(super) fn begin(&self) {
        let from = self.aside() as usize;
        self.0.words()[from..from + known::WORDS as usize].iter().for_each(|word| word.store(0, SeqCst));
    }

    /// Enters a flow that a walk has found.
    pub(super) fn enter<A: Address>(&self, key: &FlowKey<A>) {
        let (word, bit) = known::place(known::hash(key));
        self.0.words()[(self.aside() + word) as usize].fetch_or(bit, Relaxed);
    }

    /// Enters a flow that this process has just put into a table: into both copies, as the kernel does.
    pub(super) fn note<A: Address>(&self, key: &FlowKey<A>) {
        let (word, bit) = known::place(known::hash(key));
        for copy in [0, known::WORDS] {
            self.0.words()[(copy + word) as usize].fetch_or(bit, SeqCst);
        }
    }

    /// Has the copy asked that a whole walk was entered into.
    pub(super) fn finish(&self) {
        self.0.words()[known::ASKED as usize].fetch_xor(1, SeqCst);
    }

    /// What the kernel would be told of a flow.
    #[cfg(test)]
    pub(super) fn may_have<A: Address>(&self, key: &FlowKey<A>) -> bool {
        let (word, bit) = known::place(known::hash(key));
        let asked = known::WORDS - self.aside();
        self.0.words()[(asked + word) as usize].load(Relaxed) & bit != 0
    }

    /// The first word of the copy that is not asked.
    fn aside(&self) -> u32 {
        let asked = self.0.words()[known::ASKED as usize].load(Relaxed) & 1;
        if asked == 0 { known::WORDS } else { 0 }
    }
}

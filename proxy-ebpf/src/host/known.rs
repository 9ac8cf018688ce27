//! The set of known flows, and young flows of `dsr`, on plain memory.

use proxy_common::{cell::Cell64, known};

#[derive(Debug)]
pub(super) struct Known {
    words: Vec<Cell64>,
    /// Places that young flows have: tests may want few.
    places: u64,
}

impl Known {
    pub(super) fn new(places: usize) -> Self {
        Self { words: (0..known::ENTRIES).map(|_| Cell64::new(0)).collect(), places: places as u64 }
    }

    pub(super) fn has(&self, hash: u64) -> bool {
        let (word, bits) = known::place(hash);
        known::has(self.words[word as usize].load(), bits)
    }

    pub(super) fn note(&self, hash: u64) {
        let (word, bits) = known::place(hash);
        self.words[word as usize].fetch_or(bits);
    }

    pub(super) fn young(&self, seeded: u64) -> Option<&Cell64> {
        self.words.get(known::young(seeded % self.places) as usize)
    }
}

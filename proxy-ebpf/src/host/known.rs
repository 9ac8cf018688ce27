//! The set of known flows, and young flows of `dsr` beside it, on plain memory.

use proxy_common::{cell::Cell64, known};

#[derive(Debug)]
pub(super) struct Known {
    words: Vec<Cell64>,
    /// Lines that young flows lie in: tests may want few.
    lines: u64,
}

impl Known {
    pub(super) fn new(lines: usize) -> Self {
        Self { words: (0..known::ENTRIES).map(|_| Cell64::new(0)).collect(), lines: lines as u64 }
    }

    pub(super) fn has(&self, hash: u64) -> bool {
        let (word, bits) = known::place(hash);
        known::has(self.words[word as usize].load(), bits)
    }

    pub(super) fn note(&self, hash: u64) {
        let (word, bits) = known::place(hash);
        self.words[word as usize].fetch_or(bits);
    }

    pub(super) fn young(&self, hash: u64, seeded: u64) -> Option<&Cell64> {
        let (place, _) = known::place(((hash >> 16) % self.lines) << 16);
        // Where there is one line there is one place.
        self.words.get(known::young(place, if self.lines == 1 { 0 } else { seeded }) as usize)
    }
}

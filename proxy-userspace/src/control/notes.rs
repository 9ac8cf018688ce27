//! What the kernel part wants an operator to know: logged when it is news, not each time it is said.

use std::collections::{BTreeSet, HashMap};

/// Where a note comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Source {
    Apply,
    Attach,
}

/// What was said last.
#[derive(Default, Debug)]
pub(super) struct Notes {
    said: HashMap<Source, BTreeSet<String>>,
}

impl Notes {
    /// Logs what was not said the last time.
    pub(super) fn log(&mut self, source: Source, notes: Vec<String>) {
        let notes: BTreeSet<_> = notes.into_iter().collect();
        let said = self.said.entry(source).or_default();
        for note in notes.difference(said) {
            match source {
                Source::Apply => tracing::warn!("{note}"),
                Source::Attach => tracing::info!("{note}"),
            }
        }
        *said = notes;
    }
}

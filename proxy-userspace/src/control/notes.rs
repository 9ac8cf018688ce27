//! What the kernel part wants an operator to know: logged when it is news, not each time it is said.

use std::collections::{BTreeSet, HashMap};

use super::dataplane::DataplaneError;

/// Where a note comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Source {
    Apply,
    Attach,
    Refresh,
    Follow,
    Collect,
    Observe,
    Bans,
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
                Source::Attach => tracing::info!("{note}"),
                _ => tracing::warn!("{note}"),
            }
        }
        *said = notes;
    }

    /// What came of something that is done again and again. An error is logged when it is news.
    pub(super) fn trouble<T>(
        &mut self,
        source: Source,
        what: &str,
        result: Result<T, DataplaneError>,
    ) -> Option<T> {
        match result {
            Ok(value) => {
                self.said.remove(&source);
                Some(value)
            }
            Err(error) => {
                self.log(source, vec![format!("{what}: {error}")]);
                None
            }
        }
    }
}

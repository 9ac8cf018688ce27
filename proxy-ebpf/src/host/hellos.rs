//! Names of a world on plain memory.

use std::cell::RefCell;
use std::collections::HashMap;

use proxy_common::sni::{NameCount, NameEntry, NameFilter, NameKey, Note, NoteKey, PeekRule, Told, Trace};

use crate::hello::Peek;

/// Names, and what has become of those who named them.
#[derive(Debug, Default)]
pub struct Hellos {
    /// What is done with the ClientHellos of a listener.
    pub rules: HashMap<u16, PeekRule>,
    /// What the table says of a name.
    pub entries: HashMap<NameKey, NameEntry>,
    /// Who looks on.
    pub trace: Trace,
    pub(super) counts: RefCell<HashMap<u32, NameCount>>,
    pub(super) notes: RefCell<HashMap<NoteKey, Note>>,
    pub(super) told: RefCell<Vec<Told>>,
}

impl Hellos {
    /// As the daemon makes it of the entries.
    pub(super) fn filter(&self) -> Box<NameFilter> {
        let mut filter = Box::new(NameFilter::EMPTY);
        self.entries.keys().for_each(|key| filter.set(key));
        filter
    }

    /// How often a name was seen, by its entry's number.
    #[must_use]
    pub fn counted(&self, number: u32) -> NameCount {
        self.counts.borrow().get(&number).copied().unwrap_or_default()
    }

    /// What was told to whoever looks on.
    #[must_use]
    pub fn told(&self) -> Vec<Told> {
        self.told.borrow().clone()
    }

    /// Notes to workers.
    #[must_use]
    pub fn notes(&self) -> Vec<(NoteKey, Note)> {
        self.notes.borrow().iter().map(|(key, note)| (*key, *note)).collect()
    }
}

/// Copies bytes into the memory that a ClientHello is read in, as the kernel's helper does, from whatever buffer they are in.
pub(super) fn fill(peek: &mut Peek, bytes: &[u8]) -> Option<()> {
    for (word, chunk) in peek.segment.iter_mut().zip(bytes.chunks(8)) {
        let mut last = word.to_ne_bytes();
        last[..chunk.len()].copy_from_slice(chunk);
        *word = u64::from_ne_bytes(last);
    }
    Some(())
}

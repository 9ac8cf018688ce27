//! Spliced connections, on plain memory.

use std::cell::RefCell;

use proxy_common::cell::Cell64;
use proxy_common::splice::{SharedSplice, Splice};

/// Spliced connections by their numbers, and frames that were held.
#[derive(Debug, Default)]
pub struct Spliced {
    pub(super) entries: Vec<SharedSplice>,
    pub(super) held: RefCell<Vec<(u32, Vec<u8>)>>,
    /// There is no room for frames.
    pub no_room: bool,
}

impl Spliced {
    /// Adds a connection. Its number.
    pub fn add(&mut self, plain: Splice) -> u32 {
        let Splice { state, shifts, clocks, born, firsts, pad } = plain;
        let clocks = clocks.map(Cell64::new);
        self.entries.push(SharedSplice { state: Cell64::new(state), shifts, clocks, born, firsts, pad });
        self.entries.len() as u32 - 1
    }

    /// Its state becomes another one.
    pub fn set_state(&mut self, number: u32, state: u64) {
        self.entries[number as usize].state.store(state);
    }

    /// Frames that were held, each with its connection's number.
    #[must_use]
    pub fn held(&self) -> Vec<(u32, Vec<u8>)> {
        self.held.borrow().clone()
    }
}

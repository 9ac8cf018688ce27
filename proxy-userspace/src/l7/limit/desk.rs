//! Where keys are charged: the table, its clock, and the log of what was refused.

use std::net::IpAddr;

use proxy_common::cell::Cell64;
use proxy_common::gcra::{Charged, Gcra};

use super::live::Live;
use crate::limit::{Charge, Enter, Entry, Key, Said, Table, number};

/// Cells that keys share which the table has no place for. Each key has two of them, and is refused only if both refuse: under
/// attack a limit neither opens, nor shuts others out.
const SPARE: usize = 4096;

/// Where keys are charged.
#[derive(Debug)]
pub struct Desk {
    /// What is used up: shared with the kernel part, where there is one.
    table: Table,
    /// Who is in: of this process alone, since connections end with it.
    inside: Table,
    spare: Box<[Cell64]>,
    said: Said,
}

impl Desk {
    /// With this table of what is used up, and one of who is in.
    pub fn new(table: Table, inside: Table) -> Self {
        let spare = (0..SPARE).map(|_| Cell64::new(0)).collect();
        Self { table, inside, spare, said: Said::new() }
    }

    /// Ticks of the clock in a second.
    pub(super) fn hz(&self) -> u32 {
        self.table.clock().hz()
    }

    /// The key of an address, masked.
    pub(super) fn address(&self, live: &Live, ip: IpAddr) -> Key {
        self.table.address_key(live.id, number(live.measure), ip)
    }

    /// The key of a text.
    pub(super) fn text(&self, live: &Live, text: &[u8]) -> Key {
        self.table.text_key(live.id, number(live.measure), &String::from_utf8_lossy(text))
    }

    /// Charges a key.
    pub(super) fn charge(&self, key: &Key, gcra: &Gcra, units: u32) -> Charged {
        match self.table.charge(key, gcra, units) {
            Charge::Passed(left) => Charged::Passed(left),
            Charge::Refused(wait) => Charged::Refused(wait),
            Charge::Absent | Charge::Full => {
                let now = self.table.clock().now();
                let [one, other] = self.cells(key).map(|cell| gcra.charge(cell, now, units));
                if matches!(one, Charged::Passed(_)) { one } else { other }
            }
        }
    }

    /// Whether a charge would pass.
    ///
    /// # Errors
    /// So many fractions to wait.
    pub(super) fn peek(&self, key: &Key, gcra: &Gcra, units: u32) -> Result<(), u64> {
        match self.table.peek(key, gcra, units) {
            Charge::Refused(wait) => Err(wait),
            Charge::Passed(_) | Charge::Absent | Charge::Full => Ok(()),
        }
    }

    /// All keys that were refused, of what is used up and of who is in.
    pub(super) fn refused_keys(&self) -> impl Iterator<Item = Entry> {
        self.table.entries().chain(self.inside.entries()).filter(|entry| entry.refused > 0)
    }

    /// Forgets what a key has used up. Whether there was anything.
    pub(super) fn forget(&self, key: &Key) -> bool {
        self.table.reset(key)
    }

    /// Forgets what all keys of a limit have used up, by its number.
    pub(super) fn forget_limit(&self, id: u16) {
        self.table.reset_limit(id);
    }

    /// One more is in, unless `most` are.
    pub(super) fn enter(&self, key: &Key, most: u64) -> Enter {
        self.inside.enter(key, most)
    }

    /// One is out again.
    pub(super) fn leave(&self, key: &Key) {
        self.inside.leave(key);
    }

    /// A key was refused, for people: whether there is to be a line of it in the log, and how many went without.
    pub(super) fn refused(&self, key: &Key) -> Option<u64> {
        self.table.refuse(key);
        self.said.speak(key.tag)
    }

    fn cells(&self, key: &Key) -> [&Cell64; 2] {
        [8, 36].map(|shift| &self.spare[(key.tag >> shift) as usize % SPARE])
    }
}

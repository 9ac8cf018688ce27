//! How many more entries a flow table takes for flows that nobody has proved: those of datagrams, and of `dsr`, where two
//! packets with the same made up source are all that it takes. Where the configuration has connections whose clients show
//! that they are there (TCP by `nat`, or handed over), they have half of each table, so that those always have the other
//! half; elsewhere they have all of it.
//!
//! The kernel counts down what is left, the daemon sets it right with each of its walks over the tables. Without a daemon,
//! which alone forgets flows, none comes back.

use crate::addr::{Address, Ip4};
use crate::cell::Cell64;

/// Words of the table: each family's is on a cache line of its own.
pub const WORDS: u32 = 16;

/// The word of a family's table.
#[inline(always)]
pub const fn place<A: Address>() -> u32 {
    if A::FAMILY == Ip4::FAMILY { 0 } else { 8 }
}

/// Room of a table of so many entries, the other half of which is kept free.
pub const fn of_table(entries: u32) -> i64 {
    entries as i64 / 2
}

/// Takes room for so many entries, unless nothing is left. (CPUs that ask at once may get an entry each beyond it.)
#[inline(always)]
pub fn take(cell: &Cell64, entries: u64) -> bool {
    if cell.load() as i64 <= 0 {
        return false;
    }
    cell.fetch_sub(entries);
    true
}

//! Which flows may be in the flow tables: a set that answers "no" without touching them. It says "yes" for each flow
//! that is there, and for few others (a Bloom filter with one hash, Bloom 1970). A flood of SYNs is answered from it, in
//! memory that stays in the second-level cache, where the flow table's would not.
//!
//! There are two copies. The kernel enters each flow into both, once it is in its table, and asks one. The daemon clears
//! the other, enters what it finds in the tables, and has that one asked from then on: so flows that are gone are
//! forgotten. Without a daemon the set only grows, and saves less.

use crate::addr::Address;
use crate::flow::FlowKey;
use crate::hash::flow_hash;

/// Bits of a copy. A power of two: four for each entry of a flow table of the usual size.
pub const BITS: u32 = 1 << 22;
/// Words of a copy.
pub const WORDS: u32 = BITS / 64;
/// The word that says which copy is asked: 0 or 1.
pub const ASKED: u32 = 2 * WORDS;
/// Words of the table.
pub const ENTRIES: u32 = ASKED + 1;

/// The hash that places a flow. Its seed is nobody's secret, and no configuration's: who finds a flow that has another's
/// bit has only found a packet that costs a look into the table.
#[inline(always)]
pub fn hash<A: Address>(key: &FlowKey<A>) -> u64 {
    flow_hash(key, 0x6b6e_6f77_6e21)
}

/// Where the bit for a hash is in a copy: the word, and the bit in it.
#[inline(always)]
pub const fn place(hash: u64) -> (u32, u64) {
    let bit = (hash >> 8) as u32 & (BITS - 1);
    (bit / 64, 1 << (bit % 64))
}

const _: () = assert!(BITS.is_power_of_two());

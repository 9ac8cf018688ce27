//! Which flows may be in the flow tables: a set that answers "no" without touching them. It says "yes" for each flow
//! that is there, and for few others (a Bloom filter, Bloom 1970, with two bits a flow in one word). A flood of SYNs is
//! answered from it, in memory that stays in the second-level cache, where the flow table's would not.
//!
//! There are two copies. The kernel enters each flow into both, once it is in its table, and asks one. The daemon clears
//! the other, enters what it finds in the tables, and has that one asked from then on: so flows that are gone are
//! forgotten. Without a daemon the set only grows, and saves less.
//!
//! A line of the table is a cache line: a word of each copy, and places of young flows of `dsr` ([`crate::young_word`]),
//! whose 5-tuples are asked for right there: a SYN of nobody known reads and writes one line.

use crate::addr::Address;
use crate::flow::FlowKey;
use crate::hash::flow_hash;

/// Lines of the table. A power of two.
pub const LINES: u32 = 1 << 15;
/// Words of a line.
pub const LINE: u32 = 8;
/// Copies of the set: the first words of a line.
pub const COPIES: u32 = 2;
/// The word that says which copy is asked: 0 or 1.
pub const ASKED: u32 = LINES * LINE;
/// Words of the table.
pub const ENTRIES: u32 = ASKED + LINE;

/// The hash that places a flow. Its seed is nobody's secret, and no configuration's: who finds a flow that has another's
/// bits has only found a packet that costs a look into the table.
#[inline(always)]
pub fn hash<A: Address>(key: &FlowKey<A>) -> u64 {
    flow_hash(key, 0x6b6e_6f77_6e21)
}

/// Where the bits for a hash are: the first word of the line, which is the first copy's, and two bits in the copy's word.
/// (Now and then they are one.)
#[inline(always)]
pub const fn place(hash: u64) -> (u32, u64) {
    let line = (hash >> 16) as u32 & (LINES - 1);
    (line * LINE, 1 << (hash & 63) | 1 << (hash >> 6 & 63))
}

/// The place of a young flow of `dsr`: `place` is its set's hash's, `seeded` its hash under the secret seed, so that nobody
/// knows whose place it shares.
#[inline(always)]
pub const fn young(place: u32, seeded: u64) -> u32 {
    place + COPIES + (((seeded as u32 & 0xffff) * (LINE - COPIES)) >> 16)
}

/// Whether a word has the bits of a flow.
#[inline(always)]
pub const fn has(word: u64, bits: u64) -> bool {
    word & bits == bits
}

const _: () = assert!(LINES.is_power_of_two());

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::mix64;

    #[test]
    fn few_flows_are_taken_for_another() {
        let mut words = std::vec![0u64; ENTRIES as usize];
        for n in 0..200_000 {
            let (word, bits) = place(mix64(n));
            words[word as usize] |= bits;
        }
        let wrong = (1 << 32..(1 << 32) + 100_000u64)
            .map(|n| place(mix64(n)))
            .filter(|(word, bits)| has(words[*word as usize], *bits))
            .count();
        assert!(wrong < 5000, "{wrong} of 100,000");
    }

    #[test]
    fn young_flows_lie_beside_the_set() {
        for n in 0..10_000 {
            let (place, _) = place(mix64(n));
            let young = young(place, mix64(!n));
            assert_eq!(young / LINE, place / LINE);
            assert!(young % LINE >= COPIES && young < ASKED);
        }
    }
}

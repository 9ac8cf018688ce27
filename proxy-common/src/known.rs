//! Which flows may be in the flow tables: a set that answers "no" without touching them. It says "yes" for each flow
//! that is there, and for few others (a Bloom filter, Bloom 1970, with two bits a flow in one word). A flood of SYNs is
//! answered from it, in memory that stays in the second-level cache, where the flow table's would not.
//!
//! There are two copies. The kernel enters each flow into both, once it is in its table, and asks one. The daemon clears
//! the other, enters what it finds in the tables, and has that one asked from then on: so flows that are gone are
//! forgotten. Without a daemon the set only grows, and saves less.
//!
//! Each copy lies by itself, in 256 KiB: the one that is asked is read by every SYN, and written by new flows alone. Behind
//! them are the places of young flows of `dsr` ([`crate::young_word`]), which SYNs write: no line is both.

use crate::addr::Address;
use crate::flow::FlowKey;
use crate::hash::flow_hash;

/// Words of a copy of the set. A power of two.
pub const WORDS: u32 = 1 << 15;
/// Copies of the set.
pub const COPIES: u32 = 2;
/// The word that says which copy is asked: 0 or 1. On a cache line of its own.
pub const ASKED: u32 = WORDS * COPIES;
/// Places of young flows of `dsr`. A power of two.
pub const YOUNG: u32 = 1 << 15;
/// The first of them.
const FIRST_YOUNG: u32 = ASKED + 8;
/// Words of the table.
pub const ENTRIES: u32 = FIRST_YOUNG + YOUNG;

/// The hash that places a flow. Its seed is nobody's secret, and no configuration's: who finds a flow that has another's
/// bits has only found a packet that costs a look into the table.
#[inline(always)]
pub fn hash<A: Address>(key: &FlowKey<A>) -> u64 {
    flow_hash(key, 0x6b6e_6f77_6e21)
}

/// Where the bits for a hash are: the word of a copy, and two bits in it. (Now and then they are one.)
#[inline(always)]
pub const fn place(hash: u64) -> (u32, u64) {
    ((hash >> 16) as u32 & (WORDS - 1), 1 << (hash & 63) | 1 << (hash >> 6 & 63))
}

/// A word of a copy; only the lowest bit of `copy` counts.
#[inline(always)]
pub const fn of_copy(copy: u64, word: u32) -> u32 {
    (copy as u32 & (COPIES - 1)) * WORDS + word
}

/// The place of a young flow of `dsr`, by its hash under the secret seed: nobody knows whose place it shares.
#[inline(always)]
pub const fn young(seeded: u64) -> u32 {
    FIRST_YOUNG + (seeded as u32 & (YOUNG - 1))
}

/// Whether a word has the bits of a flow.
#[inline(always)]
pub const fn has(word: u64, bits: u64) -> bool {
    word & bits == bits
}

const _: () = assert!(WORDS.is_power_of_two() && YOUNG.is_power_of_two() && COPIES.is_power_of_two());

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::mix64;

    #[test]
    fn few_flows_are_taken_for_another() {
        let mut words = std::vec![0u64; WORDS as usize];
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
    fn nothing_shares_a_word() {
        for n in 0..10_000 {
            let (word, _) = place(mix64(n));
            let [first, second] = [0, 1].map(|copy| of_copy(copy, word));
            assert!(first < WORDS && (WORDS..ASKED).contains(&second));
            assert_eq!(of_copy(n, word), if n % 2 == 0 { first } else { second });
            assert!((FIRST_YOUNG..ENTRIES).contains(&young(mix64(!n))));
        }
    }
}

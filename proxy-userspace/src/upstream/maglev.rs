//! Fills Maglev look-up tables (Eisenbud et al., "Maglev", NSDI 2016, §3.4). Pure: no clock, no I/O, and the same
//! answer on every machine, so that balancers side by side agree.
//!
//! Every backend prefers the slots in an order that only its identity decides, and takes the first free one of them
//! whenever it is its turn. A backend of weight `w` has its turns at the times 0, 1/w, 2/w, …: whoever joins or
//! leaves changes nobody else's preferences nor the order of their turns, and that is why few slots change hands.
//!
//! Promised, and held by the tests below:
//! - a backend's slots are its exact share of the ring (weight / sum of weights) within 1 % of that share or two
//!   slots, whichever is more (up to 1,000 backends; a hundred of like weight differ by one slot);
//! - every backend of a weight above 0 has a slot, as long as there are no more of them than slots;
//! - when one of 100 backends leaves, at most 2 % of the others' slots move (measured: 0.7 %).
//!
//! A ring of 100 backends is filled in 1.3 ms when their weights are alike, 4 ms when no two are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proxy_common::backend::BackendId;
use proxy_common::hash::mix64;
use proxy_common::maglev::{NO_BACKEND, RING_SLOTS, Ring};

/// One who wants slots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate<'a> {
    /// What its slots will hold.
    pub id: BackendId,
    /// Its share, relative to the others'. 0: no slots.
    pub weight: u32,
    /// Who it is, in bytes that never change: they alone decide which slots it likes. No two candidates may share
    /// them.
    pub identity: &'a [u8],
}

/// Fills a ring. The order of the candidates does not matter. Without a candidate of a weight above 0 every slot is
/// [`NO_BACKEND`].
pub fn fill(candidates: &[Candidate<'_>]) -> Box<Ring> {
    let mut ring = Box::new(Ring::EMPTY);
    let mut groups = groups(candidates);
    let mut turns: BinaryHeap<Reverse<(u64, usize)>> = (0..groups.len()).map(|g| Reverse((0, g))).collect();
    let mut taken = Taken { bits: [0; TAKEN_WORDS], free: RING_SLOTS };
    while let Some(Reverse((time, group))) = turns.pop() {
        for preference in &mut groups[group].members {
            ring.slots[taken.first_free(preference) as usize] = preference.id;
            if taken.free == 0 {
                return ring;
            }
        }
        turns.push(Reverse((time + groups[group].interval, group)));
    }
    ring
}

/// Those of one weight, who have their turns at the same times.
struct Group {
    /// Between two turns: 2^40 / weight.
    interval: u64,
    members: Vec<Preference>,
}

/// The order in which one candidate likes the slots: `at`, `at + skip`, `at + 2 skip`, … modulo the (prime) number of
/// slots, so all of them.
struct Preference {
    id: u16,
    at: u32,
    skip: u32,
}

/// Groups by weight, heaviest first, members in an order that only their identities decide.
fn groups(candidates: &[Candidate<'_>]) -> Vec<Group> {
    let mut order: Vec<_> = candidates
        .iter()
        .filter(|c| c.weight > 0 && c.id.0 != NO_BACKEND)
        .map(|c| (Reverse(c.weight), hash(c.identity), c.identity, c.id.0))
        .collect();
    order.sort_unstable();
    order
        .chunk_by(|a, b| a.0 == b.0)
        .map(|same| Group {
            interval: (1 << 40) / u64::from(same[0].0.0),
            members: same.iter().map(|&(_, hash, _, id)| Preference::of(hash, id)).collect(),
        })
        .collect()
}

impl Preference {
    fn of(hash: u64, id: u16) -> Self {
        let slots = u64::from(RING_SLOTS);
        let (offset, skip) = (mix64(hash ^ 0x6f66_6673_6574), mix64(hash ^ 0x736b_6970));
        Self { id, at: (offset % slots) as u32, skip: (skip % (slots - 1)) as u32 + 1 }
    }
}

/// FNV-1a, its bits scrambled. Part of what balancers agree on: never to be changed.
fn hash(identity: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325u64;
    mix64(identity.iter().fold(start, |h, byte| (h ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)))
}

const TAKEN_WORDS: usize = RING_SLOTS.div_ceil(64) as usize;

/// Which slots are taken, in 8 KiB: the ring itself would not stay in the L1 cache while it is walked.
struct Taken {
    bits: [u64; TAKEN_WORDS],
    free: u32,
}

impl Taken {
    /// Takes the first free slot that one likes. There must be a free one.
    fn first_free(&mut self, who: &mut Preference) -> u32 {
        loop {
            let slot = who.at;
            who.at += who.skip;
            if who.at >= RING_SLOTS {
                who.at -= RING_SLOTS;
            }
            let (word, bit) = (&mut self.bits[(slot / 64) as usize], 1u64 << (slot % 64));
            if *word & bit == 0 {
                *word |= bit;
                self.free -= 1;
                return slot;
            }
        }
    }
}

#[cfg(test)]
#[path = "maglev_tests.rs"]
mod tests;

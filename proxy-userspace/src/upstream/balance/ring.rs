//! Maglev: the same key the same backend. Who cannot serve keeps its slots: its keys go on to others by a second hash,
//! so nobody else's keys move, and they all come back to it.

use proxy_common::hash::mix64;
use proxy_common::maglev::{RING_SLOTS, Ring};

/// How often a key is hashed again before all others are looked at one after another.
const AGAIN: u64 = 16;

/// Who of `count` gets this key: the first on its way that `usable` says yes to.
pub(in super::super) fn find(
    ring: &Ring,
    count: usize,
    key: u64,
    usable: impl Fn(usize) -> bool,
) -> Option<usize> {
    for again in 0..AGAIN {
        let hash = mix64(key.wrapping_add(again.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let slot = ((u128::from(hash) * u128::from(RING_SLOTS)) >> 64) as usize;
        let index = usize::from(ring.slots[slot]);
        if index < count && usable(index) {
            return Some(index);
        }
    }
    let start = (key as usize).checked_rem(count)?;
    (0..count).map(|step| (start + step) % count).find(|&index| usable(index))
}

/// The hash of a key: the same in every worker and after every start, so that balancers side by side agree.
pub fn key(bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325u64;
    mix64(bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)))
}

#[cfg(test)]
mod tests {
    use proxy_common::backend::BackendId;

    use super::super::super::maglev::{Candidate, fill};
    use super::*;

    fn ring(count: u16) -> Box<Ring> {
        let names: Vec<_> = (0..count).map(|i| format!("backend {i}")).collect();
        let candidates: Vec<_> = (0..count)
            .map(|i| Candidate { id: BackendId(i), weight: 1, identity: names[usize::from(i)].as_bytes() })
            .collect();
        fill(&candidates)
    }

    #[test]
    fn keys_of_one_that_is_down_are_spread_and_no_other_moves() {
        let ring = ring(5);
        let mut taken = [0; 5];
        for i in 0..10_000u64 {
            let key = key(&i.to_le_bytes());
            let before = find(&ring, 5, key, |_| true).unwrap();
            let without = find(&ring, 5, key, |index| index != 2).unwrap();
            assert_ne!(without, 2);
            if before == 2 {
                taken[without] += 1;
            } else {
                assert_eq!(before, without);
            }
        }
        for (index, taken) in taken.iter().enumerate().filter(|(index, _)| *index != 2) {
            assert!((400..600).contains(taken), "{index}: {taken}");
        }
    }

    #[test]
    fn the_last_one_left_is_found() {
        let ring = ring(50);
        for i in 0..100u64 {
            assert_eq!(find(&ring, 50, i, |index| index == 33), Some(33));
        }
        assert_eq!(find(&ring, 50, 1, |_| false), None);
        assert_eq!(find(&ring, 0, 1, |_| true), None);
    }
}

//! A young flow of `dsr` in one word: a flood of SYNs costs one store each, into memory that stays near the CPU. With `dsr`
//! a flow needs no port, and no answer has to find it: which backend its SYN went to is all that there is to remember.
//!
//! From the top bit down: 24 bits of the flow's hash that its place does not tell, the backend (14), the low bits of the
//! client's initial sequence number (12), the time in steps of the clock (12), whether it began with a SYN, and that there is
//! one. A flow that is taken for another's goes to that one's backend, of the same listener; an initial sequence number, for
//! a SYN that is sent again: then a new connection stays with its backend.

use crate::limits::BACKENDS;

/// Jiffies of a step of the clock, as a power of two.
const STEP: u32 = 8;
/// Jiffies that a young flow may seem to be younger than it is.
pub const SLACK: u32 = 2 << STEP;
const TAG: u32 = 40;
const BACKEND: u32 = 26;
const ISN: u32 = 14;
const TIME: u32 = 2;
const SYN: u64 = 1 << 1;
const THERE: u64 = 1;
/// Bits of an initial sequence number, and of the time.
const TWELVE: u32 = 0xfff;

const _: () = assert!(BACKENDS <= 1 << (TAG - BACKEND));

/// Such a young flow, or none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct YoungWord(pub u64);

impl YoungWord {
    /// The flow of this hash, with a client that began with `isn`, written at `now`.
    #[inline(always)]
    pub const fn of(hash: u64, backend: u16, isn: u32, syn: bool, now: u32) -> Self {
        let tag = hash >> TAG << TAG;
        let backend = (backend as u64) << BACKEND;
        let isn = ((isn & TWELVE) as u64) << ISN;
        let time = ((now >> STEP & TWELVE) as u64) << TIME;
        Self(tag | backend | isn | time | if syn { SYN | THERE } else { THERE })
    }

    /// Whether there is one.
    #[inline(always)]
    pub const fn is_there(self) -> bool {
        self.0 & THERE != 0
    }

    /// Whether it is the flow of this hash.
    #[inline(always)]
    pub const fn is_of(self, hash: u64) -> bool {
        self.is_there() && (self.0 ^ hash) >> TAG == 0
    }

    /// [`crate::backend::BackendId`].
    #[inline(always)]
    pub const fn backend(self) -> u16 {
        (self.0 >> BACKEND) as u16 & (BACKENDS - 1) as u16
    }

    /// Whether it began with a bare SYN.
    #[inline(always)]
    pub const fn began_with_syn(self) -> bool {
        self.0 & SYN != 0
    }

    /// Its initial sequence number, where `like` is one that may be it: `like` if its low bits are the same, else another.
    #[inline(always)]
    pub const fn isn(self, like: u32) -> u32 {
        like & !TWELVE | (self.0 >> ISN) as u32 & TWELVE
    }

    /// Jiffies since it was written: never more than they are, and at most [`SLACK`] fewer.
    #[inline(always)]
    pub const fn age(self, now: u32) -> u32 {
        let steps = (now >> STEP).wrapping_sub((self.0 >> TIME) as u32) & TWELVE;
        steps.saturating_sub(1) << STEP
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::mix64;

    #[test]
    fn a_young_flow_comes_out_of_its_word_as_it_went_in() {
        for n in 0..1000u64 {
            let (hash, isn, now) = (mix64(n), mix64(!n) as u32, (mix64(n) >> 7) as u32);
            let backend = (n % u64::from(BACKENDS)) as u16;
            let word = YoungWord::of(hash, backend, isn, n % 2 == 0, now);
            assert!(word.is_there() && word.is_of(hash) && !word.is_of(!hash));
            assert_eq!((word.backend(), word.began_with_syn()), (backend, n % 2 == 0));
            assert_eq!((word.isn(isn), word.age(now)), (isn, 0));
            assert_ne!(word.isn(isn ^ 1), isn ^ 1);
            let later = word.age(now.wrapping_add(60_000));
            assert!((60_000 - SLACK..=60_000).contains(&later), "{later}");
        }
        assert_eq!(YoungWord::of(1 << 63, BACKENDS as u16 - 1, 0, true, 0).backend(), BACKENDS as u16 - 1);
        assert!(!YoungWord(0).is_there() && !YoungWord(0).is_of(0));
    }
}

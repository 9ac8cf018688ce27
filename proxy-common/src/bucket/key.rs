//! Whose traffic is counted together.

use crate::hash::mix64;

/// Bits of a tag that say who is about to take a way; 0: confirmed.
pub(super) const CLAIMANT: u64 = 0xfff;

/// A bit of [`super::BucketSet::info`] beside the kind: the place is lent.
pub(super) const LENT: u64 = 1 << 39;

/// The number of a CPU as a [`super::Memory::claimant`]: an odd one, even ones are the daemon's. 0: its number is beyond those that
/// there are.
#[inline(always)]
pub const fn claimant_of_cpu(cpu: u32) -> u16 {
    if cpu <= CLAIMANT as u32 >> 1 { (cpu << 1 | 1) as u16 } else { 0 }
}

/// Whose traffic is counted together, for one measure of one limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Key {
    /// Its hash, never 0, the lowest twelve bits 0.
    pub tag: u64,
    /// The masked address (IPv4 in the low half of the first word), or a hash of a text: for people.
    pub who: [u64; 2],
    /// See [`Key::new`].
    pub info: u64,
}

/// What a key's [`Key::who`] is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Who {
    /// All that the limit counts, or a number: of a listener, or of a backend.
    Number = 0,
    /// An IPv4 address.
    V4 = 1,
    /// An IPv6 address.
    V6 = 2,
    /// The hash of a text.
    Text = 3,
}

impl Who {
    /// From its number.
    #[inline(always)]
    pub const fn of(number: u8) -> Self {
        match number {
            1 => Self::V4,
            2 => Self::V6,
            3 => Self::Text,
            _ => Self::Number,
        }
    }
}

impl Key {
    /// The key of `who` for a measure (by its number) of a limit (by its number). The seed is the table's secret.
    #[inline(always)]
    pub const fn new(seed: u64, limit: u16, measure: u8, kind: Who, who: [u64; 2]) -> Self {
        let tag = tag_of(seed, salt_of(limit, measure), kind, who);
        Self { tag, who, info: info_of(limit, measure, kind) }
    }

    /// Becomes the key that [`Key::new`] makes.
    #[inline(always)]
    pub fn set(&mut self, seed: u64, limit: u16, measure: u8, kind: Who, who: [u64; 2]) {
        self.who[0] = who[0];
        self.who[1] = who[1];
        self.info = info_of(limit, measure, kind);
        self.tag = tag_of(seed, salt_of(limit, measure), kind, who);
    }

    /// The limit of an entry, by its [`BucketSet::info`].
    pub const fn limit_of(info: u64) -> u16 {
        (info >> 48) as u16
    }
    /// Its measure.
    pub const fn measure_of(info: u64) -> u8 {
        (info >> 40) as u8
    }
    /// What its `who` is.
    pub const fn kind_of(info: u64) -> Who {
        Who::of(((info & !LENT) >> 32) as u8)
    }
}

#[inline(always)]
const fn info_of(limit: u16, measure: u8, kind: Who) -> u64 {
    (limit as u64) << 48 | (measure as u64) << 40 | (kind as u64) << 32
}

/// What tells the tags of a measure of a limit from those of others.
#[inline(always)]
pub const fn salt_of(limit: u16, measure: u8) -> u64 {
    mix64((limit as u64) << 16 | (measure as u64) << 8)
}

/// [`Key::tag`], by the [`salt_of`] the limit's measure.
#[inline(always)]
pub const fn tag_of(seed: u64, salt: u64, kind: Who, who: [u64; 2]) -> u64 {
    let mut hash = mix64(seed ^ who[0]);
    if who[1] != 0 {
        hash = mix64(hash ^ who[1]);
    }
    // Apart, and after the secret: who can choose bits of `who` cannot make up for those of another limit with them.
    hash ^= salt
        ^ match kind {
            Who::Number => const { mix64(1) },
            Who::V4 => const { mix64(2) },
            Who::V6 => const { mix64(3) },
            Who::Text => const { mix64(4) },
        };
    // Never 0 above the claimant's bits.
    (hash | 1 << 63) & !CLAIMANT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_chooses_an_address_does_not_choose_another_limit_s_key() {
        let (limit, measure, kind, address) = (1, 1, Who::V6, 0xb80d_0120);
        for other in [(2, 1, Who::V6), (1, 2, Who::V6), (1, 1, Who::V4), (300, 3, Who::V4)] {
            // The bits of an address that make up for what the limits differ by.
            let differ = info_of(limit, measure, kind) ^ info_of(other.0, other.1, other.2);
            for seed in [0, 7, u64::MAX, 0x0123_4567_89ab_cdef] {
                let one = Key::new(seed, limit, measure, kind, [address, 0]);
                let another = Key::new(seed, other.0, other.1, other.2, [address ^ differ, 0]);
                assert_ne!(one.tag, another.tag, "{other:?} {seed}");
            }
        }
    }
}

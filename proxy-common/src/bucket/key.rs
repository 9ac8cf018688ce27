//! Whose traffic is counted together.

use crate::hash::mix64;

/// Bits of a tag that say who is about to take a way; 0: confirmed.
pub(super) const CLAIMANT: u64 = 0xff;

/// Whose traffic is counted together, for one measure of one limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Key {
    /// Its hash, never 0, the lowest byte 0.
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
        let info = info_of(limit, measure, kind);
        Self { tag: tag_of(seed, info, who), who, info }
    }

    /// Becomes the key that [`Key::new`] makes.
    #[inline(always)]
    pub fn set(&mut self, seed: u64, limit: u16, measure: u8, kind: Who, who: [u64; 2]) {
        self.who[0] = who[0];
        self.who[1] = who[1];
        self.info = info_of(limit, measure, kind);
        self.tag = tag_of(seed, self.info, who);
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
        Who::of((info >> 32) as u8)
    }
}

#[inline(always)]
const fn info_of(limit: u16, measure: u8, kind: Who) -> u64 {
    (limit as u64) << 48 | (measure as u64) << 40 | (kind as u64) << 32
}

#[inline(always)]
const fn tag_of(seed: u64, info: u64, who: [u64; 2]) -> u64 {
    let mut hash = mix64(seed ^ info ^ who[0]);
    if who[1] != 0 {
        hash = mix64(hash ^ who[1]);
    }
    // Never 0 above the claimant's bits.
    (hash | 1 << 63) & !CLAIMANT
}

//! What the kernel programs know of a listener's names: the host that a ClientHello names decides before a socket exists.

use crate::client_hello::Outline;

/// Bytes of the longest name that the kernel programs look up. Longer ones are userspace's.
pub const MOST_NAME: usize = 64;
/// Words of a name.
pub const NAME_WORDS: usize = MOST_NAME / 8;
/// Names and wildcards of all listeners.
pub const ENTRIES: u32 = 16_384;
/// Labels of the longest wildcard, without `*`.
pub const MOST_LABELS: u32 = 16;
/// Bytes of the ring buffer of what is told. A power of two.
pub const TOLD_BYTES: u32 = 1 << 18;
/// Connections whose notes are kept. Whoever left one longest ago loses it.
pub const NOTES: u32 = 16_384;

/// What a name in a key is.
pub mod kind {
    /// The name itself.
    pub const EXACT: u8 = 0;
    /// What follows `*.`: one or more labels stand before it.
    pub const WILDCARD: u8 = 1;
    /// No name: whatever no other entry is for, and who names no host.
    pub const DEFAULT: u8 = 2;
}

/// A name of a listener.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(C)]
pub struct NameKey {
    /// The name in lower case, padded with zeroes. Words are as they lie in memory.
    pub name: [u64; NAME_WORDS],
    /// The listener's number.
    pub listener: u16,
    /// [`kind`].
    pub kind: u8,
    /// Zero.
    pub pad: [u8; 5],
}

impl NameKey {
    /// The key of a name in lower case. `None`: it is too long.
    pub fn new(listener: u16, kind: u8, name: &str) -> Option<Self> {
        let mut bytes = [0; MOST_NAME];
        bytes.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        let mut words = [0; NAME_WORDS];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_ne_bytes(chunk.try_into().ok()?);
        }
        Some(Self { name: words, listener, kind, pad: [0; 5] })
    }

    /// Its bit in a [`NameFilter`].
    #[must_use]
    pub fn filter_bit(&self) -> u32 {
        let words = self.name.iter().take_while(|word| **word != 0);
        let blended = words.fold(0, |blended, word| blend(blended, u64::from_le(*word)));
        filter_bit(blended, self.listener, self.kind)
    }

    /// The name's bytes, without what pads them.
    pub fn text(&self) -> ([u8; MOST_NAME], usize) {
        let mut bytes = [0; MOST_NAME];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(self.name) {
            chunk.copy_from_slice(&word.to_ne_bytes());
        }
        let length = bytes.iter().position(|byte| *byte == 0).unwrap_or(MOST_NAME);
        (bytes, length)
    }
}

/// Bits of a [`NameFilter`]: sixteen for each entry. A power of two.
pub const FILTER_BITS: u32 = ENTRIES * 16;
const FILTER_WORDS: usize = FILTER_BITS as usize / 64;

/// Takes a word of a name in lower case in: eight bytes, the first one lowest, the last word padded with zeroes. Begins with
/// 0; ends in [`filter_bit`]. Multiplicative hashing (Knuth, TAOCP 6.4): no secret, whoever makes
/// names up that meet others has them looked up, as if there were no filter.
#[inline(always)]
pub const fn blend(blended: u64, word: u64) -> u64 {
    let mixed = (blended ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 32
}

/// The bit of a name in a [`NameFilter`], by what its words [`blend`] to.
#[inline(always)]
pub const fn filter_bit(blended: u64, listener: u16, kind: u8) -> u32 {
    let salted = blended ^ ((listener as u64) << 8 | kind as u64);
    (salted.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> (64 - FILTER_BITS.trailing_zeros())) as u32
}

/// Which names may be in the table: most are told apart by one bit, before a key of 72 bytes is hashed and looked up.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct NameFilter {
    /// Bit `n` is bit `n % 64` of word `n / 64`.
    pub words: [u64; FILTER_WORDS],
}

impl NameFilter {
    /// A filter in which there is no name.
    pub const EMPTY: Self = Self { words: [0; FILTER_WORDS] };

    /// Notes that there is a name.
    pub fn set(&mut self, key: &NameKey) {
        let bit = key.filter_bit();
        self.words[(bit / 64) as usize % FILTER_WORDS] |= 1 << (bit % 64);
    }

    /// Whether there may be a name with this [`filter_bit`]: may say yes wrongly, never no.
    #[inline(always)]
    pub const fn has(&self, bit: u32) -> bool {
        self.words[(bit / 64) as usize & (FILTER_WORDS - 1)] >> (bit % 64) & 1 != 0
    }
}

impl core::fmt::Debug for NameFilter {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "NameFilter({} set)", self.words.iter().map(|word| word.count_ones()).sum::<u32>())
    }
}

/// What is done with who names it.
pub mod action {
    /// It goes on to the worker.
    pub const PASS: u8 = 0;
    /// Refused in silence.
    pub const DROP: u8 = 1;
    /// Refused by a reset.
    pub const RESET: u8 = 2;
}

/// What the table says of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct NameEntry {
    /// Where it is counted, below [`ENTRIES`]; 0: nowhere.
    pub number: u32,
    /// [`action`].
    pub action: u8,
    /// Zero.
    pub pad: [u8; 3],
}

/// What is done with the ClientHellos of a listener, by its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct PeekRule {
    /// Bit `n`: there are wildcards of `n + 1` labels, without `*`.
    pub depths: u32,
    /// [`PeekRule::ENTRIES`] and kin.
    pub flags: u16,
    /// The number of the plan of limits by name; 0: there are none.
    pub plan: u8,
    /// Zero.
    pub pad: u8,
}

impl PeekRule {
    /// There are entries: names are looked up.
    pub const ENTRIES: u16 = 1;
    /// None of them is for whatever no other one is for.
    pub const NO_DEFAULT: u16 = 1 << 1;
}

/// Whose ClientHello it was.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(C)]
pub struct NoteKey {
    /// The client's address; IPv4 as `::ffff:0:0/96` has it. Words as they lie in the packet.
    pub client: [u32; 4],
    /// Its port, as it lies in the packet.
    pub port: u16,
    /// The listener's number.
    pub listener: u16,
}

/// What the kernel programs found, for the worker that takes the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Note {
    /// What was seen of the ClientHello; of one that is not wholly there, zeroes.
    pub outline: Outline,
    /// The name, as [`NameKey::name`].
    pub name: [u64; NAME_WORDS],
    /// [`NameEntry::number`] of what the table said.
    pub entry: u32,
    /// The clock, in jiffies.
    pub at: u32,
}

/// Somebody looks on: what is told of ClientHellos.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Trace {
    /// The name of those that are told of, as [`NameKey::name`]; zeroes: all are.
    pub name: [u64; NAME_WORDS],
    /// Until then, in jiffies: whoever looks on may die.
    pub until: u32,
    /// 1: somebody does.
    pub on: u32,
}

/// What the kernel programs did with a ClientHello.
pub mod decision {
    /// The worker has to read it: the reason is the number of a [`crate::drop_reason::Notice`].
    pub const LEFT: u8 = 0;
    /// It goes on to the worker.
    pub const PASSED: u8 = 1;
    /// Refused in silence.
    pub const DROPPED: u8 = 2;
    /// Refused by a reset.
    pub const RESET: u8 = 3;
    /// Refused by a limit.
    pub const LIMITED: u8 = 4;
}

/// A ClientHello, told of while somebody looks on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Told {
    /// What was seen of it.
    pub note: Note,
    /// Whose it was.
    pub who: NoteKey,
    /// [`decision`].
    pub decision: u8,
    /// Why it was left.
    pub reason: u8,
    /// Zero.
    pub pad: u16,
}

/// What became of a ClientHello, as its name is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counted {
    /// It goes on.
    Passed,
    /// The table refuses it.
    Refused,
    /// A limit does.
    Limited,
}

/// How often a name was seen, per CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct NameCount {
    /// ClientHellos that name it.
    pub seen: u64,
    /// Those of them that were refused.
    pub refused: u64,
    /// Those that a limit refused.
    pub limited: u64,
}

impl NameCount {
    /// Counts one.
    #[inline(always)]
    pub const fn count(&mut self, counted: Counted) {
        self.seen += 1;
        match counted {
            Counted::Passed => {}
            Counted::Refused => self.refused += 1,
            Counted::Limited => self.limited += 1,
        }
    }
}

const _: () = assert!(size_of::<NameKey>() == 72 && size_of::<NameEntry>() == 8);
const _: () = assert!(FILTER_BITS.is_power_of_two() && size_of::<NameFilter>() == FILTER_WORDS * 8);
const _: () = assert!(size_of::<PeekRule>() == 8 && size_of::<NameCount>() == 24);
const _: () = assert!(size_of::<NoteKey>() == 20 && size_of::<Note>() == 88);
const _: () = assert!(size_of::<Trace>() == 72 && size_of::<Told>() == 112);

#[cfg(test)]
mod tests {
    use super::*;
    use std::{boxed::Box, collections::HashSet, format};

    fn key(listener: u16, kind: u8, name: &str) -> NameKey {
        NameKey::new(listener, kind, name).unwrap()
    }

    #[test]
    fn a_full_filter_knows_all_its_names_and_few_others() {
        let mut filter = Box::new(NameFilter::EMPTY);
        let name = |n: u32| format!("host-{n}.customer-{}.example.test", n % 97);
        let of = |n: u32| key(1 + (n % 5) as u16, (n % 2) as u8, &name(n));
        (0..ENTRIES).for_each(|n| filter.set(&of(n)));
        assert!((0..ENTRIES).all(|n| filter.has(of(n).filter_bit())));
        // Each name beside as many bits as there are: one in 16.5, where they are spread by chance.
        let wrongly = (ENTRIES..ENTRIES * 5).filter(|n| filter.has(of(*n).filter_bit())).count() as u32;
        assert!(wrongly < ENTRIES * 4 / 12, "{wrongly} of {}", ENTRIES * 4);
    }

    #[test]
    fn listeners_and_wildcards_have_bits_of_their_own() {
        let name = "a-name-of-one-word-after-another.example.test";
        let bits: HashSet<_> = (0..64)
            .flat_map(|listener| [0, 1, 2].map(|kind| key(listener, kind, name).filter_bit()))
            .collect();
        assert!(bits.len() > 185, "{} of 192", bits.len());
    }

    #[test]
    fn a_name_is_blended_word_by_word() {
        let word = |text: &[u8; 8]| u64::from_le_bytes(*text);
        let blended = blend(blend(0, word(b"www.exam")), word(b"ple\0\0\0\0\0"));
        assert_eq!(filter_bit(blended, 3, kind::EXACT), key(3, kind::EXACT, "www.example").filter_bit());
        // The longest there is, without padding.
        let longest = "x".repeat(MOST_NAME);
        let blended = (0..NAME_WORDS).fold(0, |blended, _| blend(blended, word(b"xxxxxxxx")));
        assert_eq!(filter_bit(blended, 3, kind::WILDCARD), key(3, kind::WILDCARD, &longest).filter_bit());
    }
}

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
const _: () = assert!(size_of::<PeekRule>() == 8 && size_of::<NameCount>() == 24);
const _: () = assert!(size_of::<NoteKey>() == 20 && size_of::<Note>() == 88);
const _: () = assert!(size_of::<Trace>() == 72 && size_of::<Told>() == 112);

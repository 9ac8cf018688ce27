//! The memory that a ClientHello is read in, and the walks over its lists. In the kernel each walk is a function that the
//! verifier checks once: it is given numbers, finds the memory by itself, and leaves there what it found.

use proxy_common::{
    client_hello::{
        Outline, id, is_grease,
        outline::{MOST_PROTOCOLS, Part, alpn, share},
    },
    sni::{Counted, NAME_WORDS, NameEntry, NameKey, Note, NoteKey, PeekRule, Told, Trace, blend},
};

/// Bytes of a segment that are looked at. A power of two.
pub const MOST: u32 = 2048;
/// Words of the memory: what is read beyond the end is there, and means nothing.
pub const WORDS: usize = MOST as usize / 8 + 2;
/// Cipher suites that are walked.
pub const MOST_SUITES: u32 = 128;
/// Extensions that are walked.
pub const MOST_EXTENSIONS: u32 = 48;
/// Versions that are walked.
pub const MOST_VERSIONS: u32 = 16;

/// How a walk ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Walked {
    /// All of it was there.
    Whole = 0,
    /// It goes on in another segment.
    Partly = 1,
    /// Lengths contradict each other, or something comes twice.
    Malformed = 2,
    /// It is longer than it is walked here.
    Long = 3,
}

impl Walked {
    /// From its number.
    #[inline(always)]
    pub const fn of(number: u64) -> Self {
        match number {
            0 => Self::Whole,
            1 => Self::Partly,
            2 => Self::Malformed,
            _ => Self::Long,
        }
    }
}

/// Answer to [`Walks::name`]: it is no name that would be looked up.
pub const NO_NAME: u64 = u64::MAX;

/// Where something is in the segment. A length of 0 at 0: nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Place {
    /// Its first byte.
    pub at: u32,
    /// How many there are.
    pub length: u32,
}

/// A segment, and what was found in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Peek {
    /// The segment's first bytes, as they lie in memory. What a longer one left behind them means nothing.
    pub segment: [u64; WORDS],
    /// How many of them are this segment's.
    pub have: u32,
    /// Whose memory it is: the family's number.
    pub family: u32,
    /// Where the message ends, seen or not.
    pub end: u32,
    /// The cipher suites.
    pub suites: Place,
    /// The first extension.
    pub extensions: u32,
    /// The body of `server_name`.
    pub name: Place,
    /// The body of `application_layer_protocol_negotiation`.
    pub protocols: Place,
    /// The body of `supported_versions`.
    pub versions: Place,
    /// Which of them there are.
    pub seen: u32,
    /// Bytes of the name; 0: the client names none.
    pub length: u32,
    /// All of the message was there.
    pub whole: bool,
    /// Somebody looks on.
    pub looked_on: bool,
    /// What can be said of it, if it is asked for, and the message is whole.
    pub outline: Outline,
    /// The name, in lower case. The rest of the key is for whoever looks it up.
    pub key: NameKey,
    /// Which bytes of the name are dots.
    pub dots: u64,
    /// How many.
    pub dot_count: u32,
    /// What the name's words [`blend`] to.
    pub blended: u64,
    /// What whoever looks on is told.
    pub told: Told,
}

impl Default for Peek {
    fn default() -> Self {
        Self {
            segment: [0; WORDS],
            have: 0,
            family: 0,
            end: 0,
            suites: Place::default(),
            extensions: 0,
            name: Place::default(),
            protocols: Place::default(),
            versions: Place::default(),
            seen: 0,
            length: 0,
            whole: false,
            looked_on: false,
            outline: Outline::default(),
            key: NameKey::default(),
            dots: 0,
            dot_count: 0,
            blended: 0,
            told: Told::default(),
        }
    }
}

/// `server_name` is there.
pub const SEEN_NAME: u32 = 1;
const SEEN_PROTOCOLS: u32 = 1 << 1;
const SEEN_VERSIONS: u32 = 1 << 2;

impl Peek {
    /// The eight bytes from `at` on, the first one lowest.
    #[inline(always)]
    pub const fn take(&self, at: u32) -> u64 {
        let (word, shift) = ((at as usize >> 3) & (MOST as usize / 8 - 1), (at & 7) * 8);
        let (low, high) = (u64::from_le(self.segment[word]), u64::from_le(self.segment[word + 1]));
        // A shift by 64 is none.
        low >> shift | (high << (63 - shift)) << 1
    }

    /// The eight bytes of the key's name from `at` on, the first one lowest; it begins anew behind its 64.
    #[inline(always)]
    const fn take_named(&self, at: u32) -> u64 {
        let (word, shift) = (at as usize >> 3, (at & 7) * 8);
        let low = u64::from_le(self.key.name[word & (NAME_WORDS - 1)]);
        let high = u64::from_le(self.key.name[(word + 1) & (NAME_WORDS - 1)]);
        low >> shift | (high << (63 - shift)) << 1
    }

    /// Before a segment is read.
    #[inline(always)]
    pub fn begin(&mut self, family: u8) {
        self.family = u32::from(family);
        (self.suites, self.extensions) = (Place::default(), 0);
        self.name = Place::default();
        self.protocols = Place::default();
        self.versions = Place::default();
        (self.seen, self.length, self.whole) = (0, 0, false);
        (self.dots, self.dot_count, self.blended) = (0, 0, 0);
        self.outline = Outline::default();
        self.key = NameKey::default();
    }
}

/// How the memory is read.
pub trait Reads {
    /// The eight bytes from `at` on, the first one lowest: [`Peek::take`].
    #[inline(always)]
    fn take(&self, peek: &Peek, at: u32) -> u64 {
        peek.take(at)
    }
    /// The same of the key's name: what is beyond its 64 bytes may be anything.
    #[inline(always)]
    fn take_named(&self, peek: &Peek, at: u32) -> u64 {
        peek.take_named(at)
    }
    /// A byte.
    #[inline(always)]
    fn byte(&self, peek: &Peek, at: u32) -> u32 {
        self.take(peek, at) as u32 & 0xff
    }
    /// Two bytes as a number.
    #[inline(always)]
    fn half(&self, peek: &Peek, at: u32) -> u32 {
        u32::from((self.take(peek, at) as u16).swap_bytes())
    }
    /// An extension's number, and how many bytes follow.
    #[inline(always)]
    fn extension(&self, peek: &Peek, at: u32) -> (u16, u32) {
        let head = self.take(peek, at);
        ((head as u16).swap_bytes(), u32::from(((head >> 16) as u16).swap_bytes()))
    }
}

/// The walks. Where nothing else is said they are plain calls.
pub trait Walks: Reads + Sized {
    /// The same number, of which the compiler must not know more than the verifier sees: it would remove masks that the
    /// verifier wants to see.
    #[inline(always)]
    fn opaque(&self, number: u32) -> u32 {
        number
    }
    /// Blends in the numbers of cipher suites and extensions. [`Walked`].
    #[inline(always)]
    fn numbers(&self, peek: &mut Peek) -> u64 {
        numbers(self, peek)
    }
    /// Finds the extensions that are read. [`Walked`].
    #[inline(always)]
    fn extensions(&self, peek: &mut Peek, at: u32) -> u64 {
        extensions(self, peek, at)
    }
    /// Reads the protocols. [`Walked`].
    #[inline(always)]
    fn protocols(&self, peek: &mut Peek) -> u64 {
        protocols(self, peek)
    }
    /// Reads the versions. [`Walked`].
    #[inline(always)]
    fn versions(&self, peek: &mut Peek) -> u64 {
        versions(self, peek)
    }
    /// Reads a name of this many bytes into the key, whose name is zeroes, and blends it. Which of them are dots, or [`NO_NAME`].
    #[inline(always)]
    fn name(&self, peek: &mut Peek, at: u32, length: u32) -> u64 {
        name(self, peek, at, length)
    }
    /// Takes so many bytes off the front of the key's name, of which `length` are left. What these [`blend`] to.
    #[inline(always)]
    fn suffix(&self, peek: &mut Peek, off: u32, length: u32) -> u64 {
        suffix(self, peek, off, length)
    }
}

/// The tables of names.
pub trait Names: Walks {
    /// Copies bytes of the frame into the memory, at most [`MOST`]. `None`: they could not be read.
    fn segment(&self, peek: &mut Peek, at: u32, length: u32) -> Option<()>;
    /// What is done with the ClientHellos of a listener.
    fn peek_rule(&self, listener: u16) -> Option<&PeekRule>;
    /// Whether the table may have a name with this [`proxy_common::sni::filter_bit`]: may say yes wrongly, never no.
    fn may_have_name(&self, bit: u32) -> bool;
    /// What the table says of a name.
    fn name_entry(&self, key: &NameKey) -> Option<NameEntry>;
    /// Counts a ClientHello under its name.
    fn count_name(&self, number: u32, counted: Counted);
    /// Leaves a note to the worker.
    fn leave_note(&self, who: &NoteKey, note: &Note);
    /// Who looks on.
    fn trace(&self) -> Option<&Trace>;
    /// Tells whoever looks on, if there is room.
    fn tell_hello(&self, told: &Told);
}

/// [`Walks::numbers`]; [`extensions`] have been walked.
#[inline(always)]
pub fn numbers<R: Reads>(reads: &R, peek: &mut Peek) -> u64 {
    let Place { at, length } = peek.suites;
    let mut blended = 0u64;
    for i in 0..MOST_SUITES {
        if i * 2 >= length {
            break;
        }
        blended = blended.wrapping_add(share(Part::Suite, reads.half(peek, at.wrapping_add(i * 2)) as u16));
    }
    let (mut at, end) = (peek.extensions & (2 * MOST - 1), peek.end);
    for _ in 0..MOST_EXTENSIONS {
        if at >= end {
            break;
        }
        let (number, length) = reads.extension(peek, at);
        blended = blended.wrapping_add(share(Part::Extension, number));
        at += 4 + length;
    }
    peek.outline.fingerprint = blended;
    Walked::Whole as u64
}

/// [`Walks::extensions`].
#[inline(always)]
pub fn extensions<R: Reads>(reads: &R, peek: &mut Peek, at: u32) -> u64 {
    let (end, have) = (peek.end, peek.have & (2 * MOST - 1));
    let there = if have < end { have } else { end };
    let ends = |at: u32| if at > end { Walked::Malformed as u64 } else { Walked::Partly as u64 };
    let mut at = at & (2 * MOST - 1);
    for _ in 0..MOST_EXTENSIONS {
        if at == end {
            return Walked::Whole as u64;
        }
        if at + 4 > there {
            return ends(at + 4);
        }
        let (number, length) = reads.extension(peek, at);
        let body = Place { at: at + 4, length };
        if body.at + length > there {
            return ends(body.at + length);
        }
        let bit = match number {
            id::SERVER_NAME => SEEN_NAME,
            id::ALPN => SEEN_PROTOCOLS,
            id::SUPPORTED_VERSIONS => SEEN_VERSIONS,
            _ => 0,
        };
        if peek.seen & bit != 0 {
            return Walked::Malformed as u64;
        }
        peek.seen |= bit;
        match bit {
            SEEN_NAME => peek.name = body,
            SEEN_PROTOCOLS => peek.protocols = body,
            SEEN_VERSIONS => peek.versions = body,
            _ => {}
        }
        at = body.at + length;
    }
    Walked::Long as u64
}

/// [`Walks::protocols`].
#[inline(always)]
pub fn protocols<R: Reads>(reads: &R, peek: &mut Peek) -> u64 {
    let Place { at, length } = peek.protocols;
    if peek.seen & SEEN_PROTOCOLS == 0 {
        return Walked::Whole as u64;
    }
    if length < 2 || reads.half(peek, at) + 2 != length {
        return Walked::Malformed as u64;
    }
    let (mut at, end) = (at.wrapping_add(2), at.wrapping_add(length));
    for _ in 0..MOST_PROTOCOLS {
        if at == end {
            return Walked::Whole as u64;
        }
        let length = reads.byte(peek, at);
        let (from, next) = (at.wrapping_add(1), at.wrapping_add(1 + length));
        if next > end {
            return Walked::Malformed as u64;
        }
        let (first, then) = (reads.take(peek, from), reads.take(peek, from.wrapping_add(8)));
        peek.outline.alpn |= match length {
            2 if first as u16 == u16::from_le_bytes(*b"h2") => alpn::H2,
            2 if first as u16 == u16::from_le_bytes(*b"h3") => alpn::H3,
            8 if first == u64::from_le_bytes(*b"http/1.1") => alpn::HTTP_1_1,
            10 if first == u64::from_le_bytes(*b"acme-tls") && then as u16 == u16::from_le_bytes(*b"/1") => {
                alpn::ACME
            }
            _ => alpn::OTHER,
        };
        at = next;
    }
    if at != end {
        peek.outline.alpn |= alpn::MORE;
    }
    Walked::Whole as u64
}

/// [`Walks::versions`].
#[inline(always)]
pub fn versions<R: Reads>(reads: &R, peek: &mut Peek) -> u64 {
    let Place { at, length } = peek.versions;
    if peek.seen & SEEN_VERSIONS == 0 {
        return Walked::Whole as u64;
    }
    if length < 1 || reads.byte(peek, at) + 1 != length || length & 1 == 0 {
        return Walked::Malformed as u64;
    }
    let (at, mut highest) = (at.wrapping_add(1), 0);
    for i in 0..MOST_VERSIONS + 1 {
        if i * 2 + 1 >= length {
            if highest != 0 {
                peek.outline.version = highest;
            }
            return Walked::Whole as u64;
        }
        let version = reads.half(peek, at.wrapping_add(i * 2)) as u16;
        if !is_grease(version) && version > highest {
            highest = version;
        }
    }
    Walked::Long as u64
}

/// Bit 7 of every byte.
const HIGH: u64 = 0x8080_8080_8080_8080;
/// A byte in all places.
#[inline(always)]
const fn every(byte: u8) -> u64 {
    byte as u64 * 0x0101_0101_0101_0101
}

/// Bit 7 of every byte that is at least `least`; of bytes below 128.
#[inline(always)]
const fn at_least(word: u64, least: u8) -> u64 {
    (word + every(128 - least)) & HIGH
}

/// Bit 7 of every byte from `low` to `high`; of bytes below 128.
#[inline(always)]
const fn between(word: u64, low: u8, high: u8) -> u64 {
    at_least(word, low) & !at_least(word, high + 1)
}

/// The bytes of a word that are there, of so many that are left.
#[inline(always)]
const fn kept(left: u32) -> u64 {
    if left >= 8 { u64::MAX } else { (1u64 << ((left & 7) * 8)) - 1 }
}

/// [`Walks::suffix`].
#[inline(always)]
pub fn suffix<R: Reads>(reads: &R, peek: &mut Peek, off: u32, length: u32) -> u64 {
    let mut blended = 0u64;
    for i in 0..NAME_WORDS as u32 {
        let to = i * 8;
        if to >= length.wrapping_add(off) {
            break;
        }
        // Reads ahead of where it writes.
        let left = length.saturating_sub(to);
        let word = reads.take_named(peek, off.wrapping_add(to)) & kept(left);
        peek.key.name[i as usize] = word.to_le();
        if left != 0 {
            blended = blend(blended, word);
        }
    }
    blended
}

/// [`Walks::name`]. Names have letters, digits, `-`, `_` and dots; what else a client may write there userspace judges.
#[inline(always)]
pub fn name<R: Reads>(reads: &R, peek: &mut Peek, at: u32, length: u32) -> u64 {
    let (mut dots, mut odd, mut blended) = (0u64, 0u64, 0u64);
    for i in 0..NAME_WORDS as u32 {
        let from = i * 8;
        if from >= length {
            break;
        }
        let kept = kept(length - from);
        let raw = reads.take(peek, at.wrapping_add(from));
        odd |= raw & HIGH & kept;
        // What is beyond the end becomes a letter, which is as good as any.
        let word = raw & !HIGH & kept | every(b'a') & !kept;
        let word = word | between(word, b'A', b'Z') >> 2;
        let dot = between(word, b'.', b'.');
        let good = between(word, b'a', b'z')
            | between(word, b'0', b'9')
            | between(word, b'-', b'.')
            | between(word, b'_', b'_');
        odd |= !good & HIGH;
        peek.key.name[i as usize] = (word & kept).to_le();
        blended = blend(blended, word & kept);
        // Bit 7 of byte n becomes bit n of the highest byte.
        dots |= ((dot >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) << from;
    }
    peek.blended = blended;
    let labels_are_empty = dots & 1 | dots & (dots << 1) | dots >> (length.wrapping_sub(1) & 63) & 1;
    if odd != 0 || labels_are_empty != 0 || length == 0 { NO_NAME } else { dots }
}

//! IPv6. A region is a hash of the first 32 bits, and four words: a bit for each length there, counted by the bits behind
//! it (0 to 63, 64 to 127, 128), and the shape. A prefix shorter than 32 bits is in every region. An entry is four words:
//! the prefix in two, what it is, and its life.

use crate::addr::{Be32, Ip6};
use crate::cell::Cell64;
use crate::hash::mix64;

use super::entry::{Compared, Family};
use super::line::{Line, Lines};
use super::shape::Shape;

/// Regions, as a power of two.
const REGIONS: u32 = 14;
/// There is something.
const USED: u64 = 1;
/// It does not count any more.
const DEAD: u64 = 2;
/// How it ends: see [`class`].
const CLASS: u32 = 8;
/// Who wants it.
const SOURCE: u32 = 48;

/// A prefix: a bit behind its last one marks its end, where there is one in the same word; the class says whether.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key {
    /// The upper half.
    pub high: u64,
    /// The lower half.
    pub low: u64,
    /// 0 and 1: it ends in the lower half, 1: at the end of that. 2 and 3 likewise: the upper. 4: it has no bit.
    pub class: u64,
}

/// The upper and the lower half.
#[inline(always)]
const fn halves(address: &Ip6) -> (u64, u64) {
    let Ip6([a, b, c, d]) = address;
    ((a.get() as u64) << 32 | b.get() as u64, (c.get() as u64) << 32 | d.get() as u64)
}

/// [`Key::class`], but 4.
#[inline(always)]
const fn class(upper: u64, bit: u64) -> u64 {
    upper << 1 | (bit == 1) as u64
}

#[inline(always)]
const fn cut(half: u64, bit: u64) -> u64 {
    half & !(bit - 1) | bit >> 1
}

#[inline(always)]
const fn region(address: &Ip6) -> u32 {
    (mix64(address.0[0].get() as u64) >> (64 - REGIONS)) as u32
}

/// The lower, the upper and the last bits of lengths, and the shape.
#[derive(Clone, Copy, Debug)]
pub struct Suspect {
    low: u64,
    high: u64,
    all: u64,
    shape: u64,
}

impl Family for Ip6 {
    type Entry = [Cell64; 4];
    type Key = Key;
    type Suspect = Suspect;
    const BITS: u8 = 128;
    const REGION_LINES: u32 = 1 << (REGIONS - 1);
    const SPREAD: u64 = 10;

    #[inline(always)]
    fn suspect<L: Lines + ?Sized>(lines: &L, address: &Self) -> Option<Suspect> {
        let region = region(address);
        let halves: &[[Cell64; 4]] = lines.line(region >> 1)?.as_chunks().0;
        let [low, high, all, shape] = &halves[(region & 1) as usize];
        let suspect = Suspect { low: low.load(), high: high.load(), all: all.load(), shape: shape.load() };
        (suspect.low | suspect.high | suspect.all != 0).then_some(suspect)
    }

    #[inline(always)]
    fn shape(suspect: &Suspect) -> Shape {
        Shape::from_bits(suspect.shape as u32)
    }

    #[inline(always)]
    fn next(address: &Self, suspect: &mut Suspect) -> Option<Key> {
        let (high, low) = halves(address);
        if suspect.low != 0 {
            let bit = suspect.low & suspect.low.wrapping_neg();
            suspect.low ^= bit;
            Some(Key { high, low: cut(low, bit), class: class(0, bit) })
        } else if suspect.high != 0 {
            let bit = suspect.high & suspect.high.wrapping_neg();
            suspect.high ^= bit;
            Some(Key { high: cut(high, bit), low: 0, class: class(1, bit) })
        } else if suspect.all != 0 {
            suspect.all = 0;
            Some(Key { high: 0, low: 0, class: 4 })
        } else {
            None
        }
    }

    #[inline(always)]
    fn spread(key: &Key, shape: Shape) -> u64 {
        mix64(mix64(key.high ^ shape.seed()) ^ key.low ^ key.class << 60)
    }

    #[inline(always)]
    fn entries(line: &Line) -> &[[Cell64; 4]] {
        line.as_chunks().0
    }

    #[inline(always)]
    fn compare([high, low, what, _]: &[Cell64; 4], key: &Key) -> Compared {
        let what = what.load();
        if what == 0 {
            return Compared::Empty;
        }
        if high.load() != key.high || low.load() != key.low || what >> CLASS & 7 != key.class {
            return Compared::Other;
        }
        if what & DEAD != 0 { Compared::Dead } else { Compared::Lives }
    }

    #[inline(always)]
    fn life([.., life]: &[Cell64; 4]) -> &Cell64 {
        life
    }

    #[inline(always)]
    fn source([_, _, what, _]: &[Cell64; 4]) -> u16 {
        (what.load() >> SOURCE) as u16
    }

    fn key(address: &Self, length: u8) -> Key {
        let (high, low) = halves(address);
        match length {
            0 => Key { high: 0, low: 0, class: 4 },
            1..=64 => {
                let bit = 1 << (64 - length);
                Key { high: cut(high, bit), low: 0, class: class(1, bit) }
            }
            _ => {
                let bit = 1 << (128 - length.min(128));
                Key { high, low: cut(low, bit), class: class(0, bit) }
            }
        }
    }

    fn write([high, low, what, life]: &[Cell64; 4], key: &Key, source: u16, lives: u64) {
        life.store(lives);
        high.store(key.high);
        low.store(key.low);
        what.store_ordered(USED | key.class << CLASS | (source as u64) << SOURCE);
    }

    fn kill([_, _, what, _]: &[Cell64; 4]) {
        what.fetch_or(DEAD);
    }

    fn read([high, low, what, _]: &[Cell64; 4]) -> Option<(Self, u8, bool)> {
        let (high, low, what) = (high.load(), low.load(), what.load());
        // Behind the bit that marks the end there are zeroes.
        let marked = |half: u64| (half & half.wrapping_sub(1), 63 - half.trailing_zeros().min(63) as u8);
        let ((high, low), length) = match (what != 0).then_some(what >> CLASS & 7)? {
            0 => ((high, marked(low).0), 64 + marked(low).1),
            1 => ((high, low), 128),
            2 => ((marked(high).0, 0), marked(high).1),
            3 => ((high, 0), 64),
            _ => ((0, 0), 0),
        };
        let word = |half: u64, shift: u32| Be32::new((half >> shift) as u32);
        let address = Self([word(high, 32), word(high, 0), word(low, 32), word(low, 0)]);
        Some((address, length, what & DEAD == 0))
    }

    fn mark<L: Lines + ?Sized>(lines: &L, address: &Self, length: u8) {
        let only = region(address);
        let regions = if length < 32 { 0..=(1 << REGIONS) - 1 } else { only..=only };
        let behind = 128 - length.min(128) as usize;
        for region in regions {
            if let Some(line) = lines.line(region >> 1) {
                line[(region & 1) as usize * 4 + behind / 64].fetch_or(1 << (behind % 64));
            }
        }
    }

    fn write_shape<L: Lines + ?Sized>(lines: &L, shape: Shape) {
        for line in (0..Self::REGION_LINES).filter_map(|line| lines.line(line)) {
            line[3].store(shape.bits() as u64);
            line[7].store(shape.bits() as u64);
        }
    }

    fn read_shape<L: Lines + ?Sized>(lines: &L) -> Option<Shape> {
        let bits = lines.line(0)?[3].load() as u32;
        (bits != 0).then_some(Shape::from_bits(bits))
    }
}

//! IPv4. A region is the first 16 bits, and one word: a bit for each length there (bit 32 minus the length), and the
//! shape above them. An entry is two words: who it is, and its life.

use crate::addr::{Be32, Ip4};
use crate::cell::Cell64;
use crate::hash::mix64;

use super::entry::{Compared, Family};
use super::line::{Line, Lines};
use super::shape::Shape;

/// Bits of lengths: 0 to 32.
const LENGTHS: u64 = (1 << 33) - 1;
/// The prefix, shifted left by one, and a bit that marks its end: 33 bits that no other prefix has.
const KEY: u64 = (1 << 33) - 1;
/// It does not count any more.
const DEAD: u64 = 1 << 33;
/// Who wants it.
const SOURCE: u32 = 48;

impl Family for Ip4 {
    type Entry = [Cell64; 2];
    type Key = u64;
    type Suspect = u64;
    const BITS: u8 = 32;
    const REGION_LINES: u32 = 1 << 13;
    const SPREAD: u64 = 4;

    #[inline(always)]
    fn suspect<L: Lines + ?Sized>(lines: &L, address: &Self) -> Option<u64> {
        let region = address.0.get() >> 16;
        let word = lines.line(region >> 3)?[(region & 7) as usize].load();
        (word & LENGTHS != 0).then_some(word)
    }

    #[inline(always)]
    fn shape(suspect: &u64) -> Shape {
        Shape::from_bits((suspect >> 33) as u32)
    }

    #[inline(always)]
    fn next(address: &Self, suspect: &mut u64) -> Option<u64> {
        let bits = *suspect & LENGTHS;
        if bits == 0 {
            return None;
        }
        let bit = bits & bits.wrapping_neg();
        *suspect ^= bit;
        Some((address.0.get() as u64 & !(bit - 1)) << 1 | bit)
    }

    #[inline(always)]
    fn spread(key: &u64, shape: Shape) -> u64 {
        mix64(key ^ shape.seed())
    }

    #[inline(always)]
    fn entries(line: &Line) -> &[[Cell64; 2]] {
        line.as_chunks().0
    }

    #[inline(always)]
    fn compare(entry: &[Cell64; 2], key: &u64) -> Compared {
        let [first, _] = entry;
        match first.load() {
            0 => Compared::Empty,
            other if other & KEY != *key => Compared::Other,
            dead if dead & DEAD != 0 => Compared::Dead,
            _ => Compared::Lives,
        }
    }

    #[inline(always)]
    fn life([_, life]: &[Cell64; 2]) -> &Cell64 {
        life
    }

    #[inline(always)]
    fn source([first, _]: &[Cell64; 2]) -> u16 {
        (first.load() >> SOURCE) as u16
    }

    fn key(address: &Self, length: u8) -> u64 {
        let bit = 1u64 << (32 - length.min(32));
        (address.0.get() as u64 & !(bit - 1)) << 1 | bit
    }

    fn write([first, second]: &[Cell64; 2], key: &u64, source: u16, life: u64) {
        second.store(life);
        first.store_ordered(*key | (source as u64) << SOURCE);
    }

    fn kill([first, _]: &[Cell64; 2]) {
        first.fetch_or(DEAD);
    }

    fn read([first, _]: &[Cell64; 2]) -> Option<(Self, u8, bool)> {
        let word = first.load();
        let key = word & KEY;
        if key == 0 {
            return None;
        }
        let host = key.trailing_zeros();
        let address = (key >> 1) as u32 & !(((1u64 << host) - 1) as u32);
        Some((Self(Be32::new(address)), 32 - host as u8, word & DEAD == 0))
    }

    fn mark<L: Lines + ?Sized>(lines: &L, address: &Self, length: u8) {
        let first = address.0.get() >> 16;
        let more = if length < 16 { (1u32 << (16 - length)) - 1 } else { 0 };
        for region in first & !more..=first | more {
            if let Some(line) = lines.line(region >> 3) {
                line[(region & 7) as usize].fetch_or(1 << (32 - length.min(32)));
            }
        }
    }

    fn write_shape<L: Lines + ?Sized>(lines: &L, shape: Shape) {
        for line in (0..Self::REGION_LINES).filter_map(|line| lines.line(line)) {
            line.iter().for_each(|word| word.store((shape.bits() as u64) << 33));
        }
    }

    fn read_shape<L: Lines + ?Sized>(lines: &L) -> Option<Shape> {
        let bits = (lines.line(0)?[0].load() >> 33) as u32;
        (bits != 0).then_some(Shape::from_bits(bits))
    }
}

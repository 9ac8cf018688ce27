//! How many lines there are behind the regions, and how prefixes are spread over them.

use crate::hash::one_of;

/// 31 bits: 2^`exponent` times 4 to 7 lines, and a seed that nobody knows who chooses addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape(u32);

impl Shape {
    /// Bits that it has.
    pub const BITS: u32 = 31;
    /// The most lines: a gigabyte.
    const MOST: u64 = 1 << 24;
    /// The fewest.
    const FEWEST: u64 = 1 << 6;

    /// For so many entries, of which eight have `spread` lines to themselves. `None`: more than there may be.
    pub const fn of(entries: u64, spread: u64, seed: u32) -> Option<Self> {
        let wanted = (entries * spread).div_ceil(8);
        let wanted = if wanted < Self::FEWEST { Self::FEWEST } else { wanted };
        if wanted > Self::MOST {
            return None;
        }
        let exponent = 61 - wanted.leading_zeros();
        let mantissa = wanted.div_ceil(1 << exponent);
        let (exponent, mantissa) =
            if mantissa == 8 { (exponent + 1, 0) } else { (exponent, mantissa as u32 - 4) };
        Some(Self((seed & 0xff_ffff) << 7 | mantissa << 5 | exponent))
    }

    /// From its bits.
    #[inline(always)]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Its bits.
    #[inline(always)]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// How many lines.
    #[inline(always)]
    pub const fn lines(self) -> u32 {
        (4 + (self.0 >> 5 & 3)) << (self.0 & 31)
    }

    /// What keys are hashed with.
    #[inline(always)]
    pub const fn seed(self) -> u64 {
        ((self.0 >> 7) as u64) << 40
    }

    /// The first line for a hash.
    #[inline(always)]
    pub const fn first(self, hash: u64) -> u32 {
        one_of(hash, self.lines())
    }

    /// The line to look at after `line`, while that is full: another way for each hash. Steps are odd, and the number of
    /// lines has a factor of 16, so that no line comes twice.
    #[inline(always)]
    pub const fn next(self, hash: u64, line: u32) -> u32 {
        let next = line + (one_of(hash << 32, self.lines()) | 1);
        if next < self.lines() { next } else { next - self.lines() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_room_and_never_much_more() {
        for entries in [0, 1, 200, 1000, 4097, 65_535, 1_000_000, 1_234_567, 20_000_000] {
            let shape = Shape::of(entries, 4, 0x12_3456).unwrap();
            let lines = u64::from(shape.lines());
            assert!(lines * 2 >= entries && lines <= (entries / 2 * 5 / 4 + 1).max(64), "{entries}: {lines}");
            assert_eq!(shape.seed() >> 40, 0x12_3456);
            assert_eq!(Shape::from_bits(shape.bits()), shape);
            assert!(shape.bits() >> Shape::BITS == 0 && lines % 16 == 0);
        }
        assert_eq!(Shape::of(1 << 27, 4, 0), None);
    }

    #[test]
    fn no_line_is_looked_at_twice() {
        for (entries, hash) in [(1, u64::MAX), (200, 0), (200, 0xffff_ffff), (1000, 0x1234_5678_8000_0001)] {
            let shape = Shape::of(entries, 4, 1).unwrap();
            let mut line = shape.first(hash);
            let mut seen = std::vec::Vec::new();
            for _ in 0..16 {
                assert!(line < shape.lines() && !seen.contains(&line));
                seen.push(line);
                line = shape.next(hash, line);
            }
        }
    }
}

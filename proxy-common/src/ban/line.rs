//! Lines, and moments.

use crate::cell::Cell64;

/// Words of a line.
pub const LINE_WORDS: usize = 8;
/// A line: what one cache line of most machines holds.
pub type Line = [Cell64; LINE_WORDS];
/// A line, as it is laid out in a map.
pub type PlainLine = [u64; LINE_WORDS];
/// Lines that are looked at for one prefix.
pub const PROBES: u32 = 8;
/// The moment that never comes.
pub const FOR_EVER: u32 = u32::MAX;
/// Ticks in one step of moments, as a power of two.
pub const MOMENT: u32 = 6;
/// Tables there are: [`table`].
pub const TABLES: u32 = 4;

/// Which table: of an address family, of those who are kept out or of those who never are.
#[inline(always)]
pub const fn table(family: u8, allow: bool) -> u32 {
    (family != 2) as u32 | (allow as u32) << 1
}

/// A moment, from 64-bit jiffies. It moves on every 64 ticks.
#[inline(always)]
pub const fn moment(ticks: u64) -> u32 {
    let moment = ticks >> MOMENT;
    if moment < FOR_EVER as u64 { moment as u32 } else { FOR_EVER - 1 }
}

/// Where the lines of a table are.
pub trait Lines {
    /// A line; `None`: there is no such one.
    fn line(&self, index: u32) -> Option<&Line>;
}

impl Lines for [Line] {
    #[inline(always)]
    fn line(&self, index: u32) -> Option<&Line> {
        self.get(index as usize)
    }
}

/// Whether an entry's life goes on after `now`.
#[inline(always)]
pub(super) const fn lives(life: u64, now: u32) -> bool {
    let until = (life >> 32) as u32;
    until > now || until == FOR_EVER
}

const _: () = assert!(size_of::<Line>() == size_of::<PlainLine>());

//! What a way's state says: a time, a count, or that the way changes hands.

use crate::gcra::FRACTION;

/// A state that is no time: a count (in the low 32 bits), or with [`TAKEN`] nothing.
pub(super) const COUNT: u64 = 1 << 63;
/// Beside [`COUNT`]: the way changes hands. Then the state has the clock's tick of that, above the number of who takes it.
pub(super) const TAKEN: u64 = 1 << 62;
const TAKEN_AT: u32 = 16;
/// Ticks after which whoever took a way has been killed half-way: some ten seconds and more.
pub(super) const HELD: u32 = 1 << 14;
pub(super) const NUMBER: u64 = 0xffff_ffff;

/// The state of a way that somebody with this number takes.
#[inline(always)]
pub(super) const fn taken(now: u64, claimant: u64) -> u64 {
    COUNT | TAKEN | (ticks(now) as u64) << TAKEN_AT | claimant
}

/// Whether the way changes hands.
#[inline(always)]
pub(super) const fn is_taken(state: u64) -> bool {
    state & (COUNT | TAKEN) == COUNT | TAKEN
}

/// The low bits of the clock's ticks.
#[inline(always)]
const fn ticks(now: u64) -> u32 {
    (now >> FRACTION) as u32
}

/// Whether somebody is taking a way, and has not been killed meanwhile. Clocks of two CPUs may differ by a little.
#[inline(always)]
pub(super) const fn is_held(state: u64, now: u64) -> bool {
    is_taken(state) && (ticks(now).wrapping_sub((state >> TAKEN_AT) as u32) as i32) < HELD as i32
}

/// How much a way says: less than the clock is nothing.
#[inline(always)]
pub(super) const fn life(tag: u64, state: u64) -> u64 {
    if state & COUNT == 0 {
        return if tag == 0 { 0 } else { state };
    }
    if state & TAKEN != 0 || state & NUMBER == 0 { 0 } else { u64::MAX }
}

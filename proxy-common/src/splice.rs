//! Connections that userspace relayed and then handed over: two TCP connections, each with sequence numbers, timestamps
//! and windows of its own, that look like one from both ends. What their segments are changed by stands here; that the
//! packets are one flow's, both ways, says the flow table.

use crate::cell::Cell64;

/// Who sent a segment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Side {
    /// The client, to the backend.
    Client = 0,
    /// The backend, to the client.
    Backend = 1,
}

impl Side {
    /// The other one.
    #[inline(always)]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Backend,
            Self::Backend => Self::Client,
        }
    }
}

/// What the segments of one side are changed by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Shift {
    /// Added to sequence numbers.
    pub sequence: u32,
    /// Added to acknowledgment numbers, and to the edges of selective acknowledgments.
    pub acknowledgment: u32,
    /// The sender's window scale less the one that the receiver was told: -14 to 14.
    pub window: i8,
    /// [`Shift::SACK`] and kin.
    pub flags: u8,
    /// Zero.
    pub pad: u16,
}

impl Shift {
    /// The receiver takes selective acknowledgments.
    pub const SACK: u8 = 1;
    /// The receiver's connection does without congestion notification: packets to it must not ask for it (RFC 3168 §6.1.1).
    pub const NOT_ECN: u8 = 1 << 1;
}

/// A spliced connection. The state is written last when it begins, and first when it ends. `Splice` is its plain copy,
/// [`SharedSplice`] the same bytes in a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Splice<U64 = u64> {
    /// [`state`] (the low byte); of a held one: until when, in jiffies (the upper half).
    pub state: U64,
    /// By the side that sent it.
    pub shifts: [Shift; 2],
    /// [`clock`] of each side's timestamps.
    pub clocks: [U64; 2],
    /// When it was made, in jiffies.
    pub born: u32,
    /// What the first timestamp of each side becomes: what its receiver echoes of before was not written by it. 0: no matter.
    pub firsts: [u32; 2],
    /// Zero.
    pub pad: u32,
}

/// A spliced connection in a table that every CPU reads and writes.
pub type SharedSplice = Splice<Cell64>;

const _: () = assert!(size_of::<Shift>() == 12);
const _: () = assert!(size_of::<Splice>() == 64 && size_of::<SharedSplice>() == 64);
const _: () = assert!(align_of::<Splice>() == align_of::<SharedSplice>());

/// What is done with packets of a spliced connection.
pub mod state {
    /// The entry is nobody's.
    pub const FREE: u64 = 0;
    /// They are kept back, and copied for the daemon, which is about to read the sockets' state.
    pub const HELD: u64 = 1;
    /// They are translated.
    pub const LIVE: u64 = 2;
    /// Where the state stands.
    pub const MASK: u64 = 0xff;
}

/// How the timestamps of a side are changed: one word, its upper half says what the lower one is.
pub mod clock {
    /// The connections have no timestamps.
    pub const NONE: u64 = 0;
    /// The first timestamp of this side becomes that number: newer than all that the receiver has seen.
    pub const WAITS: u64 = 1 << 32;
    /// So much is added.
    pub const RUNS: u64 = 2 << 32;
    /// The upper half.
    pub const KIND: u64 = !0 << 32;
}

impl SharedSplice {
    /// What is added to this side's timestamps, one of which is `value`: the first one settles it. Of two CPUs that have a
    /// first one each, one is faster, and the other obeys.
    #[inline(always)]
    pub fn clock_offset(&self, side: Side, value: u32) -> u32 {
        let cell = &self.clocks[side as usize];
        let word = cell.load();
        if word & clock::KIND != clock::WAITS {
            return word as u32;
        }
        let offset = (word as u32).wrapping_sub(value);
        if cell.replace_if(word, clock::RUNS | offset as u64) { offset } else { cell.load() as u32 }
    }

    /// The same, once a timestamp of this side was seen.
    #[inline(always)]
    pub fn settled_offset(&self, side: Side) -> Option<u32> {
        let word = self.clocks[side as usize].load();
        (word & clock::KIND == clock::RUNS).then_some(word as u32)
    }

    /// What is done with its packets at `now`: one that was held for too long is nobody's, for who held it is gone.
    #[inline(always)]
    pub fn state_at(&self, now: u32) -> u64 {
        let word = self.state.load();
        let state = word & state::MASK;
        let expired = now.wrapping_sub((word >> 32) as u32) as i32 >= 0;
        if state == state::HELD && expired { state::FREE } else { state }
    }
}

impl<U64> Splice<U64> {
    /// A window field of a segment of this side, as the receiver must read it: never more than was offered.
    #[inline(always)]
    pub const fn window(&self, side: Side, field: u16) -> u16 {
        scaled(field, self.shifts[side as usize].window)
    }
}

/// A window field under another scale: `shift` is the one that it was written for less the one that it is read by.
#[inline(always)]
pub const fn scaled(field: u16, shift: i8) -> u16 {
    let wide = field as u32;
    let moved =
        if shift >= 0 { wide << (shift as u32 & 15) } else { wide >> (shift.unsigned_abs() as u32 & 15) };
    if moved > 0xffff { 0xffff } else { moved as u16 }
}

/// Bytes of a frame that most frames have no more than: it is held in a record of that size, and comes in again as it is.
pub const HELD_FRAME: usize = 2048 - 16;
/// Bytes of a frame that can be held at all: jumbo frames are no longer. It is cut up before it comes in again. What is still longer
/// is lost, and sent again by whoever sent it.
pub const HELD_LONG: usize = 9216;

/// A frame that was held, as the daemon gets it, with room for so many bytes: [`HELD_FRAME`] or [`HELD_LONG`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct HeldFrame<const ROOM: usize> {
    /// The number of the connection.
    pub splice: u32,
    /// The interface that it came in by.
    pub ingress: u32,
    /// How long it is.
    pub length: u32,
    /// Zero.
    pub pad: u32,
    /// The frame, from its link-layer header on.
    pub bytes: [u8; ROOM],
}

/// Bytes of a record in front of its frame.
pub const HELD_HEAD: usize = size_of::<HeldFrame<0>>();

const _: () = assert!(size_of::<HeldFrame<HELD_FRAME>>() == 2048);
const _: () = assert!(size_of::<HeldFrame<HELD_LONG>>() == HELD_HEAD + HELD_LONG);

/// The word of a held state that ends at a moment.
#[inline(always)]
pub const fn held_until(moment: u32) -> u64 {
    (moment as u64) << 32 | state::HELD
}

#[cfg(test)]
mod tests {
    use super::*;

    fn splice(state: u64, clocks: [u64; 2]) -> SharedSplice {
        SharedSplice {
            state: Cell64::new(state),
            shifts: [Shift::default(); 2],
            clocks: clocks.map(Cell64::new),
            born: 0,
            firsts: [0; 2],
            pad: 0,
        }
    }

    #[test]
    fn the_first_timestamp_of_a_side_settles_what_is_added() {
        let splice = splice(state::LIVE, [clock::WAITS | 5000, clock::NONE]);
        assert_eq!(splice.settled_offset(Side::Client), None);
        let offset = splice.clock_offset(Side::Client, 4_294_967_290);
        assert_eq!(4_294_967_290u32.wrapping_add(offset), 5000);
        assert_eq!(splice.clock_offset(Side::Client, 7), offset, "the second obeys");
        assert_eq!(splice.settled_offset(Side::Client), Some(offset));
        assert_eq!(splice.clock_offset(Side::Backend, 7), 0);
    }

    #[test]
    fn a_held_connection_is_nobodys_once_its_time_is_over() {
        let splice = splice(held_until(u32::MAX), [0; 2]);
        assert_eq!(splice.state_at(u32::MAX - 1), state::HELD);
        assert_eq!(splice.state_at(u32::MAX), state::FREE);
        assert_eq!(splice.state_at(3), state::FREE, "around the end");
        splice.state.store(state::LIVE);
        assert_eq!(splice.state_at(3), state::LIVE);
    }

    #[test]
    fn a_window_is_never_more_than_was_offered() {
        for (field, shift, read) in
            [(512, 0, 512), (512, 7, 65_535), (100, 7, 12_800), (65_535, -7, 511), (127, -7, 0)]
        {
            assert_eq!(scaled(field, shift), read);
        }
        for shift in -14i8..=14 {
            for field in [0u16, 1, 127, 128, 5000, 65_535] {
                let offered = u64::from(field) << 14;
                let read = u64::from(scaled(field, shift)) << (14 - i32::from(shift));
                assert!(read <= offered, "{field} by {shift}");
            }
        }
    }
}

//! A segment of a spliced connection is translated: sequence numbers, acknowledgments with their selective edges,
//! timestamps, window. Everything is read before anything is written; the checksum changes by deltas (RFC 1624), so that
//! a wrong one stays wrong. The addresses are another stage's.

use proxy_common::{
    addr::Address,
    checksum::{self, delta},
    splice::{SharedSplice, Shift, Side},
};

use crate::{
    parsed::{Internet, Transport, tcp},
    world::Packet,
};

/// Bytes of options that a TCP header has at most (RFC 9293 §3.1).
pub const OPTIONS: usize = 40;
const WORDS: u32 = OPTIONS as u32 / 4;
/// Bytes of the memory that options are read into: a power of two, for the sake of the verifier.
pub const MEMORY: usize = 64;

/// End of the list.
const END: u8 = 0;
/// Padding.
const NOP: u8 = 1;
/// The segment size; in the middle of a connection it means nothing.
const SIZE: u8 = 2;
/// Selective acknowledgments (RFC 2018).
const SACK: u8 = 5;
/// Timestamps (RFC 7323).
const TIMESTAMPS: u8 = 8;
/// Timestamps alone, as every common stack writes them.
const ALIGNED: u32 = u32::from_be_bytes([NOP, NOP, TIMESTAMPS, 10]);

/// Translates a segment that `side` sent. `None`: it could not be, nothing was written. `memory` is scratch.
#[inline(always)]
pub fn translate<P: Packet, A: Address>(
    packet: &mut P,
    ip: &Internet<A>,
    transport: &Transport,
    splice: &SharedSplice,
    side: Side,
    memory: &mut [u8; MEMORY],
) -> Option<()> {
    let shift = &splice.shifts[side as usize];
    let [sequence, acknowledgment, control, tail] = packet.words::<4>(ip.l4 + 4)?;
    let words = (u32::from_be(control) >> 28).checked_sub(5)?;
    let options = options(packet, ip.l4 + 20, words, splice, side, memory)?;

    let new_sequence = u32::from_be(sequence).wrapping_add(shift.sequence).to_be();
    let new_acknowledgment = if transport.flags & tcp::ACK != 0 {
        u32::from_be(acknowledgment).wrapping_add(shift.acknowledgment).to_be()
    } else {
        acknowledgment
    };
    // The window of a SYN is not scaled (RFC 7323 §2.2).
    let new_control = if transport.flags & tcp::SYN != 0 {
        control
    } else {
        let plain = u32::from_be(control);
        (plain & !0xffff | u32::from(splice.window(side, plain as u16))).to_be()
    };
    let old = sequence as u64 + acknowledgment as u64 + control as u64;
    let new = new_sequence as u64 + new_acknowledgment as u64 + new_control as u64;
    let [c0, c1, u0, u1] = tail.to_ne_bytes();
    let sum = checksum::update(u16::from_ne_bytes([c0, c1]), checksum::combine(delta(old, new), options));
    let [c0, c1] = sum.to_ne_bytes();
    let tail = u32::from_ne_bytes([c0, c1, u0, u1]);
    packet.set_words(ip.l4 + 4, [new_sequence, new_acknowledgment, new_control, tail])
}

/// Translates the options, of so many words, and returns what that changes the checksum by.
#[inline(always)]
fn options<P: Packet>(
    packet: &mut P,
    at: u32,
    words: u32,
    splice: &SharedSplice,
    side: Side,
    memory: &mut [u8; MEMORY],
) -> Option<u16> {
    if words == 0 {
        return Some(0);
    }
    if words == 3 {
        let [head, value, echo] = packet.words::<3>(at)?;
        if head == ALIGNED.to_be() {
            let new = [
                new_value(splice, side, u32::from_be(value)).to_be(),
                new_echo(splice, side, u32::from_be(echo)).to_be(),
            ];
            packet.set_words(at + 4, new)?;
            return Some(delta(value as u64 + echo as u64, new[0] as u64 + new[1] as u64));
        }
    }
    any(packet, at, words, splice, side, memory)
}

/// Options in whatever order.
#[inline(never)]
fn any<P: Packet>(
    packet: &mut P,
    at: u32,
    words: u32,
    splice: &SharedSplice,
    side: Side,
    memory: &mut [u8; MEMORY],
) -> Option<u16> {
    let mut old = 0u64;
    for i in 0..WORDS {
        if i >= words {
            break;
        }
        let [word] = packet.words::<1>(at + 4 * i)?;
        old += word as u64;
        put(memory, 4 * i, word.to_ne_bytes());
    }
    walk(memory, words * 4, splice, side);
    let mut new = 0u64;
    for i in 0..WORDS {
        if i >= words {
            break;
        }
        let word = u32::from_ne_bytes(get(memory, 4 * i));
        new += word as u64;
        packet.set_words(at + 4 * i, [word])?;
    }
    Some(delta(old, new))
}

/// What the walk is in the middle of.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Within {
    /// An option that the receiver must not see.
    Wiped,
    /// Edges of selective acknowledgments.
    Edges,
    /// Timestamps.
    Clocks,
}

/// Walks over `end` bytes of options, a few bytes a step. What we know nothing of was agreed on with us, and so with
/// nobody: it becomes padding.
#[inline(never)]
fn walk(memory: &mut [u8; MEMORY], end: u32, splice: &SharedSplice, side: Side) {
    let shift = &splice.shifts[side as usize];
    let (mut at, mut left, mut within) = (0u32, 0u32, Within::Wiped);
    // Each step is a byte further at least.
    for _ in 0..OPTIONS {
        if at >= end {
            break;
        }
        if left != 0 {
            let took = match within {
                Within::Wiped => {
                    set(memory, at, NOP);
                    1
                }
                Within::Edges => {
                    let edge = u32::from_be_bytes(get(memory, at)).wrapping_add(shift.acknowledgment);
                    put(memory, at, edge.to_be_bytes());
                    4
                }
                Within::Clocks => {
                    let old = u32::from_be_bytes(get(memory, at));
                    let new =
                        if left == 8 { new_value(splice, side, old) } else { new_echo(splice, side, old) };
                    put(memory, at, new.to_be_bytes());
                    4
                }
            };
            at += took;
            left -= took;
            continue;
        }
        let kind = byte(memory, at);
        if kind == END {
            break;
        }
        if kind == NOP {
            at += 1;
            continue;
        }
        let length = byte(memory, at + 1) as u32;
        // A receiver goes no further, either.
        if length < 2 || at + length > end {
            break;
        }
        within = match kind {
            SIZE => {
                at += length;
                continue;
            }
            SACK if length > 2 && (length - 2).is_multiple_of(8) && shift.flags & Shift::SACK != 0 => {
                Within::Edges
            }
            TIMESTAMPS if length == 10 => Within::Clocks,
            _ => {
                set(memory, at, NOP);
                set(memory, at + 1, NOP);
                Within::Wiped
            }
        };
        at += 2;
        left = length - 2;
    }
}

/// A timestamp of this side, as the receiver is to see it.
#[inline(always)]
fn new_value(splice: &SharedSplice, side: Side, value: u32) -> u32 {
    value.wrapping_add(splice.clock_offset(side, value))
}

/// A timestamp that this side echoes, as the receiver wrote it. What was ours, before anything of the receiver's was seen,
/// tells it nothing: 0 is none.
#[inline(always)]
fn new_echo(splice: &SharedSplice, side: Side, echo: u32) -> u32 {
    match splice.settled_offset(side.other()) {
        Some(offset) if echo != 0 => echo.wrapping_sub(offset),
        _ => 0,
    }
}

#[inline(always)]
fn byte(memory: &[u8; MEMORY], at: u32) -> u8 {
    memory[at as usize & (MEMORY - 1)]
}

#[inline(always)]
fn set(memory: &mut [u8; MEMORY], at: u32, value: u8) {
    memory[at as usize & (MEMORY - 1)] = value;
}

#[inline(always)]
fn get(memory: &[u8; MEMORY], at: u32) -> [u8; 4] {
    [byte(memory, at), byte(memory, at + 1), byte(memory, at + 2), byte(memory, at + 3)]
}

#[inline(always)]
fn put(memory: &mut [u8; MEMORY], at: u32, value: [u8; 4]) {
    for (i, value) in value.into_iter().enumerate() {
        set(memory, at + i as u32, value);
    }
}

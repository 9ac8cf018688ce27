//! A segment of a spliced connection is translated: sequence numbers, acknowledgments with their selective edges,
//! timestamps, window. Everything is read before anything is written; the checksum changes by deltas (RFC 1624), so that
//! a wrong one stays wrong. The addresses are another stage's.

use proxy_common::{
    addr::{Address, Ip4},
    checksum::{self, delta},
    splice::{SharedSplice, Shift, Side},
};

use crate::{
    parsed::{Internet, Transport, tcp},
    work::{OPTION_BYTES, Options, Translated, Within},
    world::{Packet, World},
};

/// Bytes of options that a TCP header has at most (RFC 9293 §3.1).
pub const OPTIONS: usize = 40;
const WORDS: u32 = OPTIONS as u32 / 4;

/// Where flags are in the third word after the ports.
const SYN_BIT: u32 = (tcp::SYN as u32) << 16;
const ACK_BIT: u32 = (tcp::ACK as u32) << 16;

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

/// Works out what a segment of the connection with this number becomes, which `side` sent. `None`: its header is not all
/// there.
#[inline(always)]
pub fn translate<W: World, A: Address>(
    world: &W,
    ip: &Internet<A>,
    transport: &Transport,
    (number, side): (u32, Side),
    to: &mut Translated,
) -> Option<()> {
    let splice = world.splice(number)?;
    let shift = &splice.shifts[side as usize];
    let [sequence, acknowledgment, control, tail] = world.words::<4>(ip.l4 + 4)?;
    to.words = (u32::from_be(control) >> 28).checked_sub(5)?;
    to.at = ip.l4 + 20;
    to.unmark = shift.flags & Shift::NOT_ECN != 0;
    if !stamps_alone(world, splice, side, to)? {
        to.options.side = side as u8;
        any(world, A::FAMILY, number, to)?;
    }

    let new_sequence = u32::from_be(sequence).wrapping_add(shift.sequence).to_be();
    let new_acknowledgment = if transport.flags & tcp::ACK != 0 {
        u32::from_be(acknowledgment).wrapping_add(shift.acknowledgment).to_be()
    } else {
        acknowledgment
    };
    // Whoever begins anew on a connection that is there is asked whether it is still so: as a SYN it would come to whoever
    // listens where the other side was, past all that decides about new connections. As an acknowledgment of nothing it
    // is answered by one, if the connection is there, and by a reset otherwise (RFC 5961 §4.2). Its window means nothing.
    let new_control = if transport.flags & tcp::SYN != 0 {
        (u32::from_be(control) & !SYN_BIT | ACK_BIT).to_be()
    } else {
        let plain = u32::from_be(control);
        (plain & !0xffff | u32::from(splice.window(side, plain as u16))).to_be()
    };
    let old = sequence as u64 + acknowledgment as u64 + control as u64;
    let new = new_sequence as u64 + new_acknowledgment as u64 + new_control as u64;
    let [c0, c1, u0, u1] = tail.to_ne_bytes();
    let sum = checksum::update(u16::from_ne_bytes([c0, c1]), checksum::combine(delta(old, new), to.delta));
    let [c0, c1] = sum.to_ne_bytes();
    to.head = [new_sequence, new_acknowledgment, new_control, u32::from_ne_bytes([c0, c1, u0, u1])];
    Some(())
}

/// Takes the marks of congestion notification out of a packet's head: its receiver would not tell of them, and whoever marks a
/// packet instead of dropping it would not be heard (RFC 3168 §6.1.1).
#[inline(always)]
pub fn unmark<P: Packet, A: Address>(packet: &mut P, ip: &Internet<A>) -> Option<()> {
    let at = ip.link.l3;
    let [old] = packet.words::<1>(at)?;
    let [a, b, c, d] = old.to_ne_bytes();
    if A::FAMILY != Ip4::FAMILY {
        // The traffic class begins in the middle of the first byte (RFC 8200 §3).
        return packet.set_words(at, [u32::from_ne_bytes([a, b & !0x30, c, d])]);
    }
    let new = u32::from_ne_bytes([a, b & !3, c, d]);
    let sum = checksum::update(packet.half(at + 10)?, delta(old as u64, new as u64));
    packet.set_half(at + 10, sum)?;
    packet.set_words(at, [new])
}

/// Writes it. `None`: it could not be; that it can be read says that it can be written.
#[inline(always)]
pub fn write<P: Packet>(packet: &mut P, from: &Translated) -> Option<()> {
    packet.set_words(from.at - 16, from.head)?;
    if from.words == 0 {
        return Some(());
    }
    if from.aligned {
        return packet.set_words(from.at + 4, from.stamps);
    }
    for i in 0..WORDS {
        if i >= from.words {
            break;
        }
        packet.set_words(from.at + 4 * i, [u32::from_ne_bytes(get(&from.options.bytes, 4 * i))])?;
    }
    Some(())
}

/// Translates the options if there are none, or timestamps alone in their usual place. `false`: there are others.
#[inline(always)]
fn stamps_alone<P: Packet>(
    packet: &P,
    splice: &SharedSplice,
    side: Side,
    to: &mut Translated,
) -> Option<bool> {
    to.aligned = false;
    to.delta = 0;
    if to.words != 3 {
        return Some(to.words == 0);
    }
    let [head, value, echo] = packet.words::<3>(to.at)?;
    if head != ALIGNED.to_be() {
        return Some(false);
    }
    to.aligned = true;
    to.stamps = [
        new_value(splice, side, u32::from_be(value)).to_be(),
        new_echo(splice, side, u32::from_be(echo)).to_be(),
    ];
    to.delta = delta(value as u64 + echo as u64, to.stamps[0] as u64 + to.stamps[1] as u64);
    Some(true)
}

/// Options in whatever order: they are read, walked over, and summed up.
#[inline(never)]
fn any<W: World>(world: &W, family: u8, number: u32, to: &mut Translated) -> Option<()> {
    let (at, words) = (to.at, to.words);
    let mut old = 0u64;
    for i in 0..WORDS {
        if i >= words {
            break;
        }
        let [word] = world.words::<1>(at + 4 * i)?;
        old += word as u64;
        put(&mut to.options.bytes, 4 * i, word.to_ne_bytes());
    }
    let walk = &mut to.options;
    (walk.end, walk.at, walk.left, walk.within) = (words * 4, 0, 0, Within::Nothing as u8);
    // Each step is a byte further at least.
    for _ in 0..OPTIONS {
        if to.options.at >= to.options.end {
            break;
        }
        world.option_step(family, number, &mut to.options);
    }
    let mut new = 0u64;
    for i in 0..WORDS {
        if i >= words {
            break;
        }
        new += u32::from_ne_bytes(get(&to.options.bytes, 4 * i)) as u64;
    }
    to.delta = delta(old, new);
    Some(())
}

/// A step of the walk over options: an option begins, or a few bytes of one are done with. What we know nothing of was
/// agreed on with us, and so with nobody: it becomes padding. (All that it remembers is in memory: so the verifier takes
/// every step for the same.)
#[inline(always)]
pub fn step(splice: &SharedSplice, walk: &mut Options) {
    if walk.left == 0 {
        return begin(splice, walk);
    }
    let side = if walk.side == Side::Client as u8 { Side::Client } else { Side::Backend };
    let (at, mut took) = (walk.at, 4);
    let old = u32::from_be_bytes(get(&walk.bytes, at));
    if walk.within == Within::Edges as u8 {
        let edge = old.wrapping_add(splice.shifts[side as usize].acknowledgment);
        put(&mut walk.bytes, at, edge.to_be_bytes());
    } else if walk.within == Within::Clocks as u8 {
        let new = if walk.left == 8 { new_value(splice, side, old) } else { new_echo(splice, side, old) };
        put(&mut walk.bytes, at, new.to_be_bytes());
    } else {
        set(&mut walk.bytes, at, NOP);
        took = 1;
    }
    walk.at = at + took;
    walk.left -= took;
}

/// What begins where the walk is.
#[inline(always)]
fn begin(splice: &SharedSplice, walk: &mut Options) {
    let (at, end) = (walk.at, walk.end);
    let kind = byte(&walk.bytes, at);
    if kind == NOP {
        walk.at = at + 1;
        return;
    }
    let length = byte(&walk.bytes, at + 1) as u32;
    if kind == END || length < 2 || at + length > end {
        // A receiver goes no further, either.
        walk.at = end;
        return;
    }
    if kind == SIZE {
        walk.at = at + length;
        return;
    }
    let takes_edges = splice.shifts[walk.side as usize & 1].flags & Shift::SACK != 0;
    let within = if kind == SACK && length > 2 && (length - 2) & 7 == 0 && takes_edges {
        Within::Edges
    } else if kind == TIMESTAMPS && length == 10 {
        Within::Clocks
    } else {
        set(&mut walk.bytes, at, NOP);
        set(&mut walk.bytes, at + 1, NOP);
        Within::Wiped
    };
    walk.within = within as u8;
    walk.at = at + 2;
    walk.left = length - 2;
}

/// A timestamp of this side, as the receiver is to see it.
#[inline(always)]
fn new_value(splice: &SharedSplice, side: Side, value: u32) -> u32 {
    value.wrapping_add(splice.clock_offset(side, value))
}

/// A timestamp that this side echoes, as the receiver wrote it. What was ours, before anything of the receiver's was seen,
/// tells it nothing: 0 is none. Nor does what was ours and is echoed late.
#[inline(always)]
fn new_echo(splice: &SharedSplice, side: Side, echo: u32) -> u32 {
    match splice.settled_offset(side.other()) {
        Some(offset) if echo != 0 && !is_before(echo, splice.firsts[side.other() as usize]) => {
            echo.wrapping_sub(offset)
        }
        _ => 0,
    }
}

/// Whether a timestamp is one of those shortly before the first one; 0: there is none. (Those of much later come around to
/// be before it, too.)
#[inline(always)]
const fn is_before(stamp: u32, first: u32) -> bool {
    const SHORTLY: u32 = 1 << 20;
    first != 0 && first.wrapping_sub(stamp).wrapping_sub(1) < SHORTLY
}

#[inline(always)]
fn byte(memory: &[u8; OPTION_BYTES], at: u32) -> u8 {
    memory[at as usize & (OPTION_BYTES - 1)]
}

#[inline(always)]
fn set(memory: &mut [u8; OPTION_BYTES], at: u32, value: u8) {
    memory[at as usize & (OPTION_BYTES - 1)] = value;
}

#[inline(always)]
fn get(memory: &[u8; OPTION_BYTES], at: u32) -> [u8; 4] {
    [byte(memory, at), byte(memory, at + 1), byte(memory, at + 2), byte(memory, at + 3)]
}

#[inline(always)]
fn put(memory: &mut [u8; OPTION_BYTES], at: u32, value: [u8; 4]) {
    for (i, value) in value.into_iter().enumerate() {
        set(memory, at + i as u32, value);
    }
}

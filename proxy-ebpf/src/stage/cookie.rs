//! SYNs answered from nothing but a key: what their sender is told, and what it must come back with.

use proxy_common::{
    addr::{Address, Ip4},
    cookie::{Purpose, size_index, sizes},
    guard::GuardSettings,
};

use crate::{
    parsed::{Internet, Segment, tcp},
    work::{Offer, Work},
    world::Packet,
};

/// Options that are looked at before the rest is left alone.
const MOST_OPTIONS: u32 = 10;
/// What our window is scaled by: the socket that is made of a cookie does the same.
pub const WINDOW_SCALE: u8 = 7;
/// What a socket's first window is by default, not scaled (`tcp_rmem`).
const WINDOW: u16 = 64_240;
/// The client's segments when it does not say (RFC 9293 §3.7.1).
const DEFAULT_SIZE: u16 = 536;

// What the low bits of our timestamp remember: the client's window scale (15: none), and whether it acknowledges
// selectively. The bits above are the clock's.
const SCALE: u32 = 0xf;
const SACK: u32 = 1 << 4;
const CLOCK: u32 = 6;

/// Reads the options of the TCP header in hand (RFC 9293 §3.1, RFC 7323, RFC 2018).
#[inline(never)]
pub fn options<P: Packet, A: Address>(packet: &P, ip: &Internet<A>, offer: &mut Offer) -> Option<()> {
    *offer = Offer {
        size: if A::FAMILY == Ip4::FAMILY { DEFAULT_SIZE } else { 1220 },
        scale: SCALE as u8,
        ..Offer::default()
    };
    let [word] = packet.words::<1>(ip.l4 + 12)?;
    let end = ip.l4 + (u32::from_be(word) >> 28) * 4;
    let mut at = ip.l4 + 20;
    for _ in 0..MOST_OPTIONS {
        if at + 1 >= end {
            break;
        }
        let pair = u16::from_be(packet.half(at)?);
        let (kind, length) = (pair >> 8, u32::from(pair & 0xff));
        match kind {
            0 => break,
            1 => {
                at += 1;
                continue;
            }
            _ if length < 2 || at + length > end => break,
            2 if length == 4 => offer.size = u16::from_be(packet.half(at + 2)?),
            3 if length == 3 => offer.scale = (packet.half(at + 1)?.to_ne_bytes()[1]).min(14),
            4 if length == 2 => offer.sack = true,
            8 if length == 10 => {
                offer.timestamps = true;
                let [value, echo] = packet.words::<2>(at + 2)?;
                (offer.value, offer.echo) = (u32::from_be(value), u32::from_be(echo));
            }
            _ => {}
        }
        at += length;
    }
    Some(())
}

/// The SYN-ACK that takes a connection: its sequence number is a cookie. Window scale and SACK are agreed to only where
/// the timestamp can remember them, as in net/ipv4/syncookies.c.
#[inline(never)]
pub fn take<A: Address>(work: &mut Work<A>, settings: &GuardSettings, now: u32) {
    let has = |flag: u32| settings.flags & flag != 0;
    let header = if A::FAMILY == Ip4::FAMILY { 40 } else { 60 };
    let size = size_index::<A>(work.offer.size);
    let isn = work.transport.sequence;
    let cookie = settings.keys.make(Purpose::Connection, &work.ip.key, isn, settings.seconds(now), size);
    let timestamps = work.offer.timestamps && has(GuardSettings::TIMESTAMPS);
    let scale = if has(GuardSettings::WINDOW_SCALE) { work.offer.scale } else { SCALE as u8 };
    let sack = work.offer.sack && has(GuardSettings::SACK);
    let most = settings.mtu.saturating_sub(header).max(536) as u16;
    let answer = &mut work.answer;
    *answer = Segment {
        sequence: cookie,
        acknowledgment: isn.wrapping_add(1),
        flags: tcp::SYN | tcp::ACK,
        window: WINDOW,
        option_words: 1,
        ..Segment::default()
    };
    answer.options[0] = (0x0204 << 16 | u32::from(most)).to_be();
    if timestamps {
        let value = now << CLOCK | u32::from(scale) | if sack { SACK } else { 0 };
        let before = if sack { 0x0402 } else { 0x0101 };
        answer.options[1] = (before << 16 | 0x080au32).to_be();
        answer.options[2] = value.to_be();
        answer.options[3] = work.offer.value.to_be();
        answer.option_words = 4;
        if u32::from(scale) != SCALE {
            answer.options[4] = (0x0103_0300 | u32::from(WINDOW_SCALE)).to_be();
            answer.option_words = 5;
        }
    }
}

/// Whether the segment in hand is the answer to such a SYN-ACK: then the offer is what was agreed to.
#[inline(never)]
pub fn is_taken<P: Packet, A: Address>(
    packet: &P,
    work: &mut Work<A>,
    settings: &GuardSettings,
    now: u32,
) -> bool {
    let asked = &work.transport;
    let (isn, cookie) = (asked.sequence.wrapping_sub(1), asked.acknowledgment.wrapping_sub(1));
    let said = settings.keys.check(Purpose::Connection, &work.ip.key, isn, settings.seconds(now), cookie);
    let Some(size) = said else { return false };
    if options(packet, &work.ip, &mut work.offer).is_none() {
        return false;
    }
    work.offer.size = sizes::<A>()[size as usize & 7];
    let echo = work.offer.echo;
    work.offer.scale = if work.offer.timestamps { (echo & SCALE) as u8 } else { SCALE as u8 };
    work.offer.sack = work.offer.timestamps && echo & SACK != 0;
    true
}

/// The SYN-ACK that asks whether anybody is there: it acknowledges what nobody sent, and who is there resets it with
/// that number (RFC 9293 §3.10.7.3).
#[inline(never)]
pub fn ask<A: Address>(work: &mut Work<A>, settings: &GuardSettings, now: u32) {
    let second = settings.seconds(now);
    let make = |size| settings.keys.make(Purpose::Proof, &work.ip.key, 0, second, size);
    let acceptable = work.transport.sequence.wrapping_add(1);
    let cookie = make(0);
    work.answer = Segment {
        sequence: cookie ^ acceptable,
        acknowledgment: if cookie == acceptable { make(1) } else { cookie },
        flags: tcp::SYN | tcp::ACK,
        window: WINDOW,
        ..Segment::default()
    };
}

/// Whether the reset in hand answers that.
#[inline(never)]
pub fn is_proof<A: Address>(work: &Work<A>, settings: &GuardSettings, now: u32) -> bool {
    let second = settings.seconds(now);
    settings.keys.check(Purpose::Proof, &work.ip.key, 0, second, work.transport.sequence).is_some()
}

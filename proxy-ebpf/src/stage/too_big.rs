//! A packet that its way out cannot carry is answered with "fragmentation needed" (RFC 792, RFC 1191 §4) or "packet too
//! big" (RFC 4443 §3.2), so that its sender learns the path's MTU. The answer is made of the packet itself: its IP
//! header and eight bytes behind it become the quote, new headers grow in front.

use proxy_common::{
    addr::{Address, Ip4},
    checksum,
    drop_reason::{DropReason, Notice},
    settings::Settings,
};

use crate::{
    parsed::{ICMP, ICMPV6, Internet, Piece},
    verdict::{Outcome, Verdict, dropped, some},
    work::Work,
    world::{Packet, World},
};
use core::ops::ControlFlow::Continue;

/// Bytes of a quote at the most, in words of 32 bits: an IP header with many options, and eight bytes.
const MOST_WORDS: u32 = 32;
/// `MOST_WORDS` in bytes.
const MOST: u32 = MOST_WORDS * 4;
const TTL: u32 = 64;

/// Answers the packet, or drops it where nobody is to be told: its sender allowed fragments, which are not made here.
#[inline(never)]
pub fn answer<W: World, A: Address>(world: &mut W, work: &Work<A>) -> Outcome<Verdict> {
    let Some(settings) = world.settings() else { return dropped(DropReason::TooBig) };
    let (wanted, redirects) =
        (settings.flags & Settings::ANSWER_TOO_BIG != 0, settings.flags & Settings::REDIRECT != 0);
    let ip = &work.ip;
    let quoted = ip.l4 - ip.link.l3 + 8;
    if !wanted || !ip.dont_fragment || matches!(ip.piece, Piece::Later(_)) || quoted > MOST {
        return dropped(DropReason::TooBig);
    }
    some(turn(world, ip, quoted, work.exit.hop.mtu), DropReason::TooBig)?;
    world.notice(Notice::TooBigAnswered);
    Continue(if redirects { Verdict::Redirect(world.ingress()) } else { Verdict::Transmit })
}

/// Turns the packet into the answer.
#[inline(always)]
fn turn<P: Packet, A: Address>(packet: &mut P, ip: &Internet<A>, quoted: u32, mtu: u16) -> Option<()> {
    let l3 = ip.link.l3;
    let v4 = A::FAMILY == Ip4::FAMILY;
    let header = if v4 { 20 } else { 40 };
    let macs = packet.words::<3>(0)?;
    let kinds = kinds(packet, l3)?;
    packet.truncate(l3 + quoted)?;
    packet.move_start(-(header as i32 + 8))?;

    let (kind, protocol) = if v4 { (3 << 24 | 4 << 16, ICMP) } else { (2 << 24, ICMPV6) };
    let icmp = l3 + header;
    let mut sum = quote_sum(packet, icmp + 8, quoted)?
        + u64::from(u32::to_be(kind))
        + u64::from(u32::from(mtu).to_be());
    if !v4 {
        // The pseudo-header (RFC 8200 §8.1).
        sum += checksum::sum_address(ip.key.source) + checksum::sum_address(ip.key.destination);
        sum += u64::from((quoted + 8).to_be()) + u64::from(u32::from(protocol).to_be());
    }
    let field = u32::from(u16::from_be(!checksum::fold(sum)));
    packet.set_words(icmp, [(kind | field).to_be(), u32::from(mtu).to_be()])?;
    internet(packet, ip, quoted + 8, protocol)?;

    for (i, kind) in kinds.iter().enumerate() {
        if 12 + i as u32 * 2 < l3 {
            packet.set_half(12 + i as u32 * 2, *kind)?;
        }
    }
    let [a, b, c] = macs.map(u32::from_be);
    packet
        .set_words(0, [(b << 16 | c >> 16).to_be(), (c << 16 | a >> 16).to_be(), (a << 16 | b >> 16).to_be()])
}

/// What stands between the MACs and the IP header: VLAN tags and the EtherType.
#[inline(always)]
fn kinds<P: Packet>(packet: &P, l3: u32) -> Option<[u16; 5]> {
    let mut kinds = [0; 5];
    for (i, kind) in kinds.iter_mut().enumerate() {
        if 12 + i as u32 * 2 < l3 {
            *kind = packet.half(12 + i as u32 * 2)?;
        }
    }
    Some(kinds)
}

#[inline(always)]
fn quote_sum<P: Packet>(packet: &P, at: u32, quoted: u32) -> Option<u64> {
    let mut sum = 0;
    for i in 0..MOST_WORDS {
        if i * 4 >= quoted {
            break;
        }
        sum += u64::from(packet.words::<1>(at + i * 4)?[0]);
    }
    Some(sum)
}

/// The new IP header, from where the packet wanted to go, to where it came from.
#[inline(always)]
fn internet<P: Packet, A: Address>(
    packet: &mut P,
    ip: &Internet<A>,
    payload: u32,
    protocol: u8,
) -> Option<()> {
    let (l3, protocol) = (ip.link.l3, u32::from(protocol));
    match (ip.key.destination.words().as_ref(), ip.key.source.words().as_ref()) {
        (&[source], &[destination]) => {
            let mut w = [
                (0x45u32 << 24 | (20 + payload)).to_be(),
                0,
                (TTL << 24 | protocol << 16).to_be(),
                source,
                destination,
            ];
            let sum = w.iter().map(|word| u64::from(*word)).sum();
            w[2] |= u32::from(u16::from_be(!checksum::fold(sum))).to_be();
            packet.set_words(l3, w)
        }
        (&[s0, s1, s2, s3], &[d0, d1, d2, d3]) => {
            let head = [(6u32 << 28).to_be(), (payload << 16 | protocol << 8 | TTL).to_be()];
            packet.set_words(l3, [head[0], head[1], s0, s1, s2, s3, d0, d1, d2, d3])
        }
        _ => None,
    }
}

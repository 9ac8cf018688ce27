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
    turned,
    verdict::{Outcome, Verdict, dropped, some},
    work::Work,
    world::{Packet, World},
};
use core::ops::ControlFlow::Continue;

/// Bytes of a quote at the most, in words of 32 bits: an IP header with many options, and eight bytes.
const MOST_WORDS: u32 = 32;
/// `MOST_WORDS` in bytes.
const MOST: u32 = MOST_WORDS * 4;

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
    let header = turned::header::<A>();
    let link = turned::read_link(packet, l3)?;
    packet.truncate(l3 + quoted)?;
    packet.move_start(-(header as i32 + 8))?;

    let (kind, protocol) = if v4 { (3 << 24 | 4 << 16, ICMP) } else { (2 << 24, ICMPV6) };
    let icmp = l3 + header;
    let mut sum = quote_sum(packet, icmp + 8, quoted)?
        + u64::from(u32::to_be(kind))
        + u64::from(u32::from(mtu).to_be());
    if !v4 {
        sum += turned::pseudo_sum(ip, quoted + 8, protocol);
    }
    let field = u32::from(u16::from_be(!checksum::fold(sum)));
    packet.set_words(icmp, [(kind | field).to_be(), u32::from(mtu).to_be()])?;
    turned::write_internet(packet, ip, quoted + 8, protocol)?;
    turned::write_link(packet, l3, &link)
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

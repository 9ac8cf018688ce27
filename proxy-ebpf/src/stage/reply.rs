//! A TCP packet is turned into an answer to its sender, whole or not at all. The answer leaves by the way that the packet
//! came: the same interface, the same VLAN, to the MAC that it came from.

use proxy_common::{addr::Address, checksum, drop_reason::DropReason, settings::Settings};

use crate::{
    parsed::{Internet, OPTION_WORDS, Piece, Segment, TCP, Transport, tcp},
    turned,
    verdict::{Outcome, Verdict, dropped, some},
    work::Work,
    world::{Packet, World},
};
use core::ops::ControlFlow::Continue;

/// Answers with a reset, as who knows of no such connection does (RFC 9293 §3.10.7.1). What must not be answered, or
/// cannot be, is dropped for `reason`: a reset, a fragment, a frame that does not let itself be changed.
#[inline(never)]
pub fn reset<W: World, A: Address>(
    world: &mut W,
    work: &mut Work<A>,
    reason: DropReason,
) -> Outcome<Verdict> {
    if work.ip.key.protocol != TCP || work.transport.flags & tcp::RST != 0 {
        return dropped(reason);
    }
    let length = some(segment_length(world, &work.ip, &work.transport), reason)?;
    let asked = &work.transport;
    work.answer = if asked.flags & tcp::ACK != 0 {
        Segment { sequence: asked.acknowledgment, flags: tcp::RST, ..Segment::default() }
    } else {
        let acknowledgment = asked.sequence.wrapping_add(length);
        Segment { acknowledgment, flags: tcp::RST | tcp::ACK, ..Segment::default() }
    };
    answer(world, work, reason)
}

/// Turns a segment into its sender's reset: the socket that it is for is gone, and its sender hears nothing. Of a segment
/// that is the next in order that is what everybody's TCP takes it for (RFC 9293 §3.10.7.4, RFC 5961 §3.2).
#[inline(always)]
pub fn abort<P: Packet, A: Address>(packet: &mut P, ip: &Internet<A>) -> Option<()> {
    let before = packet.half(ip.l4 + 12)?;
    let [offset, _] = before.to_ne_bytes();
    let after = u16::from_ne_bytes([offset, tcp::RST | tcp::ACK]);
    let sum = packet.half(ip.l4 + 16)?;
    packet.set_half(ip.l4 + 12, after)?;
    packet.set_half(ip.l4 + 16, checksum::update(sum, checksum::delta(before as u64, after as u64)))
}

/// Answers with `work.answer`; what cannot be answered is dropped for `reason`.
#[inline(never)]
pub fn answer<W: World, A: Address>(world: &mut W, work: &Work<A>, reason: DropReason) -> Outcome<Verdict> {
    let redirects = world.settings().is_some_and(|settings| settings.flags & Settings::REDIRECT != 0);
    if !matches!(work.ip.piece, Piece::Whole) {
        return dropped(reason);
    }
    some(turn(world, &work.ip, &work.answer), reason)?;
    Continue(if redirects { Verdict::Redirect(world.ingress()) } else { Verdict::Transmit })
}

/// The sequence numbers that a segment takes: its data, SYN and FIN (RFC 9293 §3.4).
#[inline(always)]
fn segment_length<P: Packet, A: Address>(packet: &P, ip: &Internet<A>, transport: &Transport) -> Option<u32> {
    let [word] = packet.words::<1>(ip.l4 + 12)?;
    let data = ip.end.checked_sub(ip.l4 + (u32::from_be(word) >> 28) * 4)?;
    let flag = |bit: u8| u32::from(transport.flags & bit != 0);
    Some(data + flag(tcp::SYN) + flag(tcp::FIN))
}

#[inline(always)]
fn turn<P: Packet, A: Address>(packet: &mut P, ip: &Internet<A>, answer: &Segment) -> Option<()> {
    let l3 = ip.link.l3;
    let segment = 20 + answer.option_words * 4;
    let at = l3 + turned::header::<A>();
    let length = at + segment;
    let link = turned::read_link(packet, l3)?;
    // The shorter of both first: a frame is never longer than what is said of it.
    packet.truncate(if length < ip.end { length } else { ip.end })?;
    if length > ip.end {
        packet.move_start(ip.end as i32 - length as i32)?;
    }
    let ports = u32::from(ip.key.destination_port.raw()) | u32::from(ip.key.source_port.raw()) << 16;
    let offset = (5 + answer.option_words) << 28;
    let head = [
        ports,
        answer.sequence.to_be(),
        answer.acknowledgment.to_be(),
        (offset | u32::from(answer.flags) << 16 | u32::from(answer.window)).to_be(),
    ];
    let mut sum = turned::pseudo_sum(ip, segment, TCP);
    sum += head.iter().map(|word| u64::from(*word)).sum::<u64>();
    for (i, option) in answer.options.iter().enumerate().take(OPTION_WORDS) {
        if (i as u32) < answer.option_words {
            sum += u64::from(*option);
            packet.set_words(at + 20 + i as u32 * 4, [*option])?;
        }
    }
    let [a, b, c, d] = head;
    packet.set_words(at, [a, b, c, d, u32::from(!checksum::fold(sum))])?;
    turned::write_internet(packet, ip, segment, TCP)?;
    turned::write_link(packet, l3, &link)
}

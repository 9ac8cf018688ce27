//! From bytes to a sound header. Nothing here looks at a table; what cannot be sound is dropped with its reason,
//! what is of no kind we balance is passed on.

use proxy_common::{
    addr::{Address, Be16, Be32, Ip4, Ip6},
    checksum,
    drop_reason::DropReason,
    limits::IPV6_EXTENSION_HEADERS,
};

use crate::{
    parsed::{ICMP, ICMPV6, Internet, Link, Piece, TCP, Transport, UDP},
    verdict::{Outcome, Verdict, dropped, passed, some},
    world::{Packet, REACH},
};
use core::ops::ControlFlow::{Break, Continue};

const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_QINQ: u16 = 0x88a8;
const MOST_TAGS: u32 = 2;

/// The Ethernet header and up to two VLAN tags (IEEE 802.1Q, 802.1ad). Returns the EtherType behind them, and the beginning of
/// the destination for [`station`].
#[inline(always)]
pub fn link<P: Packet>(packet: &P) -> Outcome<(Link, u16, u32)> {
    let mut l3 = 14;
    let mut tags = 0;
    // At once, and two bytes more than there need be: no IP packet is as short.
    let w = some(packet.words::<4>(0), DropReason::Truncated)?;
    let mut ethertype = (u32::from_be(w[3]) >> 16) as u16;
    while ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_QINQ {
        if tags == MOST_TAGS {
            return dropped(DropReason::VlanDepth);
        }
        ethertype = u16::from_be(some(packet.half(l3 + 2), DropReason::Truncated)?);
        l3 += 4;
        tags += 1;
    }
    Continue((Link { l3, tags }, ethertype, w[0]))
}

/// Passes on what is sent to several stations at once (IEEE 802.3 §3.2.3): each of them would balance it.
#[inline(always)]
pub fn station(to: u32) -> Outcome {
    if u32::from_be(to) >> 24 & 1 != 0 { passed() } else { Continue(()) }
}

/// Source and destination in an IP header whose rest may be nonsense: enough to know whose nonsense it is, and to whom.
#[inline(always)]
pub fn ipv4_addresses<P: Packet>(packet: &P, link: Link) -> Option<[Ip4; 2]> {
    packet.words::<2>(link.l3 + 12).map(|words| words.map(|word| Ip4(Be32::from_raw(word))))
}

/// Likewise for IPv6.
#[inline(always)]
pub fn ipv6_addresses<P: Packet>(packet: &P, link: Link) -> Option<[Ip6; 2]> {
    let [a, b, c, d, e, f, g, h] = packet.words::<8>(link.l3 + 8)?.map(Be32::from_raw);
    Some([Ip6([a, b, c, d]), Ip6([e, f, g, h])])
}

/// The IPv4 header (RFC 791 §3.1), options skipped, checksum verified.
#[inline(always)]
pub fn ipv4<P: Packet>(packet: &P, link: Link, ip: &mut Internet<Ip4>) -> Outcome {
    let w = some(packet.words::<5>(link.l3), DropReason::Truncated)?;
    let first = u32::from_be(w[0]);
    let header = (first >> 24 & 0xf) * 4;
    let total = first & 0xffff;
    let l4 = link.l3 + header;
    let end = link.l3 + total;
    if first >> 28 != 4 || header < 20 || total < header || !packet.holds(end) {
        return dropped(DropReason::Ipv4Header);
    }
    let mut sum = w[0] as u64 + w[1] as u64 + w[2] as u64 + w[3] as u64 + w[4] as u64;
    if header > 20 {
        sum += some(options_sum(packet, link.l3 + 20, header), DropReason::Ipv4Header)?;
    }
    if checksum::fold(sum) != 0xffff {
        return dropped(DropReason::Ipv4Checksum);
    }
    let second = u32::from_be(w[1]);
    let protocol = (u32::from_be(w[2]) >> 16) as u8;
    let offset = (second & 0x1fff) * 8;
    let more = second & 0x2000 != 0;
    let piece = piece(offset, more, total - header, second >> 16, protocol)?;
    let (source, destination) = (Ip4(Be32::from_raw(w[3])), Ip4(Be32::from_raw(w[4])));
    ip.key.set(&source, &destination, Be16::default(), Be16::default(), protocol);
    ip.link = link;
    ip.l4 = l4;
    ip.end = end;
    ip.ttl = (u32::from_be(w[2]) >> 24) as u8;
    ip.dont_fragment = second & 0x4000 != 0;
    ip.piece = piece;
    Continue(())
}

/// The sum of an IPv4 header's options: at most ten words.
#[inline(always)]
fn options_sum<P: Packet>(packet: &P, at: u32, header: u32) -> Option<u64> {
    let mut sum = 0;
    for i in 0..10 {
        if 20 + i * 4 >= header {
            break;
        }
        sum += packet.words::<1>(at + i * 4)?[0] as u64;
    }
    Some(sum)
}

/// Which part of a datagram a packet with `length` bytes of it at `offset` is (RFC 791 §3.2, RFC 8200 §4.5).
#[inline(always)]
fn piece(offset: u32, more: bool, length: u32, identification: u32, protocol: u8) -> Outcome<Piece> {
    if offset == 0 && !more {
        return Continue(Piece::Whole);
    }
    // A fragment but the last is a multiple of 8 long; none reaches beyond 65,535; and a TCP header that is completed
    // by a fragment at offset 8 is an attack on filters (RFC 3128).
    if (more && !length.is_multiple_of(8))
        || length == 0
        || offset + length > 0xffff
        || (protocol == TCP && offset == 8)
    {
        return dropped(DropReason::FragmentMalformed);
    }
    Continue(if offset == 0 { Piece::First(identification) } else { Piece::Later(identification) })
}

/// The IPv6 header and its extension headers (RFC 8200 §3, §4).
#[inline(always)]
pub fn ipv6<P: Packet>(packet: &P, link: Link, ip: &mut Internet<Ip6>) -> Outcome {
    let w = some(packet.words::<10>(link.l3), DropReason::Truncated)?;
    let payload = u32::from_be(w[1]) >> 16;
    let end = link.l3 + 40 + payload;
    // A payload length of 0 is a jumbogram (RFC 2675): no link here carries one.
    if u32::from_be(w[0]) >> 28 != 6 || payload == 0 || !packet.holds(end) {
        return dropped(DropReason::Ipv6Header);
    }
    let half = Be32::from_raw;
    let source = Ip6([half(w[2]), half(w[3]), half(w[4]), half(w[5])]);
    let destination = Ip6([half(w[6]), half(w[7]), half(w[8]), half(w[9])]);
    ip.key.set(&source, &destination, Be16::default(), Be16::default(), (u32::from_be(w[1]) >> 8) as u8);
    ip.link = link;
    ip.l4 = link.l3 + 40;
    ip.end = end;
    ip.ttl = u32::from_be(w[1]) as u8;
    ip.dont_fragment = true;
    ip.piece = Piece::Whole;
    if is_extension(ip.key.protocol) {
        extensions(packet, ip)?;
    }
    Continue(())
}

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;

const fn is_extension(protocol: u8) -> bool {
    matches!(protocol, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION)
}

/// Walks the extension headers to the transport header.
#[inline(always)]
fn extensions<P: Packet>(packet: &P, ip: &mut Internet<Ip6>) -> Outcome {
    for i in 0..IPV6_EXTENSION_HEADERS {
        // Hop-by-hop options come first or not at all (RFC 8200 §4.1).
        if ip.key.protocol == HOP_BY_HOP && i != 0 {
            return dropped(DropReason::Ipv6Extensions);
        }
        let [word, second] = some(packet.words::<2>(ip.l4), DropReason::Ipv6Extensions)?;
        let word = u32::from_be(word);
        let (kind, next) = (ip.key.protocol, (word >> 24) as u8);
        let units = word >> 16 & 0xff;
        let length = match kind {
            FRAGMENT => 8,
            AUTHENTICATION => (units + 2) * 4,
            _ => (units + 1) * 8,
        };
        ip.l4 += length;
        ip.key.protocol = next;
        if ip.l4 > ip.end || ip.l4 > REACH {
            return dropped(DropReason::Ipv6Extensions);
        }
        if kind == FRAGMENT {
            ip.piece = piece(word & 0xfff8, word & 1 != 0, ip.end - ip.l4, u32::from_be(second), next)?;
            if let Piece::Later(_) = ip.piece {
                return Continue(());
            }
        }
        if !is_extension(next) {
            return Continue(());
        }
    }
    dropped(DropReason::Ipv6Extensions)
}

/// What an IP packet's payload is to us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Payload {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP of the packet's own family.
    Icmp,
}

/// The kind of payload; what we do not balance is passed on.
#[inline(always)]
pub fn payload<A: Address>(ip: &Internet<A>) -> Outcome<Payload> {
    let icmp = if A::FAMILY == Ip4::FAMILY { ICMP } else { ICMPV6 };
    match ip.key.protocol {
        TCP => Continue(Payload::Tcp),
        UDP => Continue(Payload::Udp),
        protocol if protocol == icmp => Continue(Payload::Icmp),
        _ => passed(),
    }
}

/// Whether a later fragment can belong to what we balance. The "next header" of an IPv6 one may be an extension header
/// that came with the first.
#[inline(always)]
pub fn may_have_ports<A: Address>(ip: &Internet<A>) -> bool {
    matches!(ip.key.protocol, TCP | UDP) || (A::FAMILY == Ip6::FAMILY && is_extension(ip.key.protocol))
}

/// The ports, wherever there are some: enough for the filter that tells whether a packet is ours.
#[inline(always)]
pub fn ports<P: Packet, A: Address>(packet: &P, ip: &mut Internet<A>) -> Outcome {
    let reason = if ip.key.protocol == TCP { DropReason::TcpHeader } else { DropReason::UdpHeader };
    if ip.l4 + 8 > ip.end {
        return dropped(reason);
    }
    let [word] = some(packet.words::<1>(ip.l4), reason)?;
    ip.key.source_port = Be16::from_raw(word as u16);
    ip.key.destination_port = Be16::from_raw((word >> 16) as u16);
    Continue(())
}

/// The TCP header (RFC 9293 §3.1).
#[inline(always)]
pub fn tcp<P: Packet, A: Address>(packet: &P, ip: &Internet<A>) -> Outcome<Transport> {
    if ip.l4 + 20 > ip.end {
        return dropped(DropReason::TcpHeader);
    }
    let w = some(packet.words::<4>(ip.l4), DropReason::TcpHeader)?;
    let header = (u32::from_be(w[3]) >> 28) * 4;
    if header < 20 || ip.l4 + header > ip.end {
        return dropped(DropReason::TcpHeader);
    }
    Continue(Transport {
        flags: (u32::from_be(w[3]) >> 16) as u8,
        sequence: u32::from_be(w[1]),
        acknowledgment: u32::from_be(w[2]),
    })
}

/// The UDP header (RFC 768). A first fragment's length is that of the whole datagram.
#[inline(always)]
pub fn udp<P: Packet, A: Address>(packet: &P, ip: &Internet<A>) -> Outcome<Transport> {
    let length = u16::from_be(some(packet.half(ip.l4 + 4), DropReason::UdpHeader)?) as u32;
    let whole = matches!(ip.piece, Piece::Whole);
    if length < 8 || (whole && ip.l4 + length > ip.end) {
        return dropped(DropReason::UdpHeader);
    }
    Continue(Transport::default())
}

/// Turns "malformed" into "not ours" where the destination is not ours.
#[inline(always)]
pub fn judge<T>(outcome: Outcome<T>, ours: impl FnOnce() -> bool) -> Outcome<T> {
    match outcome {
        Break(Verdict::Drop(reason)) if reason != DropReason::Truncated && !ours() => passed(),
        other => other,
    }
}

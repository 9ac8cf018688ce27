//! ICMP errors quote a packet of a flow (RFC 792, RFC 4443): they go to the flow's other side, the quote translated, so
//! that path MTU discovery works through the balancer. Eight quoted bytes behind the IP header are enough.

use proxy_common::{
    addr::{Address, Be16, Be32, Ip4, Ip6},
    checksum::{self, combine, delta, sum_address},
    drop_reason::DropReason,
    flow::{FlowKind, Rewrite},
};

use crate::{
    parsed::{Internet, Outer, Piece, Quote, TCP, UDP},
    verdict::{Outcome, dropped, passed, some},
    work::Work,
    world::Packet,
};
use core::ops::ControlFlow::Continue;

/// Reads an ICMP error. What is no error (echo, neighbour discovery, redirect) is passed on.
#[inline(never)]
pub fn quote<P: Packet, A: Quoted>(packet: &P, ip: &Internet<A>, quote: &mut Quote<A>) -> Outcome {
    if !matches!(ip.piece, Piece::Whole) {
        return passed();
    }
    let l3 = ip.l4 + 8;
    let kind = u16::from_be(some(packet.half(ip.l4), DropReason::IcmpError)?) >> 8;
    let v4 = A::FAMILY == Ip4::FAMILY;
    // Destination unreachable, time exceeded, parameter problem; packet too big is 2 in ICMPv6.
    let error = if v4 { matches!(kind, 3 | 11 | 12) } else { matches!(kind, 1..=4) };
    if !error {
        return passed();
    }
    let (l4, protocol, source, destination) = A::quoted(packet, l3, ip.end)?;
    if protocol != TCP && protocol != UDP {
        return passed();
    }
    if l4 + 8 > ip.end {
        return dropped(DropReason::IcmpError);
    }
    let [ports] = some(packet.words::<1>(l4), DropReason::IcmpError)?;
    quote.l3 = l3;
    quote.l4 = l4;
    let (from, to) = (Be16::from_raw(ports as u16), Be16::from_raw((ports >> 16) as u16));
    quote.key.set(&source, &destination, from, to, protocol);
    Continue(())
}

/// A quoted IP header of one family.
pub trait Quoted: Address {
    /// Where the quoted transport header starts, its protocol, the quoted source and destination.
    fn quoted<P: Packet>(packet: &P, l3: u32, end: u32) -> Outcome<(u32, u8, Self, Self)>;
}

impl Quoted for Ip4 {
    #[inline(always)]
    fn quoted<P: Packet>(packet: &P, l3: u32, end: u32) -> Outcome<(u32, u8, Self, Self)> {
        if l3 + 20 > end {
            return dropped(DropReason::IcmpError);
        }
        let w = some(packet.words::<5>(l3), DropReason::IcmpError)?;
        let header = (u32::from_be(w[0]) >> 24 & 0xf) * 4;
        // A later fragment has no ports; nobody can tell whose it was.
        if u32::from_be(w[0]) >> 28 != 4 || header < 20 || u32::from_be(w[1]) & 0x1fff != 0 {
            return dropped(DropReason::IcmpError);
        }
        let protocol = (u32::from_be(w[2]) >> 16) as u8;
        Continue((l3 + header, protocol, Self(Be32::from_raw(w[3])), Self(Be32::from_raw(w[4]))))
    }
}

impl Quoted for Ip6 {
    #[inline(always)]
    fn quoted<P: Packet>(packet: &P, l3: u32, end: u32) -> Outcome<(u32, u8, Self, Self)> {
        if l3 + 40 > end {
            return dropped(DropReason::IcmpError);
        }
        let w = some(packet.words::<10>(l3), DropReason::IcmpError)?;
        if u32::from_be(w[0]) >> 28 != 6 {
            return dropped(DropReason::IcmpError);
        }
        let protocol = (u32::from_be(w[1]) >> 8) as u8;
        let half = Be32::from_raw;
        let source = Self([half(w[2]), half(w[3]), half(w[4]), half(w[5])]);
        let destination = Self([half(w[6]), half(w[7]), half(w[8]), half(w[9])]);
        Continue((l3 + 40, protocol, source, destination))
    }
}

/// The outer header of an error on its way to the flow's other side. A backend that answers with an error is hidden
/// behind the service; a router keeps its address.
#[inline(always)]
pub fn outer<A: Address>(ip: &Internet<A>, quote: &Quote<A>, rewrite: &Rewrite<A>) -> Outer<A> {
    let kind = FlowKind::of(rewrite.kind);
    let from_backend = kind == FlowKind::NatReturn && ip.key.source == quote.key.destination;
    let source = if from_backend { rewrite.new_source } else { ip.key.source };
    let destination = if kind == FlowKind::Dsr { ip.key.destination } else { rewrite.new_destination };
    let old = sum_address(ip.key.source) + sum_address(ip.key.destination);
    Outer { source, destination, delta: delta(old, sum_address(source) + sum_address(destination)) }
}

/// Translates the quote to what the other side sent, and the ICMP checksum with it. `work.rewrite` is that
/// of the flow whose packets come the way the error came.
#[inline(never)]
pub fn translate<P: Packet, A: Address>(packet: &mut P, work: &Work<A>) -> Outcome {
    if FlowKind::of(work.rewrite.kind) == FlowKind::Dsr {
        return Continue(());
    }
    some(rewrite_quote(packet, work), DropReason::IcmpError)
}

#[inline(always)]
fn rewrite_quote<P: Packet, A: Address>(packet: &mut P, work: &Work<A>) -> Option<()> {
    let Work { ip, quote, rewrite, outer, .. } = work;
    // The other side sent its packet from where ours go to, towards where ours seem to come from.
    let (source, destination) = (rewrite.new_destination, rewrite.new_source);
    let ports = rewrite.new_destination_port.raw() as u32 | (rewrite.new_source_port.raw() as u32) << 16;
    let old_ports = quote.key.source_port.raw() as u64 + quote.key.destination_port.raw() as u64;
    let new_ports = rewrite.new_destination_port.raw() as u64 + rewrite.new_source_port.raw() as u64;
    let port_delta = delta(old_ports, new_ports);
    let old_addresses = sum_address(quote.key.source) + sum_address(quote.key.destination);
    let address_delta = delta(old_addresses, sum_address(source) + sum_address(destination));
    let mut icmp_delta = port_delta;

    // Only UDP's checksum is within the eight bytes that a quote is sure to have.
    if quote.key.protocol == UDP {
        let at = quote.l4 + 6;
        let old = packet.half(at)?;
        let new = checksum::update_udp(old, combine(address_delta, port_delta));
        packet.set_half(at, new)?;
        icmp_delta = combine(icmp_delta, delta(old as u64, new as u64));
    }
    if work.quote_sequence != 0 && quote.key.protocol == TCP {
        let [old] = packet.words::<1>(quote.l4 + 4)?;
        let new = u32::from_be(old).wrapping_add(work.quote_sequence).to_be();
        packet.set_words(quote.l4 + 4, [new])?;
        icmp_delta = combine(icmp_delta, delta(old as u64, new as u64));
    }
    packet.set_words(quote.l4, [ports])?;
    match (source.words().as_ref(), destination.words().as_ref()) {
        (&[source], &[destination]) => {
            let old = packet.half(quote.l3 + 10)?;
            packet.set_half(quote.l3 + 10, checksum::update(old, address_delta))?;
            // Addresses and header checksum of the quoted header cancel out in the ICMP checksum.
            packet.set_words(quote.l3 + 12, [source, destination])?;
        }
        (&[s0, s1, s2, s3], &[d0, d1, d2, d3]) => {
            packet.set_words(quote.l3 + 8, [s0, s1, s2, s3, d0, d1, d2, d3])?;
            // No checksum in the quoted header, and the outer addresses are part of ICMPv6's (RFC 4443 §2.3).
            icmp_delta = combine(icmp_delta, combine(address_delta, outer.delta));
        }
        _ => return None,
    }
    let old = packet.half(ip.l4 + 2)?;
    packet.set_half(ip.l4 + 2, checksum::update(old, icmp_delta))
}

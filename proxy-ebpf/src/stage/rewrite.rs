//! Addresses, ports, checksums, TTL. Everything is read before anything is written, so that no packet is left half
//! rewritten; checksums change by deltas (RFC 1624), so that a wrong one stays wrong.

use proxy_common::{
    addr::Address,
    checksum::{self, TTL_LESS},
    drop_reason::DropReason,
    flow::{FlowKind, Rewrite},
};

use crate::{
    parsed::{Internet, Piece, TCP},
    verdict::{Outcome, dropped, some},
    world::Packet,
};
use core::ops::ControlFlow::Continue;

/// Whether a packet is longer than its way out carries.
#[inline(always)]
pub fn is_too_big<A: Address>(ip: &Internet<A>, mtu: u16) -> bool {
    ip.end - ip.link.l3 > mtu as u32
}

/// Whether a packet has hops left.
#[inline(always)]
pub fn is_alive<A: Address>(ip: &Internet<A>) -> Outcome {
    if ip.ttl <= 1 {
        return dropped(DropReason::TtlExpired);
    }
    Continue(())
}

/// Writes a flow's rewrite into its packet.
#[inline(always)]
pub fn packet<P: Packet, A: Address>(packet: &mut P, ip: &Internet<A>, rewrite: &Rewrite<A>) -> Outcome {
    if FlowKind::of(rewrite.kind) == FlowKind::Dsr {
        return some(internet(packet, ip, ip.key.source, ip.key.destination, 0), DropReason::Rewrite);
    }
    if !matches!(ip.piece, Piece::Later(_)) {
        some(transport(packet, ip, rewrite), DropReason::Rewrite)?;
    }
    let (source, destination) = (rewrite.new_source, rewrite.new_destination);
    some(internet(packet, ip, source, destination, rewrite.address_delta), DropReason::Rewrite)
}

/// Ports and the TCP or UDP checksum.
#[inline(always)]
fn transport<P: Packet, A: Address>(packet: &mut P, ip: &Internet<A>, rewrite: &Rewrite<A>) -> Option<()> {
    let is_tcp = ip.key.protocol == TCP;
    let at = ip.l4 + if is_tcp { 16 } else { 6 };
    let old = packet.half(at)?;
    let new = if is_tcp {
        checksum::update(old, rewrite.transport_delta)
    } else {
        checksum::update_udp(old, rewrite.transport_delta)
    };
    packet.set_half(at, new)?;
    let (source, destination) = (rewrite.new_source_port.raw(), rewrite.new_destination_port.raw());
    packet.set_words(ip.l4, [source as u32 | (destination as u32) << 16])
}

/// Addresses, one hop less, and the IPv4 header checksum, which the addresses change by `delta`.
#[inline(always)]
pub fn internet<P: Packet, A: Address>(
    packet: &mut P,
    ip: &Internet<A>,
    source: A,
    destination: A,
    delta: u16,
) -> Option<()> {
    let l3 = ip.link.l3;
    match (source.words().as_ref(), destination.words().as_ref()) {
        (&[source], &[destination]) => {
            let [word] = packet.words::<1>(l3 + 8)?;
            let [ttl, protocol, high, low] = word.to_ne_bytes();
            let sum = checksum::update(u16::from_ne_bytes([high, low]), checksum::combine(delta, TTL_LESS));
            let [high, low] = sum.to_ne_bytes();
            let word = u32::from_ne_bytes([ttl.wrapping_sub(1), protocol, high, low]);
            packet.set_words(l3 + 8, [word, source, destination])
        }
        (&[s0, s1, s2, s3], &[d0, d1, d2, d3]) => {
            let [word] = packet.words::<1>(l3 + 4)?;
            let [a, b, next, limit] = word.to_ne_bytes();
            let word = u32::from_ne_bytes([a, b, next, limit.wrapping_sub(1)]);
            packet.set_words(l3 + 4, [word, s0, s1, s2, s3, d0, d1, d2, d3])
        }
        _ => None,
    }
}

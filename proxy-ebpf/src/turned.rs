//! A packet in hand, turned around: the link layer and the IP header of what is sent back to its sender, by the way it
//! came.

use proxy_common::{
    addr::{Address, Ip4},
    checksum,
};

use crate::{parsed::Internet, world::Packet};

const TTL: u32 = 64;
const DONT_FRAGMENT: u32 = 0x4000;

/// The link layer of a packet: its MACs, and what stands between them and the IP header.
#[derive(Clone, Copy, Debug)]
pub struct LinkLayer {
    macs: [u32; 3],
    kinds: [u16; 5],
}

/// Bytes of an IP header without options.
#[inline(always)]
pub const fn header<A: Address>() -> u32 {
    if A::FAMILY == Ip4::FAMILY { 20 } else { 40 }
}

/// Reads the link layer, to be written elsewhere.
#[inline(always)]
pub fn read_link<P: Packet>(packet: &P, l3: u32) -> Option<LinkLayer> {
    let macs = packet.words::<3>(0)?;
    let mut kinds = [0; 5];
    for (i, kind) in kinds.iter_mut().enumerate() {
        if 12 + i as u32 * 2 < l3 {
            *kind = packet.half(12 + i as u32 * 2)?;
        }
    }
    Some(LinkLayer { macs, kinds })
}

/// Writes the link layer back to the sender: MACs the other way round, VLAN tags and EtherType as they were.
#[inline(always)]
pub fn write_link<P: Packet>(packet: &mut P, l3: u32, link: &LinkLayer) -> Option<()> {
    for (i, kind) in link.kinds.iter().enumerate() {
        if 12 + i as u32 * 2 < l3 {
            packet.set_half(12 + i as u32 * 2, *kind)?;
        }
    }
    let [a, b, c] = link.macs.map(u32::from_be);
    packet
        .set_words(0, [(b << 16 | c >> 16).to_be(), (c << 16 | a >> 16).to_be(), (a << 16 | b >> 16).to_be()])
}

/// Writes a new IP header, from where the packet wanted to go to where it came from. Whole as it is, it may not be
/// fragmented, and needs no identification (RFC 6864 §4.1).
#[inline(always)]
pub fn write_internet<P: Packet, A: Address>(
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
                DONT_FRAGMENT.to_be(),
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

/// The sum of the pseudo-header of what is sent back (RFC 9293 §3.1, RFC 8200 §8.1).
#[inline(always)]
pub fn pseudo_sum<A: Address>(ip: &Internet<A>, payload: u32, protocol: u8) -> u64 {
    checksum::sum_address(ip.key.source)
        + checksum::sum_address(ip.key.destination)
        + u64::from(payload.to_be())
        + u64::from(u32::from(protocol).to_be())
}

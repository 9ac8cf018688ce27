//! What most packets are: IPv4 without tags, options or pieces, with TCP or UDP in it, sound throughout. Such a packet is read
//! at once, by one look at the frame's bounds. Whatever else it may be is for [`super::parse`] to say, which reads the same of
//! it (a property test holds the two together).

use proxy_common::{
    addr::{Be16, Be32, Ip4},
    checksum,
};

use crate::{
    parsed::{ETHERTYPE_IPV4, Internet, Link, Piece, TCP, Transport, UDP},
    world::Packet,
};

/// Where its IP header is,
const L3: u32 = 14;
/// and its transport header.
const L4: u32 = 34;
/// Version 4, five words of header.
const VERSION_AND_LENGTH: u32 = 0x45;
/// "More fragments", and the offset.
const PIECES: u32 = 0x3fff;
const DONT_FRAGMENT: u32 = 0x4000;

/// Reads such a packet: its headers, and the beginning of the destination for [`super::parse::station`]. `None`: it is another
/// one, and nothing that was written counts.
#[inline(always)]
pub fn ipv4<P: Packet>(packet: &P, ip: &mut Internet<Ip4>, transport: &mut Transport) -> Option<u32> {
    // From the third byte on, so that words are words: an Ethernet frame is never shorter.
    let w = packet.words::<13>(2)?;
    let (first, second) = (u32::from_be(w[3]), u32::from_be(w[4]));
    if u32::from_be(w[2]) as u16 != ETHERTYPE_IPV4
        || first >> 24 != VERSION_AND_LENGTH
        || second & PIECES != 0
        || !checksum::is_sound([w[3], w[4], w[5], w[6], w[7]])
    {
        return None;
    }
    let end = L3 + (first & 0xffff);
    let third = u32::from_be(w[5]);
    let protocol = (third >> 16) as u8;
    match protocol {
        TCP => {
            let last = u32::from_be(w[11]);
            let header = (last >> 28) * 4;
            if header < 20 || L4 + header > end {
                return None;
            }
            transport.flags = (last >> 16) as u8;
            transport.sequence = u32::from_be(w[9]);
            transport.acknowledgment = u32::from_be(w[10]);
        }
        UDP => {
            let length = u32::from_be(w[9]) >> 16;
            if length < 8 || L4 + length > end {
                return None;
            }
            (transport.flags, transport.sequence, transport.acknowledgment) = (0, 0, 0);
        }
        _ => return None,
    }
    if !packet.holds(end) {
        return None;
    }
    let (source, destination) = (Ip4(Be32::from_raw(w[6])), Ip4(Be32::from_raw(w[7])));
    let (from, to) = (Be16::from_raw(w[8] as u16), Be16::from_raw((w[8] >> 16) as u16));
    ip.key.set(&source, &destination, from, to, protocol);
    ip.link = Link { l3: L3, tags: 0 };
    ip.l4 = L4;
    ip.end = end;
    ip.ttl = (third >> 24) as u8;
    ip.dont_fragment = second & DONT_FRAGMENT != 0;
    ip.piece = Piece::Whole;
    packet.words::<1>(0).map(|[to]| to)
}

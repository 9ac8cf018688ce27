//! From the first bytes of a packet to who sent it where: Ethernet with VLAN tags, raw IP, Linux cooked captures.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::Protocol;

/// EtherTypes.
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
/// VLAN tags that are looked behind.
const MOST_TAGS: usize = 2;
/// IPv6 extension headers that are looked behind.
const MOST_EXTENSIONS: usize = 8;

/// A TCP segment or UDP datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Frame {
    pub(super) protocol: Protocol,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    /// A TCP SYN without ACK.
    pub(super) syn: bool,
}

/// What a packet is; none: something else, or too short to tell.
pub(super) fn frame(link: u32, bytes: &[u8]) -> Option<Frame> {
    match link {
        // Ethernet.
        1 => ethernet(bytes),
        // Raw IP, as several systems number it.
        12 | 14 | 101 | 228 | 229 => ip(bytes),
        // Linux cooked, version 1 and 2.
        113 => typed(bytes.get(14..16)?, bytes.get(16..)?),
        276 => typed(bytes.get(..2)?, bytes.get(20..)?),
        _ => None,
    }
}

fn ethernet(bytes: &[u8]) -> Option<Frame> {
    let mut at = 12;
    for _ in 0..MOST_TAGS {
        if TAGS.contains(&number(bytes, at)?) {
            at += 4;
        }
    }
    typed(bytes.get(at..at + 2)?, bytes.get(at + 2..)?)
}

fn typed(kind: &[u8], rest: &[u8]) -> Option<Frame> {
    match number(kind, 0)? {
        IPV4 | IPV6 => ip(rest),
        _ => None,
    }
}

fn ip(bytes: &[u8]) -> Option<Frame> {
    match bytes.first()? >> 4 {
        4 => {
            let head = usize::from(bytes[0] & 15) * 4;
            // Later fragments have no ports.
            if head < 20 || number(bytes, 6)? & 0x1fff != 0 {
                return None;
            }
            let address = |at: usize| {
                let octets: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
                Some(IpAddr::V4(Ipv4Addr::from(octets)))
            };
            transport(*bytes.get(9)?, address(12)?, address(16)?, bytes.get(head..)?)
        }
        6 => ipv6(bytes),
        _ => None,
    }
}

fn ipv6(bytes: &[u8]) -> Option<Frame> {
    let address = |at: usize| {
        let octets: [u8; 16] = bytes.get(at..at + 16)?.try_into().ok()?;
        Some(IpAddr::V6(Ipv6Addr::from(octets)))
    };
    let (from, to) = (address(8)?, address(24)?);
    let (mut next, mut at) = (*bytes.get(6)?, 40);
    for _ in 0..MOST_EXTENSIONS {
        match next {
            // Hop-by-hop, routing, destination options (RFC 8200 §4).
            0 | 43 | 60 => {
                next = *bytes.get(at)?;
                at += (usize::from(*bytes.get(at + 1)?) + 1) * 8;
            }
            44 => {
                if number(bytes, at + 2)? & 0xfff8 != 0 {
                    return None;
                }
                next = *bytes.get(at)?;
                at += 8;
            }
            _ => break,
        }
    }
    transport(next, from, to, bytes.get(at..)?)
}

fn transport(protocol: u8, from: IpAddr, to: IpAddr, bytes: &[u8]) -> Option<Frame> {
    let (protocol, syn) = match protocol {
        6 => (Protocol::Tcp, bytes.get(13)? & 0x12 == 0x02),
        17 => (Protocol::Udp, false),
        _ => return None,
    };
    let (from, to) = (SocketAddr::new(from, number(bytes, 0)?), SocketAddr::new(to, number(bytes, 2)?));
    Some(Frame { protocol, from, to, syn })
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A TCP SYN, or a UDP datagram, over IPv4.
    pub(crate) fn ipv4(protocol: Protocol, from: &str, to: &str) -> Vec<u8> {
        let address = |text: &str| text.parse::<std::net::SocketAddrV4>().unwrap();
        let (from, to) = (address(from), address(to));
        let mut bytes = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, protocol.number(), 0, 0];
        bytes.extend(from.ip().octets());
        bytes.extend(to.ip().octets());
        bytes.extend(from.port().to_be_bytes());
        bytes.extend(to.port().to_be_bytes());
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x02, 0, 0, 0, 0, 0, 0]);
        bytes
    }

    #[test]
    fn a_segment_is_found_behind_any_link_and_tags() {
        let inner = ipv4(Protocol::Tcp, "192.0.2.9:4000", "192.0.2.1:80");
        let plain = [&[0; 12][..], &[8, 0], &inner].concat();
        let tagged = [&[0; 12][..], &[0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 8, 0], &inner].concat();
        let cooked = [&[0; 14][..], &[8, 0], &inner].concat();
        let cooked2 = [&[8, 0][..], &[0; 18], &inner].concat();
        let found = frame(101, &inner).unwrap();
        assert_eq!((found.to.to_string(), found.syn), ("192.0.2.1:80".to_owned(), true));
        for (link, bytes) in [(1, plain), (1, tagged), (113, cooked), (276, cooked2)] {
            assert_eq!(frame(link, &bytes), Some(found), "{link}");
        }
        assert_eq!(frame(105, &inner), None, "a link that is not known");
    }

    #[test]
    fn extension_headers_are_passed_and_later_fragments_have_no_ports() {
        let mut bytes = vec![0x60, 0, 0, 0, 0, 16, 60, 64];
        bytes.extend([0; 32]);
        bytes.extend([17, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([0, 53, 0, 54, 0, 8, 0, 0]);
        let found = frame(101, &bytes).unwrap();
        assert_eq!((found.protocol, found.from.port(), found.to.port()), (Protocol::Udp, 53, 54));
        let mut later = ipv4(Protocol::Udp, "192.0.2.9:4000", "192.0.2.1:80");
        later[7] = 1;
        assert_eq!(frame(101, &later), None);
        for length in 0..bytes.len() - 4 {
            assert_eq!(frame(101, &bytes[..length]), None, "{length}");
        }
    }
}

//! Frames, made by hand: Ethernet, VLAN tags, IPv4 with options, IPv6 with extension headers, TCP, UDP, ICMP. Lengths
//! and checksums are right unless a test writes others into the bytes afterwards.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// TCP flags.
pub mod flag {
    /// FIN
    pub const FIN: u8 = 1;
    /// SYN
    pub const SYN: u8 = 2;
    /// RST
    pub const RST: u8 = 4;
    /// PSH
    pub const PSH: u8 = 8;
    /// ACK
    pub const ACK: u8 = 16;
}

/// Protocol numbers.
pub mod protocol {
    /// ICMP
    pub const ICMP: u8 = 1;
    /// TCP
    pub const TCP: u8 = 6;
    /// UDP
    pub const UDP: u8 = 17;
    /// IPv6 fragment header
    pub const FRAGMENT: u8 = 44;
    /// ICMPv6
    pub const ICMPV6: u8 = 58;
    /// IPv6 destination options
    pub const DESTINATION: u8 = 60;
}

/// An IP packet on an Ethernet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Destination MAC.
    pub to_mac: [u8; 6],
    /// Source MAC.
    pub from_mac: [u8; 6],
    /// VLAN tags, outermost first: (ethertype, tag control information).
    pub vlans: Vec<(u16, u16)>,
    /// Source.
    pub source: IpAddr,
    /// Destination.
    pub destination: IpAddr,
    /// Time to live, hop limit.
    pub ttl: u8,
    /// Type of service, traffic class.
    pub tos: u8,
    /// IPv4 identification.
    pub id: u16,
    /// IPv4 "don't fragment".
    pub dont_fragment: bool,
    /// IPv4 options: a multiple of four bytes.
    pub options: Vec<u8>,
    /// IPv6 extension headers: (number, bytes from the length field on; a multiple of eight with two before them).
    pub extensions: Vec<(u8, Vec<u8>)>,
    /// What the IP packet carries.
    pub protocol: u8,
    /// Its bytes, checksums filled in.
    pub body: Vec<u8>,
}

impl Packet {
    /// A packet between two addresses that carries `body`.
    #[must_use]
    pub fn ip(source: IpAddr, destination: IpAddr, protocol: u8, body: Vec<u8>) -> Self {
        Self {
            to_mac: [2, 0, 0, 0, 0, 1],
            from_mac: [2, 0, 0, 0, 0, 2],
            vlans: Vec::new(),
            source,
            destination,
            ttl: 64,
            tos: 0,
            id: 1,
            dont_fragment: true,
            options: Vec::new(),
            extensions: Vec::new(),
            protocol,
            body,
        }
    }

    /// A TCP segment.
    #[must_use]
    pub fn tcp(from: SocketAddr, to: SocketAddr, flags: u8, sequence: u32, ack: u32, payload: &[u8]) -> Self {
        let mut body = Vec::with_capacity(20 + payload.len());
        body.extend_from_slice(&from.port().to_be_bytes());
        body.extend_from_slice(&to.port().to_be_bytes());
        body.extend_from_slice(&sequence.to_be_bytes());
        body.extend_from_slice(&ack.to_be_bytes());
        body.extend_from_slice(&[5 << 4, flags, 0x20, 0, 0, 0, 0, 0]);
        body.extend_from_slice(payload);
        Self::ip(from.ip(), to.ip(), protocol::TCP, body).with_checksum(16)
    }

    /// A bare SYN.
    #[must_use]
    pub fn syn(from: SocketAddr, to: SocketAddr, sequence: u32) -> Self {
        Self::tcp(from, to, flag::SYN, sequence, 0, b"")
    }

    /// A datagram.
    #[must_use]
    pub fn udp(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Self {
        let mut body = Vec::with_capacity(8 + payload.len());
        body.extend_from_slice(&from.port().to_be_bytes());
        body.extend_from_slice(&to.port().to_be_bytes());
        body.extend_from_slice(&(8 + payload.len() as u16).to_be_bytes());
        body.extend_from_slice(&[0, 0]);
        body.extend_from_slice(payload);
        Self::ip(from.ip(), to.ip(), protocol::UDP, body).with_checksum(6)
    }

    /// An ICMP or ICMPv6 message: type, code, the four bytes after the checksum, and what follows.
    #[must_use]
    pub fn icmp(source: IpAddr, destination: IpAddr, kind: (u8, u8), word: u32, data: &[u8]) -> Self {
        let mut body = vec![kind.0, kind.1, 0, 0];
        body.extend_from_slice(&word.to_be_bytes());
        body.extend_from_slice(data);
        let number = if source.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 };
        Self::ip(source, destination, number, body).with_checksum(2)
    }

    /// Between these MACs.
    #[must_use]
    pub const fn between(mut self, from: [u8; 6], to: [u8; 6]) -> Self {
        (self.from_mac, self.to_mac) = (from, to);
        self
    }

    /// Inside a VLAN (802.1Q), outside of those it has already.
    #[must_use]
    pub fn vlan(mut self, id: u16) -> Self {
        self.vlans.insert(0, (0x8100, id));
        self
    }

    /// With this TTL.
    #[must_use]
    pub const fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    /// With an IPv6 destination options header of eight bytes, all padding, before what is there.
    #[must_use]
    pub fn destination_options(mut self) -> Self {
        self.extensions.insert(0, (protocol::DESTINATION, vec![0, 1, 4, 0, 0, 0, 0]));
        self
    }

    /// Fills in the transport checksum at `offset` of the body.
    #[must_use]
    pub fn with_checksum(mut self, offset: usize) -> Self {
        self.body[offset..offset + 2].fill(0);
        let pseudo = if self.protocol == protocol::ICMP {
            0
        } else {
            pseudo_sum(self.source, self.destination, self.protocol, self.body.len())
        };
        let mut sum = !fold(pseudo + sum(&self.body));
        if sum == 0 && self.protocol == protocol::UDP {
            sum = 0xffff;
        }
        self.body[offset..offset + 2].copy_from_slice(&sum.to_be_bytes());
        self
    }

    /// The frame.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut frame = self.link_header();
        frame.extend_from_slice(&self.ip_packet());
        frame
    }

    /// The IP packet alone: what an ICMP error quotes.
    #[must_use]
    pub fn ip_packet(&self) -> Vec<u8> {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let flags = if self.dont_fragment { 0x4000 } else { 0 };
                self.v4(source, destination, flags, &self.body)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.v6(source, destination, &self.extensions, &self.body)
            }
            _ => panic!("{} and {} are of two families", self.source, self.destination),
        }
    }

    /// The packet in fragments that carry `size` bytes each (a multiple of eight).
    #[must_use]
    pub fn fragments(&self, size: usize) -> Vec<Vec<u8>> {
        let count = self.body.len().div_ceil(size);
        let one = |(number, part): (usize, &[u8])| {
            let more = number + 1 < count;
            let offset = (number * size) as u16;
            let mut frame = self.link_header();
            frame.extend(match (self.source, self.destination) {
                (IpAddr::V4(source), IpAddr::V4(destination)) => {
                    self.v4(source, destination, (offset / 8) | (u16::from(more) << 13), part)
                }
                (IpAddr::V6(source), IpAddr::V6(destination)) => {
                    let [high, low] = (offset | u16::from(more)).to_be_bytes();
                    let [a, b] = self.id.to_be_bytes();
                    let mut extensions = self.extensions.clone();
                    extensions.push((protocol::FRAGMENT, vec![0, high, low, 0, 0, a, b]));
                    self.v6(source, destination, &extensions, part)
                }
                _ => panic!("{} and {} are of two families", self.source, self.destination),
            });
            frame
        };
        self.body.chunks(size).enumerate().map(one).collect()
    }

    fn link_header(&self) -> Vec<u8> {
        let mut frame = Vec::with_capacity(1514);
        frame.extend_from_slice(&self.to_mac);
        frame.extend_from_slice(&self.from_mac);
        for (ethertype, tag) in &self.vlans {
            frame.extend_from_slice(&ethertype.to_be_bytes());
            frame.extend_from_slice(&tag.to_be_bytes());
        }
        let ethertype: u16 = if self.source.is_ipv4() { 0x0800 } else { 0x86dd };
        frame.extend_from_slice(&ethertype.to_be_bytes());
        frame
    }

    fn v4(&self, source: Ipv4Addr, destination: Ipv4Addr, fragment: u16, body: &[u8]) -> Vec<u8> {
        let header = 20 + self.options.len();
        let mut packet = vec![0x40 | (header / 4) as u8, self.tos];
        packet.extend_from_slice(&((header + body.len()) as u16).to_be_bytes());
        packet.extend_from_slice(&self.id.to_be_bytes());
        packet.extend_from_slice(&fragment.to_be_bytes());
        packet.extend_from_slice(&[self.ttl, self.protocol, 0, 0]);
        packet.extend_from_slice(&source.octets());
        packet.extend_from_slice(&destination.octets());
        packet.extend_from_slice(&self.options);
        let checksum = !fold(sum(&packet));
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        packet.extend_from_slice(body);
        packet
    }

    fn v6(
        &self,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        extensions: &[(u8, Vec<u8>)],
        body: &[u8],
    ) -> Vec<u8> {
        let mut rest = Vec::new();
        for (at, (_, bytes)) in extensions.iter().enumerate() {
            rest.push(extensions.get(at + 1).map_or(self.protocol, |next| next.0));
            rest.extend_from_slice(bytes);
        }
        rest.extend_from_slice(body);
        let mut packet = vec![0x60 | self.tos >> 4, self.tos << 4, 0, 0];
        packet.extend_from_slice(&(rest.len() as u16).to_be_bytes());
        packet.push(extensions.first().map_or(self.protocol, |first| first.0));
        packet.push(self.ttl);
        packet.extend_from_slice(&source.octets());
        packet.extend_from_slice(&destination.octets());
        packet.extend_from_slice(&rest);
        packet
    }
}

/// The sum of 16-bit words in network byte order, an odd last byte padded with zero.
#[must_use]
pub fn sum(bytes: &[u8]) -> u64 {
    bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0))).sum()
}

/// A sum with its carries added back in.
#[must_use]
pub const fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The sum of the pseudo header of a transport protocol.
#[must_use]
pub fn pseudo_sum(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> u64 {
    let address = |address| match address {
        IpAddr::V4(v4) => sum(&v4.octets()),
        IpAddr::V6(v6) => sum(&v6.octets()),
    };
    address(source) + address(destination) + u64::from(protocol) + length as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parsed::Parsed;

    #[test]
    fn what_is_made_can_be_taken_apart() {
        for (from, to) in [("192.0.2.1:7", "192.0.2.2:80"), ("[2001:db8::1]:7", "[2001:db8::2]:80")] {
            let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
            let tcp = Packet::tcp(from, to, flag::ACK, 5, 6, b"hello").vlan(5).destination_options();
            let parsed = Parsed::of(&tcp.bytes()).unwrap();
            assert_eq!((parsed.from(), parsed.to()), (from, to));
            assert_eq!((parsed.payload.as_slice(), parsed.vlans.len()), (b"hello".as_slice(), 1));
            assert!(parsed.checksums_hold);
            let datagram = Packet::udp(from, to, &[7; 3000]);
            let fragments = datagram.fragments(1400);
            assert_eq!(fragments.len(), 3);
            assert!(Parsed::of(&datagram.bytes()).unwrap().checksums_hold);
            assert_eq!(Parsed::of(&fragments[2]).unwrap().fragment_offset, 2800);
        }
    }
}

//! Frames, taken apart: independent of the code under test, and simpler.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result, bail};

use crate::packet::{fold, protocol, pseudo_sum, sum};

/// What a frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Destination MAC.
    pub to_mac: [u8; 6],
    /// Source MAC.
    pub from_mac: [u8; 6],
    /// VLAN identifiers, outermost first.
    pub vlans: Vec<u16>,
    /// Source.
    pub source: IpAddr,
    /// Destination.
    pub destination: IpAddr,
    /// Time to live, hop limit.
    pub ttl: u8,
    /// Type of service, traffic class.
    pub tos: u8,
    /// IPv4 identification, or that of the IPv6 fragment header.
    pub id: u32,
    /// Where a fragment's bytes belong.
    pub fragment_offset: usize,
    /// Whether more fragments follow.
    pub more_fragments: bool,
    /// TCP, UDP, ICMP, …
    pub protocol: u8,
    /// Source port (TCP and UDP, not of later fragments).
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// TCP flags.
    pub flags: u8,
    /// TCP sequence number.
    pub sequence: u32,
    /// TCP acknowledgement number.
    pub ack: u32,
    /// ICMP type and code.
    pub icmp: (u8, u8),
    /// The word behind an ICMP checksum.
    pub icmp_word: u32,
    /// What follows the innermost header.
    pub payload: Vec<u8>,
    /// Whether the IPv4 header's and the transport's checksums are right. The transport's is not looked at in
    /// fragments.
    pub checksums_hold: bool,
}

impl Parsed {
    /// Takes a frame apart.
    ///
    /// # Errors
    /// When it is no IP packet, or ends early.
    pub fn of(frame: &[u8]) -> Result<Self> {
        let mac = |at: usize| -> Result<[u8; 6]> { Ok(bytes(frame, at, 6)?.try_into()?) };
        let (mut at, mut vlans) = (12, Vec::new());
        let mut ethertype = u16_at(frame, at)?;
        while matches!(ethertype, 0x8100 | 0x88a8) {
            vlans.push(u16_at(frame, at + 2)? & 0xfff);
            at += 4;
            ethertype = u16_at(frame, at)?;
        }
        let rest = &frame[at + 2..];
        let packet = match ethertype {
            0x0800 => Self::v4(rest),
            0x86dd => Self::v6(rest),
            other => bail!("ethertype {other:#06x}"),
        }?;
        Ok(Self { to_mac: mac(0)?, from_mac: mac(6)?, vlans, ..packet })
    }

    /// Source address and port.
    #[must_use]
    pub const fn from(&self) -> SocketAddr {
        SocketAddr::new(self.source, self.source_port)
    }

    /// Destination address and port.
    #[must_use]
    pub const fn to(&self) -> SocketAddr {
        SocketAddr::new(self.destination, self.destination_port)
    }

    /// What an ICMP error quotes, taken apart as far as it goes (its checksums are of no interest).
    ///
    /// # Errors
    /// When it does not quote an IP packet.
    pub fn quoted(&self) -> Result<Self> {
        // Padded, so that a quotation cut behind the ports can be read.
        let mut quotation = self.payload.clone();
        quotation.resize(quotation.len().max(120), 0);
        if self.source.is_ipv4() {
            Self::v4_part(&quotation, false)
        } else {
            Self::v6_part(&quotation, false)
        }
    }

    /// An IPv4 packet.
    ///
    /// # Errors
    /// When it ends early.
    pub fn v4(packet: &[u8]) -> Result<Self> {
        Self::v4_part(packet, true)
    }

    fn v4_part(packet: &[u8], whole: bool) -> Result<Self> {
        let header = usize::from(bytes(packet, 0, 1)?[0] & 15) * 4;
        let length = if whole { usize::from(u16_at(packet, 2)?) } else { packet.len() };
        let fragment = u16_at(packet, 6)?;
        let octets =
            |at| -> Result<Ipv4Addr> { Ok(Ipv4Addr::from(<[u8; 4]>::try_from(bytes(packet, at, 4)?)?)) };
        let mut parsed = Self::empty(octets(12)?.into(), octets(16)?.into());
        parsed.ttl = packet[8];
        parsed.tos = packet[1];
        parsed.protocol = packet[9];
        parsed.id = u32::from(u16_at(packet, 4)?);
        parsed.fragment_offset = usize::from(fragment & 0x1fff) * 8;
        parsed.more_fragments = fragment & 0x2000 != 0;
        parsed.checksums_hold = fold(sum(bytes(packet, 0, header)?)) == 0xffff;
        parsed.transport(bytes(packet, header, length.saturating_sub(header))?)
    }

    /// An IPv6 packet.
    ///
    /// # Errors
    /// When it ends early.
    pub fn v6(packet: &[u8]) -> Result<Self> {
        Self::v6_part(packet, true)
    }

    fn v6_part(packet: &[u8], whole: bool) -> Result<Self> {
        let octets =
            |at| -> Result<Ipv6Addr> { Ok(Ipv6Addr::from(<[u8; 16]>::try_from(bytes(packet, at, 16)?)?)) };
        let mut parsed = Self::empty(octets(8)?.into(), octets(24)?.into());
        parsed.ttl = packet[7];
        parsed.tos = packet[0] << 4 | packet[1] >> 4;
        let end = if whole { 40 + usize::from(u16_at(packet, 4)?) } else { packet.len() };
        let (mut next, mut at) = (packet[6], 40);
        while matches!(next, 0 | 43 | protocol::FRAGMENT | protocol::DESTINATION) {
            if next == protocol::FRAGMENT {
                let fragment = u16_at(packet, at + 2)?;
                parsed.fragment_offset = usize::from(fragment & 0xfff8);
                parsed.more_fragments = fragment & 1 != 0;
                parsed.id = u32_at(packet, at + 4)?;
            }
            let length = if next == protocol::FRAGMENT {
                8
            } else {
                8 + 8 * usize::from(bytes(packet, at + 1, 1)?[0])
            };
            next = packet[at];
            at += length;
        }
        parsed.protocol = next;
        parsed.checksums_hold = true;
        parsed.transport(bytes(packet, at, end.saturating_sub(at))?)
    }

    fn transport(mut self, body: &[u8]) -> Result<Self> {
        if self.fragment_offset > 0 {
            self.payload = body.to_vec();
            return Ok(self);
        }
        let header = match self.protocol {
            protocol::TCP => {
                self.flags = bytes(body, 13, 1)?[0];
                self.sequence = u32_at(body, 4)?;
                self.ack = u32_at(body, 8)?;
                usize::from(body[12] >> 4) * 4
            }
            protocol::UDP | protocol::ICMP | protocol::ICMPV6 => 8,
            _ => 0,
        };
        if matches!(self.protocol, protocol::TCP | protocol::UDP) {
            self.source_port = u16_at(body, 0)?;
            self.destination_port = u16_at(body, 2)?;
        }
        if matches!(self.protocol, protocol::ICMP | protocol::ICMPV6) {
            self.icmp = (bytes(body, 0, 1)?[0], bytes(body, 1, 1)?[0]);
            self.icmp_word = u32_at(body, 4)?;
        }
        if header > 0 && !self.more_fragments {
            let pseudo = match self.protocol {
                protocol::ICMP => 0,
                number => pseudo_sum(self.source, self.destination, number, body.len()),
            };
            let unsummed = self.protocol == protocol::UDP && self.source.is_ipv4() && u16_at(body, 6)? == 0;
            self.checksums_hold &= unsummed || fold(pseudo + sum(body)) == 0xffff;
        }
        self.payload = bytes(body, header, body.len().saturating_sub(header))?.to_vec();
        Ok(self)
    }

    const fn empty(source: IpAddr, destination: IpAddr) -> Self {
        Self {
            to_mac: [0; 6],
            from_mac: [0; 6],
            vlans: Vec::new(),
            source,
            destination,
            ttl: 0,
            tos: 0,
            id: 0,
            fragment_offset: 0,
            more_fragments: false,
            protocol: 0,
            source_port: 0,
            destination_port: 0,
            flags: 0,
            sequence: 0,
            ack: 0,
            icmp: (0, 0),
            icmp_word: 0,
            payload: Vec::new(),
            checksums_hold: false,
        }
    }
}

fn bytes(of: &[u8], at: usize, count: usize) -> Result<&[u8]> {
    of.get(at..at + count).with_context(|| format!("{} bytes end before {at} + {count}", of.len()))
}

fn u16_at(of: &[u8], at: usize) -> Result<u16> {
    Ok(u16::from_be_bytes(bytes(of, at, 2)?.try_into()?))
}

fn u32_at(of: &[u8], at: usize) -> Result<u32> {
    Ok(u32::from_be_bytes(bytes(of, at, 4)?.try_into()?))
}

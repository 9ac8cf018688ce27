//! What a packet in hand is found to be.

use proxy_common::{
    addr::{Address, Ip4},
    flow::{FlowKey, FragmentKey},
};

/// EtherType of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// `IPPROTO_ICMP`
pub const ICMP: u8 = 1;
/// `IPPROTO_TCP`
pub const TCP: u8 = 6;
/// `IPPROTO_UDP`
pub const UDP: u8 = 17;
/// `IPPROTO_ICMPV6`
pub const ICMPV6: u8 = 58;

/// A frame down to its IP header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Link {
    /// Where the IP header starts: 14, 18 or 22.
    pub l3: u32,
    /// VLAN tags: 0 to 2.
    pub tags: u32,
}

/// Which part of a datagram a packet is. The number is the datagram's identification.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub enum Piece {
    /// All of it.
    #[default]
    Whole,
    /// The first fragment: it has the ports.
    First(u32),
    /// A later fragment: it has none.
    Later(u32),
}

/// An IP packet, its header found sound.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Internet<A> {
    /// The 5-tuple: the ports are zero until they are read, or found by the first fragment's.
    pub key: FlowKey<A>,
    /// The frame.
    pub link: Link,
    /// Where the IP payload's transport header starts (behind options and extension headers).
    pub l4: u32,
    /// Where the packet ends, counted from the start of the frame: padding comes behind.
    pub end: u32,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// IPv4 "don't fragment"; always `true` for IPv6.
    pub dont_fragment: bool,
    /// Which part of a datagram it is.
    pub piece: Piece,
}

impl<A: Address> Internet<A> {
    /// What later fragments have in common with their first. Not the "next header" of IPv6: later fragments may name
    /// another one, and only the first one's counts (RFC 8200 §4.5).
    #[inline(always)]
    pub fn fragments(&self, identification: u32) -> FragmentKey<A> {
        FragmentKey {
            source: self.key.source,
            destination: self.key.destination,
            identification,
            protocol: if A::FAMILY == Ip4::FAMILY { self.key.protocol } else { 0 },
            pad: [0; 3],
        }
    }
}

/// What a TCP header says beside the ports. All zero for UDP and for later fragments.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Transport {
    /// TCP flags, as in byte 13 of the header.
    pub flags: u8,
    /// TCP sequence number.
    pub sequence: u32,
    /// TCP acknowledgment number.
    pub acknowledgment: u32,
}

/// TCP flags (RFC 9293 §3.1).
pub mod tcp {
    /// No more data.
    pub const FIN: u8 = 1;
    /// Synchronise.
    pub const SYN: u8 = 1 << 1;
    /// Reset.
    pub const RST: u8 = 1 << 2;
    /// The acknowledgment number counts.
    pub const ACK: u8 = 1 << 4;
}

impl Transport {
    /// A SYN without ACK, FIN or RST: the wish to begin a connection.
    #[inline(always)]
    pub const fn is_bare_syn(&self) -> bool {
        self.flags & (tcp::SYN | tcp::ACK | tcp::RST | tcp::FIN) == tcp::SYN
    }

    /// A SYN with ACK: a backend takes the connection.
    #[inline(always)]
    pub const fn is_answer_to_syn(&self) -> bool {
        self.flags & (tcp::SYN | tcp::ACK | tcp::RST) == tcp::SYN | tcp::ACK
    }

    /// A reset that acknowledges nothing.
    #[inline(always)]
    pub const fn is_bare_reset(&self) -> bool {
        self.flags & (tcp::SYN | tcp::ACK | tcp::RST) == tcp::RST
    }

    /// A segment of a connection that exists: ACK without SYN or RST.
    #[inline(always)]
    pub const fn is_midstream(&self) -> bool {
        self.flags & (tcp::SYN | tcp::ACK | tcp::RST) == tcp::ACK
    }
}

/// A TCP segment without data that a packet is answered with, beside the ports.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Segment {
    /// TCP sequence number.
    pub sequence: u32,
    /// TCP acknowledgment number.
    pub acknowledgment: u32,
    /// [`tcp`] flags.
    pub flags: u8,
    /// The window, not scaled.
    pub window: u16,
    /// The options, as they lie in memory.
    pub options: [u32; OPTION_WORDS],
    /// How many words of them there are.
    pub option_words: u32,
}

/// Words of options that an answer has at most: segment size, SACK, timestamps, window scale.
pub const OPTION_WORDS: usize = 5;

/// What an ICMP error quotes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Quote<A> {
    /// Where the quoted IP header starts.
    pub l3: u32,
    /// Where the quoted transport header starts.
    pub l4: u32,
    /// The quoted packet's 5-tuple.
    pub key: FlowKey<A>,
}

/// What the outer header is to become: from whom, to whom, and the delta of its addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Outer<A> {
    /// Source address to write.
    pub source: A,
    /// Destination address to write.
    pub destination: A,
    /// RFC 1624 delta of the two.
    pub delta: u16,
}

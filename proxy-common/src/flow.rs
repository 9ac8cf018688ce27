//! Flows: the established ones in a table that nothing evicts, and the young ones that have not proved to be alive.

use crate::addr::{Address, Be16};
use crate::cell::Cell64;
use crate::hop::Hop;

/// A 5-tuple, as a packet carries it: 16 bytes for IPv4, 40 for IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(C)]
pub struct FlowKey<A> {
    /// Source address of the packet.
    pub source: A,
    /// Destination address of the packet.
    pub destination: A,
    /// Source port of the packet.
    pub source_port: Be16,
    /// Destination port of the packet.
    pub destination_port: Be16,
    /// `IPPROTO_TCP` or `IPPROTO_UDP`.
    pub protocol: u8,
    /// Zero.
    pub pad: [u8; 3],
}

impl<A: Copy> FlowKey<A> {
    /// The key of the packets that answer.
    #[inline(always)]
    pub const fn reversed(&self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            protocol: self.protocol,
            pad: [0; 3],
        }
    }
}

/// What is done to a flow's packets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum FlowKind {
    /// Client to backend, link-layer addresses only.
    Dsr = 0,
    /// Client to backend, both addresses.
    NatForward = 1,
    /// Backend to client, both addresses.
    NatReturn = 2,
}

/// One direction of a flow. `Flow<A>` is its plain copy; [`SharedFlow`] is the same bytes in a table.
///
/// Races, all harmless: `activity` is written by whichever CPU has a packet of the flow; an update lost to another
/// CPU's in the same instant delays collection, nothing else. Everything above it never changes after the insert.
/// (The BPF target has 64-bit atomics only: hence one word for two numbers.)
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Flow<A, U64 = u64> {
    /// Source address to write.
    pub new_source: A,
    /// Destination address to write.
    pub new_destination: A,
    /// Source port to write.
    pub new_source_port: Be16,
    /// Destination port to write.
    pub new_destination_port: Be16,
    /// [`crate::backend::BackendId`].
    pub backend: u16,
    /// [`FlowKind`].
    pub kind: u8,
    /// Zero.
    pub pad: u8,
    /// RFC 1624 delta of the addresses alone: what the IPv4 header checksum changes by.
    pub address_delta: u16,
    /// RFC 1624 delta of addresses and ports: what the TCP or UDP checksum changes by.
    pub transport_delta: u16,
    /// When the flow was made, in jiffies (low 32 bits).
    pub born: u32,
    /// Time of the last packet in jiffies (upper half), [`state`] bits that packets of this direction set (lower).
    pub activity: U64,
    /// Where its packets leave.
    pub hop: Hop<U64>,
}

impl<A> Flow<A> {
    /// Time of the last packet, in jiffies (low 32 bits).
    pub const fn seen(&self) -> u32 {
        (self.activity >> 32) as u32
    }
    /// [`state`] bits.
    pub const fn state(&self) -> u32 {
        self.activity as u32
    }
}

impl<A> SharedFlow<A> {
    /// A packet of the flow at `now`. Writes only when the clock has moved on.
    #[inline(always)]
    pub fn touch(&self, now: u32) {
        let old = self.activity.load();
        if (old >> 32) as u32 != now {
            self.activity.store((now as u64) << 32 | (old & 0xffff_ffff));
        }
    }
    /// [`state`] bits.
    #[inline(always)]
    pub fn state(&self) -> u32 {
        self.activity.load() as u32
    }
    /// Sets [`state`] bits.
    #[inline(always)]
    pub fn mark(&self, bits: u32) {
        self.activity.fetch_or(bits as u64);
    }
}

/// A flow in a table that every CPU reads and writes.
pub type SharedFlow<A> = Flow<A, Cell64>;

/// Bits of a flow's state.
pub mod state {
    /// A FIN went this way.
    pub const FIN: u32 = 1;
    /// An RST went this way.
    pub const RST: u32 = 1 << 1;
    /// A SYN went this way that the ring sends elsewhere than to this flow's backend: look for its young flow.
    pub const SYN_ELSEWHERE: u32 = 1 << 2;
}

const _: () = assert!(size_of::<FlowKey<crate::addr::Ip4>>() == 16);
const _: () = assert!(size_of::<FlowKey<crate::addr::Ip6>>() == 40);
const _: () = assert!(size_of::<Flow<crate::addr::Ip4>>() == 64);
const _: () = assert!(size_of::<SharedFlow<crate::addr::Ip4>>() == 64);
const _: () = assert!(size_of::<Flow<crate::addr::Ip6>>() == 88);
const _: () = assert!(size_of::<SharedFlow<crate::addr::Ip6>>() == 88);
const _: () = assert!(align_of::<Flow<crate::addr::Ip6>>() == align_of::<SharedFlow<crate::addr::Ip6>>());

/// What later fragments of a datagram have in common with their first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(C)]
pub struct FragmentKey<A> {
    /// Source address.
    pub source: A,
    /// Destination address.
    pub destination: A,
    /// Identification, as it lies in the packet (16 bits in IPv4, 32 in IPv6).
    pub identification: u32,
    /// The datagram's protocol.
    pub protocol: u8,
    /// Zero.
    pub pad: [u8; 3],
}

const _: () = assert!(size_of::<FragmentKey<crate::addr::Ip4>>() == 16);
const _: () = assert!(size_of::<FragmentKey<crate::addr::Ip6>>() == 40);

/// A flow whose client has not proved to be alive: what a bare SYN or a first datagram leaves behind.
///
/// Young flows live in a table with one slot a hash: a newer one replaces an older one, so a flood of spoofed SYNs
/// costs other handshakes a retransmission at worst, and established flows nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Young<A> {
    /// The client.
    pub client: A,
    /// The listener's address that it wrote to.
    pub service: A,
    /// The client's port.
    pub client_port: Be16,
    /// The listener's port.
    pub service_port: Be16,
    /// The port that the connection to the backend leaves from (`nat`; else 0).
    pub nat_port: Be16,
    /// [`crate::backend::BackendId`].
    pub backend: u16,
    /// The client's initial sequence number (TCP).
    pub client_isn: u32,
    /// The backend's initial sequence number (TCP, once it answered).
    pub backend_isn: u32,
    /// `IPPROTO_TCP` or `IPPROTO_UDP`.
    pub protocol: u8,
    /// [`young`] bits.
    pub bits: u8,
}

/// Bits of [`Young::bits`].
pub mod young {
    /// The backend answered (seen with `nat` only).
    pub const ANSWERED: u8 = 1;
    /// Began with a bare SYN.
    pub const SYN: u8 = 1 << 1;
}

/// The memory of a young flow: a sequence lock around `N` words. A writer makes the sequence odd, writes, makes it
/// even; a reader that meets an odd or a changed number has read nothing.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct YoungSlot<const N: usize, U64 = u64> {
    /// Time of the last write in jiffies (upper half), sequence number (lower; odd while a CPU writes).
    pub guard: U64,
    /// The young flow.
    pub words: [U64; N],
}

const _: () = assert!(size_of::<YoungSlot<4>>() == 40);
const _: () = assert!(size_of::<YoungSlot<7>>() == 64);

/// A young flow's slot of one address family.
pub trait Slot<A> {
    /// The young flow and the time of its last write, unless a CPU is writing it now. An all-zero slot reads as a
    /// young flow of protocol 0, which no packet has.
    fn read(&self) -> Option<(Young<A>, u32)>;
    /// Writes a young flow. `false`: another CPU is writing here, nothing was changed.
    fn write(&self, young: &Young<A>, now: u32) -> bool;
}

impl<A: Address, const N: usize> Slot<A> for YoungSlot<N, Cell64>
where
    Young<A>: Encode<N>,
{
    #[inline(always)]
    fn read(&self) -> Option<(Young<A>, u32)> {
        // A read-modify-write orders the plain loads between the two looks at the guard on every architecture.
        let before = self.guard.fetch_or(0);
        if before & 1 != 0 {
            return None;
        }
        let mut words = [0u64; N];
        for i in 0..N {
            words[i] = self.words[i].load();
        }
        if self.guard.fetch_or(0) != before {
            return None;
        }
        Some((Young::decode(&words), (before >> 32) as u32))
    }

    #[inline(always)]
    fn write(&self, young: &Young<A>, now: u32) -> bool {
        let before = self.guard.load();
        if before & 1 != 0 || !self.guard.replace_if(before, before + 1) {
            return false;
        }
        let words = young.encode();
        for i in 0..N {
            self.words[i].store(words[i]);
        }
        // The guard is this CPU's while it is odd: the exchange cannot fail, and its barrier orders the words before it.
        self.guard.replace_if(before + 1, (now as u64) << 32 | (before.wrapping_add(2) & 0xffff_ffff))
    }
}

/// A young flow as `N` words and back.
pub trait Encode<const N: usize>: Sized {
    /// As words.
    fn encode(&self) -> [u64; N];
    /// From words.
    fn decode(words: &[u64; N]) -> Self;
}

#[inline(always)]
const fn pair(a: u32, b: u32) -> u64 {
    a as u64 | (b as u64) << 32
}

impl<A> Young<A> {
    #[inline(always)]
    fn tail(&self) -> [u64; 3] {
        let ports = pair(
            self.client_port.raw() as u32 | (self.service_port.raw() as u32) << 16,
            self.nat_port.raw() as u32 | (self.backend as u32) << 16,
        );
        [ports, pair(self.client_isn, self.backend_isn), pair(self.protocol as u32, self.bits as u32)]
    }

    #[inline(always)]
    fn of(client: A, service: A, ports: u64, isns: u64, rest: u64) -> Self {
        Self {
            client,
            service,
            client_port: Be16::from_raw(ports as u16),
            service_port: Be16::from_raw((ports >> 16) as u16),
            nat_port: Be16::from_raw((ports >> 32) as u16),
            backend: (ports >> 48) as u16,
            client_isn: isns as u32,
            backend_isn: (isns >> 32) as u32,
            protocol: rest as u8,
            bits: (rest >> 32) as u8,
        }
    }
}

impl Encode<4> for Young<crate::addr::Ip4> {
    #[inline(always)]
    fn encode(&self) -> [u64; 4] {
        let [a, b, c] = self.tail();
        [pair(self.client.0.raw(), self.service.0.raw()), a, b, c]
    }
    #[inline(always)]
    fn decode(w: &[u64; 4]) -> Self {
        let ip = |raw| crate::addr::Ip4(crate::addr::Be32::from_raw(raw));
        Self::of(ip(w[0] as u32), ip((w[0] >> 32) as u32), w[1], w[2], w[3])
    }
}

impl Encode<7> for Young<crate::addr::Ip6> {
    #[inline(always)]
    fn encode(&self) -> [u64; 7] {
        let ([c0, c1, c2, c3], [s0, s1, s2, s3]) = (self.client.words(), self.service.words());
        let [a, b, c] = self.tail();
        [pair(c0, c1), pair(c2, c3), pair(s0, s1), pair(s2, s3), a, b, c]
    }
    #[inline(always)]
    fn decode(w: &[u64; 7]) -> Self {
        let half = crate::addr::Be32::from_raw;
        let ip = |x: u64, y: u64| {
            crate::addr::Ip6([half(x as u32), half((x >> 32) as u32), half(y as u32), half((y >> 32) as u32)])
        };
        Self::of(ip(w[0], w[1]), ip(w[2], w[3]), w[4], w[5], w[6])
    }
}

//! Flows: the established ones in a table that nothing evicts, and the young ones that have not proved to be alive.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

use crate::addr::{Address, Be16};
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
/// Races, all harmless: `seen` and `state` are set by whichever CPU has a packet of the flow; a lost update delays
/// collection by one packet. Everything above `seen` never changes after the insert.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Flow<A, U32 = u32, U64 = u64> {
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
    /// Time of the last packet, in jiffies (low 32 bits).
    pub seen: U32,
    /// [`state`] bits that packets of this direction have set.
    pub state: U32,
    /// When the flow was made, in jiffies (low 32 bits).
    pub born: u32,
    /// Where its packets leave.
    pub hop: Hop<U64>,
}

/// A flow in a table that every CPU reads and writes.
pub type SharedFlow<A> = Flow<A, AtomicU32, AtomicU64>;

/// Bits of [`Flow::state`].
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

/// The memory of a young flow: a sequence lock around `N` words. A writer makes `sequence` odd, writes, makes it
/// even; a reader that meets an odd or a changed number has read nothing.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct YoungSlot<const N: usize, U32 = u32, U64 = u64> {
    /// Odd while a CPU writes.
    pub sequence: U32,
    /// Time of the last write, in jiffies (low 32 bits).
    pub touched: U32,
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

impl<A: Address, const N: usize> Slot<A> for YoungSlot<N, AtomicU32, AtomicU64>
where
    Young<A>: Encode<N>,
{
    #[inline(always)]
    fn read(&self) -> Option<(Young<A>, u32)> {
        // A read-modify-write orders the plain loads between the two looks at the sequence on every architecture.
        let before = self.sequence.fetch_add(0, SeqCst);
        if before & 1 != 0 {
            return None;
        }
        let mut words = [0u64; N];
        for (word, cell) in words.iter_mut().zip(&self.words) {
            *word = cell.load(Relaxed);
        }
        let touched = self.touched.load(Relaxed);
        (self.sequence.fetch_add(0, SeqCst) == before).then(|| (Young::decode(&words), touched))
    }

    #[inline(always)]
    fn write(&self, young: &Young<A>, now: u32) -> bool {
        let before = self.sequence.load(Relaxed);
        if before & 1 != 0
            || self.sequence.compare_exchange(before, before.wrapping_add(1), SeqCst, SeqCst).is_err()
        {
            return false;
        }
        let words = young.encode();
        for (word, cell) in words.iter().zip(&self.words) {
            cell.store(*word, Relaxed);
        }
        self.touched.store(now, Relaxed);
        self.sequence.fetch_add(1, SeqCst);
        true
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

//! Flows: the established ones in a table that nothing evicts, and the young ones that have not proved to be alive.

use crate::addr::{Address, Be16, Be32, Ip4, Ip6};
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

impl<A: Address> FlowKey<A> {
    /// Becomes a 5-tuple, field by field: the BPF target moves and clears larger memory in a loop over bytes. The
    /// padding stays as it is, which is zero in every key there is.
    #[inline(always)]
    pub fn set(
        &mut self,
        source: &A,
        destination: &A,
        source_port: Be16,
        destination_port: Be16,
        protocol: u8,
    ) {
        self.source.assign(source);
        self.destination.assign(destination);
        self.source_port = source_port;
        self.destination_port = destination_port;
        self.protocol = protocol;
    }

    /// Becomes another 5-tuple.
    #[inline(always)]
    pub fn copy_from(&mut self, other: &Self) {
        self.set(
            &other.source,
            &other.destination,
            other.source_port,
            other.destination_port,
            other.protocol,
        );
    }

    /// Becomes the 5-tuple of the packets that answer another's.
    #[inline(always)]
    pub fn answer_to(&mut self, other: &Self) {
        self.set(
            &other.destination,
            &other.source,
            other.destination_port,
            other.source_port,
            other.protocol,
        );
    }

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

/// Beside the kind, in the same byte: the flow is of a spliced connection ([`crate::splice`]), and its segments are translated.
pub const SPLICED: u8 = 1 << 7;

impl FlowKind {
    /// From its number; an unknown one is taken for the harmless kind.
    #[inline(always)]
    pub const fn of(number: u8) -> Self {
        match number & !SPLICED {
            1 => Self::NatForward,
            2 => Self::NatReturn,
            _ => Self::Dsr,
        }
    }
}

/// What is written into a flow's packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Rewrite<A> {
    /// Source address to write.
    pub new_source: A,
    /// Destination address to write. For `dsr`: the backend's address, which only the next hop is looked up for.
    pub new_destination: A,
    /// Source port to write.
    pub new_source_port: Be16,
    /// Destination port to write.
    pub new_destination_port: Be16,
    /// [`crate::backend::BackendId`].
    pub backend: u16,
    /// [`FlowKind`], and [`SPLICED`].
    pub kind: u8,
    /// The number of the set of counts that the flow is in ([`crate::plan::CountedSet`]); 0: none.
    pub counted: u8,
    /// RFC 1624 delta of the addresses alone: what the IPv4 header checksum changes by.
    pub address_delta: u16,
    /// RFC 1624 delta of addresses and ports: what the TCP or UDP checksum changes by.
    pub transport_delta: u16,
}

impl<A: Address> Rewrite<A> {
    /// Whether the flow is of a spliced connection.
    #[inline(always)]
    pub const fn is_spliced(&self) -> bool {
        self.kind & SPLICED != 0
    }

    /// Becomes what is written into a packet of another rewrite's flow: all of it but for [`FlowKind::Dsr`], where nothing is.
    #[inline(always)]
    pub fn take_over(&mut self, other: &Self) {
        if FlowKind::of(other.kind) == FlowKind::Dsr {
            (self.kind, self.backend) = (other.kind, other.backend);
        } else {
            self.copy_from(other);
        }
    }

    /// Becomes another rewrite, field by field.
    #[inline(always)]
    pub fn copy_from(&mut self, other: &Self) {
        self.new_source.assign(&other.new_source);
        self.new_destination.assign(&other.new_destination);
        self.new_source_port = other.new_source_port;
        self.new_destination_port = other.new_destination_port;
        self.backend = other.backend;
        self.kind = other.kind;
        self.counted = other.counted;
        self.address_delta = other.address_delta;
        self.transport_delta = other.transport_delta;
    }
}

/// One direction of a flow. `Flow<A>` is its plain copy; [`SharedFlow`] is the same bytes in a table.
///
/// Races, all harmless: `activity` is written by whichever CPU has a packet of the flow; an update lost to another
/// CPU's in the same instant delays collection, nothing else. Everything above it never changes after the insert.
/// (The BPF target has 64-bit atomics only: hence one word for two numbers.)
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Flow<A, U64 = u64> {
    /// What is written into its packets.
    pub rewrite: Rewrite<A>,
    /// When the flow was made, in jiffies (low 32 bits). Of a spliced connection: its number, the index of its
    /// [`crate::splice::Splice`].
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
            let new = (now as u64) << 32 | (old & 0xffff_ffff);
            if self.rewrite.counted == 0 {
                self.activity.store(new);
            } else {
                // That a flow has left its counts must not be forgotten. Who was faster has noted the time, or will.
                let _other = self.activity.replace_if(old, new);
            }
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
    /// Time of the last packet, in jiffies (low 32 bits).
    #[inline(always)]
    pub fn seen(&self) -> u32 {
        (self.activity.load() >> 32) as u32
    }
    /// Takes a reset back: something came after it. Whoever was faster leaves that to the next packet.
    #[inline(always)]
    pub fn revive(&self) {
        let old = self.activity.load();
        let _other = self.activity.replace_if(old, old & !(state::RST as u64));
    }
    /// Takes note that the flow leaves its counts. `false`: it had already.
    #[inline(always)]
    pub fn leaves(&self) -> bool {
        self.activity.fetch_or(state::LEFT as u64) & state::LEFT as u64 == 0
    }
}

/// A flow in a table that every CPU reads and writes.
pub type SharedFlow<A> = Flow<A, Cell64>;

/// Bits of a flow's state.
pub mod state {
    /// A FIN went this way.
    pub const FIN: u32 = 1;
    /// An RST went this way, and nothing after it.
    pub const RST: u32 = 1 << 1;
    /// A SYN went this way that the ring sends elsewhere than to this flow's backend: look for its young flow.
    pub const SYN_ELSEWHERE: u32 = 1 << 2;
    /// The flow is counted no more. In the client's direction.
    pub const LEFT: u32 = 1 << 3;
    /// Nobody has proved that its client is there: two packets alone made it ([`crate::room`]).
    pub const UNPROVED: u32 = 1 << 4;
}

const _: () = assert!(size_of::<FlowKey<Ip4>>() == 16);
const _: () = assert!(size_of::<FlowKey<Ip6>>() == 40);
const _: () = assert!(size_of::<Flow<Ip4>>() == 64);
const _: () = assert!(size_of::<SharedFlow<Ip4>>() == 64);
const _: () = assert!(size_of::<Flow<Ip6>>() == 88);
const _: () = assert!(size_of::<SharedFlow<Ip6>>() == 88);
const _: () = assert!(align_of::<Flow<Ip6>>() == align_of::<SharedFlow<Ip6>>());

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

const _: () = assert!(size_of::<FragmentKey<Ip4>>() == 16);
const _: () = assert!(size_of::<FragmentKey<Ip6>>() == 40);

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

impl<A: Address> Young<A> {
    /// Becomes the young flow of a client's packet, with no port to the backend.
    #[inline(always)]
    pub fn become_of(&mut self, key: &FlowKey<A>, backend: u16, isn: u32, bits: u8) {
        self.client.assign(&key.source);
        self.service.assign(&key.destination);
        self.client_port = key.source_port;
        self.service_port = key.destination_port;
        self.nat_port = Be16::default();
        self.backend = backend;
        self.client_isn = isn;
        self.backend_isn = 0;
        self.protocol = key.protocol;
        self.bits = bits;
    }
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
    /// Time of the last write in jiffies (upper half), sequence number (the low 24 bits; odd while a CPU writes), and
    /// between them what else is of the young flow: its `bits`, and whether there is one and it is TCP's.
    pub guard: U64,
    /// The young flow.
    pub words: [U64; N],
}

impl<const N: usize> Default for SharedYoungSlot<N> {
    fn default() -> Self {
        Self { guard: Cell64::new(0), words: [(); N].map(|()| Cell64::new(0)) }
    }
}

// One cache line holds two whole ones.
const _: () = assert!(size_of::<YoungSlot<3>>() == 32);
const _: () = assert!(size_of::<YoungSlot<6>>() == 56);

/// A young flow's memory in a table that every CPU reads and writes.
pub type SharedYoungSlot<const N: usize> = YoungSlot<N, Cell64>;

/// A young flow's slot of one address family.
pub trait Slot<A> {
    /// Reads the young flow and returns the time of its last write, unless a CPU is writing it now: then `young` is
    /// rubbish. An all-zero slot reads as a young flow of protocol 0, which no packet has.
    fn read(&self, young: &mut Young<A>) -> Option<u32>;
    /// Writes a young flow. `false`: another CPU is writing here, nothing was changed.
    fn write(&self, young: &Young<A>, now: u32) -> bool;
}

/// What lets a backend's answer find its young flow: the young flow's index, and of the answer's own hash what its place
/// does not tell, so that another's answer is seen to be another's without a look at the young flow.
pub mod way_back {
    use crate::limits::YOUNG;

    /// For the answers with this hash, to the young flow of that hash.
    #[inline(always)]
    pub const fn to(answer: u64, young: u64) -> u64 {
        answer & !0xffff_ffff | ((young as u32 & (YOUNG - 1)) + 1) as u64
    }

    /// The index of the young flow, if there is one for the answers with this hash.
    #[inline(always)]
    pub const fn index(word: u64, answer: u64) -> Option<u32> {
        if (word ^ answer) >> 32 == 0 { (word as u32).checked_sub(1) } else { None }
    }
}

/// The guard of a slot: its parts.
mod guard {
    /// The sequence number: 24 bits.
    pub(super) const SEQUENCE: u64 = 0xff_ffff;
    /// [`super::young`] bits stand here.
    pub(super) const BITS: u32 = 24;
    /// UDP.
    pub(super) const UDP: u64 = 1 << 30;
    /// TCP.
    pub(super) const TCP: u64 = 1 << 31;
}

const TCP: u8 = 6;
const UDP: u8 = 17;

impl<A> Young<A> {
    /// The upper half of a slot's guard but for the time.
    #[inline(always)]
    fn guarded(&self) -> u64 {
        let protocol = if self.protocol == TCP { guard::TCP } else { guard::UDP };
        protocol | (self.bits as u64 & 0x3f) << guard::BITS
    }

    /// Takes protocol and bits out of a slot's guard.
    #[inline(always)]
    pub fn take_guarded(&mut self, word: u64) {
        self.bits = (word >> guard::BITS) as u8 & 0x3f;
        self.protocol = if word & guard::TCP != 0 {
            TCP
        } else if word & guard::UDP != 0 {
            UDP
        } else {
            0
        };
    }
}

impl<A, const N: usize> Slot<A> for SharedYoungSlot<N>
where
    Young<A>: Encode<N>,
{
    #[inline(always)]
    fn read(&self, young: &mut Young<A>) -> Option<u32> {
        let before = self.guard.load_ordered();
        if before & 1 != 0 {
            return None;
        }
        young.decode(|i| self.words[i].load());
        young.take_guarded(before);
        (self.guard.load_ordered() == before).then_some((before >> 32) as u32)
    }

    #[inline(always)]
    fn write(&self, young: &Young<A>, now: u32) -> bool {
        let before = self.guard.load();
        if before & 1 != 0 || !self.guard.replace_if(before, before + 1) {
            return false;
        }
        young.encode(|i, word| self.words[i].store(word));
        let sequence = before.wrapping_add(2) & guard::SEQUENCE;
        // The guard is this CPU's while it is odd.
        self.guard.store_ordered((now as u64) << 32 | young.guarded() | sequence);
        true
    }
}

/// A young flow as `N` words and back; its protocol and bits are not in them.
pub trait Encode<const N: usize> {
    /// Gives the words, each with its index.
    fn encode(&self, put: impl FnMut(usize, u64));
    /// Takes the words by their indices.
    fn decode(&mut self, get: impl FnMut(usize) -> u64);
}

#[inline(always)]
const fn pair(a: u32, b: u32) -> u64 {
    a as u64 | (b as u64) << 32
}

impl<A> Young<A> {
    /// Everything but the addresses: two words from `first` on.
    #[inline(always)]
    fn put_rest(&self, first: usize, mut put: impl FnMut(usize, u64)) {
        let near = self.client_port.raw() as u32 | (self.service_port.raw() as u32) << 16;
        let far = self.nat_port.raw() as u32 | (self.backend as u32) << 16;
        put(first, pair(near, far));
        put(first + 1, pair(self.client_isn, self.backend_isn));
    }

    #[inline(always)]
    fn get_rest(&mut self, first: usize, mut get: impl FnMut(usize) -> u64) {
        let (ports, isns) = (get(first), get(first + 1));
        self.client_port = Be16::from_raw(ports as u16);
        self.service_port = Be16::from_raw((ports >> 16) as u16);
        self.nat_port = Be16::from_raw((ports >> 32) as u16);
        self.backend = (ports >> 48) as u16;
        self.client_isn = isns as u32;
        self.backend_isn = (isns >> 32) as u32;
    }
}

impl Encode<3> for Young<Ip4> {
    #[inline(always)]
    fn encode(&self, mut put: impl FnMut(usize, u64)) {
        put(0, pair(self.client.0.raw(), self.service.0.raw()));
        self.put_rest(1, put);
    }
    #[inline(always)]
    fn decode(&mut self, mut get: impl FnMut(usize) -> u64) {
        let addresses = get(0);
        self.client = Ip4(Be32::from_raw(addresses as u32));
        self.service = Ip4(Be32::from_raw((addresses >> 32) as u32));
        self.get_rest(1, get);
    }
}

impl Encode<6> for Young<Ip6> {
    #[inline(always)]
    fn encode(&self, mut put: impl FnMut(usize, u64)) {
        let ([c0, c1, c2, c3], [s0, s1, s2, s3]) = (self.client.words(), self.service.words());
        put(0, pair(c0, c1));
        put(1, pair(c2, c3));
        put(2, pair(s0, s1));
        put(3, pair(s2, s3));
        self.put_rest(4, put);
    }
    #[inline(always)]
    fn decode(&mut self, mut get: impl FnMut(usize) -> u64) {
        let half = Be32::from_raw;
        let ip = |x: u64, y: u64| {
            Ip6([half(x as u32), half((x >> 32) as u32), half(y as u32), half((y >> 32) as u32)])
        };
        self.client = ip(get(0), get(1));
        self.service = ip(get(2), get(3));
        self.get_rest(4, get);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_young_flow_comes_out_of_its_slot_as_it_went_in() {
        let mut flow = Young::<Ip6> {
            client: Ip6::from_octets([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]),
            service: Ip6::from_octets([21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36]),
            client_port: Be16::new(1),
            service_port: Be16::new(2),
            nat_port: Be16::new(3),
            backend: 4,
            client_isn: 5,
            backend_isn: 6,
            protocol: 6,
            bits: 2,
        };
        let slot: SharedYoungSlot<6> = YoungSlot { guard: Cell64::new(0), words: Default::default() };
        assert!(slot.write(&flow, 77));
        let mut read = Young::default();
        assert_eq!(slot.read(&mut read), Some(77));
        assert_eq!(read, flow);
        flow.bits = 3;
        flow.protocol = 17;
        assert!(slot.write(&flow, 78));
        assert_eq!(slot.read(&mut read), Some(78));
        assert_eq!(read, flow);
    }

    #[test]
    fn a_slot_that_is_being_written_is_neither_read_nor_written() {
        let slot: SharedYoungSlot<3> = YoungSlot { guard: Cell64::new(1), words: Default::default() };
        assert_eq!(slot.read(&mut Young::<Ip4>::default()), None);
        assert!(!Slot::<Ip4>::write(&slot, &Young::default(), 1));
    }
}

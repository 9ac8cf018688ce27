//! What the kernel listens on.

use crate::addr::{Address, Be16};
use crate::limits::FILTER_BITS;

/// The number of a listener: the index of its ring. Given by the daemon.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord, Default)]
#[repr(transparent)]
pub struct ListenerId(pub u16);

/// One address that a listener is bound to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(C)]
pub struct ListenerKey<A> {
    /// The address clients connect to.
    pub address: A,
    /// Their destination port.
    pub port: Be16,
    /// `IPPROTO_TCP` or `IPPROTO_UDP`.
    pub protocol: u8,
    /// Zero.
    pub pad: u8,
}

/// How packets get to the backend.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Forward {
    /// Full NAT: both addresses change, answers come back through the balancer.
    Nat = 0,
    /// Direct server return: only the link-layer addresses change; the backend holds the listener's address itself.
    Dsr = 1,
    /// Not at all: a socket of this host listens there, and the packet is the host's unless something refuses it.
    Local = 2,
}

/// A listener, as its address's entry says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Listener {
    /// [`ListenerId`].
    pub id: u16,
    /// [`Forward`].
    pub forward: u8,
    /// Of [`Forward::Local`]: the number of the plan of its limits; 0: none.
    pub plan: u8,
    /// [`Listener::TLS`] and kin.
    pub flags: u8,
    /// Zero.
    pub pad: [u8; 3],
}

impl Listener {
    /// Its clients begin with a ClientHello, of [`Forward::Local`].
    pub const TLS: u8 = 1;
    /// Of [`Forward::Local`]: the flow table is asked for its packets, whose connections may have been handed over.
    pub const HANDOFF: u8 = 1 << 1;
}

/// What a CPU's program found last at a place among its [`SEEN`]: most packets are of few listeners, and to compare their
/// key costs a fifth of what a look into the hash table does. It holds in the epoch it was found in (`LISTENERS_EPOCH`),
/// which was read before: whatever changes the table then ends the epoch.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Seen<A> {
    /// Where.
    pub key: ListenerKey<A>,
    /// Who listens there.
    pub listener: Listener,
    /// When that was so.
    pub epoch: u64,
}

/// Places of a CPU. A power of two.
pub const SEEN: u32 = 32;

impl<A: Address> ListenerKey<A> {
    /// Its place among [`SEEN`].
    #[inline(always)]
    pub fn place(&self) -> u32 {
        let folded =
            self.address.words().as_ref().iter().fold(self.port.raw() as u32, |folded, word| folded ^ word);
        // An address's last byte lies highest, and so does a port's (little endian).
        (folded >> 24 ^ folded >> 8 ^ self.protocol as u32) & (SEEN - 1)
    }

    /// Whether another one is the same.
    #[inline(always)]
    pub fn is(&self, other: &Self) -> bool {
        let (own, others) = (self.address.words(), other.address.words());
        let mut differs =
            (self.port.raw() ^ other.port.raw()) as u32 | (self.protocol ^ other.protocol) as u32;
        for (own, other) in own.as_ref().iter().zip(others.as_ref()) {
            differs |= own ^ other;
        }
        differs == 0
    }
}

/// A listener's name in UTF-8, cut at 64 bytes, padded with NUL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Name(pub [u8; 64]);

const _: () = assert!(size_of::<ListenerKey<crate::addr::Ip4>>() == 8);
const _: () = assert!(size_of::<ListenerKey<crate::addr::Ip6>>() == 20);
const _: () = assert!(size_of::<Listener>() == 8);
const _: () = assert!(size_of::<Seen<crate::addr::Ip4>>() == 24 && SEEN.is_power_of_two());

/// A bitmap that tells at once that a packet is not ours: one look into 8 KiB that stay in the L1 cache, where a
/// miss in two hash tables would cost twice as much as everything else. A set bit may be another address's; the
/// tables decide.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct DestinationFilter {
    /// Bit `n` is bit `n % 64` of word `n / 64`.
    pub words: [u64; (FILTER_BITS / 64) as usize],
}

/// What a filter's bit stands for: part of what is hashed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Ours {
    /// (address, port, protocol) of a listener.
    Listener = 1,
    /// An address that connections to backends leave from (port 0, protocol 0).
    NatSource = 2,
    /// Any address of the two kinds above (port 0, protocol 0): for fragments and ICMP errors.
    Address = 3,
    /// (address, port, protocol) of a listener whose packets are the host's.
    Local = 4,
    /// An address of such a listener (port 0, protocol 0): for ICMP.
    Host = 5,
}

/// The bit of a destination.
#[inline(always)]
pub fn filter_bit<A: Address>(kind: Ours, address: A, port: Be16, protocol: u8) -> u32 {
    let mut folded = 0u64;
    for word in address.words().as_ref() {
        folded = folded.rotate_left(23) ^ (*word as u64);
    }
    let salted = folded ^ ((port.raw() as u64) << 32) ^ ((protocol as u64) << 48) ^ ((kind as u64) << 56);
    // Multiplicative hashing (Knuth, TAOCP 6.4): the highest bits of the product depend on every bit, and it is one
    // instruction of every packet's way.
    (salted.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as u32 & (FILTER_BITS - 1)
}

impl DestinationFilter {
    /// A filter in which nothing is ours.
    pub const EMPTY: Self = Self { words: [0; (FILTER_BITS / 64) as usize] };

    /// Sets a bit.
    pub fn set(&mut self, bit: u32) {
        self.words[(bit / 64) as usize % (FILTER_BITS / 64) as usize] |= 1 << (bit % 64);
    }

    /// Whether a bit is set.
    #[inline(always)]
    pub fn has(&self, bit: u32) -> bool {
        self.words[(bit / 64) as usize & ((FILTER_BITS / 64) as usize - 1)] & (1 << (bit % 64)) != 0
    }
}

impl core::fmt::Debug for DestinationFilter {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "DestinationFilter({} set)", self.words.iter().map(|w| w.count_ones()).sum::<u32>())
    }
}

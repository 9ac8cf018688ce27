//! The remembered next hop of a flow.
//!
//! A hop is four 64-bit words, each stored at once and each carrying the epoch it was resolved in. It is valid only
//! when all four carry the present epoch, so a reader never uses half of an old and half of a new hop. Races: two
//! CPUs may resolve the same hop at once; both write the answer of the same routing table. The daemon raises the
//! epoch when routes, neighbours or links change; a hop also grows old by itself, for the time when no daemon runs.

use crate::cell::Cell64;

/// A next hop: `Hop` is its plain copy, [`SharedHop`] the same bytes in a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Hop<U64 = u64> {
    /// Destination MAC in the upper 48 bits, epoch below.
    destination: U64,
    /// Source MAC in the upper 48 bits, epoch below.
    source: U64,
    /// Interface index (32), MTU (16), epoch (16).
    way: U64,
    /// Time of resolution in jiffies (low 24 bits of them), plan (8), VLAN tag control information with bit 12 as
    /// "tagged" (16), epoch (16).
    age: U64,
}

/// A next hop in a table that every CPU reads and writes.
pub type SharedHop = Hop<Cell64>;

const _: () = assert!(size_of::<Hop>() == 32 && size_of::<SharedHop>() == 32);

/// A next hop, read whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HopView {
    /// The six bytes of the destination's MAC, first byte most significant, in the low 48 bits.
    pub destination: u64,
    /// The six bytes of the source's MAC, likewise.
    pub source: u64,
    /// The interface that the packet leaves by.
    pub ifindex: u32,
    /// The longest IP packet that this way carries.
    pub mtu: u16,
    /// The VLAN tag to leave with: bit 12 says that there is one. Bit 13: [`REDIRECTED`].
    pub vlan: u16,
    /// The number of the plan that packets are charged by: of those to a backend, its listener's. 0: none.
    pub plan: u8,
}

/// Bits of the time of resolution. A hop that nobody used for 2^24 jiffies, hours, may be taken for a young one, in its
/// epoch.
const AGE: u32 = 0xff_ffff;

/// Bit 12 (DEI in 802.1Q, never set by us) of [`HopView::vlan`]: leave with a tag.
pub const VLAN_TAGGED: u16 = 1 << 12;

/// Bit 13 of [`HopView::vlan`]: redirect, even to the interface that the packet came in by.
pub const REDIRECTED: u16 = 1 << 13;

impl SharedHop {
    /// The hop, if it was resolved in this epoch and is not older than `lifetime` jiffies.
    #[inline(always)]
    pub fn load(&self, epoch: u16, now: u32, lifetime: u32) -> Option<HopView> {
        let way = self.way.load();
        let age = self.age.load();
        let destination = self.destination.load();
        let source = self.source.load();
        let stale = (way ^ epoch as u64)
            | (age ^ epoch as u64)
            | (destination ^ epoch as u64)
            | (source ^ epoch as u64);
        if stale & 0xffff != 0 || now.wrapping_sub((age >> 40) as u32) & AGE > lifetime {
            return None;
        }
        Some(HopView {
            destination: destination >> 16,
            source: source >> 16,
            ifindex: (way >> 32) as u32,
            mtu: (way >> 16) as u16,
            vlan: (age >> 16) as u16,
            plan: (age >> 32) as u8,
        })
    }

    /// Remembers a hop that was resolved at `now` in `epoch`. Epoch 0 is never valid: a fresh table holds it.
    #[inline(always)]
    pub fn store(&self, hop: &HopView, epoch: u16, now: u32) {
        let plain = Hop::of(hop, epoch, now);
        self.destination.store(plain.destination);
        self.source.store(plain.source);
        self.way.store(plain.way);
        self.age.store(plain.age);
    }
}

impl Hop {
    /// A hop for a flow that is about to be inserted.
    #[inline(always)]
    pub const fn of(hop: &HopView, epoch: u16, now: u32) -> Self {
        let epoch = epoch as u64;
        Self {
            destination: hop.destination << 16 | epoch,
            source: hop.source << 16 | epoch,
            way: (hop.ifindex as u64) << 32 | (hop.mtu as u64) << 16 | epoch,
            age: (now as u64) << 40 | (hop.plan as u64) << 32 | (hop.vlan as u64) << 16 | epoch,
        }
    }
}

/// A VLAN device of the host, by its interface index.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct VlanDevice {
    /// The device below it, which packets leave by.
    pub parent: u32,
    /// The VLAN identifier (802.1Q; 12 bits).
    pub vlan_id: u16,
    /// Zero.
    pub pad: u16,
}

//! What one backend of one listener is, as the kernel sees it.

use crate::addr::Be16;

/// The number of a backend of one listener: the index of its tables, and what a ring's slots hold. A backend that two
/// listeners use has two numbers. Numbers are given by the daemon, and given again only when no flow holds them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord, Default)]
#[repr(transparent)]
pub struct BackendId(pub u16);

/// A backend. Immutable under its number but for `flags` and `nat_source`: a changed address is a new number, so no
/// packet ever meets a half-written one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Backend<A> {
    /// Where packets go.
    pub address: A,
    /// The backend's port; for `dsr` the listener's.
    pub port: Be16,
    /// The listener that uses it.
    pub listener: u16,
    /// Index in the table of source addresses (`nat` only).
    pub nat_source: u16,
    /// [`Backend::IN_USE`] and kin.
    pub flags: u16,
}

impl<A> Backend<A> {
    /// The number is taken.
    pub const IN_USE: u16 = 1;
    /// Gets no new flows; old ones stay.
    pub const DRAINING: u16 = 1 << 1;
    /// Health checks say that it does not answer.
    pub const DOWN: u16 = 1 << 2;
    /// The operator's word, not the configuration's, drains it: survives a restart of the daemon.
    pub const DRAINED_BY_HAND: u16 = 1 << 3;
    /// The configuration has it no more: its flows are forgotten, and go elsewhere with their next packet.
    pub const LEAVING: u16 = 1 << 4;
    /// The number of its listener's plan stands in the flags' upper half.
    pub const PLAN: u32 = 8;

    /// The number of its listener's plan; 0: none.
    #[inline(always)]
    pub const fn plan(&self) -> u8 {
        (self.flags >> Self::PLAN) as u8
    }
}

/// A source address for connections to backends, and its ports. Immutable under its index.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct NatSource<A> {
    /// The address.
    pub address: A,
    /// First port.
    pub port_low: u16,
    /// How many ports, from `port_low` on. Never 0 in an entry that is used.
    pub port_count: u16,
}

const _: () = assert!(size_of::<Backend<crate::addr::Ip4>>() == 12);
const _: () = assert!(size_of::<Backend<crate::addr::Ip6>>() == 24);
const _: () = assert!(size_of::<NatSource<crate::addr::Ip4>>() == 8);
const _: () = assert!(size_of::<NatSource<crate::addr::Ip6>>() == 20);

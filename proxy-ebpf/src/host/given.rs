//! What a world on plain memory is made from: listeners, ways, sizes.

use std::net::{IpAddr, SocketAddr};

use proxy_common::hop::HopView;

use crate::world::Route;

/// A listener of the host build: its address, its backends, where connections to them leave from (`nat`).
#[derive(Clone, Debug)]
pub struct Service {
    /// `IPPROTO_TCP` or `IPPROTO_UDP`
    pub protocol: u8,
    /// Where it listens.
    pub bind: SocketAddr,
    /// Its backends.
    pub backends: Vec<SocketAddr>,
    /// `None`: `dsr`.
    pub nat_source: Option<IpAddr>,
}

/// A way to a neighbour.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// The interface.
    pub ifindex: u32,
    /// The neighbour's MAC.
    pub to_mac: [u8; 6],
    /// The interface's MAC.
    pub from_mac: [u8; 6],
    /// The longest IP packet.
    pub mtu: u16,
}

/// What the routing table answers for a destination.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// Whether there is a way.
    pub route: Route,
    /// The hop.
    pub hop: HopView,
    /// The destination itself, or the gateway to it.
    pub neighbour: IpAddr,
}

/// Sizes of the tables, each family's.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Flows that a table holds before it is full.
    pub flows: usize,
    /// Slots for young flows: a power of two.
    pub young: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { flows: 1024, young: 4096 }
    }
}

/// Ports that connections to backends leave from.
pub const NAT_PORTS: std::ops::Range<u16> = 1024..32_768;

impl Way {
    /// The routing table's answer for a destination on this link.
    #[must_use]
    pub fn to(self, neighbour: IpAddr) -> Answer {
        let mac = |m: [u8; 6]| u64::from_be_bytes([0, 0, m[0], m[1], m[2], m[3], m[4], m[5]]);
        let hop = HopView {
            destination: mac(self.to_mac),
            source: mac(self.from_mac),
            ifindex: self.ifindex,
            mtu: self.mtu,
            vlan: 0,
            plan: 0,
        };
        Answer { route: Route::Way, hop, neighbour }
    }
}

//! What runs a packet: the loaded program, or the same stages on plain memory.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use proxy_tests::config::Protocol;
use proxy_tests::packet::Packet;
use proxy_tests::parsed::Parsed;
use proxy_tests::world::{Family, Layout};

/// Where a frame comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// From clients.
    Front,
    /// From backends.
    Back,
}

/// What becomes of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Sent on.
    Sent(Vec<u8>),
    /// Left to the host, unchanged.
    Passed,
    /// Dropped, and counted under this reason.
    Dropped(String),
}

/// Everything that a situation has to know of its surroundings.
pub(super) struct Place {
    pub(super) layout: Layout,
    /// Backends by protocol and family: address, port, MAC.
    pub(super) backends: Vec<(Protocol, Family, SocketAddr)>,
    pub(super) backend_macs: Vec<[u8; 6]>,
    pub(super) services: Vec<(Protocol, Family, SocketAddr)>,
    /// The balancer's own address towards backends.
    pub(super) nat_source: [std::net::IpAddr; 2],
    /// MACs of the balancer.
    pub(super) front: [u8; 6],
    pub(super) back: [u8; 6],
    /// A client that the balancer knows the way to.
    pub(super) clients: [std::net::IpAddr; 2],
    pub(super) client_mac: [u8; 6],
}

impl Place {
    /// The addresses of a world with three backends; MACs made up.
    pub(super) fn new(layout: Layout) -> Self {
        let (mut backends, mut services) = (Vec::new(), Vec::new());
        for family in Family::BOTH {
            services.push((Protocol::Tcp, family, layout.service(family)));
            services.push((Protocol::Udp, family, layout.service_udp(family)));
            for number in 0..3 {
                backends.push((Protocol::Tcp, family, layout.backend(family, number)));
                backends.push((Protocol::Udp, family, layout.backend_udp(family, number)));
            }
        }
        let back = if layout == Layout::Routed { 2 } else { 1 };
        Self {
            layout,
            backends,
            backend_macs: (0..3).map(|number| [2, 0, 0, 0, 1, number]).collect(),
            services,
            nat_source: Family::BOTH.map(|family| layout.nat_source(family)),
            front: [2, 0, 0, 0, 0, 1],
            back: [2, 0, 0, 0, 0, back],
            clients: Family::BOTH.map(|family| layout.client_address(family, 0)),
            client_mac: [2, 0, 0, 0, 2, 0],
        }
    }

    pub(super) fn service(&self, protocol: Protocol, family: Family) -> SocketAddr {
        let found = self.services.iter().find(|one| (one.0, one.1) == (protocol, family));
        found.expect("every protocol and family has a service").2
    }

    /// The number of the backend at an address.
    pub(super) fn backend_at(&self, address: SocketAddr) -> Option<usize> {
        let of_kind = |one: &&(Protocol, Family, SocketAddr)| one.1 == family_of(address);
        let tcp = self.backends.iter().filter(of_kind).filter(|one| one.0 == Protocol::Tcp);
        let udp = self.backends.iter().filter(of_kind).filter(|one| one.0 == Protocol::Udp);
        tcp.enumerate().chain(udp.enumerate()).find(|(_, one)| one.2 == address).map(|(number, _)| number)
    }

    pub(super) fn client(&self, family: Family, port: u16) -> SocketAddr {
        SocketAddr::new(self.clients[usize::from(family == Family::V6)], port)
    }
}

fn family_of(address: SocketAddr) -> Family {
    if address.is_ipv4() { Family::V4 } else { Family::V6 }
}

/// Runs frames, and counts.
pub(super) trait Engine {
    fn place(&self) -> &Place;
    fn run(&mut self, side: Side, frame: &[u8]) -> Result<Fate>;
    /// How often this was noticed (`flow_created`, …).
    fn noticed(&self, notice: &str) -> Result<u64>;
}

impl dyn Engine + '_ {
    /// A packet from clients, as a frame.
    pub(super) fn client_frame(&self, packet: Packet) -> Vec<u8> {
        packet.between(self.place().client_mac, self.place().front).bytes()
    }

    /// A packet that must be sent on.
    pub(super) fn sent(&mut self, what: &str, side: Side, packet: &Packet) -> Result<Parsed> {
        let (mac, gateway) = match side {
            Side::Front => (self.place().client_mac, self.place().front),
            Side::Back => (self.place().backend_macs[0], self.place().back),
        };
        let frame = packet.clone().between(mac, gateway).bytes();
        match self.run(side, &frame).with_context(|| what.to_owned())? {
            Fate::Sent(frame) => {
                let seen = Parsed::of(&frame).with_context(|| what.to_owned())?;
                ensure!(seen.checksums_hold, "{what}: a checksum is wrong: {seen:?}");
                ensure!(seen.ttl == packet.ttl - 1, "{what}: one hop less: {seen:?}");
                Ok(seen)
            }
            other => bail!("{what}: {other:?}"),
        }
    }
}

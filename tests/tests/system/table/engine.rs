//! What runs a packet: the loaded program.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use proxy_tests::bpf::{Program, Verdict};
use proxy_tests::config::Protocol;
use proxy_tests::daemon::Daemon;
use proxy_tests::packet::Packet;
use proxy_tests::parsed::Parsed;
use proxy_tests::world::{Family, Layout, World};

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
    backends: Vec<(Protocol, Family, SocketAddr)>,
    pub(super) backend_macs: Vec<[u8; 6]>,
    services: Vec<(Protocol, Family, SocketAddr)>,
    /// The balancer's own address towards backends.
    pub(super) nat_source: [std::net::IpAddr; 2],
    /// MACs of the balancer.
    pub(super) front: [u8; 6],
    pub(super) back: [u8; 6],
    /// A client that the balancer knows the way to.
    clients: [std::net::IpAddr; 2],
    pub(super) client_mac: [u8; 6],
}

impl Place {
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
    pub(super) fn from_client(&self, packet: Packet) -> Vec<u8> {
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

/// The program that a daemon has loaded, in its world.
pub(super) struct Kernel<'w> {
    world: &'w World,
    daemon: &'w Daemon<'w>,
    program: Program,
    interfaces: [u32; 2],
    place: Place,
}

impl<'w> Kernel<'w> {
    pub(super) fn new(world: &'w World, daemon: &'w Daemon<'w>) -> Result<Self> {
        let program = Program::pinned(&daemon.pins()?.join(proxy_common::names::PROGRAM_XDP))?;
        let back = world.interfaces().last().context("a world has interfaces")?;
        let interfaces = [world.balancer.ifindex("front")?, world.balancer.ifindex(back)?];
        let (mut backends, mut services) = (Vec::new(), Vec::new());
        for family in Family::BOTH {
            services.push((Protocol::Tcp, family, world.service(family)));
            services.push((Protocol::Udp, family, world.service_udp(family)));
            for number in 0..world.backends.len() {
                backends.push((Protocol::Tcp, family, world.backend(family, number)));
                backends.push((Protocol::Udp, family, world.backend_udp(family, number)));
            }
        }
        let own = |v4: &str, v6: &str| -> Result<_> { Ok([v4.parse()?, v6.parse()?]) };
        let place = Place {
            layout: world.layout,
            backends,
            backend_macs: world
                .backends
                .iter()
                .map(|host| host.namespace.mac("eth0"))
                .collect::<Result<_>>()?,
            services,
            nat_source: own("10.0.0.1", "fd00::1")?,
            front: world.balancer.mac("front")?,
            back: world.balancer.mac(back)?,
            clients: Family::BOTH.map(|family| world.client_address(family, 0)),
            client_mac: world.client().mac("eth0")?,
        };
        Ok(Self { world, daemon, program, interfaces, place })
    }
}

impl Engine for Kernel<'_> {
    fn place(&self) -> &Place {
        &self.place
    }

    fn run(&mut self, side: Side, frame: &[u8]) -> Result<Fate> {
        let index = self.interfaces[usize::from(side == Side::Back)];
        let before = self.daemon.status()?;
        let (verdict, after) = self.world.balancer.enter(|| self.program.run(index, frame))??;
        match verdict {
            Verdict::Tx | Verdict::Redirect => Ok(Fate::Sent(after)),
            Verdict::Pass => {
                ensure!(after == frame, "passed, but changed: {after:02x?}");
                Ok(Fate::Passed)
            }
            Verdict::Drop => {
                let status = self.daemon.status()?;
                let grown = |(reason, count): &(String, u64)| *count > before.dropped(reason);
                let reason = status.drops().into_iter().find(grown).context("a drop without a reason")?;
                Ok(Fate::Dropped(reason.0))
            }
            other => bail!("{other:?}"),
        }
    }

    fn noticed(&self, notice: &str) -> Result<u64> {
        Ok(self.daemon.status()?.noticed(notice))
    }
}

//! A client made by hand: an address that no host has, whose frames are written and read one by one.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, ensure};

use crate::packet::{Packet, flag, protocol};
use crate::parsed::Parsed;
use crate::raw::Raw;
use crate::world::{Family, World};

/// Such a client, on the link of client 0.
#[derive(Debug)]
pub struct Peer {
    /// Its socket.
    pub raw: Raw,
    /// Its address and port.
    pub address: SocketAddr,
    mac: [u8; 6],
    gateway: [u8; 6],
    vlans: Vec<u16>,
}

impl Peer {
    /// A client at `192.0.2.200` or `2001:db8:1::200`, which the balancer knows to be at the MAC of client 0.
    ///
    /// # Errors
    /// When the world has no client.
    pub fn new(world: &World, family: Family, port: u16) -> Result<Self> {
        let text = if family == Family::V4 { "192.0.2.200" } else { "2001:db8:1::200" };
        let address: IpAddr = text.parse()?;
        let mac = world.client().mac("eth0")?;
        let written = mac.map(|byte| format!("{byte:02x}")).join(":");
        let entry = format!("neigh replace {address} lladdr {written} dev front nud permanent");
        world.balancer.ip(&entry)?;
        if world.layout == crate::world::Layout::Flat {
            for backend in &world.backends {
                backend.namespace.ip(&entry.replace("front", "eth0"))?;
            }
        }
        Ok(Self {
            raw: Raw::open(world.client(), "eth0")?,
            address: SocketAddr::new(address, port),
            mac,
            gateway: world.balancer.mac("front")?,
            vlans: Vec::new(),
        })
    }

    /// All its frames carry these tags, outermost first.
    #[must_use]
    pub fn tagged(mut self, vlans: &[u16]) -> Self {
        self.vlans = vlans.to_vec();
        self
    }

    /// A packet of its own as a frame to the balancer.
    #[must_use]
    pub fn frame(&self, packet: Packet) -> Vec<u8> {
        let tagged = self.vlans.iter().rev().fold(packet, |packet, id| packet.vlan(*id));
        tagged.between(self.mac, self.gateway).bytes()
    }

    /// Sends a packet to the balancer.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn send(&self, packet: Packet) -> Result<()> {
        self.raw.send(&self.frame(packet))
    }

    /// Waits for a packet from `from` to this client.
    ///
    /// # Errors
    /// When none comes of which `wanted` says yes.
    pub fn expect(
        &self,
        what: &str,
        from: SocketAddr,
        mut wanted: impl FnMut(&Parsed) -> bool,
    ) -> Result<Parsed> {
        let seen =
            self.raw.expect(what, |seen| seen.from() == from && seen.to() == self.address && wanted(seen))?;
        ensure!(seen.checksums_hold, "{what}: a checksum is wrong: {seen:?}");
        Ok(seen)
    }

    /// Shakes hands with `service`: what the next segment must say (sequence, acknowledgement).
    ///
    /// # Errors
    /// When nobody answers.
    pub fn connect(&self, service: SocketAddr) -> Result<(u32, u32)> {
        self.send(Packet::syn(self.address, service, 1000))?;
        let answer = self.expect("a SYN-ACK", service, |seen| seen.flags == flag::SYN | flag::ACK)?;
        ensure!(answer.ack == 1001, "{answer:?}");
        let next = answer.sequence.wrapping_add(1);
        self.send(Packet::tcp(self.address, service, flag::ACK, 1001, next, b""))?;
        Ok((1001, next))
    }

    /// Shakes hands, asks who is there, and gives the name.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn who(&self, service: SocketAddr) -> Result<String> {
        let (sequence, ack) = self.connect(service)?;
        let request = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";
        self.send(Packet::tcp(self.address, service, flag::ACK | flag::PSH, sequence, ack, request))?;
        let answer = self.expect("an answer", service, |seen| !seen.payload.is_empty())?;
        ensure!(answer.protocol == protocol::TCP);
        let text = String::from_utf8_lossy(&answer.payload).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("Server-Name: "));
        Ok(line.unwrap_or_default().to_owned())
    }
}

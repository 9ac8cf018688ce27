//! A world with a service by TCP and one by UDP, three backends each.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use proxy_common::drop_reason::DropReason;
use proxy_ebpf::host::{Host, Service, Sizes, Way};
use proxy_ebpf::verdict::Verdict;
use proxy_tests::packet::{Packet, flag, protocol};
use proxy_tests::parsed::Parsed;
pub(crate) use proxy_tests::world::{Family, Layout};

/// The interface towards clients.
pub(crate) const FRONT: u32 = 2;
/// The interface towards backends (`nat`).
pub(crate) const BACK: u32 = 3;
/// The client's MAC.
pub(crate) const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 2, 0];
/// The balancer's MAC towards clients.
pub(crate) const FRONT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// SYN and ACK
pub(crate) const SYN_ACK: u8 = flag::SYN | flag::ACK;

/// A backend's MAC.
pub(crate) const fn backend_mac(number: u8) -> [u8; 6] {
    [2, 0, 0, 0, 1, number]
}

/// Runs a fact in both families, by `nat` and by `dsr`.
pub(crate) fn everywhere(fact: impl Fn(&mut Scene)) {
    by_nat(&fact);
    by_dsr(&fact);
}

/// Runs a fact in both families, by `nat`.
pub(crate) fn by_nat(fact: impl Fn(&mut Scene)) {
    Family::BOTH.into_iter().for_each(|family| fact(&mut Scene::new(Layout::Routed, family)));
}

/// Runs a fact in both families, by `dsr`.
pub(crate) fn by_dsr(fact: impl Fn(&mut Scene)) {
    Family::BOTH.into_iter().for_each(|family| fact(&mut Scene::new(Layout::Flat, family)));
}

/// The world of one family and one way of forwarding. Backends 0 to 2 have the TCP service, 3 to 5 the UDP one.
pub(crate) struct Scene {
    pub(crate) host: Host,
    pub(crate) layout: Layout,
    pub(crate) family: Family,
}

impl Scene {
    pub(crate) fn new(layout: Layout, family: Family) -> Self {
        Self::sized(layout, family, Sizes::default())
    }

    pub(crate) fn sized(layout: Layout, family: Family, sizes: Sizes) -> Self {
        let nat_source = (layout == Layout::Routed).then(|| layout.nat_source(family));
        let service = |protocol, bind, backend: fn(Layout, Family, usize) -> SocketAddr| Service {
            protocol,
            bind,
            backends: (0..3).map(|number| backend(layout, family, number)).collect(),
            nat_source,
        };
        let services = [
            service(protocol::TCP, layout.service(family), Layout::backend),
            service(protocol::UDP, layout.service_udp(family), Layout::backend_udp),
        ];
        let back = if layout == Layout::Routed { BACK } else { FRONT };
        let way =
            |ifindex, to_mac| Way { ifindex, to_mac, from_mac: [2, 0, 0, 0, 0, ifindex as u8], mtu: 1500 };
        let mut ways: HashMap<IpAddr, Way> = (0..3)
            .map(|number| (layout.backend_address(family, number), way(back, backend_mac(number as u8))))
            .collect();
        (0..3).for_each(|number| {
            ways.insert(layout.client_address(family, number), way(FRONT, CLIENT_MAC));
        });
        Self { host: Host::sized(&services, ways, sizes), layout, family }
    }

    pub(crate) fn is_nat(&self) -> bool {
        self.layout == Layout::Routed
    }
    pub(crate) fn client(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.layout.client_address(self.family, 0), port)
    }
    pub(crate) fn tcp(&self) -> SocketAddr {
        self.layout.service(self.family)
    }
    pub(crate) fn udp(&self) -> SocketAddr {
        self.layout.service_udp(self.family)
    }
    /// The interface that backends are behind.
    pub(crate) fn back(&self) -> u32 {
        if self.is_nat() { BACK } else { FRONT }
    }
    pub(crate) fn v4(&self) -> bool {
        self.family == Family::V4
    }

    /// A frame from clients, and what comes out.
    pub(crate) fn frame(&mut self, frame: &[u8]) -> (Verdict, Vec<u8>) {
        self.frame_from(FRONT, frame)
    }
    pub(crate) fn frame_from(&mut self, ingress: u32, frame: &[u8]) -> (Verdict, Vec<u8>) {
        let (verdict, after) = self.host.run(ingress, frame);
        assert!(verdict != Verdict::Pass || after == frame, "passed, but changed");
        (verdict, after.to_vec())
    }

    /// A packet from clients, and its verdict.
    pub(crate) fn verdict(&mut self, packet: &Packet) -> Verdict {
        self.frame(&packet.clone().between(CLIENT_MAC, FRONT_MAC).bytes()).0
    }

    /// A packet from clients that must be dropped for this reason, and be counted so.
    pub(crate) fn is_dropped(&mut self, packet: &Packet, reason: DropReason) {
        let before = self.host.dropped(reason);
        assert_eq!(self.verdict(packet), Verdict::Drop(reason));
        assert_eq!(self.host.dropped(reason), before + 1);
    }

    /// A packet from clients that must be sent on; what arrives.
    pub(crate) fn sent(&mut self, packet: &Packet) -> Parsed {
        self.sent_from(FRONT, packet)
    }

    /// A packet from backends that must be sent on; what arrives.
    pub(crate) fn answered(&mut self, packet: &Packet) -> Parsed {
        self.sent_from(self.back(), packet)
    }

    fn sent_from(&mut self, ingress: u32, packet: &Packet) -> Parsed {
        let (verdict, after) = self.frame_from(ingress, &packet.bytes());
        assert!(matches!(verdict, Verdict::Transmit | Verdict::Redirect(_)), "{verdict:?}: {packet:?}");
        let seen = Parsed::of(&after).unwrap();
        assert!(seen.checksums_hold, "a checksum is wrong: {seen:?}");
        assert_eq!(seen.ttl + 1, packet.ttl);
        seen
    }

    /// A handshake to its end; the two addresses of the backend's side (with `dsr` those of the client's).
    pub(crate) fn open(&mut self, client: SocketAddr, isn: u32) -> Connection {
        let service = self.tcp();
        let seen = self.sent(&Packet::syn(client, service, isn));
        let connection =
            Connection { client, service, ours: seen.from(), backend: seen.to(), mac: seen.to_mac, isn };
        if self.is_nat() {
            self.answered(&connection.by_backend(SYN_ACK, 0, b""));
        }
        self.sent(&connection.by_client(flag::ACK, 1, b""));
        connection
    }

    /// How often something was noticed.
    pub(crate) fn noticed(&self, label: &str) -> u64 {
        self.host.noticed(label)
    }
}

/// A connection from both its sides. Backends begin with the client's sequence number and 5000.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    pub(crate) client: SocketAddr,
    pub(crate) service: SocketAddr,
    pub(crate) ours: SocketAddr,
    pub(crate) backend: SocketAddr,
    pub(crate) mac: [u8; 6],
    pub(crate) isn: u32,
}

impl Connection {
    /// A segment `offset` bytes on.
    pub(crate) fn by_client(&self, flags: u8, offset: u32, payload: &[u8]) -> Packet {
        let (sequence, ack) = (self.isn.wrapping_add(offset), self.isn.wrapping_add(5001));
        Packet::tcp(self.client, self.service, flags, sequence, ack, payload)
    }
    /// Likewise from the backend, to the balancer (`nat`).
    pub(crate) fn by_backend(&self, flags: u8, offset: u32, payload: &[u8]) -> Packet {
        let (sequence, ack) = (self.isn.wrapping_add(5000 + offset), self.isn.wrapping_add(1));
        Packet::tcp(self.backend, self.ours, flags, sequence, ack, payload)
    }
}

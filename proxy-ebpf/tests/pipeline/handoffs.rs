//! Connections that userspace handed over, from their first packet in the kernel to their last.

use std::net::{IpAddr, SocketAddr};

use proxy_common::addr::{Address, Be16, Ip4, Ip6};
use proxy_common::drop_reason::DropReason;
use proxy_common::flow::{Flow, FlowKey, FlowKind, SPLICED};
use proxy_common::known;
use proxy_common::splice::{Shift, Splice, held_until, state};
use proxy_ebpf::host::Host;
use proxy_ebpf::translation;
use proxy_ebpf::verdict::Verdict;
use proxy_ebpf::world::{Insert, Tables, World as _};
use proxy_tests::packet::{Packet, flag, protocol};

use crate::scene::{BACK, FRONT, Scene, by_nat};

/// What is dropped for is shown here.
pub(crate) const REASONS: [DropReason; 1] = [DropReason::HandoffHeld];

/// What the client's sequence numbers grow by, and the backend's.
const GROWS: [u32; 2] = [1000, 70_000];

/// A connection that was handed over.
struct HandedOver {
    client: SocketAddr,
    service: SocketAddr,
    ours: SocketAddr,
    backend: SocketAddr,
    number: u32,
}

fn key<A: Address>(from: A, to: A, ports: [u16; 2]) -> FlowKey<A> {
    let mut key = FlowKey::default();
    key.set(&from, &to, Be16::new(ports[0]), Be16::new(ports[1]), protocol::TCP);
    key
}

/// Enters both directions, as the daemon does.
fn enter<A: Address>(host: &mut Host, number: u32, ends: [A; 4], ports: [u16; 4])
where
    Host: Tables<A>,
{
    let [client, service, ours, backend] = ends;
    let forth = key(client, service, [ports[0], ports[1]]);
    let back = key(backend, ours, [ports[3], ports[2]]);
    for (from, to, kind) in
        [(&back, forth.reversed(), FlowKind::NatReturn), (&forth, back.reversed(), FlowKind::NatForward)]
    {
        let mut flow = Flow { born: number, ..Flow::default() };
        translation::nat(&mut flow.rewrite, from, &to, kind, 0);
        flow.rewrite.kind |= SPLICED;
        assert_eq!(host.insert_flow(from, &flow), Insert::Done);
        host.note_known(known::hash(from));
    }
}

impl HandedOver {
    fn new(scene: &mut Scene, state: u64) -> Self {
        let service = SocketAddr::new(scene.tcp().ip(), 443);
        let listener = scene.host.listen_locally(service);
        scene.host.hands_off(listener);
        let [client, backend] = GROWS;
        let shift = |sequence, other: u32| Shift {
            sequence,
            acknowledgment: other.wrapping_neg(),
            flags: Shift::SACK,
            ..Shift::default()
        };
        let shifts = [shift(client, backend), shift(backend, client)];
        let number = scene.host.spliced.add(Splice { state, shifts, ..Splice::default() });
        let ours = SocketAddr::new(scene.layout.nat_source(scene.family), 30_000);
        let backend = scene.layout.backend(scene.family, 0);
        let made = Self { client: scene.client(7000), service, ours, backend, number };
        let all = [made.client, service, ours, backend];
        let ports = all.map(|address| address.port());
        let v4 =
            all.map(|address| if let IpAddr::V4(ip) = address.ip() { Some(Ip4::from(ip)) } else { None });
        let v6 =
            all.map(|address| if let IpAddr::V6(ip) = address.ip() { Some(Ip6::from(ip)) } else { None });
        if v4[0].is_some() {
            enter(&mut scene.host, number, v4.map(Option::unwrap), ports);
        } else {
            enter(&mut scene.host, number, v6.map(Option::unwrap), ports);
        }
        made
    }

    fn by_client(&self, flags: u8, sequence: u32, ack: u32, payload: &[u8]) -> Packet {
        Packet::tcp(self.client, self.service, flags, sequence, ack, payload)
    }

    fn by_backend(&self, flags: u8, sequence: u32, ack: u32, payload: &[u8]) -> Packet {
        Packet::tcp(self.backend, self.ours, flags, sequence, ack, payload)
    }
}

#[test]
fn segments_go_through_both_ways() {
    by_nat(|scene| {
        let made = HandedOver::new(scene, state::LIVE);
        let seen = scene.sent(&made.by_client(flag::ACK, 5, 100_000, b"question"));
        assert_eq!((seen.from(), seen.to()), (made.ours, made.backend));
        assert_eq!((seen.sequence, seen.ack), (1005, 30_000));
        assert_eq!(seen.payload, b"question");
        let seen = scene.answered(&made.by_backend(flag::ACK, 30_000, 1013, b"answer"));
        assert_eq!((seen.from(), seen.to()), (made.service, made.client));
        assert_eq!((seen.sequence, seen.ack), (100_000, 13));
        let traffic = scene.host.traffic(0);
        assert_eq!((traffic.packets, traffic.return_packets), (1, 1));
    });
}

#[test]
fn other_packets_to_the_same_socket_are_the_hosts() {
    by_nat(|scene| {
        let made = HandedOver::new(scene, state::LIVE);
        let other = SocketAddr::new(made.client.ip(), 7001);
        assert_eq!(scene.verdict(&Packet::syn(other, made.service, 1)), Verdict::Pass);
        assert_eq!(scene.verdict(&Packet::tcp(other, made.service, flag::ACK, 1, 1, b"x")), Verdict::Pass);
    });
}

#[test]
fn while_it_is_handed_over_frames_are_kept_for_the_daemon() {
    by_nat(|scene| {
        let made = HandedOver::new(scene, held_until(200_000));
        let packet = made.by_backend(flag::ACK, 30_000, 1013, b"answer");
        let held = Verdict::Drop(DropReason::HandoffHeld);
        assert_eq!(scene.frame_from(BACK, &packet.bytes()).0, held);
        assert_eq!(scene.host.spliced.held(), [(made.number, packet.bytes())]);
        scene.host.spliced.no_room = true;
        assert_eq!(scene.frame_from(BACK, &packet.bytes()).0, held);
        assert_eq!((scene.noticed("handoff_lost"), scene.host.dropped(DropReason::HandoffHeld)), (1, 2));
        // Who held it is gone.
        scene.host.now = 200_000;
        assert_eq!(scene.frame_from(BACK, &packet.bytes()).0, Verdict::Pass);
        let packet = made.by_client(flag::ACK, 5, 100_000, b"question");
        assert_eq!(scene.frame_from(FRONT, &packet.bytes()).0, Verdict::Pass);
    });
}

#[test]
fn a_client_begins_anew_only_when_the_connection_is_over() {
    by_nat(|scene| {
        let made = HandedOver::new(scene, state::LIVE);
        let syn = Packet::syn(made.client, made.service, 77);
        // The backend judges it, and tells the client what it knows.
        assert_eq!(scene.sent(&syn).sequence, 1077);
        scene.sent(&made.by_client(flag::FIN | flag::ACK, 5, 100_000, b""));
        assert_eq!(scene.sent(&syn).to(), made.backend, "half closed");
        scene.answered(&made.by_backend(flag::FIN | flag::ACK, 30_000, 1006, b""));
        assert_eq!(scene.verdict(&syn), Verdict::Pass);
        assert_eq!(scene.host.flows(), 0);
    });
}

#[test]
fn an_error_quotes_what_its_receiver_wrote() {
    by_nat(|scene| {
        let made = HandedOver::new(scene, state::LIVE);
        let kind = if scene.v4() { (3, 4) } else { (2, 0) };
        let header = if scene.v4() { 20 } else { 40 };
        let router = scene.layout.client_address(scene.family, 77);
        let sent = scene.answered(&made.by_backend(flag::ACK, 30_000, 1013, b"answer"));
        let lost = Packet::tcp(made.service, made.client, flag::ACK, sent.sequence, sent.ack, b"answer");
        let error = Packet::icmp(router, made.service.ip(), kind, 1300, &lost.ip_packet()[..header + 8]);
        let seen = scene.sent(&error);
        assert_eq!(seen.destination, made.backend.ip());
        let inner = seen.quoted().unwrap();
        assert_eq!((inner.from(), inner.to()), (made.backend, made.ours));
        let at = header + 4;
        assert_eq!(seen.payload[at..at + 4], 30_000u32.to_be_bytes());
    });
}

#[test]
fn later_fragments_follow_the_first_one() {
    by_nat(|scene| {
        let made = HandedOver::new(scene, state::LIVE);
        let mut packet = made.by_client(flag::ACK, 5, 100_000, &[7; 100]);
        packet.dont_fragment = false;
        let mut payload = Vec::new();
        for fragment in packet.fragments(64) {
            let (verdict, after) = scene.frame(&fragment);
            assert!(matches!(verdict, Verdict::Redirect(_)), "{verdict:?}");
            let l3 = if scene.v4() { 34 } else { 62 };
            payload.extend_from_slice(&after[l3..]);
        }
        assert_eq!(payload[4..8], 1005u32.to_be_bytes());
        assert_eq!(payload[20..], [7; 100]);
    });
}

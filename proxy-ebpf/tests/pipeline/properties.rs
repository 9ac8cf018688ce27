//! What holds of every packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use proptest::collection::vec;
use proptest::prelude::*;
use proxy_common::drop_reason::DropReason;
use proxy_common::settings::Settings;
use proxy_ebpf::host::{Sizes, Way};
use proxy_ebpf::verdict::Verdict;
use proxy_tests::packet::{Packet, flag};
use proxy_tests::parsed::Parsed;

use crate::scene::{BACK, CLIENT_MAC, FRONT, FRONT_MAC, Family, Layout, Scene, backend_mac, by_nat};

/// Small tables: they are soon full, and quickly made.
const SMALL: Sizes = Sizes { flows: 64, young: 16 };
const BACK_MAC: [u8; 6] = [2, 0, 0, 0, 0, 3];

fn scene() -> impl Strategy<Value = (Layout, Family)> {
    (prop_oneof![Just(Layout::Routed), Just(Layout::Flat)], prop_oneof![Just(Family::V4), Just(Family::V6)])
}

/// A client that the balancer knows the way to.
fn client(scene: &mut Scene, address: u128, port: u16) -> SocketAddr {
    let ip: IpAddr = if scene.v4() {
        Ipv4Addr::from(0x0b00_0000 | address as u32 & 0x00ff_ffff).into()
    } else {
        Ipv6Addr::from(0x2001_0db8 << 96 | address & u128::from(u64::MAX)).into()
    };
    let way = Way { ifindex: FRONT, to_mac: CLIENT_MAC, from_mac: FRONT_MAC, mtu: 1500 };
    scene.host.routes.insert(ip, way.to(ip));
    SocketAddr::new(ip, port)
}

/// What must hold whatever a frame is.
fn check(scene: &mut Scene, ingress: u32, frame: &[u8]) -> Result<(), TestCaseError> {
    let before = Parsed::of(frame);
    let (verdict, after) = scene.host.run(ingress, frame);
    match verdict {
        Verdict::Pass => prop_assert_eq!(after, frame),
        Verdict::Transmit | Verdict::Redirect(_) => {
            let (before, after) = (before.unwrap(), Parsed::of(after).unwrap());
            if after.protocol != before.protocol {
                return is_answer(&before, &after);
            }
            prop_assert!(after.checksums_hold || !before.checksums_hold, "{:?}", after);
            prop_assert_eq!(after.ttl + 1, before.ttl);
            prop_assert_eq!(after.flags, before.flags);
        }
        Verdict::Drop(_) | Verdict::Defer => {}
        Verdict::GoOn(_) => prop_assert!(false, "a whole way has a verdict"),
    }
    Ok(())
}

/// The answer to a packet that is too long for its way.
fn is_answer(asked: &Parsed, answer: &Parsed) -> Result<(), TestCaseError> {
    prop_assert!(answer.checksums_hold, "{:?}", answer);
    prop_assert_eq!(answer.icmp, if asked.source.is_ipv4() { (3, 4) } else { (2, 0) });
    prop_assert_eq!((answer.source, answer.destination), (asked.destination, asked.source));
    let quoted = answer.quoted().unwrap();
    prop_assert_eq!((quoted.from(), quoted.to()), (asked.from(), asked.to()));
    Ok(())
}

/// What a packet of ours is made into.
#[derive(Clone, Debug)]
struct Damage {
    /// Bytes written over.
    bytes: Vec<(usize, u8)>,
    /// Where it is cut.
    cut: usize,
    /// Bytes of its first buffer.
    linear: usize,
}

fn damage() -> impl Strategy<Value = Damage> {
    let cut = prop_oneof![3 => Just(usize::MAX), 1 => 0..200usize];
    let linear = prop_oneof![3 => Just(usize::MAX), 1 => 0..200usize];
    (vec((12..90usize, any::<u8>()), 0..6), cut, linear).prop_map(|(bytes, cut, linear)| Damage {
        bytes,
        cut,
        linear,
    })
}

/// A sound packet of one of the kinds that are ours.
fn sound(scene: &Scene, kind: u8, port: u16, tags: u16, payload: &[u8]) -> Vec<Vec<u8>> {
    let (client, tcp, udp) = (scene.client(port), scene.tcp(), scene.udp());
    let error = if scene.v4() { (3, 4) } else { (2, 0) };
    let quoted = Packet::tcp(tcp, client, flag::ACK, 1, 1, payload).ip_packet();
    let packet = match kind {
        0 => Packet::syn(client, tcp, 1),
        1 => Packet::tcp(client, tcp, flag::ACK, 1, 1, payload),
        2 => Packet::udp(client, udp, payload),
        3 => Packet { options: vec![1; 8], ..Packet::udp(client, udp, payload) }.destination_options(),
        4 => Packet::icmp(client.ip(), tcp.ip(), error, 1400, &quoted),
        _ => return Packet::udp(client, udp, &[payload, &[1; 64]].concat()).fragments(32),
    };
    vec![(0..tags).fold(packet, |packet, tag| packet.vlan(tag)).bytes()]
}

proptest! {
    #[test]
    fn no_bytes_make_the_pipeline_panic_or_change_what_it_passes(
        (layout, family) in scene(),
        frames in vec((any::<bool>(), vec(any::<u8>(), 0..200)), 1..4),
        ethertype in 0..4usize,
    ) {
        let mut scene = Scene::sized(layout, family, SMALL);
        for (back, mut frame) in frames {
            if frame.len() >= 14 {
                let known: [[u8; 2]; 4] = [[8, 0], [0x86, 0xdd], [0x81, 0], [0x88, 0xa8]];
                frame[12..14].copy_from_slice(&known[ethertype]);
            }
            check(&mut scene, if back { BACK } else { FRONT }, &frame)?;
        }
    }

    #[test]
    fn no_damage_to_packets_of_ours_makes_it_panic_or_send_what_is_broken(
        (layout, family) in scene(),
        packets in vec((0..6u8, 0..3u16, 0..4u16, vec(any::<u8>(), 0..64), damage()), 1..12),
        mtu in prop_oneof![Just(1500u16), 20..120u16],
    ) {
        let mut scene = Scene::sized(layout, family, SMALL);
        scene.host.settings.flags |= Settings::ANSWER_TOO_BIG;
        scene.host.routes.values_mut().for_each(|answer| answer.hop.mtu = mtu);
        for (kind, port, tags, payload, damage) in packets {
            for mut frame in sound(&scene, kind, port, tags, &payload) {
                for (at, value) in &damage.bytes {
                    if let Some(byte) = frame.get_mut(*at) {
                        *byte = *value;
                    }
                }
                frame.truncate(damage.cut);
                scene.host.first_buffer = damage.linear;
                check(&mut scene, FRONT, &frame)?;
            }
        }
    }

    #[test]
    fn there_and_back_a_datagram_is_what_it_was(
        family in prop_oneof![Just(Family::V4), Just(Family::V6)],
        address: u128,
        port in 1..u16::MAX,
        question in vec(any::<u8>(), 0..100),
        answer in vec(any::<u8>(), 0..100),
        times in 1..4,
    ) {
        let mut scene = Scene::sized(Layout::Routed, family, SMALL);
        let client = client(&mut scene, address, port);
        let udp = scene.udp();
        for _ in 0..times {
            let asked = Packet::udp(client, udp, &question).between(CLIENT_MAC, FRONT_MAC);
            let (verdict, after) = scene.frame(&asked.bytes());
            prop_assert_eq!(verdict, Verdict::Redirect(BACK));
            let seen = Parsed::of(&after).unwrap();
            prop_assert_eq!(seen.source, scene.layout.nat_source(family));
            let arrived = Packet::udp(seen.from(), seen.to(), &question).ttl(63);
            prop_assert_eq!(&after, &arrived.between(BACK_MAC, seen.to_mac).bytes());
            let answered = Packet::udp(seen.to(), seen.from(), &answer).between(seen.to_mac, BACK_MAC);
            let (verdict, after) = scene.frame_from(BACK, &answered.bytes());
            prop_assert_eq!(verdict, Verdict::Redirect(FRONT));
            let arrived = Packet::udp(udp, client, &answer).ttl(63).between(FRONT_MAC, CLIENT_MAC);
            prop_assert_eq!(&after, &arrived.bytes());
        }
    }

    #[test]
    fn there_and_back_a_segment_is_what_it_was(
        family in prop_oneof![Just(Family::V4), Just(Family::V6)],
        address: u128,
        port in 1..u16::MAX,
        isn: u32,
        payload in vec(any::<u8>(), 0..100),
    ) {
        let mut scene = Scene::sized(Layout::Routed, family, SMALL);
        let client = client(&mut scene, address, port);
        let connection = scene.open(client, isn);
        let (verdict, after) = scene.frame(&connection.by_client(flag::ACK, 1, &payload).bytes());
        prop_assert_eq!(verdict, Verdict::Redirect(BACK));
        let sequence = isn.wrapping_add(1);
        let ack = isn.wrapping_add(5001);
        let arrived = Packet::tcp(connection.ours, connection.backend, flag::ACK, sequence, ack, &payload);
        prop_assert_eq!(after, arrived.ttl(63).between(BACK_MAC, connection.mac).bytes());
        let (_, after) = scene.frame_from(BACK, &connection.by_backend(flag::ACK, 1, &payload).bytes());
        let arrived = Packet::tcp(connection.service, client, flag::ACK, ack, sequence, &payload);
        prop_assert_eq!(after, arrived.ttl(63).between(FRONT_MAC, CLIENT_MAC).bytes());
    }

    #[test]
    fn live_flows_stay_whatever_strangers_send(
        (layout, family) in scene(),
        noise in vec((0..7u8, 0..40u16, any::<u32>(), any::<u16>()), 1..120),
    ) {
        let mut scene = Scene::sized(layout, family, SMALL);
        let live: Vec<_> = (0..8).map(|port| scene.open(scene.client(port), 1000)).collect();
        for (kind, port, number, small) in noise {
            stranger(&mut scene, kind, port, number, small);
        }
        for connection in live {
            let seen = scene.sent(&connection.by_client(flag::ACK, 1, b"live"));
            prop_assert_eq!((seen.from(), seen.to()), (connection.ours, connection.backend));
            prop_assert_eq!(seen.to_mac[..5].to_vec(), connection.mac[..5].to_vec());
            if scene.is_nat() {
                let seen = scene.answered(&connection.by_backend(flag::ACK, 1, b"live"));
                prop_assert_eq!((seen.from(), seen.to()), (connection.service, connection.client));
            } else {
                prop_assert_eq!(seen.to_mac, connection.mac);
            }
        }
    }
}

/// What somebody else does: a SYN from anybody's address, traffic of its own, a changed ring, time.
fn stranger(scene: &mut Scene, kind: u8, port: u16, number: u32, small: u16) {
    // A SYN that knows the live flow's numbers is no stranger's.
    let number = if number.wrapping_sub(990) < 20 { 0 } else { number };
    let (anybody, own) = (scene.client(port), scene.client(1000 + port));
    match kind {
        0 => drop(scene.verdict(&Packet::syn(anybody, scene.tcp(), number))),
        1 => drop(scene.verdict(&Packet::tcp(own, scene.tcp(), small as u8, number, number, b"x"))),
        2 => drop(scene.verdict(&Packet::udp(own, scene.udp(), b"x"))),
        3 if scene.host.noticed("flow_created") < 24 => drop(scene.open(own, number)),
        4 => scene.host.rings[0].rotate_left(1),
        5 => scene.host.now = scene.host.now.wrapping_add(u32::from(small)),
        6 => {
            // A backend that answers what it was not asked.
            let to = SocketAddr::new(scene.layout.nat_source(scene.family), 1024 + small % 30_000);
            let from = scene.layout.backend(scene.family, usize::from(port % 3));
            let flags = flag::SYN | flag::ACK;
            let back = scene.back();
            scene.frame_from(back, &Packet::tcp(from, to, flags, number, number, b"").bytes());
        }
        _ => {}
    }
}

#[test]
fn every_checksum_that_a_datagram_can_have_is_right_behind_the_rewrite() {
    by_nat(|scene| {
        let (client, service) = (scene.client(1), scene.udp());
        let frame = Packet::udp(client, service, b"..").bytes();
        let payload = frame.len() - 2;
        let mut all_ones = 0;
        for word in 0..=u16::MAX {
            let packet = Packet::udp(client, service, &word.to_be_bytes());
            let (_, after) = scene.host.run(FRONT, &packet.bytes());
            // The frame that the harness makes of the same datagram between the new addresses: RFC 1071, no deltas.
            let seen = Parsed::of(after).unwrap();
            let again = Packet::udp(seen.from(), seen.to(), &word.to_be_bytes()).ttl(63);
            assert_eq!(after[14..], again.bytes()[14..], "{word:#06x}");
            assert_ne!(after[payload - 2..payload], [0, 0], "0 would say that there is none");
            all_ones += u32::from(after[payload - 2..payload] == [0xff, 0xff]);
        }
        assert!(all_ones >= 1);
    });
}

#[test]
fn every_checksum_that_an_icmp_error_can_have_is_right_behind_the_rewrite() {
    by_nat(|scene| {
        let header = if scene.v4() { 20 } else { 40 };
        let kind = if scene.v4() { (3, 4) } else { (2, 0) };
        let (client, service) = (scene.client(1), scene.udp());
        scene.sent(&Packet::udp(client, service, b"1"));
        let lost = Packet::udp(service, client, b"1234").ip_packet();
        for word in 0..=u32::from(u16::MAX) {
            let error = Packet::icmp(client.ip(), service.ip(), kind, word, &lost[..header + 8]);
            let (verdict, after) = scene.host.run(FRONT, &error.bytes());
            assert_eq!(verdict, Verdict::Redirect(BACK));
            assert!(Parsed::of(after).unwrap().checksums_hold, "{word:#x}");
        }
    });
}

#[test]
fn every_ipv4_header_checksum_is_right_behind_the_rewrite() {
    for layout in [Layout::Routed, Layout::Flat] {
        let mut scene = Scene::new(layout, Family::V4);
        for id in 0..=u16::MAX {
            let packet = Packet { id, ..Packet::udp(scene.client(1), scene.udp(), b"1") };
            let (_, after) = scene.host.run(FRONT, &packet.bytes());
            assert!(Parsed::of(after).unwrap().checksums_hold, "{id:#06x}");
        }
    }
}

#[test]
fn no_hops_left_are_never_written() {
    by_nat(|scene| {
        for ttl in 0..=u8::MAX {
            let packet = Packet::udp(scene.client(1), scene.udp(), b"1").ttl(ttl);
            if ttl < 2 {
                scene.is_dropped(&packet, DropReason::TtlExpired);
            } else {
                assert_eq!(scene.sent(&packet).to_mac[..5], backend_mac(0)[..5]);
            }
        }
    });
}

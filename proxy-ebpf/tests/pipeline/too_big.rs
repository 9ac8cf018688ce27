//! Packets that their way out cannot carry, answered.

use proxy_common::{drop_reason::DropReason, settings::Settings};
use proxy_ebpf::verdict::Verdict;
use proxy_tests::packet::{Packet, flag};
use proxy_tests::parsed::Parsed;

use crate::scene::{BACK, Scene, by_nat, everywhere};

const LONG: usize = 1600;

fn answering(scene: &mut Scene) {
    scene.host.settings.flags |= Settings::ANSWER_TOO_BIG;
}

/// A packet that may not be fragmented on its way.
fn whole(packet: Packet) -> Packet {
    Packet { dont_fragment: true, ..packet }
}

fn is_answer(scene: &Scene, asked: &Parsed, answer: &Parsed) {
    let kind = if scene.v4() { (3, 4) } else { (2, 0) };
    assert!(answer.checksums_hold, "{answer:?}");
    assert_eq!((answer.icmp, answer.icmp_word), (kind, 1500));
    assert_eq!((answer.source, answer.destination), (asked.destination, asked.source));
    assert_eq!((answer.from_mac, answer.to_mac), (asked.to_mac, asked.from_mac));
    assert_eq!(answer.vlans, asked.vlans);
    let quoted = answer.quoted().unwrap();
    assert_eq!((quoted.from(), quoted.to(), quoted.ttl), (asked.from(), asked.to(), asked.ttl));
}

#[test]
fn a_client_learns_the_mtu_behind_the_balancer() {
    everywhere(|scene| {
        answering(scene);
        let (client, service) = (scene.client(1), scene.tcp());
        scene.sent(&Packet::syn(client, service, 1));
        for vlans in [&[][..], &[7], &[7, 8]] {
            let mut long = whole(Packet::tcp(client, service, flag::ACK, 2, 1, &[1; LONG]));
            for vlan in vlans {
                long = long.vlan(*vlan);
            }
            let (verdict, frame) = scene.frame(&long.bytes());
            assert_eq!(verdict, Verdict::Transmit);
            is_answer(scene, &Parsed::of(&long.bytes()).unwrap(), &Parsed::of(&frame).unwrap());
        }
        assert_eq!(scene.noticed("too_big_answered"), 3);
    });
}

#[test]
fn a_backend_learns_the_mtu_towards_the_client() {
    by_nat(|scene| {
        answering(scene);
        let connection = scene.open(scene.client(1), 1);
        let long = whole(connection.by_backend(flag::ACK, 1, &[1; LONG])).bytes();
        let (verdict, frame) = scene.frame_from(BACK, &long);
        assert_eq!(verdict, Verdict::Transmit);
        is_answer(scene, &Parsed::of(&long).unwrap(), &Parsed::of(&frame).unwrap());
    });
}

#[test]
fn who_allows_fragments_or_sends_them_is_not_answered() {
    everywhere(|scene| {
        answering(scene);
        let (client, udp) = (scene.client(1), scene.udp());
        if scene.v4() {
            let allowed = Packet { dont_fragment: false, ..Packet::udp(client, udp, &[1; LONG]) };
            scene.is_dropped(&allowed, DropReason::TooBig);
        }
        let fragments = Packet::udp(client, udp, &[1; 2 * LONG]).fragments(1200);
        scene.frame(&fragments[0]);
        let later = fragments[1].clone();
        for route in scene.host.routes.values_mut() {
            route.hop.mtu = 600;
        }
        scene.host.settings.hop_epoch += 1;
        assert_eq!(scene.frame(&later).0, Verdict::Drop(DropReason::TooBig));
        assert_eq!(scene.noticed("too_big_answered"), 0);
    });
}

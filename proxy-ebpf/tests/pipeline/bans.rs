//! Who is kept out.

use proxy_common::ban::{FOR_EVER, moment};
use proxy_common::drop_reason::DropReason;
use proxy_ebpf::verdict::Verdict;
use proxy_ebpf::world::World;
use proxy_tests::packet::{Packet, flag};

use crate::scene::{Scene, everywhere};

fn whole(scene: &Scene) -> u8 {
    if scene.v4() { 32 } else { 128 }
}

#[test]
fn a_banned_client_is_dropped_whatever_it_sends_and_others_are_not() {
    everywhere(|scene| {
        let (client, tcp, udp) = (scene.client(7000), scene.tcp(), scene.udp());
        let packets = [
            Packet::syn(client, tcp, 1),
            Packet::udp(client, udp, b"x"),
            // Not ours: it is dropped all the same, a ban holds for the whole host.
            Packet::udp(client, (tcp.ip(), 9).into(), b"x"),
            Packet::icmp(client.ip(), tcp.ip(), if scene.v4() { (8, 0) } else { (128, 0) }, 0, &[0; 8]),
        ];
        let verdicts: Vec<_> = packets.iter().map(|packet| scene.verdict(packet)).collect();
        assert!(!verdicts.iter().any(|verdict| matches!(verdict, Verdict::Drop(_))), "{verdicts:?}");
        scene.host.ban(client.ip(), whole(scene), FOR_EVER, false);
        packets.iter().for_each(|packet| scene.is_dropped(packet, DropReason::Banned));
        let other = std::net::SocketAddr::new(scene.layout.client_address(scene.family, 1), 7000);
        scene.sent(&Packet::syn(other, tcp, 1));
    });
}

#[test]
fn an_established_flow_ends_with_a_ban_of_its_client() {
    everywhere(|scene| {
        let client = scene.client(7000);
        let data = scene.open(client, 1).by_client(flag::ACK, 1, b"x");
        assert!(scene.host.flows() > 0);
        scene.sent(&data);
        scene.host.ban(client.ip(), 8, FOR_EVER, false);
        scene.is_dropped(&data, DropReason::Banned);
    });
}

#[test]
fn later_fragments_of_a_banned_client_are_dropped_too() {
    everywhere(|scene| {
        let datagram = Packet::udp(scene.client(7000), scene.udp(), &[1; 100]);
        scene.host.ban(scene.client(1).ip(), whole(scene), FOR_EVER, false);
        for fragment in datagram.fragments(64) {
            assert_eq!(scene.frame(&fragment).0, Verdict::Drop(DropReason::Banned));
        }
    });
}

#[test]
fn a_ban_ends_by_the_clock_alone() {
    everywhere(|scene| {
        let (client, tcp) = (scene.client(7000), scene.tcp());
        let until = moment(scene.host.ticks()) + 2;
        scene.host.ban(client.ip(), 16, until, false);
        scene.is_dropped(&Packet::syn(client, tcp, 1), DropReason::Banned);
        scene.host.now += 64;
        scene.is_dropped(&Packet::syn(client, tcp, 1), DropReason::Banned);
        scene.host.now += 64;
        scene.sent(&Packet::syn(client, tcp, 1));
    });
}

#[test]
fn who_is_allowed_is_never_kept_out() {
    everywhere(|scene| {
        let (client, tcp) = (scene.client(7000), scene.tcp());
        scene.host.ban(client.ip(), 0, FOR_EVER, false);
        scene.host.ban(client.ip(), whole(scene), FOR_EVER, false);
        scene.host.ban(client.ip(), whole(scene) - 2, FOR_EVER, true);
        scene.sent(&Packet::syn(client, tcp, 1));
        let stranger = std::net::SocketAddr::new(
            if scene.v4() { [9, 9, 9, 9].into() } else { [0x2a00, 0, 0, 0, 0, 0, 0, 1].into() },
            7000,
        );
        scene.is_dropped(&Packet::syn(stranger, tcp, 1), DropReason::Banned);
    });
}

/// What we call malformed, and Linux takes: the host of `to` would have the packet.
fn taken_by_linux(scene: &Scene, from: std::net::SocketAddr, to: std::net::SocketAddr) -> Vec<Vec<u8>> {
    let syn = Packet::syn(from, to, 1);
    if !scene.v4() {
        return vec![(0..9).fold(syn, |packet, _| packet.destination_options()).bytes()];
    }
    // A TCP header that a second fragment completes.
    vec![syn.fragments(8).swap_remove(1)]
}

#[test]
fn a_ban_holds_for_what_is_malformed_too() {
    everywhere(|scene| {
        let (client, host) = (scene.client(7000), scene.layout.client_address(scene.family, 2));
        let frames = taken_by_linux(scene, client, (host, 22).into());
        frames.iter().for_each(|frame| assert_eq!(scene.frame(frame).0, Verdict::Pass));
        scene.host.ban(client.ip(), whole(scene), FOR_EVER, false);
        frames.iter().for_each(|frame| {
            assert_eq!(scene.frame(frame).0, Verdict::Drop(DropReason::Banned));
        });
    });
}

#[test]
fn what_is_malformed_does_not_reach_sockets_that_we_look_after() {
    everywhere(|scene| {
        let at = std::net::SocketAddr::new(scene.layout.client_address(scene.family, 2), 8080);
        scene.host.listen_locally(at);
        for frame in taken_by_linux(scene, scene.client(7000), at) {
            let (verdict, _) = scene.frame(&frame);
            let reason = if scene.v4() { DropReason::FragmentMalformed } else { DropReason::Ipv6Extensions };
            assert_eq!(verdict, Verdict::Drop(reason));
        }
    });
}

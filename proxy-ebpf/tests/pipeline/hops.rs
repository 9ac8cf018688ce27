//! Hops: remembered, renewed, pending.

use proxy_common::drop_reason::DropReason;
use proxy_ebpf::verdict::Verdict;
use proxy_ebpf::world::Route;
use proxy_tests::packet::{Packet, flag};
use proxy_tests::parsed::Parsed;

use crate::scene::{FRONT, Scene, by_dsr, by_nat, everywhere};

/// Every backend gets another MAC.
fn move_backends(scene: &mut Scene, last: u64) {
    for number in 0..3 {
        let to = scene.layout.backend_address(scene.family, number);
        scene.host.routes.get_mut(&to).unwrap().hop.destination = 0x0200_0000_aa00 + last;
    }
}

fn every_backend(scene: &mut Scene, route: Route) {
    for number in 0..3 {
        let to = scene.layout.backend_address(scene.family, number);
        scene.host.routes.get_mut(&to).unwrap().route = route;
    }
}

#[test]
fn a_hop_is_remembered_per_flow_and_renewed_with_the_epoch() {
    everywhere(|scene| {
        let connection = scene.open(scene.client(1), 7);
        let data = connection.by_client(flag::ACK, 1, b"x");
        scene.sent(&data);
        let asked = scene.noticed("hop_resolved");
        move_backends(scene, 1);
        for _ in 0..5 {
            assert_eq!(scene.sent(&data).to_mac, connection.mac);
        }
        assert_eq!(scene.noticed("hop_resolved"), asked);
        scene.host.settings.hop_epoch += 1;
        assert_eq!(scene.sent(&data).to_mac, [2, 0, 0, 0, 0xaa, 1]);
        assert_eq!(scene.sent(&data).to_mac, [2, 0, 0, 0, 0xaa, 1]);
        assert_eq!(scene.noticed("hop_resolved"), asked + 1);
    });
}

#[test]
fn a_hop_grows_old_by_itself() {
    everywhere(|scene| {
        let connection = scene.open(scene.client(1), 7);
        let data = connection.by_client(flag::ACK, 1, b"x");
        scene.sent(&data);
        move_backends(scene, 2);
        scene.host.now = scene.host.now.wrapping_add(scene.host.settings.hop_lifetime);
        assert_eq!(scene.sent(&data).to_mac, connection.mac);
        scene.host.now = scene.host.now.wrapping_add(1);
        assert_eq!(scene.sent(&data).to_mac, [2, 0, 0, 0, 0xaa, 2]);
    });
}

#[test]
fn the_clock_may_wrap() {
    everywhere(|scene| {
        scene.host.now = u32::MAX - 1;
        let syn = Packet::syn(scene.client(1), scene.tcp(), 7);
        let first = scene.sent(&syn);
        scene.host.now = 3;
        let again = scene.sent(&syn);
        assert_eq!((first.from(), first.to(), first.to_mac), (again.from(), again.to(), again.to_mac));
        assert_eq!(scene.noticed("hop_resolved"), 1);
    });
}

#[test]
fn new_flows_to_a_backend_share_its_hop() {
    everywhere(|scene| {
        for port in 0..100 {
            scene.sent(&Packet::syn(scene.client(port), scene.tcp(), 7));
        }
        assert_eq!(scene.noticed("hop_resolved"), 3, "once a backend");
    });
}

#[test]
fn a_packet_whose_neighbour_is_not_known_goes_rewritten_to_the_stack() {
    everywhere(|scene| {
        every_backend(scene, Route::NoNeighbour);
        let (verdict, after) = scene.frame(&Packet::syn(scene.client(1), scene.tcp(), 7).bytes());
        assert_eq!(verdict, Verdict::Defer);
        let seen = Parsed::of(&after).unwrap();
        assert!(seen.checksums_hold && seen.ttl == 63, "{seen:?}");
        let (ifindex, neighbour) = scene.host.deferred()[0];
        assert_eq!(ifindex, scene.back());
        assert!((0..3).any(|number| scene.layout.backend_address(scene.family, number) == neighbour));
        if scene.is_nat() {
            assert_eq!(seen.destination, neighbour);
        }
        assert_eq!(scene.noticed("neighbour_pending"), 1);
        // Nothing was remembered: once it is known, the next packet is sent.
        every_backend(scene, Route::Way);
        scene.sent(&Packet::syn(scene.client(1), scene.tcp(), 7));
    });
}

#[test]
fn a_neighbour_that_has_not_answered_yet_is_not_known_whatever_the_kernel_says() {
    everywhere(|scene| {
        for number in 0..3 {
            let to = scene.layout.backend_address(scene.family, number);
            scene.host.routes.get_mut(&to).unwrap().hop.destination = 0;
        }
        let syn = Packet::syn(scene.client(1), scene.tcp(), 7);
        assert_eq!(scene.verdict(&syn), Verdict::Defer);
        assert_eq!(scene.noticed("neighbour_pending"), 1);
        move_backends(scene, 7);
        assert_eq!(scene.sent(&syn).to_mac, [2, 0, 0, 0, 0xaa, 7]);
    });
}

#[test]
fn a_gateway_s_neighbour_is_what_is_resolved() {
    by_nat(|scene| {
        let gateway = scene.layout.client_address(scene.family, 2);
        every_backend(scene, Route::NoNeighbour);
        for number in 0..3 {
            let to = scene.layout.backend_address(scene.family, number);
            scene.host.routes.get_mut(&to).unwrap().neighbour = gateway;
        }
        assert_eq!(scene.verdict(&Packet::syn(scene.client(1), scene.tcp(), 7)), Verdict::Defer);
        assert_eq!(scene.host.deferred()[0].1, gateway);
    });
}

#[test]
fn a_dsr_backend_behind_a_gateway_is_refused_whether_its_neighbour_is_known_or_not() {
    by_dsr(|scene| {
        for route in [Route::Way, Route::NoNeighbour] {
            every_backend(scene, route);
            for number in 0..3 {
                let to = scene.layout.backend_address(scene.family, number);
                scene.host.routes.get_mut(&to).unwrap().neighbour =
                    scene.layout.client_address(scene.family, 2);
            }
            let syn = Packet::syn(scene.client(1), scene.tcp(), 7);
            scene.is_dropped(&syn, DropReason::DsrNotOnLink);
        }
    });
}

#[test]
fn a_frame_with_tags_cannot_wait_for_its_neighbour() {
    everywhere(|scene| {
        every_backend(scene, Route::NoNeighbour);
        let syn = Packet::syn(scene.client(1), scene.tcp(), 7).vlan(5);
        scene.is_dropped(&syn, DropReason::NoNeighbour);
    });
}

#[test]
fn a_flow_follows_its_route_to_another_interface() {
    by_nat(|scene| {
        let connection = scene.open(scene.client(1), 7);
        for number in 0..3 {
            let to = scene.layout.backend_address(scene.family, number);
            scene.host.routes.get_mut(&to).unwrap().hop.ifindex = 9;
        }
        scene.host.settings.hop_epoch += 1;
        let frame = connection.by_client(flag::ACK, 1, b"").bytes();
        assert_eq!(scene.frame_from(FRONT, &frame).0, Verdict::Redirect(9));
    });
}

#[test]
fn the_way_back_to_a_client_is_remembered_by_its_flow() {
    by_nat(|scene| {
        let connection = scene.open(scene.client(1), 7);
        let answer = connection.by_backend(flag::ACK, 1, b"x");
        scene.answered(&answer);
        let asked = scene.noticed("hop_resolved");
        scene.host.routes.clear();
        scene.answered(&answer);
        scene.sent(&connection.by_client(flag::ACK, 1, b"x"));
        assert_eq!(scene.noticed("hop_resolved"), asked);
        scene.host.settings.hop_epoch += 1;
        let frame = answer.bytes();
        assert_eq!(scene.frame_from(3, &frame).0, Verdict::Drop(DropReason::NoRoute));
    });
}

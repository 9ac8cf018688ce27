//! Full tables, floods, what is left when nothing is left.

use proxy_common::drop_reason::DropReason;
use proxy_common::young_word::SLACK;
use proxy_ebpf::host::Sizes;
use proxy_ebpf::verdict::Verdict;
use proxy_tests::packet::{Packet, flag};

use crate::scene::{Connection, Family, Layout, SYN_ACK, Scene, by_nat};

fn scenes(sizes: Sizes, fact: impl Fn(&mut Scene)) {
    for layout in [Layout::Routed, Layout::Flat] {
        for family in Family::BOTH {
            fact(&mut Scene::sized(layout, family, sizes));
        }
    }
}

/// A client's packet of a connection arrives where the connection is.
fn lives(scene: &mut Scene, connection: &Connection) {
    let seen = scene.sent(&connection.by_client(flag::ACK, 1, b"live"));
    assert_eq!((seen.from(), seen.to(), seen.to_mac), (connection.ours, connection.backend, connection.mac));
    if scene.is_nat() {
        let seen = scene.answered(&connection.by_backend(flag::ACK, 1, b"live"));
        assert_eq!((seen.from(), seen.to()), (connection.service, connection.client));
    }
}

#[test]
fn a_flood_of_syns_leaves_live_flows_where_they_are() {
    scenes(Sizes { flows: 128, young: 64 }, |scene| {
        let live: Vec<Connection> = (0..32).map(|port| scene.open(scene.client(port), 7)).collect();
        let flows = scene.host.flows();
        for port in 1000..6000 {
            let verdict = scene.verdict(&Packet::syn(scene.client(port), scene.tcp(), 1));
            assert!(matches!(verdict, Verdict::Transmit | Verdict::Redirect(_)), "{verdict:?}");
        }
        // The very addresses of live flows, too.
        for connection in &live {
            scene.sent(&Packet::syn(connection.client, connection.service, 99));
        }
        assert_eq!(scene.host.flows(), flows);
        assert!(scene.noticed("young_replaced") > 4000);
        live.iter().for_each(|connection| lives(scene, connection));
    });
}

#[test]
fn a_full_flow_table_still_forwards_by_the_ring_and_is_counted() {
    scenes(Sizes { flows: 8, young: 4096 }, |scene| {
        let early: Vec<Connection> = (0..8).map(|port| scene.open(scene.client(port), 7)).collect();
        assert_eq!(scene.host.flows(), 8);
        let full = scene.noticed("flow_table_full");
        let late: Vec<Connection> = (100..110).map(|port| scene.open(scene.client(port), 7)).collect();
        assert!(scene.noticed("flow_table_full") >= full + 10);
        assert_eq!(scene.host.flows(), 8);
        // Young for life, and served all the same.
        for _ in 0..3 {
            early.iter().chain(&late).for_each(|connection| lives(scene, connection));
        }
    });
}

#[test]
fn a_nat_flow_is_entered_whole_or_not_at_all() {
    by_nat(|scene| {
        let mut scene = Scene::sized(scene.layout, scene.family, Sizes { flows: 5, young: 64 });
        for port in 0..4 {
            scene.open(scene.client(port), 7);
        }
        assert_eq!(scene.host.flows(), 4, "an odd place stays free");
    });
}

#[test]
fn a_young_flow_gives_way_to_a_newer_one_and_is_counted() {
    scenes(Sizes { flows: 64, young: 1 }, |scene| {
        scene.sent(&Packet::syn(scene.client(1), scene.tcp(), 1));
        assert_eq!(scene.noticed("young_replaced"), 0);
        scene.sent(&Packet::syn(scene.client(2), scene.tcp(), 1));
        assert_eq!(scene.noticed("young_replaced"), 1);
        // One that is past its time is nobody's loss.
        scene.host.now += scene.host.settings.young_lifetime + SLACK + 1;
        scene.sent(&Packet::syn(scene.client(3), scene.tcp(), 1));
        assert_eq!(scene.noticed("young_replaced"), 1);
    });
}

#[test]
fn a_replaced_handshake_is_made_good_by_a_syn_sent_again() {
    scenes(Sizes { flows: 64, young: 1 }, |scene| {
        scene.sent(&Packet::syn(scene.client(1), scene.tcp(), 1));
        scene.sent(&Packet::syn(scene.client(2), scene.tcp(), 1));
        let again = scene.open(scene.client(1), 1);
        assert_eq!(scene.noticed("flow_created"), 1);
        lives(scene, &again);
    });
}

/// Ports of clients whose answers are looked for in one place, though they are young in two.
fn with_one_way_back(scene: &mut Scene) -> (Packet, Packet) {
    let service = scene.tcp();
    let first = Packet::syn(scene.client(1), service, 1);
    let seen = scene.sent(&first);
    let answer = Packet::tcp(seen.to(), seen.from(), SYN_ACK, 9, 2, b"").bytes();
    for port in 2..5000 {
        let second = Packet::syn(scene.client(port), service, 1);
        scene.sent(&second);
        let back = scene.back();
        if scene.frame_from(back, &answer).0 == Verdict::Pass {
            return (first, second);
        }
        // A young flow that took the first one's slot would do as well: it is what is renewed here.
        scene.sent(&first);
    }
    panic!("no two flows share a way back");
}

#[test]
fn a_syn_sent_again_finds_its_way_back_again() {
    by_nat(|scene| {
        let mut scene = Scene::sized(scene.layout, scene.family, Sizes { flows: 64, young: 64 });
        let (first, second) = with_one_way_back(&mut scene);
        // The second one goes on; the first one's answer is lost, and its client sends the SYN again.
        scene.sent(&second);
        let seen = scene.sent(&first);
        let answer = Packet::tcp(seen.to(), seen.from(), SYN_ACK, 9, 2, b"");
        let seen = scene.answered(&answer);
        assert_eq!(seen.to(), scene.client(1));
    });
}

#[test]
fn ports_run_out_towards_each_backend_by_itself_and_old_young_flows_give_theirs_back() {
    by_nat(|scene| {
        scene.host.limit_ports(1);
        let mut sent = 0;
        for port in 0..50 {
            match scene.verdict(&Packet::syn(scene.client(port), scene.tcp(), 1)) {
                Verdict::Redirect(_) => sent += 1,
                verdict => assert_eq!(verdict, Verdict::Drop(DropReason::PortsExhausted)),
            }
        }
        assert_eq!(sent, 3, "one port towards each of three backends");
        assert_eq!(scene.host.dropped(DropReason::PortsExhausted), 47);
        scene.host.now += scene.host.settings.young_lifetime + 1;
        scene.sent(&Packet::syn(scene.client(60), scene.tcp(), 1));
    });
}

#[test]
fn no_two_flows_share_address_and_port_towards_one_backend() {
    by_nat(|scene| {
        let mut taken = std::collections::HashSet::new();
        for port in 0..500 {
            let connection = scene.open(scene.client(port), 1);
            assert!(taken.insert((connection.ours, connection.backend)), "{connection:?}");
        }
    });
}

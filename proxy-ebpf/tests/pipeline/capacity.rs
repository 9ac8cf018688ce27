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
fn ports_run_out_towards_each_backend_by_itself_and_flows_that_end_give_theirs_back() {
    by_nat(|scene| {
        scene.host.limit_ports(1);
        let mut opened: Vec<Connection> = Vec::new();
        for port in 0..50 {
            match scene.verdict(&Packet::syn(scene.client(port), scene.tcp(), 7)) {
                Verdict::Redirect(_) => opened.push(scene.open(scene.client(port), 7)),
                verdict => assert_eq!(verdict, Verdict::Drop(DropReason::PortsExhausted)),
            }
        }
        assert_eq!(opened.len(), 3, "one port towards each of three backends");
        assert_eq!(scene.host.dropped(DropReason::PortsExhausted), 47);
        opened.iter().for_each(|connection| lives(scene, connection));
        scene.answered(&opened[0].by_backend(flag::RST, 1, b""));
        scene.open(opened[0].client, 900_000);
    });
}

#[test]
fn young_flows_use_up_no_ports_for_the_newest_gets_that_of_the_longest_untouched_one() {
    by_nat(|scene| {
        scene.host.limit_ports(1);
        let made_up = |scene: &Scene, port: u16| match port % 3 {
            0 => Packet::syn(scene.client(port), scene.tcp(), 1),
            1 => Packet::tcp(scene.client(port), scene.tcp(), flag::ACK, 1, 1, b""),
            _ => Packet::udp(scene.client(port), scene.udp(), b"a question"),
        };
        for port in 1000..1500 {
            scene.sent(&made_up(scene, port));
        }
        // A client among them is served, also while more come between its packets, as long as they take other ports.
        scene.host.now += 1;
        let real = scene.open(scene.client(1), 7);
        lives(scene, &real);
        for port in 2000..2500 {
            scene.verdict(&made_up(scene, port));
        }
        lives(scene, &real);
        assert!(scene.noticed("port_retaken") > 500);
        // Whoever has lost its port gets another, and never its old one while somebody else has it.
        let udp = Packet::udp(scene.client(1001), scene.udp(), b"again");
        let seen = scene.sent(&udp);
        let answer = Packet::udp(seen.to(), seen.from(), b"an answer");
        assert_eq!(scene.answered(&answer).to(), scene.client(1001));
    });
}

#[test]
fn of_ports_that_young_flows_have_the_one_is_taken_that_nobody_wrote_to_for_longest() {
    by_nat(|scene| {
        scene.host.limit_ports(8);
        let mut clients = Vec::new();
        for port in 0..400 {
            scene.host.now += 10;
            let client = scene.client(port);
            let seen = scene.sent(&Packet::syn(client, scene.tcp(), 1));
            clients.push((client, seen.from(), seen.to()));
        }
        // Sixteen tries find most of eight ports: none of the newest few flows has lost its own.
        for (client, ours, backend) in clients.iter().rev().take(4) {
            let seen = scene.answered(&Packet::tcp(*backend, *ours, SYN_ACK, 5000, 2, b""));
            assert_eq!(seen.to(), *client);
            let seen = scene.sent(&Packet::tcp(*client, scene.tcp(), flag::ACK, 2, 5001, b""));
            assert_eq!((seen.from(), seen.to()), (*ours, *backend));
        }
    });
}

#[test]
fn flows_that_nobody_has_proved_leave_room_for_those_that_are() {
    scenes(Sizes::default(), |scene| {
        scene.host.room.store(8);
        let twice = |scene: &mut Scene, packet: &Packet| {
            let seen = scene.sent(packet);
            if scene.is_nat() {
                scene.answered(&Packet::udp(seen.to(), seen.from(), b"an answer"));
            }
            scene.sent(packet)
        };
        for port in 1000..1100 {
            let first = twice(scene, &Packet::udp(scene.client(port), scene.udp(), b"?"));
            if !scene.is_nat() {
                twice(scene, &Packet::tcp(scene.client(port), scene.tcp(), flag::ACK, 1, 77, b""));
            }
            // It stays young, and is served.
            let again = scene.sent(&Packet::udp(scene.client(port), scene.udp(), b"?"));
            assert_eq!((first.from(), first.to_mac), (again.from(), again.to_mac));
        }
        assert_eq!(scene.host.flows(), 8);
        assert!(scene.noticed("unproved_full") > 90);
        assert_eq!(scene.noticed("flow_table_full"), 0);
        let real = scene.open(scene.client(1), 7);
        lives(scene, &real);
        assert_eq!(scene.host.flows(), if scene.is_nat() { 10 } else { 8 });
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

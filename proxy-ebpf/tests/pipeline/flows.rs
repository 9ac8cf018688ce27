//! Flows from their first packet to their last.

use proxy_common::backend::Backend;
use proxy_common::drop_reason::DropReason;
use proxy_common::young_word::SLACK;
use proxy_ebpf::verdict::Verdict;
use proxy_tests::packet::{Packet, flag};

use crate::scene::{BACK, CLIENT_MAC, Connection, FRONT_MAC, SYN_ACK, Scene, by_dsr, by_nat, everywhere};

const DRAINING: u16 = Backend::<proxy_common::addr::Ip4>::DRAINING;

/// A client's port whose SYN the ring sends to another backend when `gone` is out of it.
fn take_out(scene: &mut Scene, gone: u16) {
    scene.host.rings[0].retain(|id| *id != gone);
}

/// The number of a connection's backend.
fn number(connection: &Connection) -> u16 {
    if connection.backend == connection.service {
        return u16::from(connection.mac[5]);
    }
    let last = match connection.backend.ip() {
        std::net::IpAddr::V4(v4) => v4.octets()[3],
        std::net::IpAddr::V6(v6) => v6.octets()[15],
    };
    // Backends are at …11, …12, …13, in each family's own writing.
    u16::from(last) - if connection.backend.is_ipv4() { 11 } else { 0x11 }
}

#[test]
fn a_bare_syn_makes_no_flow() {
    everywhere(|scene| {
        for _ in 0..3 {
            scene.sent(&Packet::syn(scene.client(1), scene.tcp(), 7));
        }
        assert_eq!((scene.host.flows(), scene.noticed("flow_created")), (0, 0));
    });
}

#[test]
fn the_ack_of_the_backend_s_syn_ack_makes_a_nat_flow_of_two_entries() {
    by_nat(|scene| {
        let connection = scene.open(scene.client(1), 7);
        assert_eq!((scene.host.flows(), scene.noticed("flow_created")), (2, 1));
        assert_eq!(connection.ours.ip(), scene.layout.nat_source(scene.family));
        let there = scene.sent(&connection.by_client(flag::ACK, 1, b"a request"));
        assert_eq!((there.from(), there.to()), (connection.ours, connection.backend));
        assert_eq!((there.payload.as_slice(), there.to_mac), (&b"a request"[..], connection.mac));
        let back = scene.answered(&connection.by_backend(flag::ACK, 1, b"an odd answer"));
        assert_eq!((back.from(), back.to()), (connection.service, connection.client));
        assert_eq!((back.to_mac, back.from_mac), (CLIENT_MAC, FRONT_MAC));
        assert_eq!(back.payload, b"an odd answer");
    });
}

#[test]
fn an_ack_that_does_not_know_the_backend_s_number_proves_nothing() {
    by_nat(|scene| {
        let client = scene.client(1);
        let syn = scene.sent(&Packet::syn(client, scene.tcp(), 7));
        // Before any answer, and with a number that is not the backend's.
        scene.sent(&Packet::tcp(client, scene.tcp(), flag::ACK, 8, 1, b""));
        scene.answered(&Packet::tcp(syn.to(), syn.from(), SYN_ACK, 900_000_000, 8, b""));
        for guess in [0, 1, 900_000_000, 0x8000_0000, u32::MAX] {
            scene.sent(&Packet::tcp(client, scene.tcp(), flag::ACK, 8, guess, b""));
            assert_eq!(scene.host.flows(), 0, "{guess}");
        }
        scene.sent(&Packet::tcp(client, scene.tcp(), flag::ACK, 8, 900_000_001, b""));
        assert_eq!(scene.host.flows(), 2);
    });
}

#[test]
fn a_lost_first_ack_is_made_good_by_a_later_one() {
    by_nat(|scene| {
        let client = scene.client(1);
        let syn = scene.sent(&Packet::syn(client, scene.tcp(), 7));
        scene.answered(&Packet::tcp(syn.to(), syn.from(), SYN_ACK, u32::MAX - 5, 8, b""));
        scene.sent(&Packet::tcp(client, scene.tcp(), flag::ACK, 9, 3000, b"later, numbers wrapped"));
        assert_eq!(scene.host.flows(), 2);
    });
}

#[test]
fn datagrams_make_a_nat_flow_once_the_client_writes_after_an_answer() {
    by_nat(|scene| {
        let (client, service) = (scene.client(1), scene.udp());
        let first = scene.sent(&Packet::udp(client, service, b"1"));
        let second = scene.sent(&Packet::udp(client, service, b"22"));
        assert_eq!((first.from(), first.to()), (second.from(), second.to()));
        let answer = scene.answered(&Packet::udp(first.to(), first.from(), b"333"));
        assert_eq!((answer.from(), answer.to(), scene.host.flows()), (service, client, 0));
        let third = scene.sent(&Packet::udp(client, service, b"4444"));
        assert_eq!((third.from(), third.to(), scene.host.flows()), (first.from(), first.to(), 2));
        scene.answered(&Packet::udp(first.to(), first.from(), b"55555"));
    });
}

#[test]
fn dsr_changes_nothing_but_macs_and_the_hops_left() {
    by_dsr(|scene| {
        let (client, tcp, udp) = (scene.client(1), scene.tcp(), scene.udp());
        for packet in
            [Packet::syn(client, tcp, 1), Packet::udp(client, udp, b"odd"), Packet::udp(client, udp, b"")]
        {
            let before = packet.bytes();
            let (verdict, after) = scene.frame(&before);
            assert_eq!(verdict, Verdict::Transmit);
            let changed: Vec<usize> = (12..before.len()).filter(|at| before[*at] != after[*at]).collect();
            let allowed: &[usize] = if scene.v4() { &[22, 24, 25] } else { &[21] };
            assert!(changed.iter().all(|at| allowed.contains(at)), "{changed:?}");
            assert_eq!(after[6..12], FRONT_MAC);
        }
    });
}

#[test]
fn the_second_packet_makes_a_dsr_flow() {
    by_dsr(|scene| {
        scene.sent(&Packet::syn(scene.client(1), scene.tcp(), 1));
        scene.sent(&Packet::udp(scene.client(1), scene.udp(), b""));
        assert_eq!(scene.host.flows(), 0);
        scene.sent(&Packet::tcp(scene.client(1), scene.tcp(), flag::ACK, 2, 9, b""));
        scene.sent(&Packet::udp(scene.client(1), scene.udp(), b""));
        assert_eq!((scene.host.flows(), scene.noticed("flow_created")), (2, 2));
    });
}

#[test]
fn traffic_is_counted_both_ways_in_bytes_of_frames() {
    by_nat(|scene| {
        let connection = scene.open(scene.client(1), 7);
        let syn = Packet::syn(connection.client, connection.service, 7).bytes().len() as u64;
        let traffic = scene.host.traffic(number(&connection));
        assert_eq!((traffic.packets, traffic.return_packets, traffic.new_flows), (2, 1, 1));
        assert_eq!((traffic.bytes, traffic.return_bytes), (2 * syn, syn));
        let mut padded = connection.by_client(flag::ACK, 1, b"").bytes();
        padded.resize(padded.len() + 6, 0);
        scene.frame(&padded);
        assert_eq!(scene.host.traffic(number(&connection)).bytes, 3 * syn, "padding is no traffic");
    });
}

#[test]
fn an_established_flow_stays_when_its_backend_leaves_the_ring() {
    everywhere(|scene| {
        let connection = scene.open(scene.client(1), 7);
        let gone = number(&connection);
        take_out(scene, gone);
        scene.host.flag(gone, DRAINING);
        let seen = scene.sent(&connection.by_client(flag::ACK, 1, b"still here"));
        assert_eq!((seen.to(), seen.to_mac), (connection.backend, connection.mac));
        for port in 100..200 {
            let other = scene.open(scene.client(port), 1);
            assert_ne!(number(&other), gone, "a drained backend gets no new flow");
        }
    });
}

#[test]
fn a_young_flow_of_a_drained_backend_begins_anew_elsewhere_with_its_next_syn() {
    everywhere(|scene| {
        let syn = Packet::syn(scene.client(1), scene.tcp(), 7);
        let first = scene.sent(&syn);
        let gone = u16::from(first.to_mac[5]);
        take_out(scene, gone);
        scene.host.flag(gone, DRAINING);
        assert_ne!(scene.sent(&syn).to_mac, first.to_mac);
    });
}

#[test]
fn a_syn_sent_again_goes_where_it_went() {
    everywhere(|scene| {
        let syn = Packet::syn(scene.client(1), scene.tcp(), 7);
        let (first, again) = (scene.sent(&syn), scene.sent(&syn));
        assert_eq!((first.from(), first.to(), first.to_mac), (again.from(), again.to(), again.to_mac));
        // Even when the ring has changed meanwhile, as long as its backend is ready.
        take_out(scene, u16::from(first.to_mac[5]));
        assert_eq!(scene.sent(&syn).to_mac, first.to_mac);
    });
}

#[test]
fn a_reused_5_tuple_with_syn_is_a_new_flow() {
    by_nat(|scene| {
        let old = scene.open(scene.client(1), 7);
        scene.sent(&old.by_client(flag::FIN | flag::ACK, 1, b""));
        scene.answered(&old.by_backend(flag::FIN | flag::ACK, 1, b""));
        scene.sent(&old.by_client(flag::ACK, 2, b""));
        take_out(scene, number(&old));
        let new = scene.open(scene.client(1), 900_000);
        assert_ne!(number(&new), number(&old));
        assert_eq!((scene.noticed("flow_reused"), scene.host.flows()), (1, 2));
    });
    by_dsr(|scene| {
        let old = scene.open(scene.client(1), 7);
        scene.sent(&old.by_client(flag::FIN | flag::ACK, 1, b""));
        take_out(scene, number(&old));
        let new = scene.open(scene.client(1), 900_000);
        assert_ne!(new.mac, old.mac);
        assert_eq!((scene.noticed("flow_reused"), scene.host.flows()), (1, 1));
    });
}

#[test]
fn a_reset_ends_a_flow_for_the_next_syn() {
    by_nat(|scene| {
        let old = scene.open(scene.client(1), 7);
        scene.answered(&old.by_backend(flag::RST, 1, b""));
        scene.open(scene.client(1), 900_000);
        assert_eq!((scene.noticed("flow_reused"), scene.host.flows()), (1, 2));
    });
}

#[test]
fn a_forged_reset_and_a_syn_do_not_end_a_flow() {
    by_nat(|scene| {
        let live = scene.open(scene.client(1), 7);
        scene.sent(&live.by_client(flag::RST, 1 << 30, b""));
        scene.sent(&Packet::syn(live.client, live.service, 99));
        let seen = scene.sent(&live.by_client(flag::ACK, 1, b"it was not me"));
        assert_eq!((seen.from(), seen.to()), (live.ours, live.backend));
        // What it sent takes the reset back, also for those who forget flows that are over.
        scene.host.now += scene.host.settings.young_lifetime;
        scene.sent(&Packet::syn(live.client, live.service, 99));
        let seen = scene.sent(&live.by_client(flag::ACK, 1, b"nor that"));
        assert_eq!((seen.from(), seen.to(), scene.noticed("flow_reused")), (live.ours, live.backend, 0));
        // A reset after which nothing comes is one.
        scene.sent(&live.by_client(flag::RST, 1, b""));
        scene.host.now += scene.host.settings.young_lifetime;
        scene.open(scene.client(1), 900_000);
        assert_eq!((scene.noticed("flow_reused"), scene.host.flows()), (1, 2));
    });
}

#[test]
fn a_client_that_died_and_connects_again_gets_through_though_the_old_flow_lives() {
    everywhere(|scene| {
        let old = scene.open(scene.client(1), 7);
        take_out(scene, number(&old));
        // No FIN was seen: the new SYN goes where the ring says, and its proof ends the old flow.
        let new = scene.open(scene.client(1), 900_000);
        assert_ne!(new.mac, old.mac);
        assert_eq!(scene.noticed("flow_reused"), 1);
        let seen = scene.sent(&new.by_client(flag::ACK, 1, b"new"));
        assert_eq!(seen.to_mac, new.mac);
    });
}

#[test]
fn a_spoofed_syn_beside_a_live_flow_does_not_move_it() {
    everywhere(|scene| {
        let live = scene.open(scene.client(1), 7);
        // With the same ring, and with one that would send it elsewhere.
        for round in 0..2 {
            for isn in [0, 6, 1234, u32::MAX] {
                scene.verdict(&Packet::syn(live.client, live.service, isn));
                let seen = scene.sent(&live.by_client(flag::ACK, 1, b"live"));
                assert_eq!((seen.from(), seen.to(), seen.to_mac), (live.ours, live.backend, live.mac));
            }
            if round == 0 {
                take_out(scene, number(&live));
            }
        }
        assert_eq!(scene.noticed("flow_reused"), 0);
        if scene.is_nat() {
            let seen = scene.answered(&live.by_backend(flag::ACK, 1, b"live"));
            assert_eq!((seen.from(), seen.to()), (live.service, live.client));
        }
    });
}

#[test]
fn a_flow_s_own_syn_that_comes_late_does_not_move_it() {
    everywhere(|scene| {
        let live = scene.open(scene.client(1), 7);
        take_out(scene, number(&live));
        let late = scene.sent(&Packet::syn(live.client, live.service, 7));
        assert_eq!(late.to_mac, live.mac);
        assert_eq!(scene.sent(&live.by_client(flag::ACK, 1, b"first data")).to_mac, live.mac);
        assert_eq!(scene.noticed("flow_reused"), 0);
    });
}

#[test]
fn a_spoofed_reset_of_no_flow_makes_none() {
    everywhere(|scene| {
        for flags in [flag::RST, flag::RST | flag::ACK] {
            let reset = Packet::tcp(scene.client(1), scene.tcp(), flags, 3, 4, b"");
            for _ in 0..2 {
                if scene.is_nat() {
                    scene.is_dropped(&reset, DropReason::FlowUnknown);
                } else {
                    // The backend may have a connection that another balancer knew.
                    scene.sent(&reset);
                }
            }
        }
        assert_eq!(scene.noticed("flow_unknown") == 0, scene.is_nat());
        for flags in [flag::FIN, 0, SYN_ACK] {
            scene.sent(&Packet::tcp(scene.client(1), scene.tcp(), flags, 3, 4, b""));
            scene.sent(&Packet::tcp(scene.client(1), scene.tcp(), flags, 3, 4, b""));
        }
        assert_eq!(scene.host.flows(), 0);
        assert!(scene.noticed("flow_unknown") > 0);
    });
}

#[test]
fn what_no_flow_and_no_listener_wants_is_left_to_the_host() {
    by_nat(|scene| {
        let source = std::net::SocketAddr::new(scene.layout.nat_source(scene.family), 2000);
        let backend = scene.layout.backend(scene.family, 0);
        for packet in [
            Packet::tcp(backend, source, flag::ACK, 1, 1, b"of no flow"),
            Packet::udp(scene.layout.backend_udp(scene.family, 0), source, b"of no flow"),
            Packet::syn(scene.client(1), std::net::SocketAddr::new(scene.tcp().ip(), 81), 1),
            Packet::udp(scene.client(1), scene.tcp(), b"the other protocol"),
        ] {
            assert_eq!(scene.frame_from(BACK, &packet.bytes()).0, Verdict::Pass);
        }
        assert_eq!(scene.noticed("hop_resolved"), 0);
    });
}

#[test]
fn a_client_at_another_s_old_port_is_another_flow() {
    by_nat(|scene| {
        let one = scene.open(scene.client(1), 7);
        let other = std::net::SocketAddr::new(scene.layout.client_address(scene.family, 1), 1);
        let two = scene.open(other, 7);
        assert_ne!((one.ours, one.backend), (two.ours, two.backend));
        let seen = scene.answered(&two.by_backend(flag::ACK, 1, b""));
        assert_eq!(seen.to(), other);
    });
}

#[test]
fn a_flow_that_is_finished_one_way_only_is_not_over() {
    by_nat(|scene| {
        for end in [true, false] {
            let live = scene.open(scene.client(u16::from(end)), 7);
            if end {
                scene.sent(&live.by_client(flag::FIN | flag::ACK, 1, b""));
            } else {
                scene.answered(&live.by_backend(flag::FIN | flag::ACK, 1, b""));
            }
            scene.sent(&Packet::syn(live.client, live.service, 99));
            let seen = scene.answered(&live.by_backend(flag::ACK, 2, b"the rest"));
            assert_eq!((seen.from(), seen.to()), (live.service, live.client));
        }
        assert_eq!(scene.noticed("flow_reused"), 0);
    });
}

#[test]
fn a_young_flow_past_its_time_is_forgotten() {
    everywhere(|scene| {
        let (client, service) = (scene.client(1), scene.udp());
        let first = scene.sent(&Packet::udp(client, service, b"1"));
        let lifetime = scene.host.settings.young_lifetime;
        let ring = std::mem::take(&mut scene.host.rings[1]);
        scene.host.rings[1] = ring.into_iter().filter(|id| *id != 3 + u16::from(first.to_mac[5])).collect();
        scene.host.now += lifetime;
        if scene.is_nat() {
            scene.answered(&Packet::udp(first.to(), first.from(), b"in time"));
        }
        let second = scene.sent(&Packet::udp(client, service, b"in time"));
        assert_eq!(second.to_mac, first.to_mac);

        let (client, service) = (scene.client(2), scene.tcp());
        let first = scene.sent(&Packet::syn(client, service, 1));
        take_out(scene, u16::from(first.to_mac[5]));
        scene.host.now += lifetime + SLACK + 1;
        if scene.is_nat() {
            let late = Packet::tcp(first.to(), first.from(), SYN_ACK, 1, 2, b"").bytes();
            assert_eq!(scene.frame_from(BACK, &late).0, Verdict::Pass);
        }
        assert_ne!(scene.sent(&Packet::syn(client, service, 1)).to_mac, first.to_mac);
    });
}

#[test]
fn a_connection_whose_handshake_was_forgotten_enters_the_table_by_an_acknowledgment_of_its_backend_s_data() {
    by_nat(|scene| {
        let client = scene.client(1);
        let first = scene.sent(&Packet::tcp(client, scene.tcp(), flag::ACK, 100, 7000, b"a request"));
        let again = scene.sent(&Packet::tcp(client, scene.tcp(), flag::ACK, 109, 7000, b"more"));
        assert_eq!((first.from(), first.to()), (again.from(), again.to()));
        assert_eq!((scene.host.flows(), scene.noticed("flow_unknown")), (0, 1));
        // A reset is no answer, an old number no acknowledgment.
        scene.answered(&Packet::tcp(first.to(), first.from(), flag::RST | flag::ACK, 7000, 113, b""));
        scene.sent(&Packet::tcp(client, scene.tcp(), flag::ACK, 113, 7000, b""));
        assert_eq!(scene.host.flows(), 0);
        scene.answered(&Packet::tcp(first.to(), first.from(), flag::ACK, 7000, 113, b"an answer"));
        scene.sent(&Packet::tcp(client, scene.tcp(), flag::ACK, 113, 6999, b""));
        assert_eq!(scene.host.flows(), 0);
        let last = scene.sent(&Packet::tcp(client, scene.tcp(), flag::ACK, 113, 7009, b""));
        assert_eq!((scene.host.flows(), last.from()), (2, first.from()));
    });
}

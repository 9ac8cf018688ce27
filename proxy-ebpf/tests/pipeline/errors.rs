//! ICMP errors.

use std::net::{IpAddr, SocketAddr};

use proxy_common::drop_reason::DropReason;
use proxy_ebpf::verdict::Verdict;
use proxy_tests::packet::{Packet, flag};
use proxy_tests::parsed::Parsed;

use crate::scene::{BACK, Scene, by_dsr, by_nat, everywhere};

/// Types and codes of errors: unreachable, too big, time exceeded, parameter problem.
fn kinds(scene: &Scene) -> &'static [(u8, u8)] {
    if scene.v4() { &[(3, 1), (3, 4), (11, 0), (12, 0)] } else { &[(1, 4), (2, 0), (3, 0), (4, 1)] }
}

fn header(scene: &Scene) -> usize {
    if scene.v4() { 20 } else { 40 }
}

/// Somebody on the way.
fn router(scene: &Scene) -> IpAddr {
    scene.layout.client_address(scene.family, 77)
}

/// The UDP checksum of a quoted packet, and whether it fits the addresses and ports that are quoted with it.
fn inner_sum_holds(seen: &Parsed) -> bool {
    let quoted = seen.quoted().unwrap();
    let again = Packet::udp(quoted.from(), quoted.to(), &quoted.payload[..4]);
    let at = if seen.source.is_ipv4() { 20 } else { 40 };
    seen.payload[at + 6..at + 8] == again.body[6..8]
}

#[test]
fn errors_about_a_connection_go_to_its_other_side_both_ways() {
    by_nat(|scene| {
        let (header, router) = (header(scene), router(scene));
        let connection = scene.open(scene.client(1), 7);
        let (client, service) = (connection.client, connection.service);
        for kind in kinds(scene) {
            for quoted in [8, 20, 28] {
                // From the client's side: about what the service seems to have sent.
                let lost = Packet::tcp(service, client, flag::ACK, 1, 1, b"12345678").ip_packet();
                let error = Packet::icmp(router, service.ip(), *kind, 1300, &lost[..header + quoted]);
                let seen = scene.sent(&error);
                assert_eq!((seen.source, seen.destination), (router, connection.backend.ip()));
                assert_eq!((seen.icmp, seen.icmp_word, seen.to_mac), (*kind, 1300, connection.mac));
                let inner = seen.quoted().unwrap();
                assert_eq!((inner.from(), inner.to()), (connection.backend, connection.ours));

                // From the backend's side, by a router and by the backend, which stays hidden.
                let lost = Packet::tcp(connection.ours, connection.backend, flag::ACK, 1, 1, b"12345678");
                let lost = lost.ip_packet();
                for (from, shown) in [(router, router), (connection.backend.ip(), service.ip())] {
                    let error =
                        Packet::icmp(from, connection.ours.ip(), *kind, 1300, &lost[..header + quoted]);
                    let seen = scene.answered(&error);
                    assert_eq!((seen.source, seen.destination), (shown, client.ip()));
                    let inner = seen.quoted().unwrap();
                    assert_eq!((inner.from(), inner.to()), (client, service));
                    if scene.v4() {
                        let sum = proxy_tests::packet::sum(&seen.payload[..20]);
                        assert_eq!(proxy_tests::packet::fold(sum), 0xffff, "the quoted header's checksum");
                    }
                }
            }
        }
        let translated = kinds(scene).len() as u64 * 3 * 3;
        assert_eq!(scene.noticed("icmp_translated"), translated);
    });
}

#[test]
fn the_checksum_of_a_quoted_datagram_is_translated_too() {
    by_nat(|scene| {
        let (header, kind) = (header(scene), kinds(scene)[0]);
        let (client, service) = (scene.client(1), scene.udp());
        for payload in [*b"1234", [0; 4], [0xff; 4], *b"\x12\x00\x00\x77"] {
            let seen = scene.sent(&Packet::udp(client, service, &payload));
            let lost = Packet::udp(seen.from(), seen.to(), &payload).ip_packet();
            let error = Packet::icmp(seen.destination, seen.source, kind, 0, &lost[..header + 12]);
            let error = scene.answered(&error);
            assert_eq!((error.source, error.destination), (service.ip(), client.ip()));
            assert!(inner_sum_holds(&error), "{error:?}");
            let lost = Packet::udp(service, client, &payload).ip_packet();
            let error = scene.sent(&Packet::icmp(client.ip(), service.ip(), kind, 0, &lost[..header + 12]));
            assert!(inner_sum_holds(&error), "{error:?}");
        }
    });
}

#[test]
fn a_quoted_datagram_without_a_checksum_stays_without_one() {
    by_nat(|scene| {
        if !scene.v4() {
            return;
        }
        let (client, service) = (scene.client(1), scene.udp());
        scene.sent(&Packet::udp(client, service, b"1"));
        let mut lost = Packet::udp(service, client, b"12").ip_packet();
        lost[26..28].fill(0);
        let seen = scene.sent(&Packet::icmp(client.ip(), service.ip(), (3, 3), 0, &lost[..28]));
        assert_eq!(seen.payload[26..28], [0, 0]);
    });
}

#[test]
fn errors_reach_backends_of_dsr_as_they_are() {
    by_dsr(|scene| {
        let (header, router) = (header(scene), router(scene));
        // Established, young, and of no flow at all: the ring knows.
        let connection = scene.open(scene.client(1), 7);
        let young = scene.sent(&Packet::syn(scene.client(2), scene.tcp(), 7)).to_mac;
        for (port, mac) in [(1, Some(connection.mac)), (2, Some(young)), (3, None)] {
            let client = scene.client(port);
            let lost = Packet::tcp(scene.tcp(), client, flag::ACK, 1, 1, b"").ip_packet();
            for kind in kinds(scene) {
                let error = Packet::icmp(router, scene.tcp().ip(), *kind, 1300, &lost[..header + 8]);
                let seen = scene.sent(&error);
                assert_eq!((seen.source, seen.destination), (router, scene.tcp().ip()));
                assert_eq!(seen.payload, lost[..header + 8]);
                let to = mac.unwrap_or_else(|| scene.sent(&Packet::syn(client, scene.tcp(), 7)).to_mac);
                assert_eq!(seen.to_mac, to);
            }
        }
    });
}

#[test]
fn errors_about_young_flows_are_translated() {
    by_nat(|scene| {
        let header = header(scene);
        let syn = scene.sent(&Packet::syn(scene.client(1), scene.tcp(), 7));
        let lost = Packet::syn(syn.from(), syn.to(), 7).ip_packet();
        let error = Packet::icmp(syn.destination, syn.source, kinds(scene)[0], 0, &lost[..header + 8]);
        let seen = scene.answered(&error);
        assert_eq!((seen.source, seen.destination), (scene.tcp().ip(), scene.client(1).ip()));
    });
}

#[test]
fn what_is_no_error_or_about_nothing_of_ours_is_left_to_the_host() {
    everywhere(|scene| {
        let (header, router, ours) = (header(scene), router(scene), scene.tcp().ip());
        let not_errors: &[u8] =
            if scene.v4() { &[0, 8, 5, 9, 13] } else { &[128, 129, 133, 134, 135, 136, 137, 5] };
        for kind in not_errors {
            assert_eq!(scene.verdict(&Packet::icmp(router, ours, (*kind, 0), 1, &[0; 64])), Verdict::Pass);
        }
        let kind = kinds(scene)[0];
        let elsewhere = SocketAddr::new(ours, 4711);
        let lost = Packet::tcp(elsewhere, scene.client(1), flag::ACK, 1, 1, b"").ip_packet();
        let error = Packet::icmp(router, ours, kind, 0, &lost[..header + 8]);
        assert_eq!(scene.verdict(&error), Verdict::Pass, "about a connection of the host's own");
        let lost = Packet { protocol: 132, ..Packet::tcp(scene.tcp(), scene.client(1), 0, 1, 1, b"") };
        let error = Packet::icmp(router, ours, kind, 0, &lost.ip_packet()[..header + 8]);
        assert_eq!(scene.verdict(&error), Verdict::Pass, "about another protocol");
    });
    by_nat(|scene| {
        let lost = Packet::tcp(scene.tcp(), scene.client(9), flag::ACK, 1, 1, b"").ip_packet();
        let error =
            Packet::icmp(router(scene), scene.tcp().ip(), kinds(scene)[0], 0, &lost[..header(scene) + 8]);
        assert_eq!(scene.verdict(&error), Verdict::Pass, "about no known flow");
        assert_eq!(scene.frame_from(BACK, &error.bytes()).0, Verdict::Pass);
    });
}

#[test]
fn errors_that_quote_too_little_are_dropped() {
    everywhere(|scene| {
        let (header, router, ours) = (header(scene), router(scene), scene.tcp().ip());
        let lost = Packet::tcp(scene.tcp(), scene.client(1), flag::ACK, 1, 1, b"").ip_packet();
        for length in 0..header + 8 {
            let error = Packet::icmp(router, ours, kinds(scene)[0], 0, &lost[..length]);
            scene.is_dropped(&error, DropReason::IcmpError);
        }
    });
}

#[test]
fn an_error_s_last_hop_is_its_last() {
    everywhere(|scene| {
        let header = header(scene);
        let connection = scene.open(scene.client(1), 7);
        let lost = Packet::tcp(connection.service, connection.client, flag::ACK, 1, 1, b"").ip_packet();
        let (from, to) = (router(scene), scene.tcp().ip());
        let error = Packet::icmp(from, to, kinds(scene)[0], 0, &lost[..header + 8]);
        scene.is_dropped(&error.ttl(1), DropReason::TtlExpired);
    });
}

#[test]
fn a_wrong_checksum_stays_wrong() {
    by_nat(|scene| {
        let header = header(scene);
        let connection = scene.open(scene.client(1), 7);
        let lost = Packet::tcp(connection.service, connection.client, flag::ACK, 1, 1, b"").ip_packet();
        let (from, to) = (router(scene), scene.tcp().ip());
        let mut error = Packet::icmp(from, to, kinds(scene)[0], 0, &lost[..header + 8]);
        error.body[2] ^= 0x55;
        let (verdict, after) = scene.frame(&error.bytes());
        assert_eq!(verdict, Verdict::Redirect(BACK));
        assert!(!Parsed::of(&after).unwrap().checksums_hold);
        let mut data = connection.by_client(flag::ACK, 1, b"broken on its way");
        data.body[25] ^= 1;
        let (_, after) = scene.frame(&data.bytes());
        assert!(!Parsed::of(&after).unwrap().checksums_hold);
    });
}

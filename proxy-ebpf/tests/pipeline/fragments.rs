//! Fragments follow their first.

use proxy_common::drop_reason::DropReason;
use proxy_ebpf::verdict::Verdict;
use proxy_tests::packet::{Packet, flag, fold, protocol, pseudo_sum, sum};
use proxy_tests::parsed::Parsed;

use crate::scene::{BACK, FRONT, Scene, by_nat, everywhere};

/// A datagram of 4000 bytes in fragments.
fn datagram(scene: &Scene, id: u16) -> Vec<Vec<u8>> {
    Packet { id, ..Packet::udp(scene.client(1), scene.udp(), &[7; 4000]) }.fragments(1400)
}

fn sent(scene: &mut Scene, frame: &[u8]) -> Parsed {
    let (verdict, after) = scene.frame(frame);
    assert!(matches!(verdict, Verdict::Transmit | Verdict::Redirect(_)), "{verdict:?}");
    Parsed::of(&after).unwrap()
}

/// Puts fragments together again; whether the UDP checksum of the whole holds.
fn whole(fragments: &[Parsed]) -> bool {
    let first = &fragments[0];
    let mut body = [first.source_port.to_be_bytes(), first.destination_port.to_be_bytes()].concat();
    let length: usize = 8 + fragments.iter().map(|fragment| fragment.payload.len()).sum::<usize>();
    body.extend((length as u16).to_be_bytes());
    let rest: Vec<u8> = fragments.iter().flat_map(|fragment| fragment.payload.clone()).collect();
    let pseudo = pseudo_sum(first.source, first.destination, protocol::UDP, length);
    // What the checksum has to be, against the one that the first fragment brought.
    fold(pseudo + sum(&body) + sum(&rest)) != 0
}

#[test]
fn later_fragments_follow_their_first_to_its_backend() {
    everywhere(|scene| {
        for id in 1..20 {
            let seen: Vec<Parsed> = datagram(scene, id).iter().map(|frame| sent(scene, frame)).collect();
            for fragment in &seen {
                assert_eq!((fragment.to_mac, fragment.source), (seen[0].to_mac, seen[0].source));
                assert_eq!((fragment.destination, fragment.id), (seen[0].destination, u32::from(id)));
                assert!(fragment.checksums_hold);
            }
            assert!(whole(&seen));
            assert_eq!(
                seen.iter().map(|fragment| fragment.fragment_offset).collect::<Vec<_>>(),
                [0, 1400, 2800]
            );
        }
        assert_eq!(scene.noticed("fragment_followed"), 19 * 2);
    });
}

#[test]
fn the_checksum_of_a_fragmented_datagram_holds_when_it_is_whole_again() {
    by_nat(|scene| {
        let fragments = datagram(scene, 9);
        let (_, first) = scene.frame(&fragments[0]);
        let (_, second) = scene.frame(&fragments[1]);
        let (_, third) = scene.frame(&fragments[2]);
        let header = if scene.v4() { 34 } else { 62 };
        let body: Vec<u8> = [&first[header..], &second[header..], &third[header..]].concat();
        let seen = Parsed::of(&first).unwrap();
        let pseudo = pseudo_sum(seen.source, seen.destination, protocol::UDP, body.len());
        assert_eq!(fold(pseudo + sum(&body)), 0xffff);
    });
}

#[test]
fn a_fragment_without_its_first_is_dropped() {
    everywhere(|scene| {
        let frames = datagram(scene, 5);
        assert_eq!(scene.frame(&frames[1]).0, Verdict::Drop(DropReason::FragmentUnknown));
        sent(scene, &frames[0]);
        sent(scene, &frames[2]);
        // Another datagram's, and another client's.
        assert_eq!(scene.frame(&datagram(scene, 6)[1]).0, Verdict::Drop(DropReason::FragmentUnknown));
        let other = Packet {
            id: 5,
            source: scene.layout.client_address(scene.family, 1),
            ..Packet::udp(scene.client(1), scene.udp(), &[7; 4000])
        };
        assert_eq!(scene.frame(&other.fragments(1400)[1]).0, Verdict::Drop(DropReason::FragmentUnknown));
    });
}

#[test]
fn fragmented_answers_come_back() {
    by_nat(|scene| {
        let seen = scene.sent(&Packet::udp(scene.client(1), scene.udp(), b"?"));
        let answer = Packet { id: 3, ..Packet::udp(seen.to(), seen.from(), &[3; 3000]) };
        for frame in answer.fragments(1400) {
            let (verdict, after) = scene.frame_from(BACK, &frame);
            assert_eq!(verdict, Verdict::Redirect(FRONT));
            let fragment = Parsed::of(&after).unwrap();
            assert_eq!((fragment.source, fragment.destination), (scene.udp().ip(), scene.client(1).ip()));
        }
    });
}

#[test]
fn fragmented_segments_follow_their_connection() {
    everywhere(|scene| {
        let connection = scene.open(scene.client(1), 7);
        let segment = Packet { id: 4, ..connection.by_client(flag::ACK, 1, &[8; 2000]) };
        for frame in segment.fragments(1400) {
            assert_eq!(sent(scene, &frame).to_mac, connection.mac);
        }
    });
}

#[test]
fn fragments_that_no_honest_stack_makes_are_dropped() {
    everywhere(|scene| {
        // A TCP header in two pieces (RFC 1858, RFC 3128).
        let segment = Packet { id: 4, ..Packet::syn(scene.client(1), scene.tcp(), 7) };
        let pieces = segment.fragments(8);
        assert_eq!(scene.frame(&pieces[0]).0, Verdict::Drop(DropReason::TcpHeader));
        assert_eq!(scene.frame(&pieces[1]).0, Verdict::Drop(DropReason::FragmentMalformed));
        // Beyond 65,535 bytes: offset 65,528 and sixteen bytes.
        let mut frame = datagram(scene, 3).swap_remove(2);
        let at = if scene.v4() { 20 } else { 56 };
        let offset = if scene.v4() { 0x1fff } else { 0xfff8u16 };
        frame[at..at + 2].copy_from_slice(&offset.to_be_bytes());
        if scene.v4() {
            frame[24..26].fill(0);
            let checksum = !fold(sum(&frame[14..34]));
            frame[24..26].copy_from_slice(&checksum.to_be_bytes());
        }
        assert_eq!(scene.frame(&frame).0, Verdict::Drop(DropReason::FragmentMalformed));
    });
}

#[test]
fn an_ipv6_datagram_with_extensions_behind_its_fragment_header_stays_together() {
    everywhere(|scene| {
        if scene.v4() {
            return;
        }
        // Fragment header, then destination options, then UDP: later fragments name the options as what comes next.
        let udp = Packet::udp(scene.client(1), scene.udp(), &[7; 1000]);
        let options: &[u8] = &[protocol::UDP, 0, 1, 4, 0, 0, 0, 0];
        let body = [options, &udp.body].concat();
        let packet = Packet { id: 8, protocol: protocol::DESTINATION, body, ..udp };
        let frames = packet.fragments(800);
        let first = sent(scene, &frames[0]);
        assert_eq!(sent(scene, &frames[1]).to_mac, first.to_mac);
    });
}

#[test]
fn fragments_to_our_addresses_that_are_not_ours_are_left_to_the_host() {
    everywhere(|scene| {
        // The balancer's own traffic: another port, a large ping.
        let to = std::net::SocketAddr::new(scene.udp().ip(), 9999);
        let datagram = Packet { id: 11, ..Packet::udp(scene.client(1), to, &[7; 3000]) };
        let kind = if scene.v4() { (8, 0) } else { (128, 0) };
        let ping = Packet { id: 12, ..Packet::icmp(scene.client(1).ip(), to.ip(), kind, 1, &[7; 3000]) };
        for frame in datagram.fragments(1400).into_iter().chain(ping.fragments(1400)) {
            assert_eq!(scene.frame(&frame).0, Verdict::Pass);
        }
    });
}

#[test]
fn a_syn_to_a_socket_does_not_come_in_pieces() {
    everywhere(|scene| {
        let at = std::net::SocketAddr::new(scene.layout.client_address(scene.family, 2), 8443);
        scene.host.listen_locally(at);
        let syn = Packet::syn(scene.client(1), at, 7);
        let syn = Packet { id: 3, body: [syn.body.as_slice(), &[0; 12]].concat(), ..syn };
        let pieces = syn.fragments(24);
        assert_eq!(scene.frame(&pieces[0]).0, Verdict::Drop(DropReason::FragmentMalformed));
    });
}

#[test]
fn pieces_of_segments_to_a_socket_are_charged_to_its_limits() {
    everywhere(|scene| {
        let at = std::net::SocketAddr::new(scene.layout.client_address(scene.family, 2), 8443);
        let id = scene.host.listen_locally(at);
        let plan = scene.host.limits.add(&[crate::limits::rule(proxy_common::plan::measure::PACKETS, 4)]);
        scene.host.plan(id, plan);
        let segment = |id| Packet { id, ..Packet::tcp(scene.client(1), at, flag::ACK, 1, 1, &[8; 2000]) };
        let frames: Vec<_> = (1..4).flat_map(|id| segment(id).fragments(1400)).collect();
        assert_eq!(frames.len(), 6);
        for (number, frame) in frames.iter().enumerate() {
            let expected = if number < 4 { Verdict::Pass } else { Verdict::Drop(DropReason::Limit) };
            assert_eq!(scene.frame(frame).0, expected, "{number}");
        }
        // Other ports of the address are the host's, in pieces or not.
        let to = std::net::SocketAddr::new(at.ip(), 22);
        let other = Packet { id: 9, ..Packet::tcp(scene.client(1), to, flag::ACK, 1, 1, &[8; 2000]) };
        let datagram = Packet { id: 10, ..Packet::udp(scene.client(1), to, &[8; 2000]) };
        for frame in other.fragments(1400).iter().chain(datagram.fragments(1400).iter().rev()) {
            assert_eq!(scene.frame(frame).0, Verdict::Pass);
        }
    });
}

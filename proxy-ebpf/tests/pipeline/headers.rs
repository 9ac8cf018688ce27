//! IPv4 options and IPv6 extension headers: stepped over, and left as they are.

use proxy_common::drop_reason::DropReason;
use proxy_ebpf::verdict::Verdict;
use proxy_tests::packet::{Packet, protocol};

use crate::scene::{Family, Layout, Scene, everywhere};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const AUTHENTICATION: u8 = 51;

/// An extension header of eight bytes, or of eight more for each `units`; zeroes are padding options.
fn extension(kind: u8, units: u8) -> (u8, Vec<u8>) {
    let mut bytes = vec![0; 7 + 8 * usize::from(units)];
    bytes[0] = units;
    (kind, bytes)
}

fn in_ipv6(fact: impl Fn(&mut Scene)) {
    [Layout::Routed, Layout::Flat].into_iter().for_each(|layout| fact(&mut Scene::new(layout, Family::V6)));
}

#[test]
fn ipv4_options_of_every_length_are_stepped_over_and_kept() {
    for layout in [Layout::Routed, Layout::Flat] {
        let mut scene = Scene::new(layout, Family::V4);
        for words in 0..=10u8 {
            let options: Vec<u8> = (0..words * 4).map(|_| 1).collect();
            let packet =
                Packet { options: options.clone(), ..Packet::udp(scene.client(1), scene.udp(), b"odd") };
            let (verdict, after) = scene.frame(&packet.bytes());
            assert!(matches!(verdict, Verdict::Transmit | Verdict::Redirect(_)), "{words}: {verdict:?}");
            assert_eq!(after[34..34 + options.len()], options);
            assert_eq!(scene.sent(&packet).payload, b"odd");
        }
    }
}

#[test]
fn a_wrong_checksum_over_options_is_seen() {
    let mut scene = Scene::new(Layout::Routed, Family::V4);
    let packet = Packet { options: vec![1; 40], ..Packet::udp(scene.client(1), scene.udp(), b"") };
    for at in 34..74 {
        let mut frame = packet.bytes();
        frame[at] ^= 0x10;
        assert_eq!(scene.frame(&frame).0, Verdict::Drop(DropReason::Ipv4Checksum));
    }
}

#[test]
fn chains_of_extension_headers_are_stepped_over_and_kept() {
    in_ipv6(|scene| {
        let chains = [
            vec![extension(HOP_BY_HOP, 0)],
            vec![extension(HOP_BY_HOP, 2), extension(ROUTING, 1), extension(protocol::DESTINATION, 5)],
            (0..8).map(|_| extension(protocol::DESTINATION, 0)).collect(),
            // An atomic fragment (RFC 6946) is a whole packet.
            vec![(protocol::FRAGMENT, vec![0, 0, 0, 0, 0, 0, 9]), extension(protocol::DESTINATION, 0)],
        ];
        for extensions in chains {
            let kept: Vec<u8> = extensions.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
            let packet = Packet { extensions, ..Packet::udp(scene.client(1), scene.udp(), b"odd") };
            assert_eq!(scene.sent(&packet).payload, b"odd");
            let (_, after) = scene.frame(&packet.bytes());
            assert_eq!(after.len(), 14 + 40 + kept.len() + packet.extensions.len() + 8 + 3);
            assert_eq!(
                after[54..],
                [&packet.bytes()[54..after.len() - 11], &after[after.len() - 11..]].concat()
            );
        }
    });
}

#[test]
fn an_authentication_header_counts_in_words_of_its_own() {
    in_ipv6(|scene| {
        // 24 bytes: its length field says 4 (RFC 4302 §2.2).
        let mut bytes = vec![0; 23];
        bytes[0] = 4;
        let packet = Packet::udp(scene.client(1), scene.udp(), b"");
        let packet = Packet { extensions: vec![(AUTHENTICATION, bytes)], ..packet };
        let verdict = scene.verdict(&packet);
        assert!(matches!(verdict, Verdict::Transmit | Verdict::Redirect(_)), "{verdict:?}");
    });
}

#[test]
fn extension_headers_out_of_place_or_out_of_number_are_dropped() {
    in_ipv6(|scene| {
        let syn = Packet::syn(scene.client(1), scene.tcp(), 1);
        let late = vec![extension(protocol::DESTINATION, 0), extension(HOP_BY_HOP, 0)];
        scene.is_dropped(&Packet { extensions: late, ..syn.clone() }, DropReason::Ipv6Extensions);
        let many = (0..9).map(|_| extension(protocol::DESTINATION, 0)).collect();
        scene.is_dropped(&Packet { extensions: many, ..syn.clone() }, DropReason::Ipv6Extensions);
        // A length beyond the packet.
        let mut beyond = extension(protocol::DESTINATION, 0);
        beyond.1[0] = 100;
        scene.is_dropped(&Packet { extensions: vec![beyond], ..syn }, DropReason::Ipv6Extensions);
    });
}

#[test]
fn protocols_that_are_not_balanced_are_left_to_the_host() {
    everywhere(|scene| {
        for number in [4, 41, 47, 50, 89, 112, 132, 59, 255] {
            let packet = Packet { protocol: number, ..Packet::syn(scene.client(1), scene.tcp(), 1) };
            assert_eq!(scene.verdict(&packet), Verdict::Pass, "{number}");
        }
        // The other family's ICMP is a protocol like any other.
        let other = if scene.v4() { protocol::ICMPV6 } else { protocol::ICMP };
        let packet = Packet { protocol: other, ..Packet::syn(scene.client(1), scene.tcp(), 1) };
        assert_eq!(scene.verdict(&packet), Verdict::Pass);
    });
}

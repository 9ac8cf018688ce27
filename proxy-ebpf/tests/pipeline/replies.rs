//! Packets turned into answers to their senders: resets, and segments with options.

use std::ops::ControlFlow::{Break, Continue};

use proxy_common::addr::{Address, Ip4, Ip6};
use proxy_common::drop_reason::DropReason;
use proxy_common::settings::Settings;
use proxy_ebpf::host::Host;
use proxy_ebpf::parsed::{Internet, Link, Segment, tcp};
use proxy_ebpf::stage::{parse, reply};
use proxy_ebpf::verdict::{Outcome, Verdict};
use proxy_ebpf::work::Work;
use proxy_tests::packet::{Packet, flag};
use proxy_tests::parsed::Parsed;

use crate::scene::{FRONT, Scene, by_nat};

const REASON: DropReason = DropReason::NoBackend;

fn turned<A: Address>(
    host: &mut Host,
    link: Link,
    internet: fn(&Host, Link, &mut Internet<A>) -> Outcome,
    answer: Option<Segment>,
) -> Outcome<Verdict> {
    let mut work = Work::<A>::default();
    internet(host, link, &mut work.ip)?;
    parse::ports(host, &mut work.ip)?;
    work.transport = parse::tcp(host, &work.ip)?;
    match answer {
        Some(answer) => {
            work.answer = answer;
            reply::answer(host, &work, REASON)
        }
        None => reply::reset(host, &mut work, REASON),
    }
}

/// What a frame is answered with: a reset, or this segment.
fn answered(scene: &mut Scene, frame: &[u8], answer: Option<Segment>) -> (Verdict, Vec<u8>) {
    let v4 = scene.v4();
    let (verdict, after) = scene.host.run_by(FRONT, frame, |host| {
        let Continue((link, ..)) = parse::link(host) else { panic!("no frame") };
        let outcome = if v4 {
            turned::<Ip4>(host, link, parse::ipv4, answer)
        } else {
            turned::<Ip6>(host, link, parse::ipv6, answer)
        };
        match outcome {
            Continue(verdict) | Break(verdict) => verdict,
        }
    });
    (verdict, after.to_vec())
}

/// An answer goes back by the way that the packet came, and is nothing but headers.
fn is_answer(asked: &Packet, frame: &[u8]) -> Parsed {
    let (asked, answer) = (Parsed::of(&asked.bytes()).unwrap(), Parsed::of(frame).unwrap());
    assert!(answer.checksums_hold, "{answer:?}");
    assert_eq!((answer.from(), answer.to()), (asked.to(), asked.from()));
    assert_eq!((answer.from_mac, answer.to_mac), (asked.to_mac, asked.from_mac));
    assert_eq!((&answer.vlans, answer.ttl), (&asked.vlans, 64));
    answer
}

fn reset(scene: &mut Scene, asked: &Packet) -> Parsed {
    let (verdict, frame) = answered(scene, &asked.bytes(), None);
    assert_eq!(verdict, Verdict::Transmit);
    let answer = is_answer(asked, &frame);
    assert!(answer.payload.is_empty());
    answer
}

#[test]
fn a_reset_says_what_its_sender_must_believe() {
    by_nat(|scene| {
        let (client, service) = (scene.client(1), scene.tcp());
        let rst = flag::RST;
        for (flags, data, expected) in [
            (flag::SYN, &b""[..], (rst | flag::ACK, 0, 101)),
            (flag::SYN, b"early", (rst | flag::ACK, 0, 106)),
            (flag::FIN, b"", (rst | flag::ACK, 0, 101)),
            (0, b"data", (rst | flag::ACK, 0, 104)),
            (flag::ACK, b"", (rst, 7000, 0)),
            (flag::ACK, b"data", (rst, 7000, 0)),
            (flag::ACK | flag::FIN, b"data", (rst, 7000, 0)),
            (flag::SYN | flag::ACK, b"", (rst, 7000, 0)),
        ] {
            let answer = reset(scene, &Packet::tcp(client, service, flags, 100, 7000, data));
            assert_eq!((answer.flags, answer.sequence, answer.ack), expected);
        }
    });
}

#[test]
fn an_answer_keeps_the_vlan_and_leaves_options_and_extension_headers_behind() {
    by_nat(|scene| {
        let syn = Packet::syn(scene.client(1), scene.tcp(), 100);
        for vlans in [&[][..], &[7], &[7, 8]] {
            let tagged = vlans.iter().fold(syn.clone(), |packet, vlan| packet.vlan(*vlan));
            let length = 14 + vlans.len() * 4 + if scene.v4() { 40 } else { 60 };
            for packet in [
                tagged.clone(),
                Packet { options: vec![1; 40], ..tagged.clone() },
                Packet { extensions: vec![(60, vec![0; 7])], ..tagged.clone() },
            ] {
                if packet.options.is_empty() || scene.v4() {
                    let (_, frame) = answered(scene, &packet.bytes(), None);
                    is_answer(&packet, &frame);
                    assert_eq!(frame.len(), length);
                }
            }
        }
    });
}

#[test]
fn an_answer_is_redirected_where_nothing_can_be_transmitted() {
    by_nat(|scene| {
        scene.host.settings.flags |= Settings::REDIRECT;
        let syn = Packet::syn(scene.client(1), scene.tcp(), 100);
        assert_eq!(answered(scene, &syn.bytes(), None).0, Verdict::Redirect(FRONT));
    });
}

#[test]
fn resets_and_fragments_are_not_answered() {
    by_nat(|scene| {
        let (client, service) = (scene.client(1), scene.tcp());
        let rst = Packet::tcp(client, service, flag::RST, 1, 0, b"");
        assert_eq!(answered(scene, &rst.bytes(), None).0, Verdict::Drop(REASON));
        let first = Packet::tcp(client, service, flag::ACK, 1, 1, &[1; 900]).fragments(600);
        assert_eq!(answered(scene, &first[0], None).0, Verdict::Drop(REASON));
    });
}

#[test]
fn an_answer_with_options_is_longer_than_what_it_answers_if_need_be() {
    by_nat(|scene| {
        let segment = Segment {
            sequence: 9,
            acknowledgment: 101,
            flags: tcp::SYN | tcp::ACK,
            window: 64_000,
            options: [0x0204_05b4u32, 0x0101_0402, 0x0303_0701, 0x0101_0101, 0x0101_0101].map(u32::to_be),
            option_words: 0,
        };
        for words in 0..=5 {
            for data in [&b""[..], b"1", b"some more bytes than these options"] {
                let asked = Packet::tcp(scene.client(1), scene.tcp(), flag::SYN, 100, 0, data).vlan(5);
                let wanted = Segment { option_words: words, ..segment };
                let (verdict, frame) = answered(scene, &asked.bytes(), Some(wanted));
                assert_eq!(verdict, Verdict::Transmit);
                let answer = is_answer(&asked, &frame);
                assert_eq!((answer.flags, answer.sequence, answer.ack), (0x12, 9, 101));
                let tcp = frame.len() - 20 - words as usize * 4;
                let options: Vec<u8> =
                    segment.options[..words as usize].iter().flat_map(|w| w.to_ne_bytes()).collect();
                assert_eq!(frame[tcp + 20..], options);
                assert_eq!(frame[tcp + 12] >> 4, 5 + words as u8);
            }
        }
    });
}

#[test]
fn a_frame_that_cannot_grow_is_dropped() {
    by_nat(|scene| {
        scene.host.headroom = 3;
        let asked = Packet::syn(scene.client(1), scene.tcp(), 100);
        let wanted = Segment { option_words: 1, ..Segment::default() };
        assert_eq!(answered(scene, &asked.bytes(), Some(wanted)).0, Verdict::Drop(REASON));
    });
}

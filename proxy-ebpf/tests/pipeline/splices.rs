//! Segments of spliced connections, translated.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::ControlFlow::{Break, Continue};

use proptest::collection::vec;
use proptest::prelude::*;
use proxy_common::addr::{Address, Ip4, Ip6};
use proxy_common::drop_reason::DropReason;
use proxy_common::splice::{Shift, Side, Splice, clock, scaled, state};
use proxy_ebpf::host::{Host, Sizes};
use proxy_ebpf::parsed::{Internet, Link};
use proxy_ebpf::stage::{parse, splice};
use proxy_ebpf::verdict::{Outcome, Verdict};
use proxy_ebpf::work::Translated;
use proxy_tests::packet::{Packet, flag};
use proxy_tests::parsed::Parsed;

use crate::scene::FRONT;

const FROM: [&str; 2] = ["192.0.2.1:7000", "[2001:db8::1]:7000"];
const TO: [&str; 2] = ["192.0.2.2:443", "[2001:db8::2]:443"];
const SEQUENCE: u32 = 0xffff_fff0;
const ACKNOWLEDGMENT: u32 = 1_000_000;

thread_local! {
    /// A frame's memory: its tables are empty, and making them takes long.
    static HOST: RefCell<Host> = RefCell::new(Host::sized(&[], HashMap::new(), Sizes { flows: 1, young: 1 }));
}

/// A connection's number.
fn spliced(plain: Splice) -> u32 {
    HOST.with_borrow_mut(|host| host.spliced.add(plain))
}

/// Both directions of a connection: what the client's sequence numbers grow by, and the backend's.
fn plain(client: u32, backend: u32, window: i8) -> Splice {
    let flags = Shift::SACK;
    Splice {
        state: state::LIVE,
        shifts: [
            Shift { sequence: client, acknowledgment: backend.wrapping_neg(), window, flags, pad: 0 },
            Shift {
                sequence: backend,
                acknowledgment: client.wrapping_neg(),
                window: -window,
                flags,
                pad: 0,
            },
        ],
        clocks: [clock::RUNS | 500, clock::RUNS | 70_000],
        ..Splice::default()
    }
}

/// The one that takes back what another does to the client's segments: their changed ones are what it is asked for.
fn inverse(plain: &Splice) -> Splice {
    let mut back = *plain;
    for shift in &mut back.shifts {
        shift.sequence = shift.sequence.wrapping_neg();
        shift.acknowledgment = shift.acknowledgment.wrapping_neg();
        shift.window = -shift.window;
    }
    back.clocks = back.clocks.map(|word| word & clock::KIND | u64::from((word as u32).wrapping_neg()));
    back
}

/// A segment with these options, padded to whole words.
fn segment(v6: usize, flags: u8, options: &[u8], payload: &[u8]) -> Packet {
    let (from, to) = (FROM[v6].parse().unwrap(), TO[v6].parse().unwrap());
    let mut packet = Packet::tcp(from, to, flags, SEQUENCE, ACKNOWLEDGMENT, payload);
    let mut padded = options.to_vec();
    padded.resize(options.len().next_multiple_of(4), 0);
    packet.body[12] = (5 + padded.len() as u8 / 4) << 4;
    packet.body.splice(20..20, padded);
    packet.with_checksum(16)
}

fn through<A: Address>(
    host: &mut Host,
    link: Link,
    internet: fn(&Host, Link, &mut Internet<A>) -> Outcome,
    number: u32,
    side: Side,
) -> Outcome<Verdict> {
    let mut ip = Internet::<A>::default();
    internet(host, link, &mut ip)?;
    parse::ports(host, &mut ip)?;
    let transport = parse::tcp(host, &ip)?;
    let mut to = Translated::default();
    let done = splice::translate(host, &ip, &transport, (number, side), &mut to)
        .and_then(|()| splice::write(host, &to))
        .and_then(|()| if to.unmark { splice::unmark(host, &ip) } else { Some(()) });
    Continue(if done.is_some() { Verdict::Transmit } else { Verdict::Drop(DropReason::Rewrite) })
}

/// The segment as it is when it was translated; `None`: it could not be.
fn translated(number: u32, side: Side, frame: &[u8]) -> Option<Vec<u8>> {
    let v6 = frame[12] == 0x86;
    HOST.with_borrow_mut(|host| {
        let (verdict, after) = host.run_by(FRONT, frame, |host| {
            let Continue((link, ..)) = parse::link(host) else { panic!("no frame") };
            let outcome = if v6 {
                through::<Ip6>(host, link, parse::ipv6, number, side)
            } else {
                through::<Ip4>(host, link, parse::ipv4, number, side)
            };
            match outcome {
                Continue(verdict) | Break(verdict) => verdict,
            }
        });
        (verdict == Verdict::Transmit).then(|| after.to_vec())
    })
}

/// The options of a frame, and its window.
fn options(frame: &[u8]) -> (Vec<u8>, u16) {
    let l4 = if frame[12] == 0x86 { 54 } else { 34 };
    let end = l4 + usize::from(frame[l4 + 12] >> 4) * 4;
    (frame[l4 + 20..end].to_vec(), u16::from_be_bytes([frame[l4 + 14], frame[l4 + 15]]))
}

fn clocks(value: u32, echo: u32) -> Vec<u8> {
    let mut option = vec![8, 10];
    option.extend(value.to_be_bytes());
    option.extend(echo.to_be_bytes());
    option
}

fn edges(edges: &[u32]) -> Vec<u8> {
    let mut option = vec![5, 2 + 4 * edges.len() as u8];
    option.extend(edges.iter().flat_map(|edge| edge.to_be_bytes()));
    option
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn marks_of_congestion_go_no_further_than_they_are_understood() {
    for v6 in [0, 1] {
        for (flags, left) in [(Shift::SACK, 2), (Shift::SACK | Shift::NOT_ECN, 0)] {
            let mut splice = plain(5, 6, 0);
            splice.shifts[0].flags = flags;
            let mut packet = segment(v6, flag::ACK, &[], b"x");
            packet.tos = 0xba;
            let frame = packet.bytes();
            let after = translated(spliced(splice), Side::Client, &frame).unwrap();
            let seen = Parsed::of(&after).unwrap();
            assert!(seen.checksums_hold, "{seen:?}");
            let tos = if v6 == 0 { after[15] } else { after[14] << 4 | after[15] >> 4 };
            assert_eq!(tos, 0xb8 | left);
        }
    }
}

#[test]
fn numbers_window_and_options_are_translated() {
    let table: [(&str, Vec<u8>, Vec<u8>); 8] = [
        ("nothing", vec![], vec![]),
        (
            "timestamps alone",
            joined(&[&[1, 1], &clocks(1000, 80_000)]),
            joined(&[&[1, 1], &clocks(1500, 10_000)]),
        ),
        ("no echo", joined(&[&[1, 1], &clocks(1000, 0)]), joined(&[&[1, 1], &clocks(1500, 0)])),
        (
            "timestamps without padding, and an end",
            joined(&[&clocks(1000, 80_000), &[0, 7]]),
            joined(&[&clocks(1500, 10_000), &[0, 7]]),
        ),
        (
            "selective acknowledgments at odd places",
            joined(&[&[1], &edges(&[2_000_000, 2_000_100]), &[1]]),
            joined(&[&[1], &edges(&[1_999_000, 1_999_100]), &[1]]),
        ),
        (
            "both, as Linux writes them",
            joined(&[&[1, 1], &clocks(1, 70_001), &[1, 1], &edges(&[9000, 9100, 5, 6, 7000, 7001])]),
            joined(&[
                &[1, 1],
                &clocks(501, 1),
                &[1, 1],
                &edges(&[8000, 8100, 5u32.wrapping_sub(1000), 6u32.wrapping_sub(1000), 6000, 6001]),
            ]),
        ),
        ("one that nobody agreed on", vec![253, 6, 1, 2, 3, 4, 1, 1], vec![1; 8]),
        ("a length beyond the end", vec![8, 11, 1, 2], vec![8, 11, 1, 2]),
    ];
    let splice = spliced(plain(100, 1000, 2));
    for (name, before, after) in table {
        for v6 in [0, 1] {
            let sent = segment(v6, flag::ACK | flag::PSH, &before, b"some bytes");
            let got = translated(splice, Side::Client, &sent.bytes()).unwrap();
            let parsed = Parsed::of(&got).unwrap();
            assert!(parsed.checksums_hold, "{name}: {parsed:?}");
            assert_eq!(parsed.sequence, SEQUENCE.wrapping_add(100), "{name}");
            assert_eq!(parsed.ack, ACKNOWLEDGMENT - 1000, "{name}");
            assert_eq!(parsed.payload, b"some bytes", "{name}");
            let (mut wanted, window) = (after.clone(), 0x2000 << 2);
            wanted.resize(after.len().next_multiple_of(4), 0);
            assert_eq!(options(&got), (wanted, window), "{name}");
        }
    }
}

#[test]
fn without_selective_acknowledgments_the_receiver_sees_padding() {
    let mut plain = plain(100, 1000, 0);
    plain.shifts[0].flags = 0;
    let sent = segment(0, flag::ACK, &joined(&[&[1, 1], &edges(&[1, 2])]), b"");
    let got = translated(spliced(plain), Side::Client, &sent.bytes()).unwrap();
    assert_eq!(options(&got).0, [1; 12]);
    assert!(Parsed::of(&got).unwrap().checksums_hold);
}

#[test]
fn an_echo_of_what_the_other_side_never_wrote_says_nothing() {
    let mut plain = plain(0, 0, 0);
    plain.clocks = [clock::WAITS | 7_000_000, clock::WAITS | 9_000_000];
    plain.firsts = [7_000_000, 9_000_000];
    let splice = spliced(plain);
    let side = |side, value, echo| {
        let sent = segment(0, flag::ACK, &joined(&[&[1, 1], &clocks(value, echo)]), b"");
        options(&translated(splice, side, &sent.bytes()).unwrap()).0[2..].to_vec()
    };
    assert_eq!(side(Side::Client, 50, 8_999_000), clocks(7_000_000, 0));
    assert_eq!(side(Side::Backend, 333, 7_000_000), clocks(9_000_000, 50), "the client's was seen by then");
    assert_eq!(side(Side::Client, 60, 9_000_000), clocks(7_000_010, 333));
    assert_eq!(side(Side::Client, 61, 8_737_000), clocks(7_000_011, 0), "sent before, and late");
}

#[test]
fn a_reset_without_acknowledgment_and_a_syn_keep_what_is_not_scaled() {
    let splice = spliced(plain(100, 1000, 2));
    let got = translated(splice, Side::Client, &segment(0, flag::RST, &[], b"").bytes()).unwrap();
    assert_eq!(Parsed::of(&got).unwrap().ack, ACKNOWLEDGMENT);
    let got =
        translated(splice, Side::Client, &segment(0, flag::SYN, &[2, 4, 5, 0xb4], b"").bytes()).unwrap();
    let seen = Parsed::of(&got).unwrap();
    assert!(seen.flags == flag::ACK && seen.checksums_hold, "a SYN comes to nobody who listens: {seen:?}");
    assert_eq!(options(&got), (vec![2, 4, 5, 0xb4], 0x2000));
}

/// Options as they may come: known ones in any order, rubbish, padding.
fn any_options() -> impl Strategy<Value = Vec<u8>> {
    let option = prop_oneof![
        Just(vec![1]),
        (any::<u32>(), 1..u32::MAX).prop_map(|(value, echo)| clocks(value, echo)),
        vec(any::<u32>(), 1..=4).prop_map(|pairs| {
            edges(&pairs.iter().flat_map(|edge| [*edge, edge.wrapping_add(9)]).collect::<Vec<_>>())
        }),
        Just(vec![2, 4, 5, 6]),
    ];
    vec(option, 0..8).prop_map(|options| {
        let mut all = Vec::new();
        for option in options {
            if all.len() + option.len() <= splice::OPTIONS {
                all.extend(option);
            }
        }
        all
    })
}

fn any_splice() -> impl Strategy<Value = Splice> {
    (any::<u32>(), any::<u32>(), -14i8..=14, any::<u32>(), any::<u32>()).prop_map(
        |(client, backend, window, here, there)| Splice {
            clocks: [clock::RUNS | u64::from(here), clock::RUNS | u64::from(there)],
            ..plain(client, backend, window)
        },
    )
}

/// Of 0 nothing is known that could be given back, and an echo may become 0.
fn tells_nothing(splice: &Splice, options: &[u8]) -> bool {
    let gone = splice.clocks[1] as u32;
    options.windows(4).any(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]) == gone)
}

proptest! {
    #[test]
    fn there_and_back_is_where_it_was(plain in any_splice(), before in any_options(), v6 in 0..2usize, flags in 0..32u8) {
        prop_assume!(!tells_nothing(&plain, &before));
        // What begins anew does not come through as it is.
        let flags = flags & !flag::SYN;
        let sent = segment(v6, flags, &before, b"payload").bytes();
        let there = translated(spliced(plain), Side::Client, &sent).unwrap();
        let held = Parsed::of(&there).unwrap();
        prop_assert!(held.checksums_hold);
        prop_assert_eq!(held.sequence, SEQUENCE.wrapping_add(plain.shifts[0].sequence));
        let mut back = translated(spliced(inverse(&plain)), Side::Client, &there).unwrap();
        let (_, window) = options(&sent);
        let shift = plain.shifts[0].window;
        let through = scaled(scaled(window, shift), -shift);
        prop_assert!(through <= window);
        prop_assert_eq!(options(&back).1, through);
        // What a window loses by rounding is all that may differ, and the checksum with it.
        let l4 = if v6 == 1 { 54 } else { 34 };
        for at in [l4 + 14, l4 + 15, l4 + 16, l4 + 17] {
            if through != window {
                back[at] = sent[at];
            }
        }
        prop_assert_eq!(back, sent);
    }

    #[test]
    fn a_wrong_checksum_stays_wrong(plain in any_splice(), options in any_options(), wrong in 1..0xffffu16) {
        let mut packet = segment(0, flag::ACK, &options, b"payload");
        let sum = u16::from_be_bytes([packet.body[16], packet.body[17]]);
        packet.body[16..18].copy_from_slice(&sum.wrapping_add(wrong).to_be_bytes());
        let sent = packet.bytes();
        prop_assume!(!Parsed::of(&sent).unwrap().checksums_hold);
        let got = translated(spliced(plain), Side::Client, &sent).unwrap();
        prop_assert!(!Parsed::of(&got).unwrap().checksums_hold);
    }

    #[test]
    fn whatever_the_options_are_it_ends_and_sums_up(bytes in vec(any::<u8>(), 0..=40), plain in any_splice()) {
        let sent = segment(0, flag::ACK, &bytes, b"x").bytes();
        let got = translated(spliced(plain), Side::Client, &sent).unwrap();
        prop_assert!(Parsed::of(&got).unwrap().checksums_hold);
        prop_assert_eq!(got.len(), sent.len());
    }
}

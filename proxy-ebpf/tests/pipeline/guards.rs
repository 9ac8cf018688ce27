//! Floods: who is asked for a proof, who gets a cookie, and who notices nothing.

use std::net::SocketAddr;

use proxy_common::drop_reason::DropReason;
use proxy_common::guard::{GRACE, GuardRule, LASTS};
use proxy_ebpf::verdict::Verdict;
use proxy_tests::packet::{Packet, flag, protocol};
use proxy_tests::parsed::Parsed;

use crate::scene::{FRONT, SYN_ACK, Scene, by_dsr, by_nat, everywhere};

/// Reasons to drop that have their packets here: it takes more than one packet to come to them.
pub(crate) const REASONS: [DropReason; 5] = [
    DropReason::CookieInvalid,
    DropReason::CookieUnused,
    DropReason::SynProof,
    DropReason::Amplification,
    DropReason::IcmpLimit,
];

const THRESHOLD: u32 = 100;
/// Ticks of a second.
const SECOND: u32 = 250;

fn guarded(scene: &mut Scene, listener: u16) {
    scene.host.guards().rules[usize::from(listener)] =
        GuardRule { threshold: THRESHOLD, ..GuardRule::default() };
}

/// A SYN of a source that nobody knows; each number is another.
fn stranger(scene: &Scene, to: SocketAddr, number: u32) -> Packet {
    let from: SocketAddr = if scene.v4() {
        format!("203.0.{}.{}:1000", number >> 8 & 0xff, number & 0xff).parse().unwrap()
    } else {
        format!("[2001:db8:77:{number:x}::1]:1000").parse().unwrap()
    };
    Packet::syn(from, to, number)
}

/// More SYNs than the threshold.
fn flood(scene: &mut Scene, to: SocketAddr) {
    for number in 0..=2 * THRESHOLD {
        scene.verdict(&stranger(scene, to, number));
    }
}

/// What a packet is answered with.
fn answer(scene: &mut Scene, packet: &Packet) -> Parsed {
    let (verdict, frame) = scene.frame(&packet.bytes());
    assert_eq!(verdict, Verdict::Transmit);
    let answer = Parsed::of(&frame).unwrap();
    assert!(answer.checksums_hold, "{answer:?}");
    assert_eq!(
        (answer.from().port(), answer.destination),
        (Parsed::of(&packet.bytes()).unwrap().to().port(), packet.source)
    );
    answer
}

fn is_sent(scene: &mut Scene, packet: &Packet) -> bool {
    let before = scene.noticed("proof_asked");
    let verdict = scene.verdict(packet);
    scene.noticed("proof_asked") == before && matches!(verdict, Verdict::Transmit | Verdict::Redirect(_))
}

fn proof(from: SocketAddr, to: SocketAddr, asked: &Parsed) -> Packet {
    Packet::tcp(from, to, flag::RST, asked.ack, 0, b"")
}

#[test]
fn below_the_threshold_syns_pass() {
    everywhere(|scene| {
        guarded(scene, 0);
        let to = scene.tcp();
        for number in 0..THRESHOLD {
            assert!(is_sent(scene, &stranger(scene, to, number)));
        }
        assert_eq!(scene.noticed("guard_on"), 0);
    });
}

#[test]
fn above_it_a_client_shows_that_it_is_there_and_its_next_syn_passes() {
    everywhere(|scene| {
        guarded(scene, 0);
        let (client, to) = (scene.client(4000), scene.tcp());
        flood(scene, to);
        assert_eq!(scene.noticed("guard_on"), 1);
        let syn = Packet::syn(client, to, 7);
        let asked = answer(scene, &syn);
        assert_eq!(asked.flags, SYN_ACK);
        assert_ne!(asked.ack, 8, "it must be wrong, or nobody resets it");
        // A reset with another number proves nothing.
        let wrong = Parsed { ack: asked.ack ^ 1, ..asked.clone() };
        scene.verdict(&proof(client, to, &wrong));
        answer(scene, &syn);
        scene.is_dropped(&proof(client, to, &asked), DropReason::SynProof);
        assert!(is_sent(scene, &syn), "with its own options");
        assert!(is_sent(scene, &Packet::syn(scene.client(4001), to, 9)), "it is known now");
    });
}

#[test]
fn who_begins_a_known_connection_anew_shows_that_it_is_there_as_others_do() {
    everywhere(|scene| {
        guarded(scene, 0);
        let (client, to) = (scene.client(4000), scene.tcp());
        let connection = scene.open(client, 1);
        // What it proved by that is forgotten.
        scene.host.now += 601 * SECOND;
        flood(scene, to);
        let syn = Packet::syn(client, to, 70_000);
        let asked = answer(scene, &syn);
        let wrong = Parsed { ack: asked.ack ^ 1, ..asked.clone() };
        assert!(is_sent(scene, &proof(client, to, &wrong)), "the flow's, for all we know");
        answer(scene, &syn);
        scene.is_dropped(&proof(client, to, &asked), DropReason::SynProof);
        assert!(is_sent(scene, &syn));
        assert!(is_sent(scene, &connection.by_client(flag::ACK, 1, b"more")), "the flow is still there");
    });
}

#[test]
fn the_flood_makes_no_young_flow_while_the_guard_is_on() {
    by_nat(|scene| {
        guarded(scene, 0);
        let to = scene.tcp();
        flood(scene, to);
        let before =
            scene.host.traffic(0).packets + scene.host.traffic(1).packets + scene.host.traffic(2).packets;
        flood(scene, to);
        let after =
            scene.host.traffic(0).packets + scene.host.traffic(1).packets + scene.host.traffic(2).packets;
        assert_eq!(before, after, "nothing reaches a backend");
    });
}

/// A segment of no connection, of a source that nobody knows.
fn stray(scene: &Scene, number: u32, flags: u8) -> Packet {
    let to = scene.tcp();
    let from = stranger(scene, to, number);
    Packet::tcp(Parsed::of(&from.bytes()).unwrap().from(), to, flags, number, 1, b"")
}

#[test]
fn segments_of_no_connection_are_counted_as_syns_are_and_take_no_port_while_the_guard_is_on() {
    by_nat(|scene| {
        guarded(scene, 0);
        let to = scene.tcp();
        let live = scene.open(scene.client(4000), 1);
        let begun = scene.noticed("flow_unknown");
        for number in 0..2 * THRESHOLD {
            let kinds = [flag::ACK, flag::FIN, SYN_ACK, flag::ACK | flag::FIN, 0];
            scene.verdict(&stray(scene, number, kinds[number as usize % kinds.len()]));
        }
        assert_eq!(scene.noticed("guard_on"), 1);
        assert!(scene.noticed("flow_unknown") - begun <= u64::from(THRESHOLD));
        scene.is_dropped(&stray(scene, 9000, flag::ACK), DropReason::FlowUnknown);
        assert!(is_sent(scene, &live.by_client(flag::ACK, 1, b"more")));
        let known = Packet::tcp(scene.client(4001), to, flag::ACK, 1, 1, b"its flow was lost");
        assert!(is_sent(scene, &known), "its client is known to be there");
        scene.host.now += LASTS * SECOND + 1;
        assert!(is_sent(scene, &stray(scene, 9001, flag::ACK)));
    });
}

#[test]
fn with_dsr_connections_that_another_balancer_knew_go_on_by_the_ring_however_many_they_are() {
    by_dsr(|scene| {
        guarded(scene, 0);
        let to = scene.tcp();
        let kinds = [flag::ACK, flag::RST, flag::RST | flag::ACK, flag::FIN | flag::ACK];
        for number in 0..4 * THRESHOLD {
            assert!(is_sent(scene, &stray(scene, number, kinds[number as usize % kinds.len()])));
        }
        assert_eq!(scene.noticed("guard_on"), 0);
        flood(scene, to);
        assert!(!is_sent(scene, &stranger(scene, to, 9000)));
        for number in 5000..5000 + 2 * THRESHOLD {
            assert!(is_sent(scene, &stray(scene, number, kinds[number as usize % kinds.len()])));
        }
    });
}

#[test]
fn who_was_asked_and_was_there_has_proved_it_for_its_flows_of_dsr_and_datagrams_too() {
    everywhere(|scene| {
        guarded(scene, 0);
        scene.host.room.store(0);
        let (client, to) = (scene.client(4000), scene.tcp());
        let twice = |scene: &mut Scene| {
            let question = Packet::udp(client, scene.udp(), b"?");
            let seen = scene.sent(&question);
            if scene.is_nat() {
                scene.answered(&Packet::udp(seen.to(), seen.from(), b"!"));
            }
            scene.sent(&question);
        };
        twice(scene);
        assert_eq!(scene.host.flows(), 0);
        flood(scene, to);
        let asked = answer(scene, &Packet::syn(client, to, 7));
        scene.is_dropped(&proof(client, to, &asked), DropReason::SynProof);
        twice(scene);
        scene.open(client, 7);
        assert_eq!(scene.host.flows(), if scene.is_nat() { 4 } else { 2 });
    });
}

#[test]
fn who_had_a_connection_before_the_flood_notices_nothing() {
    by_nat(|scene| {
        guarded(scene, 0);
        let to = scene.tcp();
        let connection = scene.open(scene.client(4000), 1);
        flood(scene, to);
        assert!(is_sent(scene, &connection.by_client(flag::ACK, 1, b"more")));
        assert!(is_sent(scene, &Packet::syn(scene.client(4001), to, 9)));
        scene.host.now += 601 * SECOND;
        flood(scene, to);
        assert!(
            !is_sent(scene, &Packet::syn(scene.client(4002), to, 9)),
            "ten minutes later it is a stranger"
        );
    });
    by_dsr(|scene| {
        guarded(scene, 0);
        let to = scene.tcp();
        let connection = scene.open(scene.client(4000), 1);
        flood(scene, to);
        assert!(is_sent(scene, &connection.by_client(flag::ACK, 1, b"more")));
        assert!(
            !is_sent(scene, &Packet::syn(scene.client(4001), to, 9)),
            "what it said of itself is no proof"
        );
    });
}

#[test]
fn a_guard_goes_off_by_itself() {
    everywhere(|scene| {
        guarded(scene, 0);
        let to = scene.tcp();
        flood(scene, to);
        scene.host.now += LASTS * SECOND - 1;
        assert!(!is_sent(scene, &stranger(scene, to, 9000)));
        scene.host.now += 2;
        assert!(is_sent(scene, &stranger(scene, to, 9001)));
        assert_eq!((scene.noticed("guard_on"), scene.noticed("guard_off")), (1, 1));
    });
}

#[test]
fn a_listener_without_a_rule_or_keys_is_never_guarded() {
    everywhere(|scene| {
        let to = scene.tcp();
        flood(scene, to);
        assert!(is_sent(scene, &stranger(scene, to, 9000)));
        guarded(scene, 0);
        scene.host.guards().settings.keys = proxy_common::cookie::Keys::default();
        flood(scene, to);
        assert!(is_sent(scene, &stranger(scene, to, 9001)));
    });
}

/// A SYN with the options of a usual client.
fn syn_with_options(from: SocketAddr, to: SocketAddr, options: &[u8]) -> Packet {
    let mut packet = Packet::syn(from, to, 700);
    packet.body[12] = ((20 + options.len()) as u8 / 4) << 4;
    packet.body.extend_from_slice(options);
    packet.with_checksum(16)
}

const OPTIONS: [u8; 20] = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 99, 0, 0, 0, 0, 1, 3, 3, 9];

fn socket(scene: &mut Scene) -> (SocketAddr, u16) {
    let at = SocketAddr::new(scene.tcp().ip(), 8443);
    let id = scene.host.listen_locally(at);
    guarded(scene, id);
    (at, id)
}

/// The options of a frame's TCP header, which ends it.
fn options_of(frame: &[u8], v4: bool) -> &[u8] {
    &frame[14 + if v4 { 40 } else { 60 }..]
}

#[test]
fn packets_to_a_socket_are_the_hosts_as_long_as_nobody_floods_it() {
    by_nat(|scene| {
        let (to, _) = socket(scene);
        let client = scene.client(4000);
        for flags in [flag::SYN, flag::ACK, flag::RST, flag::FIN | flag::ACK, SYN_ACK] {
            assert_eq!(scene.verdict(&Packet::tcp(client, to, flags, 1, 1, b"")), Verdict::Pass);
        }
        assert_eq!(scene.noticed("cookie_given"), 0);
    });
}

#[test]
fn a_flooded_sockets_client_agrees_by_cookie_to_all_it_offered() {
    by_nat(|scene| {
        let (to, _) = socket(scene);
        let client = scene.client(4000);
        flood(scene, to);
        let syn = syn_with_options(client, to, &OPTIONS);
        let (verdict, frame) = scene.frame(&syn.bytes());
        assert_eq!(verdict, Verdict::Transmit);
        let cookie = Parsed::of(&frame).unwrap();
        assert!(cookie.checksums_hold);
        assert_eq!((cookie.flags, cookie.ack), (SYN_ACK, 701));
        let size = if scene.v4() { [5, 0xb4] } else { [5, 0xa0] };
        let said = options_of(&frame, scene.v4());
        assert_eq!(said[..8], [2, 4, size[0], size[1], 4, 2, 8, 10]);
        assert_eq!((&said[12..16], &said[16..]), (&[0, 0, 0, 99][..], &[1, 3, 3, 7][..]));

        let mut ack = Packet::tcp(client, to, flag::ACK, 701, cookie.sequence.wrapping_add(1), b"");
        ack.body[12] = 8 << 4;
        ack.body.extend_from_slice(&[1, 1, 8, 10, 0, 0, 0, 100]);
        ack.body.extend_from_slice(&said[8..12]);
        let ack = ack.with_checksum(16);
        assert_eq!(scene.verdict(&ack), Verdict::Pass);
        let agreed = scene.host.guards().vouched.pop().unwrap();
        let most = if scene.v4() { 1460 } else { 1440 };
        assert_eq!((agreed.size, agreed.scale, agreed.sack, agreed.timestamps), (most, 9, true, true));
        assert_eq!(agreed.value, 100);
        scene.host.guards().connected.insert(client);
        assert_eq!(scene.verdict(&Packet::tcp(client, to, flag::ACK, 702, 5, b"data")), Verdict::Pass);
    });
}

#[test]
fn a_client_without_timestamps_gets_a_segment_size_and_no_more() {
    by_nat(|scene| {
        let (to, _) = socket(scene);
        flood(scene, to);
        for options in [&[][..], &[2, 4, 5, 0xb4][..], &[2, 4, 5, 0xb4, 1, 3, 3, 9, 1, 1, 4, 2][..]] {
            let syn = syn_with_options(scene.client(4000), to, options);
            let (verdict, frame) = scene.frame(&syn.bytes());
            assert_eq!(verdict, Verdict::Transmit);
            assert_eq!(options_of(&frame, scene.v4()).len(), 4);
            let cookie = Parsed::of(&frame).unwrap();
            let ack =
                Packet::tcp(scene.client(4000), to, flag::ACK, 701, cookie.sequence.wrapping_add(1), b"GET");
            assert_eq!(scene.verdict(&ack), Verdict::Pass);
            let agreed = scene.host.guards().vouched.pop().unwrap();
            assert_eq!((agreed.scale, agreed.sack, agreed.timestamps), (15, false, false));
        }
    });
}

#[test]
fn an_ack_without_a_cookie_does_not_reach_a_guarded_socket() {
    by_nat(|scene| {
        let (to, _) = socket(scene);
        flood(scene, to);
        scene.is_dropped(&Packet::tcp(scene.client(1), to, flag::ACK, 1, 1, b""), DropReason::CookieInvalid);
        // Another's cookie is none.
        let cookie = answer(scene, &Packet::syn(scene.client(1), to, 700));
        let ack =
            |port| Packet::tcp(scene.client(port), to, flag::ACK, 701, cookie.sequence.wrapping_add(1), b"");
        let (other, own) = (ack(2), ack(1));
        scene.is_dropped(&other, DropReason::CookieInvalid);
        // Once the guard is off the host says so itself; cookies are taken for a while.
        scene.host.now += (LASTS + 1) * SECOND;
        assert_eq!(scene.verdict(&other), Verdict::Pass);
        assert_eq!((scene.verdict(&own), scene.host.guards().vouched.len()), (Verdict::Pass, 1));
        scene.host.room_for_notes = false;
        scene.is_dropped(&own, DropReason::CookieUnused);
        scene.host.now += GRACE * SECOND;
        assert_eq!((scene.verdict(&own), scene.host.guards().vouched.len()), (Verdict::Pass, 1));
    });
}

#[test]
fn whoever_the_host_serves_already_or_cannot_is_left_to_it() {
    by_nat(|scene| {
        let (to, _) = socket(scene);
        flood(scene, to);
        let client = scene.client(5);
        scene.host.guards().connected.insert(client);
        let syn = Packet::syn(scene.client(5), to, 1);
        assert_eq!(scene.verdict(&syn), Verdict::Pass);
        scene.host.guards().deaf = true;
        assert_eq!(scene.verdict(&Packet::syn(scene.client(6), to, 1)), Verdict::Pass);
        scene.host.guards().deaf = false;
        scene.host.guards().settings.flags = 0;
        assert_eq!(
            scene.verdict(&Packet::syn(scene.client(6), to, 1)),
            Verdict::Pass,
            "it has cookies of its own"
        );
    });
}

#[test]
fn always_is_always() {
    by_nat(|scene| {
        let (to, id) = socket(scene);
        scene.host.guards().rules[usize::from(id)].flags = GuardRule::ALWAYS;
        scene.host.guards().rules[usize::from(id)].threshold = 1_000_000;
        let cookie = answer(scene, &Packet::syn(scene.client(1), to, 700));
        let ack = Packet::tcp(scene.client(1), to, flag::ACK, 701, cookie.sequence.wrapping_add(1), b"");
        assert_eq!((scene.verdict(&ack), scene.host.guards().vouched.len()), (Verdict::Pass, 1));
    });
}

#[test]
fn options_that_make_no_sense_harm_nobody() {
    by_nat(|scene| {
        let (to, _) = socket(scene);
        flood(scene, to);
        let lengths: [&[u8]; 7] = [
            &[8, 10, 0, 0],
            &[2, 0, 0, 0],
            &[2, 1, 0, 0],
            &[3, 255, 1, 1],
            &[0; 40],
            &[1; 40],
            &[254, 39, 0, 0],
        ];
        for options in lengths {
            let syn = syn_with_options(scene.client(1), to, options);
            assert_eq!(scene.verdict(&syn), Verdict::Transmit);
        }
    });
}

#[test]
fn answers_to_a_client_that_may_be_forged_are_in_proportion() {
    by_nat(|scene| {
        scene.host.guards().rules[1].amplification = 3;
        let (client, to) = (scene.client(4000), scene.udp());
        let seen = scene.sent(&Packet::udp(client, to, &[1; 72]));
        let reply = |bytes: usize| Packet::udp(seen.to(), seen.from(), &vec![2; bytes]);
        let back = scene.back();
        let head = if scene.v4() { 28 } else { 48 };
        let credit = 3 * (head + 72);
        assert!(matches!(
            scene.frame_from(back, &reply(credit - head).bytes()).0,
            Verdict::Transmit | Verdict::Redirect(_)
        ));
        assert_eq!(scene.frame_from(back, &reply(1).bytes()).0, Verdict::Drop(DropReason::Amplification));
        // A second one is no proof that it got the answer: whoever forged the first can forge this.
        let again = scene.sent(&Packet::udp(client, to, b"more"));
        assert_eq!((again.from(), again.to()), (seen.from(), seen.to()));
        let credit = 3 * (head + 4);
        assert!(matches!(
            scene.frame_from(back, &reply(credit - head).bytes()).0,
            Verdict::Transmit | Verdict::Redirect(_)
        ));
        assert_eq!(scene.frame_from(back, &reply(1).bytes()).0, Verdict::Drop(DropReason::Amplification));
        assert_eq!(scene.host.flows(), 0);
    });
}

#[test]
fn pings_are_limited_and_errors_and_discovery_are_not() {
    everywhere(|scene| {
        scene.host.guards().settings.icmp_limit = 10;
        let (from, to) = (scene.client(1).ip(), scene.tcp().ip());
        let ping = Packet::icmp(from, to, if scene.v4() { (8, 0) } else { (128, 0) }, 1, b"ping");
        for _ in 0..10 {
            assert_eq!(scene.verdict(&ping), Verdict::Pass);
        }
        scene.is_dropped(&ping, DropReason::IcmpLimit);
        let quoted = Packet::ip(to, from, protocol::TCP, vec![0; 20]).bytes()[14..].to_vec();
        let kinds: &[(u8, u8)] =
            if scene.v4() { &[(3, 1), (11, 0)] } else { &[(1, 0), (3, 0), (135, 0), (136, 0)] };
        for kind in kinds {
            let verdict = scene.verdict(&Packet::icmp(from, to, *kind, 0, &quoted));
            assert_ne!(verdict, Verdict::Drop(DropReason::IcmpLimit), "{kind:?}");
        }
        scene.host.now += SECOND;
        assert_eq!(scene.verdict(&ping), Verdict::Pass);
        let elsewhere = Packet { destination: from, source: to, ..ping };
        assert_eq!(scene.frame_from(FRONT, &elsewhere.with_checksum(2).bytes()).0, Verdict::Pass);
    });
}

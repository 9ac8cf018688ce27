//! ClientHellos to sockets of this host: whom their names keep out.

use std::net::SocketAddr;

use proxy_common::bucket::Who;
use proxy_common::drop_reason::{DropReason, Notice};
use proxy_common::gcra::Gcra;
use proxy_common::hash::{text_begin, text_word};
use proxy_common::plan::{Rule, action as limit_action, measure, scope};
use proxy_common::sni::{NameEntry, NameKey, PeekRule, action, decision, kind};
use proxy_ebpf::host::MORE_HZ;
use proxy_ebpf::verdict::Verdict;
use proxy_tests::hello::{Hello, records};
use proxy_tests::packet::{Packet, flag};
use proxy_tests::parsed::Parsed;

use crate::scene::{FRONT, Scene, by_nat};

/// Reasons to drop that have their packets here: the packet goes on, as something else.
pub(crate) const REASONS: [DropReason; 1] = [DropReason::Sni];

/// A listener of sockets that refuses some names.
fn listen(scene: &mut Scene) -> (SocketAddr, u16) {
    let at = SocketAddr::new(scene.tcp().ip(), 443);
    let id = scene.host.listen_locally(at);
    scene.host.speaks_tls(id);
    let entries = [
        (kind::EXACT, "bad.test", action::DROP),
        (kind::EXACT, "worse.test", action::RESET),
        (kind::EXACT, "good.wild.test", action::PASS),
        (kind::WILDCARD, "wild.test", action::RESET),
        (kind::WILDCARD, "fine.wild.test", action::PASS),
        (kind::DEFAULT, "", action::PASS),
    ];
    for (number, (kind, name, action)) in entries.into_iter().enumerate() {
        let entry = NameEntry { number: number as u32 + 1, action, pad: [0; 3] };
        scene.host.hellos.entries.insert(NameKey::new(id, kind, name).unwrap(), entry);
    }
    let rule = PeekRule { depths: 0b110, flags: PeekRule::ENTRIES, ..PeekRule::default() };
    scene.host.hellos.rules.insert(id, rule);
    (at, id)
}

fn hello(scene: &Scene, at: SocketAddr, payload: &[u8]) -> Packet {
    Packet::tcp(scene.client(7000), at, flag::ACK | flag::PSH, 8, 9, payload)
}

/// What becomes of a segment, and the frame afterwards.
fn run(scene: &mut Scene, packet: &Packet) -> (Verdict, Vec<u8>) {
    let (verdict, frame) = scene.host.run(FRONT, &packet.bytes());
    (verdict, frame.to_vec())
}

/// Who asks for `name` is passed to the socket.
fn passes(scene: &mut Scene, at: SocketAddr, name: &str) {
    let packet = hello(scene, at, &Hello::asking_for(name).record());
    assert_eq!(run(scene, &packet), (Verdict::Pass, packet.bytes()), "{name}");
}

/// Who asks for `name` gets a reset.
fn is_reset(scene: &mut Scene, at: SocketAddr, name: &str) {
    let packet = hello(scene, at, &Hello::asking_for(name).record());
    let (verdict, frame) = run(scene, &packet);
    assert_eq!(verdict, Verdict::Transmit, "{name}");
    let seen = Parsed::of(&frame).unwrap();
    assert!(seen.checksums_hold && seen.destination == packet.source, "{seen:?}");
    assert_eq!((seen.flags, seen.sequence, seen.payload.len()), (flag::RST, 9, 0));
}

#[test]
fn the_most_specific_name_decides() {
    by_nat(|scene| {
        let (at, _) = listen(scene);
        for name in [
            "good.wild.test",
            "GOOD.Wild.Test",
            "a.fine.wild.test",
            "b.a.fine.wild.test",
            "wild.test",
            "x.test",
        ] {
            passes(scene, at, name);
        }
        for name in ["worse.test", "WORSE.test", "a.wild.test", "a.good.wild.test", "fine.wild.test"] {
            is_reset(scene, at, name);
        }
        let count = |number| scene.host.hellos.counted(number);
        assert_eq!((count(2).refused, count(4).refused, count(3).seen), (2, 3, 2));
        assert_eq!((count(5).seen, count(5).refused, count(6).seen), (2, 0, 2));
    });
}

#[test]
fn who_is_refused_in_silence_is_forgotten_by_the_socket_and_hears_nothing() {
    by_nat(|scene| {
        let (at, _) = listen(scene);
        let packet = hello(scene, at, &Hello::asking_for("bad.test").record());
        let (verdict, frame) = run(scene, &packet);
        assert_eq!(verdict, Verdict::Pass);
        let seen = Parsed::of(&frame).unwrap();
        assert!(seen.checksums_hold);
        assert_eq!((seen.flags, seen.sequence, seen.source), (flag::RST | flag::ACK, 8, packet.source));
        assert_eq!((scene.host.dropped(DropReason::Sni), scene.host.hellos.counted(1).refused), (1, 1));
    });
}

#[test]
fn options_and_tags_change_nothing() {
    by_nat(|scene| {
        let (at, _) = listen(scene);
        let plain = hello(scene, at, &Hello::asking_for("bad.test").record());
        let mut options = plain.clone();
        options.body[12] = 0xa0;
        options.body.splice(20..20, [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1, 1, 1, 1, 1, 1, 0]);
        let options = options.with_checksum(16);
        let ip = Packet { options: vec![1; if scene.v4() { 8 } else { 0 }], ..plain.clone() };
        for packet in [plain.clone().vlan(5), plain.clone().vlan(5).vlan(6), options, ip] {
            assert_eq!(Parsed::of(&run(scene, &packet).1).unwrap().flags, flag::RST | flag::ACK);
        }
        assert_eq!(scene.host.hellos.counted(1).refused, 4);
    });
}

#[test]
fn what_is_not_wholly_there_is_the_workers() {
    by_nat(|scene| {
        let (at, _) = listen(scene);
        let whole = Hello::asking_for("bad.test");
        for (payload, notice) in [
            (whole.record()[..90].to_vec(), Notice::PeekCut),
            (records(&whole.message(), 60), Notice::PeekRecords),
            (Hello::asking_for(&"b".repeat(65)).record(), Notice::PeekName),
        ] {
            let packet = hello(scene, at, &payload);
            assert_eq!(run(scene, &packet), (Verdict::Pass, packet.bytes()));
            assert_eq!(scene.noticed(notice.label()), 1, "{notice:?}");
        }
        let other = hello(scene, at, b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(run(scene, &other), (Verdict::Pass, other.bytes()));
        assert_eq!(scene.noticed(Notice::PeekRead.label()), 0);
    });
}

#[test]
fn who_is_refused_is_read_wholly_before() {
    by_nat(|scene| {
        let (at, _) = listen(scene);
        for (name, notice) in [("bad.test", Notice::PeekMalformed), ("other.test", Notice::PeekRead)] {
            let mut odd = Hello::asking_for(name);
            let extensions = odd.extensions.as_mut().unwrap();
            extensions.iter_mut().find(|(number, _)| *number == 16).unwrap().1 = vec![0, 9, 2];
            let packet = hello(scene, at, &odd.record());
            assert_eq!(run(scene, &packet), (Verdict::Pass, packet.bytes()), "{name}");
            assert_eq!(scene.noticed(notice.label()), 1, "{name}");
        }
    });
}

#[test]
fn an_entry_that_is_said_not_to_be_there_is_not_asked_for() {
    by_nat(|scene| {
        let (at, id) = listen(scene);
        passes(scene, at, "other.test");
        let rule = scene.host.hellos.rules.get_mut(&id).unwrap();
        rule.flags |= PeekRule::NO_DEFAULT;
        passes(scene, at, "other.test");
        assert_eq!(scene.host.hellos.counted(6).seen, 1);
    });
}

#[test]
fn a_listener_without_tls_is_not_looked_at() {
    by_nat(|scene| {
        let at = SocketAddr::new(scene.tcp().ip(), 80);
        scene.host.listen_locally(at);
        passes(scene, at, "bad.test");
        assert_eq!(scene.noticed(Notice::PeekRead.label()), 0);
    });
}

#[test]
fn a_name_that_has_used_up_its_limit_is_refused_and_not_charged() {
    by_nat(|scene| {
        let (at, id) = listen(scene);
        let gcra = Gcra::new(1, 1_000_000_000, 2, MORE_HZ).unwrap();
        let plan = scene.host.limits.add(&[Rule {
            interval: gcra.interval,
            tolerance: gcra.tolerance,
            limit: 3,
            measure: measure::HANDSHAKES,
            action: limit_action::RESET,
            scope: scope::NAME,
            kind: Who::Text as u8,
            flags: Rule::<u64>::USED,
            ..Rule::default()
        }]);
        scene.host.hellos.rules.get_mut(&id).unwrap().plan = plan;
        let seed = scene.host.limits.seed();
        let hash = "some.test".as_bytes().chunks(8).fold(text_begin(seed, 9), |hash, chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            text_word(hash, seed, u64::from_le_bytes(word))
        });
        for _ in 0..5 {
            passes(scene, at, "Some.test");
        }
        // What workers do.
        for _ in 0..2 {
            assert!(scene.host.limits.charge(3, measure::HANDSHAKES, hash, &gcra, scene.host.now));
        }
        is_reset(scene, at, "SOME.test");
        passes(scene, at, "other.test");
        assert_eq!(scene.host.hellos.counted(6).limited, 1);
        assert_eq!(scene.host.limits.counted(3, measure::HANDSHAKES).refused, 1);
        scene.host.now += 1001;
        passes(scene, at, "some.test");
    });
}

#[test]
fn whoever_looks_on_is_told_of_the_names_asked_for() {
    by_nat(|scene| {
        let (at, id) = listen(scene);
        passes(scene, at, "x.test");
        assert!(scene.host.hellos.told().is_empty(), "nobody looks on");
        scene.host.hellos.trace.on = 1;
        scene.host.hellos.trace.until = scene.host.now + 10;
        passes(scene, at, "x.test");
        is_reset(scene, at, "worse.test");
        scene.host.hellos.trace.name = NameKey::new(0, 0, "worse.test").unwrap().name;
        passes(scene, at, "x.test");
        is_reset(scene, at, "worse.test");
        scene.host.now += 10;
        is_reset(scene, at, "worse.test");
        let told: Vec<_> =
            scene.host.hellos.told().iter().map(|told| (told.decision, told.who.listener)).collect();
        assert_eq!(told, [(decision::PASSED, id), (decision::RESET, id), (decision::RESET, id)]);
        let notes = scene.host.hellos.notes();
        assert_eq!(notes.len(), 1, "the worker finds one of whoever is passed to it");
        assert_eq!(notes[0].1.name, NameKey::new(0, 0, "x.test").unwrap().name);
    });
}

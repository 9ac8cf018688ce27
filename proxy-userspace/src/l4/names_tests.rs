//! ClientHellos, in a real kernel.

use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::time::Duration;

use proxy_common::drop_reason::{DropReason, Notice};
use proxy_tests::hello::{Answer, Dice, Hello, Sent, any, check};
use proxy_tests::packet::{Packet, flag};
use proxy_tests::parsed::Parsed;

use super::desired::{Desired, LocalListener, NameAction, NameRule};
use super::kernel::Kernel;
use super::kernel_tests::{Place, in_a_place};
use super::onlooker::HelloDecision;
use super::sys;
use crate::config::{GuardConfig, HostPattern, Protocol};

const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
/// Bytes of a segment's payload: `BPF_PROG_TEST_RUN` takes frames of less than a page.
const MOST: usize = 3000;

fn rule(host: Option<HostPattern>, action: NameAction) -> NameRule {
    NameRule { host, route: "r".into(), action }
}

fn desired(place: &Place, names: Vec<NameRule>) -> Desired {
    let local = LocalListener {
        name: "tls".into(),
        addresses: vec!["10.80.0.1:443".parse().unwrap(), "[fd80::1]:443".parse().unwrap()],
        protocol: Protocol::Tcp,
        guard: GuardConfig::default(),
        tls: true,
        names,
        handoff: false,
        backends: Vec::new(),
    };
    Desired { local: vec![local], ..place.desired(&[]) }
}

/// A segment to the listener.
fn segment(v6: bool, payload: &[u8]) -> Packet {
    let at = |text: &str| -> SocketAddr { text.parse().unwrap() };
    let (from, to) = match v6 {
        true => (at("[fd80::9]:7000"), at("[fd80::1]:443")),
        false => (at("10.80.0.9:7000"), at("10.80.0.1:443")),
    };
    Packet::tcp(from, to, flag::ACK | flag::PSH, 8, 9, payload)
}

fn run(kernel: &Kernel, packet: &Packet) -> (u32, Vec<u8>) {
    sys::test_run(kernel.programs.xdp.as_fd(), &packet.bytes()).unwrap()
}

fn noticed(kernel: &Kernel, notice: Notice) -> u64 {
    kernel.tables.notices.get(notice.index()).unwrap().iter().sum()
}

#[test]
fn the_programs_and_userspace_agree_on_100_000_hellos() {
    in_a_place(|place| {
        let kernel = Kernel::open(&place.config()).unwrap();
        kernel.apply(&desired(place, Vec::new())).unwrap();
        kernel.look_on(None, Duration::from_secs(3600)).unwrap();
        let mut dice = Dice::new(0x6b65_726e);
        let (mut answers, mut told_of) = (0, 0);
        for _ in 0..1000 {
            let sent: Vec<Sent> = (0..100).map(|_| any(&mut dice)).collect();
            let mut looked_at = Vec::new();
            for (number, sent) in sent.into_iter().enumerate() {
                let sent = Sent { first: sent.first.min(MOST), ..sent };
                let packet = segment(number % 2 == 1, sent.segment());
                assert_eq!(run(&kernel, &packet).0, XDP_PASS);
                // What does not begin like a ClientHello is not looked at.
                if sent.first >= 8 && matches!(sent.stream[..6], [22, 3, _, _, _, 1]) {
                    looked_at.push(sent);
                }
            }
            let seen = kernel.hellos_seen(1000);
            assert_eq!(seen.len(), looked_at.len());
            for (sent, seen) in looked_at.iter().zip(seen) {
                let answer = (seen.decided == HelloDecision::Passed)
                    .then_some(Answer { name: seen.name, outline: seen.outline });
                answers += usize::from(check(sent, answer.as_ref()));
                told_of += 1;
            }
        }
        assert!(answers > 40_000 && told_of > 80_000, "{answers} answers of {told_of}");
        assert_eq!(noticed(&kernel, Notice::EventsLost), 0);
        assert!(noticed(&kernel, Notice::PeekRead) >= answers as u64);
    });
}

#[test]
fn names_are_refused_in_both_families_and_counted_together() {
    in_a_place(|place| {
        let kernel = Kernel::open(&place.config()).unwrap();
        let wildcard = || Some(HostPattern::Wildcard("wild.test".into()));
        let names = vec![
            rule(Some(HostPattern::Exact("bad.test".into())), NameAction::Drop),
            rule(wildcard(), NameAction::Reset),
            rule(Some(HostPattern::Exact("good.wild.test".into())), NameAction::Pass),
            rule(None, NameAction::Pass),
        ];
        kernel.apply(&desired(place, names)).unwrap();
        for v6 in [false, true] {
            let ask = |name: &str| {
                let packet = segment(v6, &Hello::asking_for(name).record());
                let (verdict, frame) = run(&kernel, &packet);
                (verdict, Parsed::of(&frame).unwrap(), frame == packet.bytes())
            };
            let (verdict, seen, _) = ask("BAD.test");
            assert_eq!((verdict, seen.flags), (XDP_PASS, flag::RST | flag::ACK), "for the socket");
            assert!(seen.checksums_hold);
            let (verdict, seen, _) = ask("a.b.wild.test");
            assert!(![XDP_PASS, XDP_DROP].contains(&verdict), "it is sent back");
            assert_eq!((seen.flags, seen.source_port), (flag::RST, 443));
            assert!(seen.checksums_hold);
            for name in ["good.wild.test", "wild.test", "other.test"] {
                assert_eq!((ask(name).0, ask(name).2), (XDP_PASS, true), "{name}");
            }
        }
        let status = kernel.names().unwrap();
        let count = |host: Option<HostPattern>| {
            let name = status.iter().find(|name| name.host == host).unwrap();
            (name.seen, name.refused)
        };
        assert_eq!(count(Some(HostPattern::Exact("bad.test".into()))), (2, 2));
        assert_eq!((count(wildcard()), count(None)), ((2, 2), (8, 0)));
        let drops: u64 = kernel.tables.drops.get(DropReason::Sni.index()).unwrap().iter().sum();
        assert_eq!(drops, 2, "who is reset is answered, not dropped");
        // Another configuration: what stays keeps its count.
        let names = vec![rule(wildcard(), NameAction::Pass), rule(None, NameAction::Drop)];
        kernel.apply(&desired(place, names)).unwrap();
        let packet = segment(false, &Hello::asking_for("a.wild.test").record());
        assert_eq!(run(&kernel, &packet), (XDP_PASS, packet.bytes()));
        let status = kernel.names().unwrap();
        assert_eq!(status.iter().map(|name| (name.seen, name.refused)).collect::<Vec<_>>(), [(3, 2), (8, 0)]);
        kernel.apply(&place.desired(&[])).unwrap();
        assert_eq!((kernel.names().unwrap(), kernel.lock().names.left()), (Vec::new(), (0, 0)));
    });
}

#[test]
fn names_are_refused_by_whatever_daemon_comes_next() {
    in_a_place(|place| {
        let exact = |name: &str| rule(Some(HostPattern::Exact(name.into())), NameAction::Drop);
        let wildcard = rule(Some(HostPattern::Wildcard("wild.test".into())), NameAction::Drop);
        let is_refused = |kernel: &Kernel, name: &str| {
            let packet = segment(false, &Hello::asking_for(name).record());
            run(kernel, &packet) != (XDP_PASS, packet.bytes())
        };
        let first = Kernel::open(&place.config()).unwrap();
        let names = vec![exact("bad.test"), exact("former.test"), wildcard.clone()];
        first.apply(&desired(place, names)).unwrap();
        first.keep();
        drop(first);

        let second = Kernel::open(&place.config()).unwrap();
        for name in ["bad.test", "former.test", "a.wild.test"] {
            assert!(is_refused(&second, name), "{name}, by what the former daemon wrote");
        }
        let names = || vec![exact("bad.test"), exact("latter.test"), wildcard.clone()];
        second.apply(&desired(place, names())).unwrap();
        let refused = |kernel: &Kernel| {
            ["bad.test", "former.test", "latter.test", "a.wild.test"].map(|name| is_refused(kernel, name))
        };
        assert_eq!(refused(&second), [true, false, true, true]);
        let left = second.lock().names.left();
        // As if the filter had just been made beside tables that are full already.
        second.lock().names.empty_the_filter().unwrap();
        assert_eq!(refused(&second), [false; 4], "the filter is asked first");
        second.keep();
        drop(second);

        let third = Kernel::open(&place.config()).unwrap();
        third.apply(&desired(place, names())).unwrap();
        assert_eq!(refused(&third), [true, false, true, true]);
        assert_eq!(third.lock().names.left(), left);
    });
}

#[test]
fn a_worker_finds_a_note_only_while_somebody_looks_on() {
    in_a_place(|place| {
        let kernel = Kernel::open(&place.config()).unwrap();
        kernel.apply(&desired(place, vec![rule(None, NameAction::Pass)])).unwrap();
        let packet = segment(false, &Hello::asking_for("x.test").record());
        let client = SocketAddr::new(packet.source, 7000);
        let note = || kernel.hello_note("tls", client).unwrap();
        run(&kernel, &packet);
        assert_eq!(note(), None);
        kernel.look_on(Some("X.test"), Duration::from_secs(3600)).unwrap();
        run(&kernel, &packet);
        assert_eq!(note().unwrap().outline.version, 0x0304);
        assert_eq!(kernel.hellos_seen(10).len(), 1);
        kernel.look_away().unwrap();
        run(&kernel, &packet);
        assert!(kernel.hellos_seen(10).is_empty());
    });
}

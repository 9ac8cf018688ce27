//! Limits of packets, bytes, new connections and connections at a time.

use proxy_common::bucket::Who;
use proxy_common::drop_reason::DropReason;
use proxy_common::gcra::Gcra;
use proxy_common::plan::{Rule, action, measure, scope};
use proxy_ebpf::host::{MORE_HZ, masks};
use proxy_ebpf::verdict::Verdict;
use proxy_tests::packet::{Packet, flag};
use proxy_tests::parsed::Parsed;

use crate::scene::{CLIENT_MAC, FRONT_MAC, Scene, by_nat, everywhere};

const LIMIT: u16 = 7;
const LIMITED: Verdict = Verdict::Drop(DropReason::Limit);

/// `burst` at once and one a second, of each client's address.
pub(crate) fn rule(measure: u8, burst: u64) -> Rule {
    // The clock's slack lets nothing more through at this rate.
    let gcra = Gcra::new(1, 1_000_000_000, burst, MORE_HZ).unwrap();
    let interval = if measure == measure::CONCURRENT { burst } else { gcra.interval };
    let (v4, v6) = masks(32, 128);
    Rule {
        interval,
        tolerance: gcra.tolerance,
        v4,
        v6,
        limit: LIMIT,
        measure,
        kind: Who::V4 as u8,
        flags: Rule::<u64>::USED,
        ..Rule::default()
    }
}

/// Limits both services.
fn limit(scene: &mut Scene, rules: &[Rule]) -> u8 {
    let plan = scene.host.limits.add(rules);
    scene.host.plan(0, plan);
    scene.host.plan(1, plan);
    plan
}

#[test]
fn packets_of_an_established_flow_obey_from_the_next_one_on() {
    everywhere(|scene| {
        let connection = scene.open(scene.client(1), 7);
        let data = connection.by_client(flag::ACK, 1, b"x");
        limit(scene, &[rule(measure::PACKETS, 3)]);
        for _ in 0..3 {
            scene.sent(&data);
        }
        scene.is_dropped(&data, DropReason::Limit);
        scene.is_dropped(&data, DropReason::Limit);
        let count = scene.host.limits.counted(LIMIT, measure::PACKETS);
        assert_eq!((count.passed, count.refused), (3, 2));
        scene.host.now += 1001;
        scene.sent(&data);
        scene.is_dropped(&data, DropReason::Limit);
        let told = scene.host.limits.told();
        assert_eq!(told.iter().map(|event| event.count).collect::<Vec<_>>(), [1, 2]);
    });
}

#[test]
fn a_packet_is_charged_once_to_each_limit_however_many_there_are() {
    everywhere(|scene| {
        let connection = scene.open(scene.client(1), 7);
        let data = connection.by_client(flag::ACK, 1, b"x");
        let wide = Rule { limit: LIMIT + 1, ..rule(measure::PACKETS, 5) };
        for rules in [&[rule(measure::PACKETS, 3), wide][..], &[wide]] {
            limit(scene, rules);
            for _ in 0..2 {
                scene.sent(&data);
            }
        }
        assert_eq!(scene.host.limits.counted(LIMIT, measure::PACKETS).passed, 2);
        assert_eq!(scene.host.limits.counted(LIMIT + 1, measure::PACKETS).passed, 4);
        scene.sent(&data);
        scene.is_dropped(&data, DropReason::Limit);
    });
}

#[test]
fn bytes_are_those_of_whole_frames() {
    everywhere(|scene| {
        let connection = scene.open(scene.client(1), 7);
        let data = connection.by_client(flag::ACK, 1, &[1; 400]);
        limit(scene, &[rule(measure::BYTES, 1000)]);
        scene.sent(&data);
        scene.sent(&data);
        scene.is_dropped(&data, DropReason::Limit);
    });
}

#[test]
fn another_rate_is_obeyed_by_the_next_packet() {
    everywhere(|scene| {
        let connection = scene.open(scene.client(1), 7);
        let data = connection.by_client(flag::ACK, 1, b"x");
        let plan = limit(scene, &[rule(measure::PACKETS, 1)]);
        scene.sent(&data);
        scene.is_dropped(&data, DropReason::Limit);
        let more = rule(measure::PACKETS, 3);
        scene.host.limits.set(plan, 0, more.interval, more.tolerance);
        scene.sent(&data);
        scene.sent(&data);
        scene.is_dropped(&data, DropReason::Limit);
    });
}

#[test]
fn new_connections_are_charged_once_however_often_their_syn_is_sent() {
    everywhere(|scene| {
        limit(scene, &[rule(measure::CONNECTIONS, 2)]);
        for port in [1, 1, 1, 2, 2] {
            scene.sent(&Packet::syn(scene.client(port), scene.tcp(), 7));
        }
        scene.is_dropped(&Packet::syn(scene.client(3), scene.tcp(), 7), DropReason::Limit);
        assert_eq!(scene.host.limits.keys(), 0, "nobody has proved to be alive");
    });
}

#[test]
fn what_was_charged_before_the_proof_of_life_stays_charged() {
    everywhere(|scene| {
        limit(scene, &[rule(measure::CONNECTIONS, 2)]);
        scene.open(scene.client(1), 7);
        assert_eq!(scene.host.limits.keys(), 1);
        scene.sent(&Packet::syn(scene.client(2), scene.tcp(), 7));
        scene.is_dropped(&Packet::syn(scene.client(3), scene.tcp(), 7), DropReason::Limit);
    });
}

#[test]
fn connections_at_a_time_are_counted_exactly_until_they_end() {
    by_nat(|scene| {
        limit(scene, &[rule(measure::CONCURRENT, 2)]);
        let first = scene.open(scene.client(1), 7);
        let second = scene.open(scene.client(2), 7);
        assert_eq!(scene.host.limits.inside(), 2);
        scene.is_dropped(&Packet::syn(scene.client(3), scene.tcp(), 7), DropReason::Limit);
        scene.sent(&first.by_client(flag::ACK | flag::FIN, 1, b""));
        assert_eq!(scene.host.limits.inside(), 2, "half closed");
        scene.answered(&first.by_backend(flag::ACK | flag::FIN, 1, b""));
        assert_eq!(scene.host.limits.inside(), 1);
        scene.sent(&first.by_client(flag::ACK | flag::FIN, 1, b""));
        scene.answered(&first.by_backend(flag::RST, 1, b""));
        assert_eq!(scene.host.limits.inside(), 1, "it leaves once");
        scene.answered(&second.by_backend(flag::RST, 1, b""));
        assert_eq!(scene.host.limits.inside(), 0);
        scene.open(scene.client(3), 7);
        // A 5-tuple that begins anew takes the place of its own.
        scene.open(scene.client(1), 70_000);
        assert_eq!(scene.host.limits.inside(), 2);
    });
}

#[test]
fn what_is_too_much_is_answered_by_a_reset_where_the_limit_says_so() {
    everywhere(|scene| {
        limit(scene, &[Rule { action: action::RESET, ..rule(measure::CONNECTIONS, 1) }]);
        scene.sent(&Packet::syn(scene.client(1), scene.tcp(), 7));
        let second = Packet::syn(scene.client(2), scene.tcp(), 7).between(CLIENT_MAC, FRONT_MAC);
        let (verdict, frame) = scene.frame(&second.bytes());
        assert_eq!(verdict, Verdict::Transmit);
        let answer = Parsed::of(&frame).unwrap();
        assert_eq!((answer.from(), answer.to()), (scene.tcp(), scene.client(2)));
    });
}

#[test]
fn a_limit_that_observes_counts_and_lets_through() {
    everywhere(|scene| {
        let connection = scene.open(scene.client(1), 7);
        let data = connection.by_client(flag::ACK, 1, b"x");
        limit(scene, &[Rule { action: action::OBSERVE, ..rule(measure::PACKETS, 1) }]);
        for _ in 0..5 {
            scene.sent(&data);
        }
        let count = scene.host.limits.counted(LIMIT, measure::PACKETS);
        assert_eq!((count.passed, count.observed, count.refused), (1, 4, 0));
    });
}

#[test]
fn exempt_clients_are_let_through() {
    everywhere(|scene| {
        let client = scene.client(1);
        let connection = scene.open(client, 7);
        let data = connection.by_client(flag::ACK, 1, b"x");
        scene.host.limits.exempt.push((LIMIT, client.ip(), if scene.v4() { 24 } else { 64 }));
        let exempts = Rule::<u64>::USED | Rule::<u64>::EXEMPTS;
        limit(scene, &[Rule { flags: exempts, ..rule(measure::PACKETS, 1) }]);
        for _ in 0..3 {
            scene.sent(&data);
        }
        assert_eq!(scene.host.limits.counted(LIMIT, measure::PACKETS).exempt, 2);
    });
}

#[test]
fn all_clients_of_a_listener_can_be_counted_together() {
    everywhere(|scene| {
        let together = Rule { scope: scope::NUMBER, number: 5, ..rule(measure::CONNECTIONS, 2) };
        limit(scene, &[together]);
        let other = std::net::SocketAddr::new(scene.layout.client_address(scene.family, 1), 7000);
        scene.sent(&Packet::syn(scene.client(1), scene.tcp(), 7));
        scene.sent(&Packet::syn(other, scene.tcp(), 7));
        scene.is_dropped(&Packet::syn(scene.client(2), scene.tcp(), 7), DropReason::Limit);
    });
}

#[test]
fn a_flood_of_made_up_clients_takes_no_key_from_a_real_one() {
    everywhere(|scene| {
        limit(scene, &[rule(measure::CONNECTIONS, 4)]);
        let connection = scene.open(scene.client(1), 7);
        let mut refused = 0;
        for port in 1000..6000 {
            let address = scene.layout.client_address(scene.family, (port % 6) as usize + 2);
            let syn = Packet::syn(std::net::SocketAddr::new(address, port), scene.tcp(), 7);
            refused += u32::from(scene.verdict(&syn) == Verdict::Drop(DropReason::Limit));
        }
        assert!(refused > 4900, "{refused}");
        assert_eq!(scene.host.limits.keys(), 1);
        scene.sent(&connection.by_client(flag::ACK, 1, b"x"));
        scene.sent(&Packet::syn(scene.client(2), scene.tcp(), 7));
    });
}

/// A datagram, its answer, and another: all that it takes to look like somebody.
fn looks_alive(scene: &mut Scene, from: std::net::SocketAddr) {
    let question = Packet::udp(from, scene.udp(), b"?");
    let (Verdict::Transmit | Verdict::Redirect(_)) = scene.verdict(&question) else { return };
    if scene.is_nat() {
        let seen = scene.sent(&question);
        scene.frame_from(scene.back(), &Packet::udp(seen.to(), seen.from(), b"!").bytes());
    }
    scene.verdict(&question);
}

/// A source that is made up.
fn made_up(scene: &Scene, number: u16) -> std::net::SocketAddr {
    let [high, low] = number.to_be_bytes();
    let address = if scene.v4() {
        std::net::IpAddr::from([203, 0, high, low])
    } else {
        format!("2001:db8:{number:x}::1").parse().unwrap()
    };
    std::net::SocketAddr::new(address, 1000)
}

#[test]
fn made_up_clients_that_look_alive_fill_half_of_the_keys_and_shut_nobody_out_who_is() {
    everywhere(|scene| {
        let address = Rule { v4: u32::MAX, v6: [u64::MAX; 2], ..rule(measure::CONNECTIONS, 4) };
        limit(scene, &[address]);
        let keys = scene.host.limits.places();
        for number in 0..4000 {
            looks_alive(scene, made_up(scene, number));
        }
        let filled = scene.host.limits.keys();
        assert!(filled > keys / 4 && filled <= keys / 2, "{filled} of {keys}");
        if !scene.is_nat() {
            return;
        }
        // More who are there than the other half has places for: each gets one, and is counted exactly.
        let full = scene.noticed("limit_table_full");
        let way = scene.host.routes[&scene.client(1).ip()];
        for number in 5000..5000 + keys as u16 * 5 / 8 {
            scene.host.routes.insert(made_up(scene, number).ip(), way);
            scene.open(made_up(scene, number), 7);
        }
        assert_eq!(scene.noticed("limit_table_full"), full);
        let more = scene.host.limits.keys();
        assert!(more > keys * 5 / 8, "{more} of {keys}");
        // What they had sent before was charged to the sketch, where a few share both cells with made up ones.
        let mut passed = 0;
        for number in 5000..5100 {
            for port in 1..10 {
                let from = std::net::SocketAddr::new(made_up(scene, number).ip(), port);
                passed += u32::from(scene.verdict(&Packet::syn(from, scene.tcp(), 7)) != LIMITED);
            }
        }
        assert!((285..=300).contains(&passed), "{passed}");
    });
}

#[test]
fn a_client_s_word_does_not_make_room_for_another_of_its_connections() {
    everywhere(|scene| {
        limit(scene, &[rule(measure::CONCURRENT, 1)]);
        let connection = scene.open(scene.client(1), 7);
        // A reset that the backend does not believe (RFC 5961 §3.2); with `dsr` an end, too.
        scene.sent(&connection.by_client(flag::RST, 1 << 30, b""));
        scene.sent(&connection.by_client(flag::FIN | flag::ACK, 1 << 30, b""));
        assert_eq!(scene.host.limits.inside(), 1);
        scene.is_dropped(&Packet::syn(scene.client(2), scene.tcp(), 7), DropReason::Limit);
        scene.sent(&connection.by_client(flag::ACK, 1, b"it goes on"));
    });
}

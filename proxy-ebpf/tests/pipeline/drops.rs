//! A packet for every reason to drop one.

use proxy_common::ban::FOR_EVER;
use proxy_common::drop_reason::DropReason;
use proxy_common::plan::{Rule, measure};
use proxy_ebpf::host::Answer;
use proxy_ebpf::verdict::Verdict;
use proxy_ebpf::world::Route;
use proxy_tests::packet::{Packet, flag, protocol};

use crate::scene::{BACK, CLIENT_MAC, FRONT_MAC, Scene, by_dsr, by_nat, everywhere};

/// A frame that is dropped for this reason, the scene made ready for it. `None`: not in this family or not by this
/// forwarding.
fn frame_for(scene: &mut Scene, reason: DropReason) -> Option<Vec<u8>> {
    let (client, tcp, udp) = (scene.client(7000), scene.tcp(), scene.udp());
    let (v4, l4) = (scene.v4(), if scene.v4() { 34 } else { 54 });
    let syn = Packet::syn(client, tcp, 1).between(CLIENT_MAC, FRONT_MAC);
    let with = |at: usize, value: u8| {
        let mut frame = syn.bytes();
        frame[at] = value;
        frame
    };
    let bytes = syn.bytes();
    Some(match reason {
        DropReason::Truncated => bytes[..30].to_vec(),
        DropReason::VlanDepth => syn.vlan(1).vlan(2).vlan(3).bytes(),
        DropReason::Ipv4Header => v4.then(|| with(14, 0x44))?,
        DropReason::Ipv4Checksum => v4.then(|| with(24, !bytes[24]))?,
        DropReason::Ipv6Header => (!v4).then(|| with(14, 0x40))?,
        DropReason::Ipv6Extensions if v4 => return None,
        DropReason::Ipv6Extensions => (0..9).fold(syn, |packet, _| packet.destination_options()).bytes(),
        DropReason::MartianSource => Packet { source: tcp.ip(), ..syn }.with_checksum(16).bytes(),
        DropReason::TcpHeader => with(l4 + 12, 0x40),
        DropReason::UdpHeader => {
            let mut frame = Packet::udp(client, udp, b"x").bytes();
            frame[l4 + 5] = 7;
            frame
        }
        DropReason::IcmpError => {
            let kind = if v4 { (3, 4) } else { (2, 0) };
            Packet::icmp(client.ip(), tcp.ip(), kind, 1400, &[0x45; 12]).bytes()
        }
        DropReason::FragmentMalformed => {
            let datagram = Packet::udp(client, udp, &[1; 100]);
            let mut frame = datagram.fragments(64).swap_remove(0);
            // Not a multiple of eight, with more to come.
            frame.pop();
            let at = if v4 { 17 } else { 19 };
            frame[at] -= 1;
            if v4 {
                // RFC 1624 by hand: one less in the sum is one more in its complement.
                let sum = u16::from_be_bytes([frame[24], frame[25]]) + 1;
                frame[24..26].copy_from_slice(&sum.to_be_bytes());
            }
            frame
        }
        DropReason::FragmentUnknown => Packet::udp(client, udp, &[1; 100]).fragments(64).swap_remove(1),
        DropReason::TtlExpired => syn.ttl(1).bytes(),
        DropReason::TooBig => Packet::udp(client, udp, &[1; 1473]).bytes(),
        DropReason::FlowUnknown if !scene.is_nat() => return None,
        DropReason::FlowUnknown => Packet::tcp(client, tcp, flag::RST, 7, 0, b"").bytes(),
        _ => return surroundings(scene, reason).then_some(bytes),
    })
}

/// Makes the scene one in which a sound SYN is dropped for this reason. `false`: not by this forwarding.
fn surroundings(scene: &mut Scene, reason: DropReason) -> bool {
    let gateway = scene.client(1).ip();
    let answers = |scene: &mut Scene, change: &dyn Fn(&mut Answer)| {
        for number in 0..3 {
            let to = scene.layout.backend_address(scene.family, number);
            change(scene.host.routes.get_mut(&to).unwrap());
        }
    };
    match reason {
        DropReason::Banned => scene.host.ban(scene.client(1).ip(), 8, FOR_EVER, false),
        DropReason::Limit => {
            // Nothing at all passes.
            let (measure, flags) = (measure::CONNECTIONS, Rule::<u64>::USED);
            let plan =
                scene.host.limits.add(&[Rule { interval: 1 << 60, measure, flags, ..Rule::default() }]);
            scene.host.plan(0, plan);
        }
        DropReason::ProgramMissing => scene.host.programs = false,
        DropReason::NoBackend => scene.host.rings[0].clear(),
        DropReason::PortsExhausted => scene.host.limit_ports(0),
        DropReason::NoRoute => scene.host.routes.clear(),
        DropReason::RouteRefused => answers(scene, &|answer| answer.route = Route::Refused),
        DropReason::ForwardingDisabled => {
            answers(scene, &|answer| answer.route = Route::ForwardingDisabled);
        }
        DropReason::NoNeighbour => {
            answers(scene, &|answer| answer.route = Route::NoNeighbour);
            scene.host.room_for_notes = false;
        }
        DropReason::DsrNotOnLink => answers(scene, &|answer| answer.neighbour = gateway),
        DropReason::Rewrite => {
            // The VLAN device that it leaves by wants a tag, for which the driver has no room.
            answers(scene, &|answer| answer.hop.vlan = 0x1005);
            scene.host.headroom = 0;
        }
        _ => panic!("{reason:?} has no packet"),
    }
    match reason {
        DropReason::PortsExhausted => scene.is_nat(),
        DropReason::DsrNotOnLink => !scene.is_nat(),
        _ => true,
    }
}

#[test]
fn every_reason_to_drop_has_its_packet_and_its_counter() {
    let elsewhere = |reason: &&DropReason| {
        crate::guards::REASONS.contains(reason)
            || crate::names::REASONS.contains(reason)
            || crate::handoffs::REASONS.contains(reason)
    };
    for reason in DropReason::ALL.iter().filter(|reason| !elsewhere(reason)) {
        let shown = std::cell::Cell::new(0);
        everywhere(|scene| {
            let Some(frame) = frame_for(scene, *reason) else { return };
            shown.set(shown.get() + 1);
            assert_eq!(scene.frame(&frame).0, Verdict::Drop(*reason), "{reason:?} {:?}", scene.family);
            assert_eq!(scene.host.dropped(*reason), 1);
        });
        assert!(shown.get() >= 2, "{reason:?}");
    }
}

#[test]
fn a_frame_cut_anywhere_is_never_sent() {
    everywhere(|scene| {
        let packets = [
            Packet::syn(scene.client(1), scene.tcp(), 1).vlan(5),
            Packet::udp(scene.client(1), scene.udp(), b"some bytes").destination_options(),
        ];
        for packet in packets {
            let frame = packet.bytes();
            for length in 0..frame.len() {
                let (verdict, _) = scene.frame(&frame[..length]);
                let kept = matches!(verdict, Verdict::Drop(_) | Verdict::Pass);
                assert!(kept, "{length} of {} bytes: {verdict:?}", frame.len());
            }
            assert!(matches!(scene.frame(&frame).0, Verdict::Transmit | Verdict::Redirect(_)));
        }
    });
}

#[test]
fn what_is_malformed_and_not_ours_is_left_to_the_host() {
    everywhere(|scene| {
        let elsewhere = std::net::SocketAddr::new(scene.layout.client_address(scene.family, 2), 80);
        let frame = Packet::syn(scene.client(1), elsewhere, 1).bytes();
        for at in [14, 16, 18, 24] {
            let mut frame = frame.clone();
            frame[at] ^= 0x44;
            assert_eq!(scene.frame(&frame).0, Verdict::Pass);
        }
        let extended = Packet::syn(scene.client(1), elsewhere, 1);
        let extended = (0..20).fold(extended, |packet, _| packet.destination_options());
        assert_eq!(scene.verdict(&extended), Verdict::Pass);
    });
}

#[test]
fn headers_beyond_the_first_buffer_are_dropped_and_payload_beyond_it_is_not() {
    everywhere(|scene| {
        let l4 = if scene.v4() { 34 } else { 54 };
        let packet = Packet::syn(scene.client(1), scene.tcp(), 1);
        let packet = Packet { body: [packet.body, vec![9; 900]].concat(), ..packet }.with_checksum(16);
        for (linear, sent) in [(l4 + 20, true), (l4 + 12, false), (l4 + 2, false), (20, false)] {
            scene.host.first_buffer = linear;
            let (verdict, _) = scene.frame(&packet.bytes());
            assert_eq!(matches!(verdict, Verdict::Transmit | Verdict::Redirect(_)), sent, "{linear}");
        }
    });
}

#[test]
fn extension_headers_further_than_we_look_are_dropped() {
    let mut scene = Scene::new(crate::scene::Layout::Routed, crate::scene::Family::V6);
    let syn = Packet::syn(scene.client(1), scene.tcp(), 1);
    // 2 + 1022 bytes: the transport header comes behind what stages read.
    let mut option = vec![0; 1023];
    option[0] = 127;
    let far = Packet { extensions: vec![(protocol::DESTINATION, option)], ..syn };
    scene.is_dropped(&far, DropReason::Ipv6Extensions);
}

#[test]
fn nobody_real_writes_from_such_an_address() {
    let v4 = ["0.1.2.3", "127.0.0.1", "169.254.1.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"];
    let v6 = ["::", "::1", "::ffff:192.0.2.1", "fe80::1", "febf::1", "ff02::1"];
    everywhere(|scene| {
        for source in if scene.v4() { v4 } else { v6 } {
            let client = std::net::SocketAddr::new(source.parse().unwrap(), 9);
            scene.is_dropped(&Packet::syn(client, scene.tcp(), 1), DropReason::MartianSource);
            scene.is_dropped(&Packet::udp(client, scene.udp(), b""), DropReason::MartianSource);
        }
        assert_eq!(scene.noticed("hop_resolved"), 0);
    });
}

#[test]
fn the_longest_packet_goes_and_one_byte_more_does_not() {
    everywhere(|scene| {
        let headers = if scene.v4() { 28 } else { 48 };
        let (client, udp) = (scene.client(1), scene.udp());
        scene.sent(&Packet::udp(client, udp, &vec![1; 1500 - headers]));
        scene.is_dropped(&Packet::udp(client, udp, &vec![1; 1501 - headers]), DropReason::TooBig);
    });
}

#[test]
fn padding_behind_a_packet_does_not_make_it_too_big() {
    everywhere(|scene| {
        let mut frame = Packet::udp(scene.client(1), scene.udp(), &[1; 1400]).bytes();
        frame.resize(1600, 0);
        assert!(matches!(scene.frame(&frame).0, Verdict::Transmit | Verdict::Redirect(_)));
    });
}

#[test]
fn a_flow_s_last_hop_is_dropped_both_ways() {
    by_nat(|scene| {
        let connection = scene.open(scene.client(1), 1);
        let expired = DropReason::TtlExpired;
        scene.is_dropped(&connection.by_client(16, 1, b"x").ttl(1), expired);
        let back = connection.by_backend(16, 1, b"x").ttl(1).bytes();
        assert_eq!(scene.frame_from(BACK, &back).0, Verdict::Drop(expired));
    });
    by_dsr(|scene| {
        let connection = scene.open(scene.client(1), 1);
        scene.is_dropped(&connection.by_client(16, 1, b"x").ttl(1), DropReason::TtlExpired);
    });
}

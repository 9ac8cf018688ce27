//! The Ethernet header and its tags.

use proxy_common::drop_reason::DropReason;
use proxy_common::hop::VLAN_TAGGED;
use proxy_ebpf::verdict::Verdict;
use proxy_tests::packet::Packet;
use proxy_tests::parsed::Parsed;

use crate::scene::{BACK, CLIENT_MAC, FRONT, Scene, backend_mac, by_dsr, by_nat, everywhere};

fn tagged(packet: Packet, tags: u16) -> Packet {
    (0..tags).fold(packet, |packet, number| packet.vlan(100 + number))
}

#[test]
fn up_to_two_tags_are_read_and_three_are_not() {
    everywhere(|scene| {
        for tags in 0..=2 {
            scene.sent(&tagged(Packet::syn(scene.client(tags), scene.tcp(), 1), tags));
        }
        let syn = Packet::syn(scene.client(3), scene.tcp(), 1);
        scene.is_dropped(&tagged(syn, 3), DropReason::VlanDepth);
    });
}

#[test]
fn a_frame_that_leaves_where_it_came_in_keeps_its_tags() {
    by_dsr(|scene| {
        for tags in 0..=2 {
            let mut packet = tagged(Packet::syn(scene.client(tags), scene.tcp(), 1), tags);
            if let Some(outer) = packet.vlans.first_mut() {
                // 802.1ad outside, with a priority.
                *outer = (0x88a8, 0xa000 | outer.1);
            }
            let before = packet.bytes();
            let (verdict, after) = scene.frame(&before);
            assert_eq!(verdict, Verdict::Transmit);
            assert_eq!(after[12..12 + 4 * usize::from(tags) + 2], before[12..12 + 4 * usize::from(tags) + 2]);
        }
    });
}

#[test]
fn a_frame_that_leaves_by_another_interface_loses_its_tags() {
    by_nat(|scene| {
        for tags in 0..=2 {
            let seen = scene.sent(&tagged(Packet::syn(scene.client(tags), scene.tcp(), 1), tags));
            assert!(seen.vlans.is_empty());
            assert_eq!(seen.from_mac, [2, 0, 0, 0, 0, 3]);
        }
    });
}

/// Lets every backend be reached by a VLAN device above `ifindex`.
fn behind_vlan(scene: &mut Scene, ifindex: u32, id: u16) {
    for number in 0..3 {
        let to = scene.layout.backend_address(scene.family, number);
        let hop = &mut scene.host.routes.get_mut(&to).unwrap().hop;
        (hop.ifindex, hop.vlan) = (ifindex, id | VLAN_TAGGED);
    }
}

#[test]
fn a_vlan_device_s_tag_is_pushed_changed_and_popped_to_one() {
    everywhere(|scene| {
        for ifindex in [FRONT, BACK] {
            behind_vlan(scene, ifindex, 77);
            scene.host.settings.hop_epoch += 1;
            for tags in 0..=2 {
                let packet = tagged(Packet::udp(scene.client(tags), scene.udp(), b"odd"), tags);
                let (verdict, after) = scene.frame(&packet.bytes());
                let expected = if ifindex == FRONT { Verdict::Transmit } else { Verdict::Redirect(ifindex) };
                assert_eq!(verdict, expected);
                let seen = Parsed::of(&after).unwrap();
                assert!(seen.checksums_hold && seen.payload == b"odd", "{seen:?}");
                assert_eq!(
                    (seen.vlans.as_slice(), after[12..16].to_vec()),
                    (&[77][..], vec![0x81, 0, 0, 77])
                );
                assert_eq!(after.len(), packet.bytes().len() + 4 - 4 * usize::from(tags));
                assert_eq!(seen.to_mac[..5], backend_mac(0)[..5]);
            }
        }
    });
}

#[test]
fn arp_and_unknown_ethertypes_are_left_to_the_host() {
    everywhere(|scene| {
        let mut frame = Packet::syn(scene.client(1), scene.tcp(), 1).vlan(5).bytes();
        for ethertype in [0x0806u16, 0x88cc, 0x0000, 0x8847] {
            frame[16..18].copy_from_slice(&ethertype.to_be_bytes());
            assert_eq!(scene.frame(&frame).0, Verdict::Pass);
        }
    });
}

#[test]
fn what_is_sent_to_a_group_of_stations_is_not_balanced_but_a_ban_holds_for_it() {
    everywhere(|scene| {
        let client = scene.client(1);
        for group in [[0xff; 6], [1, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1]] {
            for packet in [Packet::syn(client, scene.tcp(), 1), Packet::udp(client, scene.udp(), b"x")] {
                let frame = packet.clone().between(CLIENT_MAC, group).bytes();
                assert_eq!(scene.frame(&frame).0, Verdict::Pass);
            }
        }
        scene.host.ban(client.ip(), 8, proxy_common::ban::FOR_EVER, false);
        scene.is_dropped(&Packet::syn(client, scene.tcp(), 1), DropReason::Banned);
        let frame = Packet::syn(client, scene.tcp(), 1).between(CLIENT_MAC, [0xff; 6]).bytes();
        assert_eq!(scene.frame(&frame).0, Verdict::Drop(DropReason::Banned));
    });
}

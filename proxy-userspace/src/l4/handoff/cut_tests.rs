//! Segments are taken apart by what knows nothing of how they were cut.

use std::net::SocketAddr;

use proxy_tests::packet::{Packet, flag};
use proxy_tests::parsed::Parsed;

use super::*;

const MOST: usize = 2032;

/// A segment of 8,900 bytes with timestamps, all flags that a piece may have to lose, and two tags.
fn long(v4: bool) -> (Packet, Vec<u8>) {
    let [from, to] =
        if v4 { ["192.0.2.1:7", "192.0.2.2:80"] } else { ["[2001:db8::1]:7", "[2001:db8::2]:80"] };
    let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
    let payload: Vec<u8> = (0..8900u32).map(|number| ((number * number) >> 7) as u8).collect();
    let flags = flag::ACK | flag::PSH | flag::FIN | CWR;
    let mut packet = Packet::tcp(from, to, flags, u32::MAX - 3000, 6, &payload).vlan(5).vlan(6);
    packet.body[12] = 8 << 4;
    let options = [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8];
    packet.body.splice(20..20, options);
    (packet.with_checksum(16), payload)
}

#[test]
fn pieces_say_together_what_the_long_segment_said() {
    for v4 in [true, false] {
        for dont_fragment in [true, false] {
            let (mut packet, payload) = long(v4);
            packet.dont_fragment = dont_fragment;
            let frame = packet.bytes();
            let whole = Parsed::of(&frame).unwrap();
            assert!(whole.checksums_hold && whole.payload == payload);
            // Bytes behind the packet are no part of it.
            let pieces = up(&[&frame[..], &[0xaa; 6]].concat(), MOST).unwrap();
            assert_eq!(pieces.len(), 5);
            let mut said = Vec::new();
            for (number, piece) in pieces.iter().enumerate() {
                assert!(piece.len() <= MOST);
                let parsed = Parsed::of(piece).unwrap();
                let (first, last) = (number == 0, number == 4);
                let lost = if first { 0 } else { CWR } | if last { 0 } else { FIN | PSH };
                let id = whole.id + if v4 && !dont_fragment { number as u32 } else { 0 };
                let sequence = whole.sequence.wrapping_add(said.len() as u32);
                let (flags, own) = (whole.flags & !lost, parsed.payload.clone());
                assert_eq!(parsed, Parsed { flags, id, sequence, payload: own, ..whole.clone() });
                said.extend(parsed.payload);
            }
            assert_eq!(said, payload);
        }
    }
}

#[test]
fn what_is_no_sound_segment_is_not_cut_up() {
    for v4 in [true, false] {
        let (packet, _) = long(v4);
        let sound = packet.bytes();
        for at in [60, 90, sound.len() - 1] {
            let mut damaged = sound.clone();
            damaged[at] ^= 1;
            assert_eq!(up(&damaged, MOST), None, "byte {at}");
        }
        for flags in [SYN, RST, URG] {
            let mut other = packet.clone();
            other.body[13] |= flags;
            assert_eq!(up(&other.with_checksum(16).bytes(), MOST), None, "flags {flags}");
        }
        for end in 0..sound.len() {
            assert_eq!(up(&sound[..end], MOST), None, "{end} bytes of it");
        }
        let fragments = packet.fragments(4096);
        assert!(fragments.iter().all(|fragment| up(fragment, MOST).is_none()));
        assert_eq!(up(&packet.clone().destination_options().bytes(), MOST).is_none(), !v4);
        assert_eq!(up(&sound, 60), None, "no room for a byte");
    }
}

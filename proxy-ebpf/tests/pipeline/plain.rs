//! Packets that are read at once are read as any other packet is.

use proptest::collection::vec;
use proptest::prelude::*;
use proxy_common::addr::Ip4;
use proxy_ebpf::parsed::{ETHERTYPE_IPV4, Internet, TCP, Transport};
use proxy_ebpf::stage::parse;
use proxy_ebpf::stage::plain;
use proxy_ebpf::verdict::Outcome;
use proxy_ebpf::world::Packet as Bytes;
use proxy_tests::packet::{Packet, flag};

use std::ops::ControlFlow::Continue;

/// A frame, of which so many bytes are in the first buffer.
struct Frame {
    bytes: Vec<u8>,
    linear: usize,
}

impl Bytes for Frame {
    fn holds(&self, bytes: u32) -> bool {
        self.bytes.len() >= bytes as usize
    }
    fn half(&self, at: u32) -> Option<u16> {
        let bytes = self.bytes.get(..self.linear)?.get(at as usize..at as usize + 2)?;
        Some(u16::from_ne_bytes([bytes[0], bytes[1]]))
    }
    fn words<const N: usize>(&self, at: u32) -> Option<[u32; N]> {
        let bytes = self.bytes.get(..self.linear)?.get(at as usize..at as usize + N * 4)?;
        Some(std::array::from_fn(|n| {
            u32::from_ne_bytes([bytes[n * 4], bytes[n * 4 + 1], bytes[n * 4 + 2], bytes[n * 4 + 3]])
        }))
    }
    fn set_half(&mut self, _: u32, _: u16) -> Option<()> {
        None
    }
    fn set_words<const N: usize>(&mut self, _: u32, _: [u32; N]) -> Option<()> {
        None
    }
    fn move_start(&mut self, _: i32) -> Option<()> {
        None
    }
    fn truncate(&mut self, _: u32) -> Option<()> {
        None
    }
    fn ingress(&self) -> u32 {
        0
    }
}

/// What the stages that read any packet make of an IPv4 one with TCP or UDP.
fn usual(frame: &Frame) -> Outcome<(Internet<Ip4>, Transport, u32)> {
    let (link, ethertype, to) = parse::link(frame)?;
    if ethertype != ETHERTYPE_IPV4 {
        return proxy_ebpf::verdict::passed();
    }
    let mut ip = Internet::default();
    parse::ipv4(frame, link, &mut ip)?;
    parse::payload(&ip)?;
    parse::ports(frame, &mut ip)?;
    let transport = if ip.key.protocol == TCP { parse::tcp(frame, &ip)? } else { parse::udp(frame, &ip)? };
    Continue((ip, transport, to))
}

fn sound(kind: u8, payload: &[u8]) -> Vec<u8> {
    let (from, to) = ("192.0.2.1:1000".parse().unwrap(), "198.51.100.2:443".parse().unwrap());
    let packet = match kind {
        0 => Packet::syn(from, to, 7),
        1 => Packet::tcp(from, to, flag::ACK, 1, 1, payload),
        2 => Packet::udp(from, to, payload),
        3 => Packet { options: vec![1; 8], ..Packet::udp(from, to, payload) },
        4 => return Packet::udp(from, to, &[payload, &[1; 64]].concat()).fragments(32).remove(0),
        _ => Packet::tcp(from, to, flag::ACK, 1, 1, payload).vlan(5),
    };
    packet.bytes()
}

#[test]
fn tcp_and_udp_without_anything_unusual_are_plain() {
    for (kind, payload) in [(0, &[][..]), (1, &[1; 700]), (2, &[1; 12])] {
        let bytes = sound(kind, payload);
        let frame = Frame { linear: bytes.len(), bytes };
        let (mut ip, mut transport) = Default::default();
        assert!(plain::ipv4(&frame, &mut ip, &mut transport).is_some(), "{kind}");
    }
}

proptest! {
    #[test]
    fn what_is_plain_is_what_the_usual_way_makes_of_it(
        kind in 0..6u8,
        payload in vec(any::<u8>(), 0..64),
        padding in 0..32usize,
        damage in vec((0..90usize, any::<u8>()), 0..3),
        cut in prop_oneof![3 => Just(usize::MAX), 1 => 0..120usize],
        linear in prop_oneof![3 => Just(usize::MAX), 1 => 0..120usize],
        mend in any::<bool>(),
    ) {
        let mut bytes = sound(kind, &payload);
        bytes.resize(bytes.len() + padding, 0);
        for (at, value) in damage {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        if mend && bytes.len() >= 34 {
            // What is damaged is seldom told by more than the checksum.
            bytes[24..26].fill(0);
            let sum = bytes[14..34].chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum::<u32>();
            let sum = (sum & 0xffff) + (sum >> 16);
            let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
            bytes[24..26].copy_from_slice(&sum.to_be_bytes());
        }
        bytes.truncate(cut);
        let frame = Frame { linear: linear.min(bytes.len()), bytes };
        let (mut ip, mut transport) = (Internet::default(), Transport { flags: 0xff, sequence: 1, acknowledgment: 1 });
        if let Some(to) = plain::ipv4(&frame, &mut ip, &mut transport) {
            prop_assert_eq!(usual(&frame), Continue((ip, transport, to)));
        }
    }
}

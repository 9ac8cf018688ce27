//! Sequences of frames through the whole pipeline: a world on plain memory, and what must hold of every frame.

use std::collections::HashMap;
use std::net::SocketAddr;

use proxy_common::settings::Settings;
use proxy_ebpf::host::{Host, Service, Sizes, Way};
use proxy_ebpf::verdict::Verdict;
use proxy_tests::packet::{fold, sum};
use proxy_tests::parsed::Parsed;
use proxy_tests::world::{Family, Layout};

/// Where frames come in.
const FRONT: u32 = 2;
const BACK: u32 = 3;

/// The listeners of the packet corpus, three backends each.
pub fn host(layout: Layout) -> Host {
    let (mut services, mut ways) = (Vec::new(), HashMap::new());
    for (family, bind) in [(Family::V4, "10.0.0.1:80"), (Family::V6, "[fd00::1]:80")] {
        let bind: SocketAddr = bind.parse().expect("an address");
        let nat_source = (layout == Layout::Routed).then_some(bind.ip());
        for protocol in [6, 17] {
            let backends = (0..3).map(|number| layout.backend(family, number)).collect();
            services.push(Service { protocol, bind, backends, nat_source });
        }
        for number in 0..3 {
            let to_mac = [2, 0, 0, 0, 1, number as u8];
            let way = Way { ifindex: BACK, to_mac, from_mac: [2, 0, 0, 0, 0, 2], mtu: 300 };
            ways.insert(layout.backend_address(family, number), way);
        }
        let client = if family == Family::V4 { "10.0.1.2" } else { "fd00:1::2" };
        let way = Way { ifindex: FRONT, to_mac: [2, 0, 0, 0, 2, 0], from_mac: [2, 0, 0, 0, 0, 1], mtu: 300 };
        ways.insert(client.parse().expect("an address"), way);
    }
    // Small tables: soon full, and made quickly, once for each input.
    let mut host = Host::sized(&services, ways, Sizes { flows: 32, young: 16 });
    host.settings.flags |= Settings::ANSWER_TOO_BIG;
    host
}

/// Frames out of fuzzed bytes: each begins with its length in two bytes; the highest bit says that it comes from
/// backends, the next that its IPv4 header gets a right checksum, which chance does not find.
pub fn frames(mut data: &[u8]) -> impl Iterator<Item = (u32, Vec<u8>)> {
    std::iter::from_fn(move || {
        let (head, rest) = data.split_first_chunk::<2>()?;
        let word = u16::from_be_bytes(*head);
        let length = usize::from(word & 0x3fff).min(rest.len());
        let (frame, rest) = rest.split_at(length);
        data = rest;
        let mut frame = frame.to_vec();
        if word & 0x4000 != 0 {
            mend(&mut frame);
        }
        Some((if word & 0x8000 == 0 { FRONT } else { BACK }, frame))
    })
}

/// Gives an untagged IPv4 header its checksum.
fn mend(frame: &mut [u8]) {
    let length = frame.get(14).map_or(0, |first| usize::from(first & 15) * 4);
    if let (Some([8, 0]), Some(header)) =
        (frame.get(12..14).map(<[u8]>::to_vec).as_deref(), frame.get_mut(14..14 + length))
        && length >= 20
    {
        header[10..12].fill(0);
        let sum = !fold(sum(header));
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}

/// Runs a frame, and checks what must hold whatever it is. An empty one also lets time go by.
pub fn check(host: &mut Host, ingress: u32, frame: &[u8]) {
    if frame.is_empty() {
        // Time goes by, and the ring changes.
        host.now = host.now.wrapping_add(host.settings.hop_lifetime);
        host.rings.iter_mut().for_each(|ring| ring.rotate_left(1));
    }
    let before = Parsed::of(frame);
    let (verdict, after) = host.run(ingress, frame);
    match verdict {
        Verdict::Pass => assert_eq!(after, frame, "passed, but changed"),
        Verdict::Transmit | Verdict::Redirect(_) => {
            assert!(after.len() <= frame.len(), "a frame grew");
            let (before, after) = (before.expect("a sent frame is sound"), Parsed::of(after));
            let after = after.expect("a sent frame stays sound");
            if after.protocol != before.protocol {
                assert!(after.checksums_hold && after.destination == before.source, "no answer: {after:?}");
                return;
            }
            assert!(!before.checksums_hold || after.checksums_hold, "{before:?}\n{after:?}");
            if after.protocol == before.protocol {
                assert_eq!(before.ttl, after.ttl + 1);
            } else {
                // Too big for its way out: its sender is told.
                assert_eq!((after.source, after.destination), (before.destination, before.source));
            }
        }
        Verdict::Drop(_) | Verdict::Defer => {}
        Verdict::GoOn(_) => unreachable!("a whole way has a verdict"),
    }
}

//! Single packets, each a situation of its own: what becomes of it, and what of its bytes.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use proxy_tests::config::Protocol;
use proxy_tests::packet::{Packet, flag, protocol};
use proxy_tests::parsed::Parsed;
use proxy_tests::world::{Family, Layout};

use super::engine::{Engine, Fate, Side};

/// What has to become of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// One of the backends gets it, whole.
    Backend,
    /// The host gets it, as it came.
    Host,
    /// Nobody gets it; this is counted.
    Drop(&'static str),
    /// Not sent on; passed or dropped is the same to this situation.
    NotSent,
}

/// A row: what it is, for which family (or both), the frame, what has to become of it.
struct Row {
    what: &'static str,
    only: Option<Family>,
    frame: fn(&Make<'_>) -> Vec<u8>,
    expect: Expect,
}

/// What rows make their frames from.
struct Make<'e> {
    engine: &'e dyn Engine,
    family: Family,
    port: u16,
}

impl Make<'_> {
    fn client(&self) -> SocketAddr {
        self.engine.place().client(self.family, self.port)
    }
    fn tcp(&self) -> SocketAddr {
        self.engine.place().service(Protocol::Tcp, self.family)
    }
    fn udp(&self) -> SocketAddr {
        self.engine.place().service(Protocol::Udp, self.family)
    }
    fn syn(&self) -> Packet {
        Packet::syn(self.client(), self.tcp(), 1)
    }
    fn datagram(&self) -> Packet {
        Packet::udp(self.client(), self.udp(), b"a datagram")
    }
    fn from(&self, source: &str) -> Packet {
        let source: IpAddr = source.parse().expect("an address");
        Packet::syn(SocketAddr::new(source, self.port), self.tcp(), 1)
    }
    fn frame(&self, packet: Packet) -> Vec<u8> {
        self.engine.client_frame(packet)
    }
    /// Where the IP header ends.
    fn l4(&self) -> usize {
        if self.family == Family::V4 { 34 } else { 54 }
    }
    /// A frame with one byte changed.
    fn with(&self, packet: Packet, at: usize, value: u8) -> Vec<u8> {
        let mut frame = self.frame(packet);
        frame[at] = value;
        frame
    }
}

const V4: Option<Family> = Some(Family::V4);
const V6: Option<Family> = Some(Family::V6);

const fn row(
    what: &'static str,
    only: Option<Family>,
    frame: fn(&Make<'_>) -> Vec<u8>,
    expect: Expect,
) -> Row {
    Row { what, only, frame, expect }
}

/// What is ours and sound.
const SOUND: &[Row] = &[
    row("a datagram", None, |m| m.frame(m.datagram()), Expect::Backend),
    row("an empty datagram", None, |m| m.frame(Packet::udp(m.client(), m.udp(), b"")), Expect::Backend),
    row("a SYN", None, |m| m.frame(m.syn()), Expect::Backend),
    row("a segment of no known flow", None, |m| m.frame(segment(m, b"test")), Expect::Backend),
    row("a type of service", None, |m| m.frame(Packet { tos: 0x8c, ..segment(m, b"test") }), Expect::Backend),
    row("one VLAN tag", None, |m| m.frame(m.syn().vlan(5)), Expect::Backend),
    row("two VLAN tags", None, |m| m.frame(m.datagram().vlan(5).vlan(7)), Expect::Backend),
    row("IPv4 options", V4, |m| m.frame(Packet { options: vec![1; 40], ..m.syn() }), Expect::Backend),
    row("an extension header", V6, |m| m.frame(m.syn().destination_options()), Expect::Backend),
    row("many extension headers", V6, |m| m.frame(extended(m, 4)), Expect::Backend),
    row("a frame with a trailer", None, trailed, Expect::Backend),
    row("a full segment", None, |m| m.frame(segment(m, &[7; 1400])), Expect::Backend),
    row(
        "a UDP checksum of none",
        V4,
        |m| {
            let mut packet = m.datagram();
            packet.body[6..8].fill(0);
            m.frame(packet)
        },
        Expect::Backend,
    ),
    row("two hops left", None, |m| m.frame(m.syn().ttl(2)), Expect::Backend),
    row("a first fragment", None, |m| fragments(m).swap_remove(0), Expect::Backend),
];

/// What is not ours.
const FOREIGN: &[Row] = &[
    row(
        "another port",
        None,
        |m| m.frame(Packet::syn(m.client(), SocketAddr::new(m.tcp().ip(), 82), 1)),
        Expect::Host,
    ),
    row(
        "another address",
        None,
        |m| {
            let elsewhere = if m.family == Family::V4 { "192.0.2.11" } else { "2001:db8:1::11" };
            m.frame(Packet::syn(m.client(), SocketAddr::new(elsewhere.parse().expect("an address"), 80), 1))
        },
        Expect::Host,
    ),
    row(
        "the other protocol's port",
        None,
        |m| m.frame(Packet::syn(m.client(), SocketAddr::new(m.tcp().ip(), m.udp().port()), 1)),
        Expect::Host,
    ),
    row(
        "an echo request",
        None,
        |m| {
            let kind = if m.family == Family::V4 { 8 } else { 128 };
            m.frame(Packet::icmp(m.client().ip(), m.tcp().ip(), (kind, 0), 1, b"ping"))
        },
        Expect::Host,
    ),
    row("ARP", V4, |m| [&m.frame(m.syn())[..12], &[8, 6][..], &[0; 28][..]].concat(), Expect::Host),
    row("an unknown protocol", None, |m| m.frame(Packet { protocol: 132, ..m.syn() }), Expect::Host),
    row("a tunnel", None, |m| m.frame(Packet { protocol: 4, ..m.syn() }), Expect::NotSent),
    row("an unknown EtherType", V4, |m| m.with(m.syn(), 13, 0xff), Expect::Host),
];

/// What is ours and cannot be sound.
const BROKEN: &[Row] = &[
    row("its last hop", None, |m| m.frame(m.syn().ttl(1)), Expect::Drop("ttl_expired")),
    row("no hop", None, |m| m.frame(m.syn().ttl(0)), Expect::Drop("ttl_expired")),
    row("three VLAN tags", None, |m| m.frame(m.syn().vlan(5).vlan(6).vlan(7)), Expect::Drop("vlan_depth")),
    row("a wrong IPv4 checksum", V4, |m| m.with(m.syn(), 24, 0xee), Expect::Drop("ipv4_checksum")),
    row("an IPv4 version of 5", V4, |m| m.with(m.syn(), 14, 0x55), Expect::Drop("ipv4_header")),
    row("an IPv4 header of 16 bytes", V4, |m| m.with(m.syn(), 14, 0x44), Expect::Drop("ipv4_header")),
    row("an IPv4 length beyond the frame", V4, |m| m.with(m.syn(), 16, 0x40), Expect::Drop("ipv4_header")),
    row("an IPv6 version of 4", V6, |m| m.with(m.syn(), 14, 0x40), Expect::Drop("ipv6_header")),
    row("an IPv6 length beyond the frame", V6, |m| m.with(m.syn(), 18, 0x40), Expect::Drop("ipv6_header")),
    row("an IPv6 length of zero", V6, |m| m.with(m.syn(), 19, 0), Expect::Drop("ipv6_header")),
    row("too many extension headers", V6, |m| m.frame(extended(m, 20)), Expect::Drop("ipv6_extensions")),
    row(
        "half a TCP header",
        None,
        |m| m.frame(Packet { body: m.syn().body[..12].to_vec(), ..m.syn() }),
        Expect::Drop("tcp_header"),
    ),
    row("a TCP header of 16 bytes", None, |m| m.with(m.syn(), m.l4() + 12, 0x40), Expect::Drop("tcp_header")),
    row(
        "a TCP header beyond the packet",
        None,
        |m| m.with(m.syn(), m.l4() + 12, 0xf0),
        Expect::Drop("tcp_header"),
    ),
    row(
        "a UDP length beyond the packet",
        None,
        |m| m.with(m.datagram(), m.l4() + 4, 9),
        Expect::Drop("udp_header"),
    ),
    row("a UDP length of 7", None, |m| m.with(m.datagram(), m.l4() + 5, 7), Expect::Drop("udp_header")),
    row("from loopback", V4, |m| m.frame(m.from("127.0.0.1")), Expect::Drop("martian_source")),
    row("from a multicast group", V4, |m| m.frame(m.from("224.0.0.1")), Expect::Drop("martian_source")),
    row("from nobody", V4, |m| m.frame(m.from("0.0.0.0")), Expect::Drop("martian_source")),
    row("from loopback", V6, |m| m.frame(m.from("::1")), Expect::Drop("martian_source")),
    row("from the link alone", V6, |m| m.frame(m.from("fe80::1")), Expect::Drop("martian_source")),
    row("from a multicast group", V6, |m| m.frame(m.from("ff02::1")), Expect::Drop("martian_source")),
    row(
        "from the service itself",
        None,
        |m| m.frame(Packet::syn(SocketAddr::new(m.tcp().ip(), m.port), m.tcp(), 1)),
        Expect::Drop("martian_source"),
    ),
    row("a later fragment alone", None, |m| fragments(m).swap_remove(1), Expect::Drop("fragment_unknown")),
    row("an error that quotes too little", None, |m| m.frame(complaint(m, 4)), Expect::Drop("icmp_error")),
];

/// All rows for one family.
pub(super) fn all(engine: &mut dyn Engine, family: Family) -> Result<()> {
    let mut wrong = Vec::new();
    for (number, row) in SOUND.iter().chain(FOREIGN).chain(BROKEN).enumerate() {
        if row.only.is_some_and(|only| only != family) {
            continue;
        }
        // A port of its own for each: no row meets another's flow.
        let port = 20_000 + number as u16;
        let frame = (row.frame)(&Make { engine, family, port });
        let fate = engine.run(Side::Front, &frame);
        if let Err(why) = fate.and_then(|fate| judge(engine, family, row, &frame, &fate)) {
            wrong.push(format!("{family:?} {}: {why:#}", row.what));
        }
    }
    ensure!(wrong.is_empty(), "{} rows:\n  {}", wrong.len(), wrong.join("\n  "));
    Ok(())
}

fn judge(engine: &dyn Engine, family: Family, row: &Row, frame: &[u8], fate: &Fate) -> Result<()> {
    match (row.expect, fate) {
        (Expect::Backend, Fate::Sent(after)) => arrived(engine, family, frame, after),
        (Expect::Host, Fate::Passed) | (Expect::NotSent, Fate::Passed | Fate::Dropped(_)) => Ok(()),
        (Expect::Drop(reason), Fate::Dropped(counted)) if reason == counted => Ok(()),
        (expect, fate) => anyhow::bail!("{expect:?} was expected: {fate:?}"),
    }
}

/// A packet as its backend gets it: addresses, ports, MACs, one hop less, sums right, everything else as it came.
fn arrived(engine: &dyn Engine, family: Family, before: &[u8], after: &[u8]) -> Result<()> {
    let place = engine.place();
    let (was, is) = (Parsed::of(before)?, Parsed::of(after)?);
    let number = match place.layout {
        Layout::Routed => place.backend_at(is.to()).with_context(|| format!("to {}", is.to()))?,
        Layout::Flat => {
            ensure!((is.from(), is.to()) == (was.from(), was.to()), "addresses changed: {is:?}");
            place.backend_macs.iter().position(|mac| *mac == is.to_mac).context("to no backend's MAC")?
        }
    };
    ensure!(is.to_mac == place.backend_macs[number] && is.from_mac == place.back, "MACs: {is:?}");
    if place.layout == Layout::Routed {
        ensure!(is.source == place.nat_source[usize::from(family == Family::V6)], "from {}", is.source);
        ensure!(is.source_port >= 1024 && is.vlans.is_empty(), "{is:?}");
    } else {
        ensure!(is.vlans == was.vlans, "{is:?}");
    }
    ensure!(is.checksums_hold && is.ttl + 1 == was.ttl && is.tos == was.tos, "{is:?}");
    ensure!((&is.payload, is.flags, is.sequence) == (&was.payload, was.flags, was.sequence), "{is:?}");
    Ok(())
}

fn segment(m: &Make<'_>, payload: &[u8]) -> Packet {
    Packet::tcp(m.client(), m.tcp(), flag::ACK, 9, 9, payload)
}

fn extended(m: &Make<'_>, count: usize) -> Packet {
    (0..count).fold(m.syn(), |packet, _| packet.destination_options())
}

fn trailed(m: &Make<'_>) -> Vec<u8> {
    let mut frame = m.frame(m.syn());
    frame.resize(frame.len() + 40, 0xee);
    frame
}

fn fragments(m: &Make<'_>) -> Vec<Vec<u8>> {
    let place = m.engine.place();
    let datagram = Packet { id: m.port, ..Packet::udp(m.client(), m.udp(), &[7; 2000]) };
    datagram.between(place.client_mac, place.front).fragments(1400)
}

/// An ICMP error about a packet from the service, quoting `bytes` behind its IP header.
fn complaint(m: &Make<'_>, bytes: usize) -> Packet {
    let quoted = Packet::tcp(m.tcp(), m.client(), flag::ACK, 1, 1, b"").ip_packet();
    let kind = if m.family == Family::V4 { (3, 4) } else { (2, 0) };
    let end = m.l4() - 14 + bytes;
    let packet = Packet::icmp(m.client().ip(), m.tcp().ip(), kind, 1400, &quoted[..end]);
    debug_assert!(matches!(packet.protocol, protocol::ICMP | protocol::ICMPV6));
    packet
}

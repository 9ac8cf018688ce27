//! Packets of one flow, one after another: a handshake, an answer, the end, the same 5-tuple again.

use std::collections::HashSet;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use proxy_tests::config::Protocol;
use proxy_tests::packet::{Packet, flag};
use proxy_tests::world::Family;

use super::engine::{Engine, Fate, Side};

const SYN_ACK: u8 = flag::SYN | flag::ACK;

/// A connection by `nat`, from its SYN to the next one with the same 5-tuple.
pub(super) fn nat(engine: &mut dyn Engine, family: Family) -> Result<()> {
    let (client, service) =
        (engine.place().client(family, 30_000), engine.place().service(Protocol::Tcp, family));
    let begun = engine.noticed("flow_created")?;
    let (ours, backend) = open(engine, client, service, 100)?;
    ensure!(engine.noticed("flow_created")? == begun + 1, "the client's proof of life makes the flow");
    data_goes_both_ways(engine, client, service, ours, backend)?;
    errors_go_both_ways(engine, client, service, ours, backend)?;
    // Finished both ways, the same addresses and ports begin anew.
    let reused = engine.noticed("flow_reused")?;
    engine.sent("a FIN", Side::Front, &Packet::tcp(client, service, flag::FIN | flag::ACK, 105, 501, b""))?;
    engine.sent("its FIN", Side::Back, &Packet::tcp(backend, ours, flag::FIN | flag::ACK, 501, 106, b""))?;
    engine.sent("the last ACK", Side::Front, &Packet::tcp(client, service, flag::ACK, 106, 502, b""))?;
    open(engine, client, service, 9000)?;
    ensure!(engine.noticed("flow_reused")? == reused + 1, "a new flow");
    datagrams(engine, family)?;
    ports_are_never_shared(engine, family)
}

/// SYN, SYN-ACK, ACK: the flow's address towards the backend, and the backend.
fn open(
    engine: &mut dyn Engine,
    client: SocketAddr,
    service: SocketAddr,
    isn: u32,
) -> Result<(SocketAddr, SocketAddr)> {
    let first = engine.sent("a SYN", Side::Front, &Packet::syn(client, service, isn))?;
    let again = engine.sent("the SYN again", Side::Front, &Packet::syn(client, service, isn))?;
    ensure!((first.from(), first.to()) == (again.from(), again.to()), "a SYN sent again goes where it went");
    let (ours, backend) = (first.from(), first.to());
    let answer = Packet::tcp(backend, ours, SYN_ACK, 500, isn + 1, b"");
    let seen = engine.sent("a SYN-ACK", Side::Back, &answer)?;
    ensure!((seen.from(), seen.to()) == (service, client), "{seen:?}");
    ensure!(seen.to_mac == engine.place().client_mac && seen.from_mac == engine.place().front, "{seen:?}");
    let ack = Packet::tcp(client, service, flag::ACK, isn + 1, 501, b"");
    let seen = engine.sent("an ACK", Side::Front, &ack)?;
    ensure!((seen.from(), seen.to()) == (ours, backend), "{seen:?}");
    Ok((ours, backend))
}

fn data_goes_both_ways(
    engine: &mut dyn Engine,
    client: SocketAddr,
    service: SocketAddr,
    ours: SocketAddr,
    backend: SocketAddr,
) -> Result<()> {
    let request = Packet::tcp(client, service, flag::ACK | flag::PSH, 101, 501, b"data");
    let seen = engine.sent("data", Side::Front, &request)?;
    ensure!((seen.from(), seen.to()) == (ours, backend) && seen.payload == b"data", "{seen:?}");
    let answer = Packet::tcp(backend, ours, flag::ACK | flag::PSH, 501, 105, b"an odd answer");
    let seen = engine.sent("an answer", Side::Back, &answer)?;
    ensure!((seen.from(), seen.to()) == (service, client) && seen.payload == b"an odd answer", "{seen:?}");
    Ok(())
}

/// ICMP errors about packets of the flow, quoting eight bytes and quoting all, from the ends and from routers.
fn errors_go_both_ways(
    engine: &mut dyn Engine,
    client: SocketAddr,
    service: SocketAddr,
    ours: SocketAddr,
    backend: SocketAddr,
) -> Result<()> {
    let v4 = client.is_ipv4();
    let (kind, header) = if v4 { ((3, 4), 20) } else { ((2, 0), 40) };
    let (near, far): (SocketAddr, SocketAddr) = if v4 {
        ("192.0.2.250:0".parse()?, "10.0.0.250:0".parse()?)
    } else {
        ("[2001:db8:1::250]:0".parse()?, "[fd00::250]:0".parse()?)
    };
    for bytes in [8, 20] {
        let lost = Packet::tcp(service, client, flag::ACK, 501, 105, b"").ip_packet();
        let error = Packet::icmp(near.ip(), service.ip(), kind, 1300, &lost[..header + bytes]);
        let seen = engine.sent("a router's error to the backend", Side::Front, &error)?;
        ensure!((seen.source, seen.destination) == (near.ip(), backend.ip()), "{seen:?}");
        let quoted = seen.quoted()?;
        ensure!((quoted.from(), quoted.to()) == (backend, ours), "{quoted:?}");

        let lost = Packet::tcp(ours, backend, flag::ACK, 101, 501, b"").ip_packet();
        for (from, shown) in [(far.ip(), far.ip()), (backend.ip(), service.ip())] {
            let error = Packet::icmp(from, ours.ip(), kind, 1300, &lost[..header + bytes]);
            let seen = engine.sent("an error to the client", Side::Back, &error)?;
            ensure!((seen.source, seen.destination) == (shown, client.ip()), "a backend is hidden: {seen:?}");
            ensure!(seen.icmp_word == 1300, "{seen:?}");
            let quoted = seen.quoted()?;
            ensure!((quoted.from(), quoted.to()) == (client, service), "{quoted:?}");
        }
    }
    Ok(())
}

fn datagrams(engine: &mut dyn Engine, family: Family) -> Result<()> {
    let (client, service) =
        (engine.place().client(family, 30_001), engine.place().service(Protocol::Udp, family));
    let begun = engine.noticed("flow_created")?;
    let first = engine.sent("a datagram", Side::Front, &Packet::udp(client, service, b"1"))?;
    let second = engine.sent("another", Side::Front, &Packet::udp(client, service, b"2"))?;
    ensure!((first.from(), first.to()) == (second.from(), second.to()), "one flow");
    ensure!(engine.noticed("flow_created")? == begun, "nothing is proved yet");
    let seen = engine.sent("an answer", Side::Back, &Packet::udp(first.to(), first.from(), b"3"))?;
    ensure!((seen.from(), seen.to()) == (service, client), "{seen:?}");
    engine.sent("a proof", Side::Front, &Packet::udp(client, service, b"4"))?;
    ensure!(engine.noticed("flow_created")? == begun + 1, "who writes after an answer is there");
    Ok(())
}

/// Hundreds of flows: no two share address and port towards one backend.
fn ports_are_never_shared(engine: &mut dyn Engine, family: Family) -> Result<()> {
    let service = engine.place().service(Protocol::Tcp, family);
    let mut taken = HashSet::new();
    for port in 40_000..40_200 {
        let client = engine.place().client(family, port);
        let seen = engine.sent("a SYN", Side::Front, &Packet::syn(client, service, 1))?;
        ensure!(
            taken.insert((seen.from(), seen.to())),
            "port {port} shares {} to {}",
            seen.from(),
            seen.to()
        );
    }
    Ok(())
}

/// A connection by `dsr`: what is seen of it is the client's side alone.
pub(super) fn dsr(engine: &mut dyn Engine, family: Family) -> Result<()> {
    let (client, service) =
        (engine.place().client(family, 30_000), engine.place().service(Protocol::Tcp, family));
    let begun = engine.noticed("flow_created")?;
    let syn = Packet::syn(client, service, 100);
    let first = engine.sent("a SYN", Side::Front, &syn)?;
    ensure!(engine.noticed("flow_created")? == begun, "a bare SYN makes no flow");
    let ack = Packet::tcp(client, service, flag::ACK, 101, 501, b"");
    let second = engine.sent("an ACK", Side::Front, &ack)?;
    ensure!(engine.noticed("flow_created")? == begun + 1, "the client is there");
    ensure!(first.to_mac == second.to_mac && second.from() == client && second.to() == service, "{second:?}");
    let data = Packet::tcp(client, service, flag::ACK, 101, 501, &[7; 1001]);
    ensure!(engine.sent("data", Side::Front, &data)?.to_mac == first.to_mac);
    // An error about the backend's packets goes to the backend, as it is.
    let lost = Packet::tcp(service, client, flag::ACK, 501, 105, b"").ip_packet();
    let (kind, header) = if client.is_ipv4() { ((3, 4), 20) } else { ((2, 0), 40) };
    let error = Packet::icmp(client.ip(), service.ip(), kind, 1300, &lost[..header + 8]);
    let seen = engine.sent("an error", Side::Front, &error)?;
    ensure!(seen.to_mac == first.to_mac && seen.payload.starts_with(&lost[..header + 8]), "{seen:?}");
    fragments(engine, family)
}

/// Later fragments follow their first.
fn fragments(engine: &mut dyn Engine, family: Family) -> Result<()> {
    let place = engine.place();
    let (client, service) = (place.client(family, 30_002), place.service(Protocol::Udp, family));
    let datagram = Packet { id: 77, ..Packet::udp(client, service, &[7; 4000]) };
    let frames = datagram.between(place.client_mac, place.front).fragments(1400);
    let mut macs = HashSet::new();
    for frame in &frames {
        match engine.run(Side::Front, frame)? {
            Fate::Sent(after) => macs.insert(after.get(..6).context("a frame")?.to_vec()),
            other => anyhow::bail!("a fragment: {other:?}"),
        };
    }
    ensure!(macs.len() == 1, "fragments of one datagram went to {} backends", macs.len());
    Ok(())
}

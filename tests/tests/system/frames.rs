//! Frames that ordinary clients seldom send: VLAN tags, fragments, extension headers, ICMP errors.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use proxy_tests::client::{Http, Udp};
use proxy_tests::config::{self, Listener, Protocol};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::packet::{Packet, flag};
use proxy_tests::parsed::Parsed;
use proxy_tests::peer::Peer;
use proxy_tests::raw::Raw;
use proxy_tests::runner::Fact;
use proxy_tests::server::pattern;
use proxy_tests::wait::{SOON, until};
use proxy_tests::world::{Family, World};

pub(crate) const FACTS: &[Fact] = facts![
    a_tagged_client_is_balanced_by_nat,
    a_client_behind_two_tags_is_balanced_by_nat,
    what_is_tagged_stays_tagged_on_one_link,
    options_and_extension_headers_go_through,
    big_datagrams_go_both_ways_by_nat,
    big_datagrams_go_both_ways_by_dsr,
    a_fragment_whose_first_was_not_seen_is_dropped_with_a_reason,
    path_mtu_discovery_works_through_the_balancer,
    a_closed_port_of_a_backend_is_reported_to_the_client,
    an_error_that_quotes_eight_bytes_reaches_the_backend_by_nat,
    an_error_that_quotes_eight_bytes_reaches_the_backend_by_dsr,
    the_last_hop_is_not_forwarded,
    an_unresolved_neighbour_costs_no_packet,
];

fn start(world: &World) -> Result<Daemon<'_>> {
    Daemon::start(world, &config::text(world, &Listener::all(world)))
}

fn tagged(vlans: &[u16]) -> Result<()> {
    let world = World::routed().build()?;
    let daemon = start(&world)?;
    for family in Family::BOTH {
        for port in 5000..5010 {
            let peer = Peer::new(&world, family, port)?.tagged(vlans);
            let name = peer.who(world.service(family))?;
            ensure!(world.number_of(&name).is_some(), "{name:?} answered");
        }
    }
    ensure!(daemon.status()?.drops().is_empty(), "{:?}", daemon.status()?.drops());
    Ok(())
}

fn a_tagged_client_is_balanced_by_nat() -> Result<()> {
    tagged(&[5])
}

fn a_client_behind_two_tags_is_balanced_by_nat() -> Result<()> {
    tagged(&[7, 5])
}

/// What comes in tagged and leaves by the same interface stays in its VLAN.
fn what_is_tagged_stays_tagged_on_one_link() -> Result<()> {
    let world = World::flat().build()?;
    let _daemon = start(&world)?;
    let taps = taps(&world)?;
    for family in Family::BOTH {
        let peer = Peer::new(&world, family, 5000)?.tagged(&[5]);
        let sent = Packet::syn(peer.address, world.service(family), 77);
        peer.send(sent)?;
        let (_, seen) = first_of(&taps, |seen| seen.sequence == 77 && seen.to() == world.service(family))?;
        ensure!(seen.vlans == [5] && seen.checksums_hold && seen.ttl == 63, "{seen:?}");
    }
    Ok(())
}

/// A tap at every backend.
fn taps(world: &World) -> Result<Vec<Raw>> {
    world.backends.iter().map(|host| Raw::open(&host.namespace, "eth0")).collect()
}

/// The first packet at any backend of which `wanted` says yes, and whose it was.
fn first_of(taps: &[Raw], mut wanted: impl FnMut(&Parsed) -> bool) -> Result<(usize, Parsed)> {
    until("a packet reaches a backend", SOON, || {
        for (number, tap) in taps.iter().enumerate() {
            while let Some(frame) = tap.receive()? {
                if let Ok(seen) = Parsed::of(&frame)
                    && wanted(&seen)
                {
                    return Ok((number, seen));
                }
            }
        }
        anyhow::bail!("none did")
    })
}

fn options_and_extension_headers_go_through() -> Result<()> {
    let world = World::routed().build()?;
    let _daemon = start(&world)?;
    let taps = taps(&world)?;
    for family in Family::BOTH {
        let peer = Peer::new(&world, family, 5000)?;
        let mut syn = Packet::syn(peer.address, world.service(family), 4711);
        match family {
            // A timestamp option that records nothing, padded.
            Family::V4 => syn.options = vec![0x44, 4, 5, 0],
            Family::V6 => syn = syn.destination_options(),
        }
        syn.tos = 0x8c;
        peer.send(syn)?;
        let (number, seen) = first_of(&taps, |seen| seen.sequence == 4711)?;
        ensure!(seen.to() == world.backend(family, number), "{seen:?}");
        ensure!(seen.checksums_hold && seen.ttl == 63 && seen.tos == 0x8c, "{seen:?}");
    }
    Ok(())
}

/// Datagrams of many fragments, to backends and back.
fn big_datagrams(world: &World) -> Result<()> {
    let daemon = start(world)?;
    for family in Family::BOTH {
        for length in [1473, 3000, 8000, 20_000, 60_000] {
            let client = Udp::connect(world.client(), world.service_udp(family))?;
            let datagram = pattern(length);
            let first = client.ask(&datagram).with_context(|| format!("{family:?}, {length} bytes"))?;
            ensure!(client.ask(&datagram)? == first, "the next one goes there too");
        }
    }
    let status = daemon.status()?;
    ensure!(status.noticed("fragment_followed") > 50, "{}", status.json());
    ensure!(status.drops().is_empty(), "{:?}", status.drops());
    Ok(())
}

fn big_datagrams_go_both_ways_by_nat() -> Result<()> {
    big_datagrams(&World::routed().build()?)
}

fn big_datagrams_go_both_ways_by_dsr() -> Result<()> {
    big_datagrams(&World::flat().build()?)
}

fn a_fragment_whose_first_was_not_seen_is_dropped_with_a_reason() -> Result<()> {
    let world = World::routed().build()?;
    let daemon = start(&world)?;
    for (count, family) in Family::BOTH.into_iter().enumerate() {
        let peer = Peer::new(&world, family, 5000)?;
        let datagram = Packet::udp(peer.address, world.service_udp(family), &pattern(3000));
        let fragments = datagram.between(peer_mac(&world)?, world.balancer.mac("front")?).fragments(1400);
        peer.raw.send(&fragments[1])?;
        until("the drop is counted", SOON, || {
            let dropped = daemon.status()?.dropped("fragment_unknown");
            ensure!(dropped == count as u64 + 1, "{dropped}");
            Ok(())
        })?;
        // In order, the same fragments go through.
        for fragment in &fragments {
            peer.raw.send(fragment)?;
        }
        // The answer's later fragments have no ports; its first one says whose it is.
        peer.raw.expect("the answer", |seen| {
            seen.from() == world.service_udp(family) && seen.to() == peer.address && seen.more_fragments
        })?;
    }
    Ok(())
}

fn peer_mac(world: &World) -> Result<[u8; 6]> {
    world.client().mac("eth0")
}

/// A way out carries less than the ends believe: only "fragmentation needed" and "packet too big" can tell them.
fn path_mtu_discovery_works_through_the_balancer() -> Result<()> {
    let world = World::routed().clients(2).build()?;
    let daemon = start(&world)?;
    let body = pattern(100_000);
    for family in Family::BOTH {
        let narrow = |interface, mtu| world.balancer.ip(&format!("link set {interface} mtu {mtu}"));
        let before = daemon.status()?.noticed("too_big_answered");
        // Two clients: what one has learnt of the path it would tell in its handshake.
        let connect = |number: usize| Http::connect(&world.clients[number], world.service(family));
        narrow("back", 1400)?;
        connect(0)?.post_to("/", &body).context("towards the backend")?;
        let between = daemon.status()?.noticed("too_big_answered");
        ensure!(between > before, "{family:?}: the client was told");
        narrow("back", 1500)?;
        narrow("front", 1400)?;
        ensure!(connect(1)?.get("/bytes/100000").context("towards the client")?.body == body);
        let after = daemon.status()?.noticed("too_big_answered");
        ensure!(after > between, "{family:?}: the backend was told");
        narrow("front", 1500)?;
    }
    Ok(())
}

fn a_closed_port_of_a_backend_is_reported_to_the_client() -> Result<()> {
    let world = World::routed().build()?;
    let mut listeners = Listener::all(&world);
    for listener in listeners.iter_mut().filter(|listener| listener.protocol == Protocol::Udp) {
        listener.backends.iter_mut().for_each(|backend| backend.address.set_port(9));
    }
    let daemon = Daemon::start(&world, &config::text(&world, &listeners))?;
    for family in Family::BOTH {
        let client = Udp::connect(world.client(), world.service_udp(family))?;
        let why = client.ask(b"anybody?").err().context("somebody answered")?;
        let refused = why.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        ensure!(refused == Some(std::io::ErrorKind::ConnectionRefused), "{family:?}: {why:#}");
    }
    let status = daemon.status()?;
    ensure!(status.noticed("icmp_translated") >= 2, "{}", status.json());
    Ok(())
}

/// A router between client and balancer complains of a packet from the service, quoting as little as it may.
fn errors_reach_backends(world: &World) -> Result<()> {
    let daemon = start(world)?;
    let taps = taps(world)?;
    for family in Family::BOTH {
        let peer = Peer::new(world, family, 6000)?;
        let service = world.service(family);
        peer.connect(service)?;
        let (number, at_backend) = first_of(&taps, |seen| seen.flags == flag::ACK && seen.sequence == 1001)?;
        let (kind, word) = if family == Family::V4 { ((3, 4), 1300) } else { ((2, 0), 1300) };
        let quoted = Packet::tcp(service, peer.address, flag::ACK, 9, 9, b"lost").ip_packet();
        let header = if family == Family::V4 { 20 } else { 40 };
        let router: SocketAddr =
            if family == Family::V4 { "192.0.2.201:0" } else { "[2001:db8:1::201]:0" }.parse()?;
        peer.send(Packet::icmp(router.ip(), service.ip(), kind, word, &quoted[..header + 8]))?;
        let is_error = |seen: &Parsed| seen.icmp == kind && seen.icmp_word == word;
        let error = taps[number].expect("the error at the flow's backend", is_error)?;
        ensure!(error.checksums_hold, "{error:?}");
        let about = error.quoted()?;
        ensure!((about.from(), about.to()) == (at_backend.to(), at_backend.from()), "{about:?}");
        ensure!(error.destination == at_backend.destination && error.source == router.ip(), "{error:?}");
    }
    ensure!(daemon.status()?.noticed("icmp_translated") == 2);
    Ok(())
}

fn an_error_that_quotes_eight_bytes_reaches_the_backend_by_nat() -> Result<()> {
    errors_reach_backends(&World::routed().build()?)
}

fn an_error_that_quotes_eight_bytes_reaches_the_backend_by_dsr() -> Result<()> {
    errors_reach_backends(&World::flat().build()?)
}

fn the_last_hop_is_not_forwarded() -> Result<()> {
    let world = World::routed().build()?;
    let daemon = start(&world)?;
    for (count, family) in Family::BOTH.into_iter().enumerate() {
        let peer = Peer::new(&world, family, 5000)?;
        peer.send(Packet::syn(peer.address, world.service(family), 7).ttl(1))?;
        until("the drop is counted", SOON, || {
            let dropped = daemon.status()?.dropped("ttl_expired");
            ensure!(dropped == count as u64 + 1, "{dropped}");
            Ok(())
        })?;
    }
    Ok(())
}

/// The balancer has forgotten every neighbour: connections are made all the same, at once.
fn an_unresolved_neighbour_costs_no_packet() -> Result<()> {
    let world = World::routed().build()?;
    let _daemon = start(&world)?;
    for family in Family::BOTH {
        for interface in ["back", "front"] {
            world.balancer.ip(&format!("neigh flush dev {interface}"))?;
            let begin = std::time::Instant::now();
            Http::connect(world.client(), world.service(family))?.who()?;
            // A lost SYN would be sent again after a second.
            ensure!(begin.elapsed().as_millis() < 900, "{family:?} {interface}: {:?}", begin.elapsed());
        }
    }
    Ok(())
}

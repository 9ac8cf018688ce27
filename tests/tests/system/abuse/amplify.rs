//! Who forges sources gets nobody else flooded by this host: answers to datagrams, and ICMP.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use proxy_tests::config::{self, Listener, Protocol};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::packet::Packet;
use proxy_tests::raw::Raw;
use proxy_tests::runner::Fact;
use proxy_tests::wait::{SOON, until};
use proxy_tests::world::{Family, World};

pub(crate) const FACTS: &[Fact] = facts![
    answers_to_datagrams_are_in_proportion_however_often_a_client_writes,
    pings_above_their_limit_are_dropped,
];

/// Answers to each datagram, as long as it is.
const ANSWERS: usize = 10;
/// An answer that has not come by then does not come.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many answers come.
fn answers(socket: &UdpSocket) -> usize {
    (0..ANSWERS).take_while(|_| socket.recv(&mut [0; 256]).is_ok()).count()
}

fn amplification(family: Family) -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let at = SocketAddr::new(world.backend_address(family, 0), 5454);
    let server = world.backends[0].namespace.enter(|| UdpSocket::bind(at))??;
    std::thread::spawn(move || {
        let mut heard = [0; 256];
        while let Ok((length, client)) = server.recv_from(&mut heard) {
            for _ in 0..ANSWERS {
                // Who has gone hears nothing.
                let _unheard = server.send_to(&heard[..length], client);
            }
        }
    });
    let mut listener = Listener::of(&world, Protocol::Udp, family);
    listener.backends.truncate(1);
    listener.backends[0].address = at;
    let text = config::text(&world, &[listener]);
    let text = text.replace("protocol = \"udp\"", "protocol = \"udp\"\namplification = 2");
    let daemon = Daemon::start(&world, &text)?;
    let any = if family == Family::V4 { "0.0.0.0:0" } else { "[::]:0" };
    let socket = world.client().enter(|| UdpSocket::bind(any))??;
    socket.connect(world.service_udp(family))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(&[7; 100])?;
    let first = answers(&socket);
    ensure!((1..=2).contains(&first), "{first} answers of twice the length: {:?}", daemon.status()?.drops());
    let dropped = daemon.status()?.dropped("amplification");
    ensure!(dropped as usize == ANSWERS - first, "{dropped} were dropped");
    // To write again shows nothing: whoever forged the first can forge this.
    socket.send(&[7; 100])?;
    let second = answers(&socket);
    ensure!((1..=2).contains(&second), "{second} answers to another: {:?}", daemon.status()?.drops());
    Ok(())
}

fn answers_to_datagrams_are_in_proportion_however_often_a_client_writes() -> Result<()> {
    Family::BOTH.into_iter().try_for_each(amplification)
}

/// Pings that the balancer's host has heard.
fn heard(world: &World, family: Family) -> Result<u64> {
    let path =
        if family == Family::V4 { "/proc/thread-self/net/snmp" } else { "/proc/thread-self/net/snmp6" };
    let text = world.balancer.enter(|| std::fs::read_to_string(path))??;
    if family == Family::V6 {
        let line =
            text.lines().find_map(|line| line.strip_prefix("Icmp6InEchos")).context("no Icmp6InEchos")?;
        return Ok(line.trim().parse()?);
    }
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Icmp: "));
    let (names, values) = lines.next().zip(lines.next()).context("no Icmp")?;
    let found = names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == "InEchos");
    Ok(found.context("no InEchos")?.1.parse()?)
}

fn pings_above_their_limit_are_dropped() -> Result<()> {
    const PINGS: u32 = 500;
    for family in Family::BOTH {
        let world = World::routed().build()?;
        let listener = Listener::of(&world, Protocol::Tcp, family);
        let kernel = "flows = 4096\nicmp_limit = \"20/s\"\n";
        let daemon = Daemon::start(&world, &config::with_kernel(&world, kernel, &[listener]))?;
        let (from, there) = (world.client().mac("eth0")?, world.balancer.mac("front")?);
        let raw = Raw::open(world.client(), "eth0")?;
        let kind = if family == Family::V4 { (8, 0) } else { (128, 0) };
        let before = heard(&world, family)?;
        for number in 0..PINGS {
            let (client, service) = (world.client_address(family, 0), world.service(family).ip());
            let ping = Packet::icmp(client, service, kind, number, b"ping");
            raw.send(&ping.between(from, there).bytes())?;
        }
        until("those above the limit are dropped", SOON, || {
            let dropped = daemon.status()?.dropped("icmp_limit");
            let passed = heard(&world, family)? - before;
            ensure!(dropped > 0 && passed > 0 && dropped + passed >= u64::from(PINGS), "{dropped}, {passed}");
            Ok(())
        })?;
    }
    Ok(())
}

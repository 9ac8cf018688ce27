//! Thousands of connections that have left and say nothing cost next to nothing.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use proxy_common::names;
use proxy_tests::bpf::memory_of_map;
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::netns::Namespace;
use proxy_tests::runner::{Fact, figure};
use proxy_tests::silent::drop_silently;
use proxy_tests::wait::until;
use proxy_tests::world::{Family, World};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketType};

use super::front::exactly;
use super::spliced::{PATIENCE, Spliced, hello, patient};

pub(crate) const FACTS: &[Fact] =
    facts![alone: connections_that_have_left_and_say_nothing_cost_next_to_nothing];

/// Backends: each takes as many connections as there are ports for them.
const BACKENDS: usize = 4;
/// Bytes of the daemon that one may cost.
const COST: i64 = 400;
/// How many there are.
const MANY: usize = 20_000;
/// Connections that come before anything is measured: what is made once is there then.
const FIRST: usize = 400;
/// Ends that are kept open.
const FILES: usize = 8000;
/// The first port that a client comes from.
const PORT: u16 = 2000;

/// The daemon's memory stands still when it changes by no more KiB than this...
const STILL: u64 = 256;
/// ... in so much time: it gives back what it does not need every two seconds.
const STANDS: Duration = Duration::from_secs(6);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Sockets of TCP in a namespace that are open or wait for the end of TIME_WAIT, and the pages that they hold.
fn sockets(namespace: &Namespace) -> Result<String> {
    let text = namespace.enter(|| std::fs::read_to_string("/proc/thread-self/net/sockstat"))??;
    let line = text.lines().find(|line| line.starts_with("TCP:")).context("no TCP in sockstat")?;
    Ok(line.to_owned())
}

fn in_use(namespace: &Namespace) -> Result<usize> {
    let text = sockets(namespace)?;
    let mut words = text.split_whitespace().skip_while(|word| *word != "inuse").skip(1);
    words.next().context("no number")?.parse().context("a number")
}

/// Bytes of the tables.
fn tables(daemon: &Daemon<'_>) -> Result<u64> {
    let pins = daemon.pins()?;
    [names::FLOWS4, names::SPLICES].iter().map(|map| memory_of_map(&pins.join(map))).sum()
}

/// KiB of the daemon, once they hardly change any more: what was needed for a while was given back.
pub(super) fn settled(daemon: &Daemon<'_>) -> Result<u64> {
    let mut seen: Vec<(Instant, u64)> = Vec::new();
    until("the daemon's memory stands still", PATIENCE, || {
        let now = Instant::now();
        if seen.last().is_none_or(|(at, _)| now - *at >= LOOK) {
            seen.push((now, daemon.anonymous_kib()?));
        }
        let recent = seen.iter().rev().take_while(|(at, _)| now - *at <= STANDS).map(|(_, kib)| *kib);
        let (least, most) = recent.fold((u64::MAX, 0), |(least, most), kib| (least.min(kib), most.max(kib)));
        ensure!(now - seen[0].0 > STANDS, "it was not looked at for long enough");
        ensure!(most - least <= STILL, "it had {least} to {most} KiB");
        Ok(most)
    })
}

/// A client that comes from a port that nobody came from before. (Where both ends of a connection went without a word, the
/// next one with its addresses begins a second later: its first SYN asks whether somebody is there.)
fn connect_from(spliced: &Spliced<'_>, port: u16) -> Result<TcpStream> {
    let to = SocketAddr::new(spliced.world.service(Family::V4).ip(), 443);
    let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
    let stream = spliced.world.client().enter(|| -> Result<TcpStream> {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
        set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE))?;
        rustix::net::bind(&socket, &any)?;
        rustix::net::connect(&socket, &to)?;
        Ok(socket.into())
    })??;
    patient(stream)
}

/// Makes so many connections, which leave. Beyond so many their ends are then gone without a word: a process has too few
/// files for all.
fn connect(
    spliced: &Spliced<'_>,
    listeners: &[TcpListener],
    ports: Range<usize>,
    ends: &mut Vec<TcpStream>,
) -> Result<()> {
    let (left, hello) = (spliced.handed_off()?, hello());
    let mut made = 0;
    while made < ports.len() {
        let some = 100.min(ports.len() - made);
        let mut clients = Vec::new();
        for port in ports.clone().skip(made).take(some) {
            let mut client = connect_from(spliced, PORT + port as u16)?;
            client.write_all(&hello)?;
            clients.push(client);
        }
        let mut servers = Vec::new();
        until("all have come to a backend", PATIENCE, || {
            for listener in listeners {
                while let Ok((mut server, _)) = listener.accept() {
                    server.set_nonblocking(false)?;
                    exactly(&mut server, hello.len())?;
                    server.write_all(b"heard")?;
                    servers.push(server);
                }
            }
            ensure!(servers.len() == some, "{} of {some} have come", servers.len());
            Ok(())
        })?;
        for client in &mut clients {
            ensure!(exactly(client, 5)? == b"heard");
        }
        made += some;
        spliced.wait_left(left + made as u64)?;
        ends.extend(clients.into_iter().chain(servers));
        while ends.len() > FILES {
            ends.pop().map_or(Ok(()), drop_silently)?;
        }
    }
    Ok(())
}

fn connections_that_have_left_and_say_nothing_cost_next_to_nothing() -> Result<()> {
    let world = World::routed().backends(BACKENDS).build()?;
    let places = (0..BACKENDS).map(|n| SocketAddr::new(world.backend_address(Family::V4, n), 8098));
    let places: Vec<_> = places.collect();
    let listeners = places.iter().enumerate().map(|(number, at)| -> Result<TcpListener> {
        let listener = world.backends[number].namespace.enter(|| TcpListener::bind(at))??;
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    let listeners = listeners.collect::<Result<Vec<_>>>()?;
    let spliced = Spliced::start(&world, Family::V4, "")?;
    let text = Spliced::text(&world, Family::V4, "");
    let (begin, _) = text.rsplit_once("backends = ").context("no backends")?;
    let more =
        format!("{begin}backends = {:?}\n", places.iter().map(SocketAddr::to_string).collect::<Vec<_>>());
    spliced.daemon.write_config(&more)?;
    spliced.daemon.cli(&["reload"])?;

    let mut ends = Vec::new();
    connect(&spliced, &listeners, 0..FIRST, &mut ends)?;
    let quiet = |spliced: &Spliced<'_>, most: usize| {
        let there = until("their sockets are gone", PATIENCE, || {
            let there = in_use(&world.balancer)?;
            ensure!(there <= most, "{}", sockets(&world.balancer)?);
            Ok(there)
        })?;
        Ok::<_, anyhow::Error>((settled(&spliced.daemon)?, tables(&spliced.daemon)?, there))
    };
    let (before, tables_before, there) = quiet(&spliced, 64)?;
    connect(&spliced, &listeners, FIRST..FIRST + MANY, &mut ends)?;
    let (after, tables_after, _) = quiet(&spliced, there + 2)?;
    let each = (after as i64 - before as i64) * 1024 / MANY as i64;
    figure(&format!(
        "{MANY} connections: the daemon has {before} KiB before and {after} KiB after, {each} bytes for each; tables \
         {tables_before} and {tables_after} bytes; {}",
        sockets(&world.balancer)?
    ));
    ensure!(tables_before > 0 && tables_after == tables_before, "the tables grow");
    ensure!(each <= COST, "{each} bytes for each");
    until("all are in the table", PATIENCE, || {
        let used = spliced.daemon.json(&["status"])?["kernel"]["flow_tables"][0]["used"].as_u64();
        ensure!(used >= Some(2 * (MANY + FIRST) as u64), "{used:?} entries");
        Ok(())
    })?;
    Ok(())
}

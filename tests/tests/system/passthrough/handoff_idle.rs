//! Thousands of connections that have left and say nothing cost next to nothing.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};

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

use super::front::exactly;
use super::spliced::{PATIENCE, Spliced, hello};

pub(crate) const FACTS: &[Fact] =
    facts![alone: connections_that_have_left_and_say_nothing_cost_next_to_nothing];

/// Backends: each takes as many connections as there are ports for them.
const BACKENDS: usize = 4;
/// Bytes of the daemon that one may cost.
const COST: i64 = 400;
/// Connections that come before anything is measured: what is made once is there then.
const FIRST: usize = 400;

/// Ends that are kept open.
const FILES: usize = 8000;

/// How many; `PROXY_NOW_IDLE=20000` is the whole size.
fn many() -> Result<usize> {
    let text = std::env::var("PROXY_NOW_IDLE").unwrap_or_else(|_| "2000".to_owned());
    text.parse().with_context(|| text.clone())
}

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

/// Makes so many connections, which leave. Beyond so many their ends are then gone without a word: a process has too few
/// files for all.
fn connect(
    spliced: &Spliced<'_>,
    listeners: &[TcpListener],
    count: usize,
    ends: &mut Vec<TcpStream>,
) -> Result<()> {
    let (left, hello) = (spliced.handed_off()?, hello());
    let mut made = 0;
    while made < count {
        let some = 100.min(count - made);
        let mut clients = Vec::new();
        for _ in 0..some {
            let mut client = spliced.connect(443)?;
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
    let many = many()?;
    let world = World::routed().backends(BACKENDS).build()?;
    world.client().sysctl("ipv4/ip_local_port_range", "1024 65535")?;
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
    connect(&spliced, &listeners, FIRST, &mut ends)?;
    let quiet = |spliced: &Spliced<'_>, most: usize| {
        until("their sockets are gone", PATIENCE, || {
            let there = in_use(&world.balancer)?;
            ensure!(there <= most, "{}", sockets(&world.balancer)?);
            Ok((spliced.daemon.pss_kib()?, tables(&spliced.daemon)?, there))
        })
    };
    let (before, tables_before, there) = quiet(&spliced, 64)?;
    connect(&spliced, &listeners, many, &mut ends)?;
    let (after, tables_after, _) = quiet(&spliced, there + 2)?;
    let each = (after as i64 - before as i64) * 1024 / many as i64;
    figure(&format!(
        "{many} connections: the daemon has {before} KiB before and {after} KiB after, {each} bytes for each; tables \
         {tables_before} and {tables_after} bytes; {}",
        sockets(&world.balancer)?
    ));
    ensure!(tables_before > 0 && tables_after == tables_before, "the tables grow");
    ensure!(each <= COST, "{each} bytes for each");
    until("all are in the table", PATIENCE, || {
        let used = spliced.daemon.json(&["status"])?["kernel"]["flow_tables"][0]["used"].as_u64();
        ensure!(used >= Some(2 * (many + FIRST) as u64), "{used:?} entries");
        Ok(())
    })?;
    Ok(())
}

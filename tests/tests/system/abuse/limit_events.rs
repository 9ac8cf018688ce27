//! What the kernel part tells of limits as they are exceeded: to the log, and to automatic bans.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use proxy_tests::client::{Http, Udp};
use proxy_tests::config::{self, Listener, Protocol};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::packet::{Packet, flag};
use proxy_tests::raw::Raw;
use proxy_tests::runner::{Fact, figure};
use proxy_tests::wait::{SOON, until};
use proxy_tests::world::{Family, World};
use rustix::process::Signal;
use serde_json::Value;

pub(crate) const FACTS: &[Fact] = facts![
    a_client_that_exceeds_a_limit_is_told_of_and_banned_at_once_by_ipv4,
    a_client_that_exceeds_a_limit_is_told_of_and_banned_at_once_by_ipv6,
    made_up_sources_earn_no_ban_and_fill_no_log,
];

pub(crate) const ALONE: &[Fact] = facts![alone: events_that_find_no_room_are_counted_and_the_rest_is_told];

const RULE: &str = "[auto-ban.greedy]\nevents = [\"limit\"]\ncount = 1\nwithin = \"30s\"\nfor = \"10m\"\n";
/// An answer that has not come by then does not come.
const PATIENCE: Duration = Duration::from_millis(300);

fn text(world: &World, family: Family, limit: &str) -> String {
    let listeners = Protocol::BOTH.map(|protocol| Listener::of(world, protocol, family));
    let tcp = listeners[0].name.clone();
    format!("{}\n[limit.per-client]\nlistener = {tcp:?}\n{limit}\n{RULE}", config::text(world, &listeners))
}

fn bans(daemon: &Daemon<'_>) -> Result<Vec<Value>> {
    daemon.json(&["ban", "list"])?["bans"].as_array().cloned().context("a list of bans")
}

fn refused(daemon: &Daemon<'_>) -> Result<u64> {
    daemon.json(&["limit", "list"])?["limits"][0]["refused"].as_u64().context("a count")
}

/// Lines of the daemon's log that say that a limit was exceeded.
fn told(daemon: &Daemon<'_>) -> usize {
    daemon.log().lines().filter(|line| line.contains("limit exceeded")).count()
}

/// Asks until its limit lets nothing through any more: when that was asked which was not answered.
fn exceed(http: &mut Http) -> Result<Instant> {
    http.stream().set_read_timeout(Some(PATIENCE))?;
    for _ in 0..60 {
        let begin = Instant::now();
        if http.who().is_err() {
            return Ok(begin);
        }
    }
    bail!("sixty requests were not too much")
}

fn told_and_banned(family: Family) -> Result<()> {
    let world = World::routed().build()?;
    let daemon = Daemon::start(&world, &text(&world, family, "packets = \"40/h burst 40\"\n"))?;
    let client = world.client_address(family, 0);
    let mut http = Http::connect(world.client(), world.service(family))?;
    http.who()?;
    // Another service of the same host tells when nothing of the client comes in any more.
    let probe = Udp::connect(world.client(), world.service_udp(family))?;
    probe.ask(b"?")?;
    probe.socket().set_read_timeout(Some(PATIENCE))?;
    let over = AtomicBool::new(false);
    let (begin, last) = std::thread::scope(|scope| -> Result<(Instant, Instant)> {
        let watch = scope.spawn(|| {
            let mut last = Instant::now();
            while !over.load(Ordering::Relaxed) && probe.ask(b"?").is_ok() {
                last = Instant::now();
            }
            last
        });
        let begin = exceed(&mut http);
        let list = until("the client is banned", SOON, || {
            let list = bans(&daemon)?;
            ensure!(!list.is_empty(), "nobody is: {}", daemon.log());
            Ok(list)
        });
        over.store(true, Ordering::Relaxed);
        let last = watch.join().map_err(|_| anyhow::anyhow!("the watch panicked"))?;
        let (begin, list) = (begin?, list?);
        ensure!(list[0]["by"] == "auto" && list[0]["why"] == "greedy: 1 in 30s", "{list:?}");
        let prefix = list[0]["prefix"].as_str().context("a prefix")?;
        // The balancer is in the same /64: then the client alone is banned.
        let own = format!("{client}/{}", if family == Family::V4 { 32 } else { 128 });
        ensure!(prefix == own, "{prefix} is banned, not {client}");
        Ok((begin, last))
    })?;
    let took = last.saturating_duration_since(begin);
    figure(&format!("from what was too much to the last answer that the client got: {took:?}"));
    // 50 ms are promised; a busy machine may take longer to run its threads.
    ensure!(took < Duration::from_secs(2), "the ban took {took:?}");
    until("its packets are dropped in the kernel", SOON, || {
        ensure!(daemon.status()?.dropped("banned") > 0);
        Ok(())
    })?;
    let said = daemon.log();
    let line = said.lines().find(|line| line.contains("limit exceeded")).context("a line in the log")?;
    let told = ["per-client", "packets", &client.to_string()].iter().all(|word| line.contains(word));
    ensure!(told, "{line}");
    ensure!(told_once(&said), "{said}");
    Ok(())
}

/// One line, however many were too much.
fn told_once(log: &str) -> bool {
    log.lines().filter(|line| line.contains("limit exceeded")).count() == 1
}

fn a_client_that_exceeds_a_limit_is_told_of_and_banned_at_once_by_ipv4() -> Result<()> {
    told_and_banned(Family::V4)
}

fn a_client_that_exceeds_a_limit_is_told_of_and_banned_at_once_by_ipv6() -> Result<()> {
    told_and_banned(Family::V6)
}

fn made_up_sources_earn_no_ban_and_fill_no_log() -> Result<()> {
    let world = World::routed().build()?;
    let limit = "packets = \"40/h burst 40\"\nconnections = \"5/h burst 5\"\n";
    let daemon = Daemon::start(&world, &text(&world, Family::V4, limit))?;
    let (to, raw) = (world.service(Family::V4), Raw::open(world.client(), "eth0")?);
    let (from, there) = (world.client().mac("eth0")?, world.balancer.mac("front")?);
    let client = world.client_address(Family::V4, 0);
    // A client that is there, whose address others make use of, and those who are not.
    let mut http = Http::connect(world.client(), to)?;
    http.who()?;
    for (flags, number) in [(flag::SYN, 0), (flag::ACK, 1), (flag::SYN, 2)] {
        for port in 0..300_u16 {
            let victim = (client, 2000 + port).into();
            let nobody = (std::net::IpAddr::from([198, 18, number, port as u8]), 2000 + port).into();
            for source in [victim, nobody] {
                let segment = Packet::tcp(source, to, flags, 1, u32::from(flags == flag::ACK), b"");
                raw.send(&segment.between(from, there).bytes())?;
            }
        }
    }
    until("they are refused", SOON, || {
        let count = refused(&daemon)?;
        ensure!(count > 100, "{count}");
        Ok(())
    })?;
    // Whoever is there and goes on is banned, after all that was told before.
    let lines = told(&daemon);
    daemon.cli(&["limit", "reset", "per-client", "--key", &client.to_string()])?;
    ensure!(bans(&daemon)?.is_empty(), "{:?}", bans(&daemon)?);
    exceed(&mut http)?;
    let list = until("who is there is banned", SOON, || {
        let list = bans(&daemon)?;
        ensure!(!list.is_empty(), "nobody is: {}", daemon.log());
        Ok(list)
    })?;
    ensure!(list.len() == 1 && list[0]["prefix"] == format!("{client}/32"), "{list:?}");
    ensure!(lines <= 10, "{lines} lines: {}", daemon.log());
    Ok(())
}

fn events_that_find_no_room_are_counted_and_the_rest_is_told() -> Result<()> {
    /// As many limits as a listener may have, and clients: each of both is told of once a second.
    const LIMITS: usize = 8;
    const CLIENTS: std::ops::Range<u8> = 110..240;
    let world = World::routed().build()?;
    let limit =
        |number: usize| format!("[limit.l{number}]\npackets = \"2/h burst 2\"\naction = \"observe\"\n");
    let limits: String = (0..LIMITS).map(limit).collect();
    let text = config::text(&world, &[Listener::of(&world, Protocol::Udp, Family::V4)]);
    let daemon = Daemon::start(&world, &format!("{text}\n{limits}"))?;
    let lines: String = CLIENTS.map(|number| format!("addr add 192.0.2.{number}/24 dev eth0\n")).collect();
    world.client().ip_batch(&lines)?;
    let to = world.service_udp(Family::V4);
    let sockets = world.client().enter(|| -> Result<Vec<UdpSocket>> {
        CLIENTS
            .map(|number| {
                let socket = UdpSocket::bind((std::net::Ipv4Addr::new(192, 0, 2, number), 0))?;
                socket.connect(to)?;
                socket.set_read_timeout(Some(PATIENCE))?;
                Ok(socket)
            })
            .collect()
    })??;
    // The second datagram after an answer shows that a client is there.
    for socket in &sockets {
        until("the client is answered", SOON, || {
            socket.send(b"?")?;
            Ok(socket.recv(&mut [0; 64])?)
        })?;
    }
    // Nobody reads what the kernel part tells.
    daemon.signal(Signal::STOP)?;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(6) {
        sockets.iter().for_each(|socket| drop(socket.send(b"?")));
    }
    daemon.signal(Signal::CONT)?;
    until("what found no room is counted", SOON, || {
        let lost = daemon.status()?.noticed("events_lost");
        ensure!(lost > 0, "{:?}", daemon.status()?.drops());
        figure(&format!("{lost} events found no room"));
        Ok(())
    })?;
    until("what found room is told", SOON, || {
        ensure!(told(&daemon) > 0, "{}", daemon.log());
        Ok(())
    })
}

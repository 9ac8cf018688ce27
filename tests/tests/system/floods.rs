//! SYN floods of spoofed sources: clients notice little, and nothing breaks when the flood is over.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use proxy_tests::client::Http;
use proxy_tests::config::{self, Listener, Protocol};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::packet::Packet;
use proxy_tests::raw::Raw;
use proxy_tests::runner::{Fact, figure};
use proxy_tests::wait::until;
use proxy_tests::world::{Family, World};

pub(crate) const FACTS: &[Fact] = facts![
    clients_of_a_flooded_http_listener_are_served_by_ipv4,
    clients_of_a_flooded_http_listener_are_served_by_ipv6,
    clients_of_a_flooded_tcp_listener_are_served_by_ipv4,
    clients_of_a_flooded_tcp_listener_are_served_by_ipv6,
    without_a_guard_a_flood_of_a_tcp_listener_reaches_its_backends,
    a_connection_by_cookie_has_all_that_was_offered,
];

/// Connections of clients, in quiet and in the flood.
const TRIES: usize = 500;
/// What connecting may take in the flood, however quick it is in quiet: two processors are shared by all.
const FLOOR: Duration = Duration::from_millis(200);
/// Packets that are sent between two looks whether it is enough.
const BURST: usize = 4096;
/// SYNs that reach backends where nothing is guarded, and that do not where it is.
const REACHES: u64 = 10_000;
/// The longest that a guard may need to go off: ten seconds, and what a busy machine takes.
const OFF: Duration = Duration::from_secs(60);

fn web_config(world: &World, family: Family, lines: &str) -> String {
    let (bind, backend) = (world.service(family), world.backend(family, 0));
    let listener = format!("[listener.web]\nbind = [\"{bind}\"]\nprotocol = \"http\"\n{lines}");
    let pool = format!("[[route]]\npool = \"app\"\n[pool.app]\nbackends = [\"{backend}\"]\n");
    config::text(world, &[]) + "\n" + &listener + "\n" + &pool
}

fn tcp_config(world: &World, family: Family, lines: &str) -> String {
    let text = config::text(world, &[Listener::of(world, Protocol::Tcp, family)]);
    text.replace("protocol = \"tcp\"", &format!("protocol = \"tcp\"\n{lines}"))
}

/// The service's address is one of the balancer's, so that a socket can wait there.
fn own_service(world: &World, family: Family) -> Result<()> {
    let (service, bits) = (world.service(family).ip(), if family == Family::V4 { 32 } else { 128 });
    let flags = if family == Family::V4 { "" } else { " nodad" };
    // It may be there already.
    let _there = world.balancer.ip(&format!("addr add {service}/{bits} dev front{flags}"));
    Ok(())
}

/// A bare SYN of a source that does not exist, for [`respoof`].
fn spoofed(world: &World, family: Family) -> Result<Vec<u8>> {
    let from: SocketAddr =
        if family == Family::V4 { "198.18.0.1:1024" } else { "[2001:db8:7::1]:1024" }.parse()?;
    let syn = Packet::syn(from, world.service(family), 1);
    Ok(syn.between(world.client().mac("eth0")?, world.balancer.mac("front")?).bytes())
}

/// Another source; the checksums follow (RFC 1624).
fn respoof(family: Family, number: u64, frame: &mut [u8]) {
    let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let [a, b, c, d, ..] = random.to_be_bytes();
    let port = (1024 + (number % 60_000) as u16).to_be_bytes();
    match family {
        Family::V4 => {
            change(frame, 26, [198, 18 | a & 1], &[24, 50]);
            change(frame, 28, [b, c], &[24, 50]);
            change(frame, 34, port, &[50]);
        }
        Family::V6 => {
            change(frame, 26, [a, b], &[70]);
            change(frame, 28, [c, d], &[70]);
            change(frame, 54, port, &[70]);
        }
    }
}

fn change(frame: &mut [u8], at: usize, new: [u8; 2], checksums: &[usize]) {
    let word = |frame: &[u8], at: usize| u32::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
    let old = word(frame, at);
    for sum in checksums {
        let mut value = (!word(frame, *sum) & 0xffff) + (!old & 0xffff) + u32::from(u16::from_be_bytes(new));
        value = (value & 0xffff) + (value >> 16);
        value = (value & 0xffff) + (value >> 16);
        frame[*sum..sum + 2].copy_from_slice(&(!value as u16).to_be_bytes());
    }
    frame[at..at + 2].copy_from_slice(&new);
}

/// A flood for as long as `during` takes; packets that it had, and its result.
fn flooded<T>(world: &World, family: Family, during: impl FnOnce() -> Result<T>) -> Result<(f64, T)> {
    let (frame, raw) = (spoofed(world, family)?, Raw::open(world.client(), "eth0")?);
    let (over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let begin = Instant::now();
    let result = std::thread::scope(|scope| {
        let flood = scope.spawn(|| -> Result<()> {
            while !over.load(Ordering::Relaxed) {
                let before = sent.fetch_add(BURST as u64, Ordering::Relaxed);
                raw.flood(&frame, BURST, |number, frame| respoof(family, before + number as u64, frame))?;
            }
            Ok(())
        });
        let result = during();
        over.store(true, Ordering::Relaxed);
        flood.join().expect("it ends by itself").and(result)
    })?;
    Ok((sent.load(Ordering::Relaxed) as f64 / begin.elapsed().as_secs_f64(), result))
}

/// How long connecting takes, sorted, and how many of [`TRIES`] requests were answered.
fn ask(world: &World, to: SocketAddr) -> (Vec<Duration>, usize) {
    let mut took = Vec::new();
    let one = |took: &mut Vec<Duration>| -> Result<()> {
        let begin = Instant::now();
        let mut connection = Http::connect(world.client(), to)?;
        took.push(begin.elapsed());
        connection.who().map(drop)
    };
    let served = (0..TRIES).filter(|_| one(&mut took).is_ok()).count();
    took.sort_unstable();
    (took, served)
}

fn p99(took: &[Duration]) -> Duration {
    took.get(took.len() * 99 / 100).copied().unwrap_or(Duration::MAX)
}

fn noticed(daemon: &Daemon<'_>, what: &str) -> Result<u64> {
    Ok(daemon.status()?.noticed(what))
}

/// Clients of a flooded listener are served as before; the guard goes on, and off by itself.
fn survive(world: &World, family: Family, text: &str, given: &str) -> Result<()> {
    let daemon = Daemon::start(world, text)?;
    let to = world.service(family);
    let (quiet, served) = ask(world, to);
    ensure!(served == TRIES, "in quiet {served} of {TRIES} were served");
    ensure!(noticed(&daemon, "guard_on")? == 0, "clients are no flood");
    let (rate, (flood, served)) = flooded(world, family, || {
        until("the listener is guarded", OFF, || {
            ensure!(noticed(&daemon, "guard_on")? > 0, "{:?}", daemon.status()?.drops());
            Ok(())
        })?;
        let before = begun(&daemon)?;
        let asked = ask(world, to);
        let reached = begun(&daemon)? - before;
        ensure!(reached < REACHES, "{reached} SYNs reached the backends of a guarded listener");
        Ok(asked)
    })?;
    let status = daemon.status()?;
    figure(&format!(
        "{rate:.0} SYNs/s, {} {given}; connecting took {:?} in quiet, {:?} in the flood (p99)",
        status.noticed(given),
        p99(&quiet),
        p99(&flood)
    ));
    ensure!(status.noticed(given) > 1000, "the flood was answered by the kernel part");
    ensure!(served * 1000 >= TRIES * 999, "{served} of {TRIES} were served: {:?}", status.drops());
    let most = FLOOR.max(p99(&quiet) * 3);
    ensure!(p99(&flood) <= most, "p99 {:?}, at most {most:?}", p99(&flood));
    until("the guard goes off by itself", OFF, || {
        Http::connect(world.client(), to)?.who()?;
        ensure!(noticed(&daemon, "guard_off")? > 0);
        Ok(())
    })?;
    let (_, served) = ask(world, to);
    ensure!(served == TRIES, "after the flood {served} of {TRIES} were served");
    Ok(())
}

fn http(family: Family) -> Result<()> {
    let world = World::routed().build()?;
    own_service(&world, family)?;
    survive(&world, family, &web_config(&world, family, ""), "cookie_given")
}

fn clients_of_a_flooded_http_listener_are_served_by_ipv4() -> Result<()> {
    http(Family::V4)
}

fn clients_of_a_flooded_http_listener_are_served_by_ipv6() -> Result<()> {
    http(Family::V6)
}

fn tcp(family: Family) -> Result<()> {
    let world = World::routed().build()?;
    survive(&world, family, &tcp_config(&world, family, ""), "proof_asked")
}

fn clients_of_a_flooded_tcp_listener_are_served_by_ipv4() -> Result<()> {
    tcp(Family::V4)
}

fn clients_of_a_flooded_tcp_listener_are_served_by_ipv6() -> Result<()> {
    tcp(Family::V6)
}

fn without_a_guard_a_flood_of_a_tcp_listener_reaches_its_backends() -> Result<()> {
    let world = World::routed().build()?;
    let text = tcp_config(&world, Family::V4, "syn_cookies = \"off\"");
    let daemon = Daemon::start(&world, &text)?;
    flooded(&world, Family::V4, || {
        until("the flood reaches the backends", OFF, || {
            ensure!(begun(&daemon)? > REACHES);
            Ok(())
        })
    })?;
    ensure!(noticed(&daemon, "guard_on")? == 0);
    Ok(())
}

/// Connections that began at the backends of the `tcp` listener; none where there is none.
fn begun(daemon: &Daemon<'_>) -> Result<u64> {
    let status = daemon.status()?;
    let pool = status.backends("tcp4").or_else(|_| status.backends("tcp6")).unwrap_or_default();
    Ok(pool.iter().map(|(_, backend)| backend.new_flows).sum())
}

fn a_connection_by_cookie_has_all_that_was_offered() -> Result<()> {
    for family in Family::BOTH {
        let world = World::routed().build()?;
        own_service(&world, family)?;
        let to = world.service(family);
        let seen = |lines: &str| -> Result<(String, u64)> {
            let daemon = Daemon::start(&world, &web_config(&world, family, lines))?;
            let mut connection = Http::connect(world.client(), to)?;
            connection.who()?;
            let said = connection_options(&world, to)?;
            let taken = noticed(&daemon, "cookie_taken")?;
            Ok((said, taken))
        };
        let (by_host, none) = seen("syn_cookies = \"off\"")?;
        let (by_cookie, taken) = seen("syn_cookies = \"always\"")?;
        ensure!((none, taken > 0) == (0, true), "{none} and {taken} by cookies");
        ensure!(by_host == by_cookie, "by the host: {by_host}; by a cookie: {by_cookie}");
        // 1448: the timestamps take twelve bytes of each segment.
        ensure!(family == Family::V6 || by_cookie.contains("mss:1448"), "{by_cookie}");
    }
    Ok(())
}

/// What `ss` says of the options of the client's connection: timestamps, SACK, window scales of the other side, sizes.
fn connection_options(world: &World, to: SocketAddr) -> Result<String> {
    let output = std::process::Command::new("ip")
        .args([
            "netns",
            "exec",
            world.client().name(),
            "ss",
            "-Htin",
            "state",
            "established",
            "dst",
            &to.to_string(),
        ])
        .output()
        .context("ss")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let word = |word: &&str| {
        matches!(*word, "ts" | "sack")
            || word.starts_with("wscale:")
            || word.starts_with("mss:")
            || word.starts_with("advmss:")
    };
    // The host's own window scale depends on its memory; a cookie's is always the same.
    let words: Vec<&str> = text
        .split_whitespace()
        .filter(word)
        .map(|word| if word.starts_with("wscale:") { word.rsplit(',').next().unwrap_or(word) } else { word })
        .collect();
    ensure!(!words.is_empty(), "ss says {text}");
    Ok(words.join(" "))
}

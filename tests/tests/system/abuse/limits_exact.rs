//! How exact limits of the kernel part are: rates, by a sender and by processors at once; and connections at a time.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use proxy_tests::bpf::Program;
use proxy_tests::client::{Http, Udp};
use proxy_tests::config::{self, Listener, Protocol};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::flood::Flood;
use proxy_tests::packet::{Packet, flag};
use proxy_tests::runner::{Fact, figure};
use proxy_tests::wait::{SOON, until};
use proxy_tests::world::{Family, World};
use serde_json::Value;

pub(crate) const FACTS: &[Fact] =
    facts![who_went_silent_makes_place_for_others_by_tcp, who_went_silent_makes_place_for_others_by_udp,];

pub(crate) const ALONE: &[Fact] = facts![alone:
    a_sender_gets_through_what_its_limit_says,
    new_connections_of_a_flood_get_through_as_their_limit_says,
    two_processors_at_once_let_a_million_a_second_through,
];

/// How long rates are measured.
const MEASURED: Duration = Duration::from_secs(10);
/// How far what comes through may be from the rate.
const ERROR: f64 = 0.02;

/// What `limit list` has counted of a limit.
fn passed(daemon: &Daemon<'_>, limit: &str) -> Result<u64> {
    let list = daemon.json(&["limit", "list"])?;
    let rows = list["limits"].as_array().context("no limits")?;
    let row = rows.iter().find(|row| row["limit"] == limit).context("no such limit")?;
    row["passed"].as_u64().context("a count")
}

/// What came through within a time, of a rate with a burst: between two looks that take a moment each.
fn judge(what: &str, passed: u64, rate: f64, burst: f64, took: (Duration, Duration)) -> Result<()> {
    let (least, most) = (rate * took.0.as_secs_f64(), rate * took.1.as_secs_f64());
    // One unit more or less is a share of what is slow.
    let (low, high) = (least * (1.0 - ERROR) - 1.0, most * (1.0 + ERROR) + burst + 1.0);
    figure(&format!("{what}: {passed} in {:.3} s, of a rate of {rate:.0}/s", took.1.as_secs_f64()));
    ensure!((low..=high).contains(&(passed as f64)), "{what}: {passed}, not {low:.0} to {high:.0}");
    Ok(())
}

/// A tenth of a second's worth: so long may a busy machine keep the sender waiting without its losing anything.
fn burst(rate: u32) -> u32 {
    (rate / 10).max(1)
}

fn a_sender_gets_through_what_its_limit_says() -> Result<()> {
    const RATES: [u32; 4] = [1, 100, 2000, 10_000];
    let world = World::routed().build()?;
    let port = |number: usize| 5000 + number as u16;
    let listener = |number: usize| Listener {
        name: format!("l{number}"),
        bind: vec![SocketAddr::new(world.service(Family::V4).ip(), port(number))],
        ..Listener::of(&world, Protocol::Udp, Family::V4)
    };
    let listeners: Vec<_> = (0..RATES.len()).map(listener).collect();
    let limits: Vec<_> = RATES.iter().enumerate().map(|(number, rate)| {
        let per = if number % 2 == 0 { "ip" } else { "listener" };
        format!("[limit.r{number}]\nlistener = \"l{number}\"\nper = \"{per}\"\npackets = \"{rate}/s burst {}\"\n", burst(*rate))
    }).collect();
    let daemon =
        Daemon::start(&world, &format!("{}\n{}", config::text(&world, &listeners), limits.concat()))?;
    let sockets: Vec<Udp> = listeners
        .iter()
        .map(|listener| Udp::connect(world.client(), listener.bind[0]))
        .collect::<Result<_>>()?;
    for udp in &sockets {
        udp.ask(b"?")?;
    }
    let counts = |daemon: &Daemon<'_>| -> Result<(Instant, Vec<u64>, Instant)> {
        let begin = Instant::now();
        let counts =
            (0..RATES.len()).map(|number| passed(daemon, &format!("r{number}"))).collect::<Result<_>>()?;
        Ok((begin, counts, Instant::now()))
    };
    let over = AtomicBool::new(false);
    let (before, after, sent) = std::thread::scope(|scope| -> Result<_> {
        let senders: Vec<_> = sockets
            .iter()
            .map(|udp| {
                let over = &over;
                scope.spawn(move || {
                    let mut sent = 0u64;
                    while !over.load(Ordering::Relaxed) {
                        // A queue that is full is no concern of the sender.
                        sent += u64::from(udp.socket().send(b"?").is_ok());
                    }
                    sent
                })
            })
            .collect();
        let before = counts(&daemon);
        std::thread::sleep(MEASURED);
        let after = counts(&daemon);
        over.store(true, Ordering::Relaxed);
        let sent: Vec<u64> = senders.into_iter().filter_map(|sender| sender.join().ok()).collect();
        Ok((before?, after?, sent))
    })?;
    for (number, rate) in RATES.iter().enumerate() {
        let count = after.1[number] - before.1[number];
        ensure!(sent[number] > u64::from(*rate) * 12, "the sender sent {} only", sent[number]);
        let took = (after.0 - before.2, after.2 - before.0);
        let what = format!("datagrams, {} sent", sent[number]);
        judge(&what, count, f64::from(*rate), f64::from(burst(*rate)), took)?;
    }
    Ok(())
}

fn new_connections_of_a_flood_get_through_as_their_limit_says() -> Result<()> {
    const RATE: f64 = 20_000.0;
    let world = World::routed().build()?;
    let text = config::text(&world, &[Listener::of(&world, Protocol::Tcp, Family::V4)]);
    let text = text.replace("protocol = \"tcp\"", "protocol = \"tcp\"\nsyn_cookies = \"off\"");
    let limit = "[limit.all]\nper = \"listener\"\nconnections = \"20000/s burst 2000\"\n";
    let daemon = Daemon::start(&world, &format!("{text}\n{limit}"))?;
    let flood = Flood::of_syns(&world, Family::V4)?;
    let look = || -> Result<(Instant, u64, Instant)> {
        let begin = Instant::now();
        let count = passed(&daemon, "all")?;
        Ok((begin, count, Instant::now()))
    };
    let (sent, (before, after)) = flood.pour(600_000.0, || {
        until("the flood has begun", SOON, || {
            ensure!(passed(&daemon, "all")? > 10_000);
            Ok(())
        })?;
        let before = look()?;
        std::thread::sleep(MEASURED);
        Ok((before, look()?))
    })?;
    let what = format!("new connections, {sent:.0} SYNs/s sent");
    // The kernel makes the flood in bursts, and rests between them: where it is too slow nothing is to be measured.
    ensure!(sent > RATE * 1.5, "{what}: too slow a machine");
    let took = (after.0 - before.2, after.2 - before.0);
    judge(&what, after.1 - before.1, RATE, 2000.0, took)
}

fn two_processors_at_once_let_a_million_a_second_through() -> Result<()> {
    const RATE: f64 = 1_000_000.0;
    const BURST: f64 = 100_000.0;
    let world = World::routed().build()?;
    let to = world.service(Family::V4);
    world.balancer.ip(&format!("addr add {}/32 dev front", to.ip()))?;
    let listener =
        format!("[listener.web]\nbind = [\"{to}\"]\nprotocol = \"http\"\n[[route]]\nrespond = 204\n");
    let limit = "[limit.all]\nper = \"listener\"\npackets = \"1000000/s burst 100000\"\n";
    let daemon = Daemon::start(&world, &format!("{}\n{listener}\n{limit}", config::text(&world, &[])))?;
    let path = daemon.pins()?.join(proxy_common::names::PROGRAM_XDP);
    let index = world.balancer.ifindex("front")?;
    // What passes is passed to the host as it is: it can be run again and again.
    let frame = Packet::tcp("192.0.2.101:1024".parse()?, to, flag::ACK, 1, 1, b"").bytes();
    let run = |until: Instant| -> Result<u64> {
        let program = Program::pinned(&path)?;
        world.balancer.enter(|| -> Result<u64> {
            let mut runs = 0;
            while Instant::now() < until {
                program.run_often(index, &frame, 50_000)?;
                runs += 50_000;
            }
            Ok(runs)
        })?
    };
    let before = passed(&daemon, "all")?;
    let begin = Instant::now();
    let end = begin + MEASURED;
    let runs = std::thread::scope(|scope| -> Result<u64> {
        let other = scope.spawn(|| run(end));
        let own = run(end)?;
        Ok(own + other.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??)
    })?;
    let took = begin.elapsed();
    let count = passed(&daemon, "all")? - before;
    let what = format!("packets, {:.1} million/s on two processors", runs as f64 / took.as_secs_f64() / 1e6);
    ensure!(runs as f64 > RATE * 1.2 * took.as_secs_f64(), "{what}: too slow a machine");
    // Two ticks of the clock are let through beside the burst, of at most ten milliseconds each.
    judge(&what, count, RATE, BURST + RATE * 0.02, (MEASURED, took))
}

/// The second of two places is free again some time after its client has fallen silent.
fn silent(protocol: Protocol) -> Result<()> {
    let world = World::routed().build()?;
    let listener = Listener::of(&world, protocol, Family::V4);
    let kernel = "flows = 4096\ntcp_idle = \"3s\"\nudp_idle = \"3s\"\n";
    let text = config::with_kernel(&world, kernel, std::slice::from_ref(&listener));
    let action = if protocol == Protocol::Tcp { "reset" } else { "drop" };
    let limit = format!("[limit.per-client]\nconcurrent = 2\naction = {action:?}\n");
    let daemon = Daemon::start(&world, &format!("{text}\n{limit}"))?;
    let mut tcp = Vec::new();
    let mut udp = Vec::new();
    let mut begin = || -> Result<()> {
        match protocol {
            Protocol::Tcp => {
                let mut http = Http::connect(world.client(), world.service(Family::V4))?;
                http.stream().set_read_timeout(Some(Duration::from_millis(500)))?;
                http.who()?;
                // It stays open, and says nothing any more.
                tcp.push(http);
            }
            Protocol::Udp => {
                let one = Udp::connect(world.client(), world.service_udp(Family::V4))?;
                one.socket().set_read_timeout(Some(Duration::from_millis(300)))?;
                // The second datagram proves that the client is there.
                one.ask(b"?")?;
                one.ask(b"?")?;
                udp.push(one);
            }
        }
        Ok(())
    };
    begin()?;
    begin()?;
    ensure!(begin().is_err(), "a third while two are there");
    until("the collector has found out that they are gone", Duration::from_secs(60), &mut begin)?;
    let list: Value = daemon.json(&["limit", "list"])?;
    ensure!(list["limits"][0]["refused"].as_u64() >= Some(1), "{list}");
    Ok(())
}

fn who_went_silent_makes_place_for_others_by_tcp() -> Result<()> {
    silent(Protocol::Tcp)
}

fn who_went_silent_makes_place_for_others_by_udp() -> Result<()> {
    silent(Protocol::Udp)
}

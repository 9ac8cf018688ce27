//! SYN floods of spoofed sources: clients notice little, and nothing breaks when the flood is over.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use proxy_tests::client::Http;
use proxy_tests::config::{self, Listener, Protocol};
use proxy_tests::cpu;
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::flood::Flood;
use proxy_tests::runner::{Fact, figure};
use proxy_tests::wait::until;
use proxy_tests::web;
use proxy_tests::world::{Family, World};

pub(crate) const ALONE: &[Fact] = facts![alone:
    clients_of_a_flooded_http_listener_are_served_by_ipv4,
    clients_of_a_flooded_http_listener_are_served_by_ipv6,
    clients_of_a_flooded_tcp_listener_are_served_by_ipv4,
    clients_of_a_flooded_tcp_listener_are_served_by_ipv6,
    without_a_guard_a_flood_of_a_tcp_listener_reaches_its_backends,
    without_a_guard_a_flood_of_an_http_listener_shuts_clients_out,
];

pub(crate) const FACTS: &[Fact] =
    facts![a_connection_by_cookie_has_all_that_was_offered, guards_are_shown_in_status_and_metrics];

/// Connections of clients, in quiet and in the flood.
const TRIES: usize = 1000;
/// A client comes so long after the one before has been served.
const PAUSE: Duration = Duration::from_millis(2);
/// SYNs a second, or as many as this machine can make and take.
const RATE: f64 = 700_000.0;
/// How many times as long connecting may take in the flood.
const SLOWER: f64 = 3.0;
/// So often it is tried.
const ROUNDS: usize = 4;
/// What connecting may take in the flood in each round, however quick it is in quiet.
const FLOOR: Duration = Duration::from_millis(200);
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

/// How long connecting takes, sorted, and how many of [`TRIES`] requests were answered.
fn ask(world: &World, to: SocketAddr) -> (Vec<Duration>, usize) {
    let mut took = Vec::new();
    let one = |took: &mut Vec<Duration>| -> Result<()> {
        let begin = Instant::now();
        let mut connection = Http::connect(world.client(), to)?;
        took.push(begin.elapsed());
        connection.who().map(drop)
    };
    let served = (0..TRIES).filter(|_| {
        std::thread::sleep(PAUSE);
        one(&mut took).is_ok()
    });
    let served = served.count();
    took.sort_unstable();
    (took, served)
}

fn p99(took: &[Duration]) -> Duration {
    took.get(took.len() * 99 / 100).copied().unwrap_or(Duration::MAX)
}

fn noticed(daemon: &Daemon<'_>, what: &str) -> Result<u64> {
    Ok(daemon.status()?.noticed(what))
}

/// What clients noticed of a flood.
struct Noticed {
    quiet: Vec<Duration>,
    flood: Vec<Duration>,
    served: usize,
    /// SYNs a second that the balancer counted.
    rate: f64,
}

impl Noticed {
    /// Nearly all are served.
    fn is_served(&self) -> bool {
        self.served * 1000 >= TRIES * 999
    }

    /// How much longer than in quiet connecting takes, but for one of a hundred.
    fn slower(&self) -> f64 {
        p99(&self.flood).as_secs_f64() / p99(&self.quiet).as_secs_f64()
    }

    fn figure(&self, what: &str) {
        figure(&format!(
            "{what}: {:.0} SYNs/s seen, {} of {TRIES} served, p99 {:?} in quiet, {:?} in the flood: {:.1} times",
            self.rate,
            self.served,
            p99(&self.quiet),
            p99(&self.flood),
            self.slower(),
        ));
    }
}

/// Frames that came in by the balancer's interface to clients.
fn received(world: &World) -> Result<u64> {
    let text = world.balancer.ip("-j -s link show dev front")?;
    let links: serde_json::Value = serde_json::from_str(&text)?;
    links[0]["stats64"]["rx"]["packets"].as_u64().context("rx packets")
}

/// Whom a flood is for, and who makes it.
struct Scene<'w> {
    world: &'w World,
    family: Family,
    flood: Flood<'w>,
}

impl<'w> Scene<'w> {
    /// The flood has this processor for itself, if there is one.
    fn new(world: &'w World, family: Family, processor: Option<usize>) -> Result<Self> {
        let flood = Flood::of_syns(world, family)?;
        let flood = if let Some(processor) = processor { flood.on(processor)? } else { flood };
        Ok(Self { world, family, flood })
    }

    /// Connects in quiet, and in the flood once `begun` holds.
    fn meet(&self, mut begun: impl FnMut() -> Result<()>) -> Result<Noticed> {
        let Self { world, family, flood } = self;
        let to = world.service(*family);
        let (quiet, served) = ask(world, to);
        ensure!(served == TRIES, "in quiet {served} of {TRIES} were served");
        let (_, noticed) = flood.pour(RATE, || {
            until("the flood has begun", OFF, &mut begun)?;
            let (begin, before) = (Instant::now(), received(world)?);
            let (flood, served) = ask(world, to);
            let rate = (received(world)? - before) as f64 / begin.elapsed().as_secs_f64();
            Ok(Noticed { quiet, flood, served, rate })
        })?;
        Ok(noticed)
    }
}

/// A processor for the flood, and one for everybody else: what comes in by a wire is received on a queue's processor,
/// and takes the time of no other. Where there is but one, it is shared.
fn apart(show: impl FnOnce(Option<usize>) -> Result<()>) -> Result<()> {
    match cpu::two()? {
        Some((of_flood, of_others)) => cpu::on(of_others, || show(Some(of_flood)))?,
        None => show(None),
    }
}

/// Clients of a flooded listener are served as before; the guard goes on, and off by itself.
fn survive(family: Family, text: impl FnOnce(&World) -> Result<String>, given: &str) -> Result<()> {
    apart(|processor| {
        let world = World::routed().build()?;
        let daemon = Daemon::start(&world, &text(&world)?)?;
        let scene = Scene::new(&world, family, processor)?;
        let mut slower = f64::MAX;
        // Somebody else's work on a busy machine makes a round slow, but hardly each of them.
        for _ in 0..ROUNDS {
            slower = slower.min(round(&scene, &daemon, given)?);
            if slower <= SLOWER {
                break;
            }
        }
        ensure!(slower <= SLOWER || processor.is_none(), "connecting takes {slower:.1} times as long (p99)");
        let (_, served) = ask(&world, world.service(family));
        ensure!(served == TRIES, "after the flood {served} of {TRIES} were served");
        Ok(())
    })
}

/// A flood, from quiet to quiet: how much longer connecting took.
fn round(scene: &Scene<'_>, daemon: &Daemon<'_>, given: &str) -> Result<f64> {
    let (on, off) = (noticed(daemon, "guard_on")?, noticed(daemon, "guard_off")?);
    let (reached, answered) = (begun(daemon)?, noticed(daemon, given)?);
    let seen = scene.meet(|| {
        ensure!(noticed(daemon, "guard_on")? > on, "{:?}", daemon.status()?.drops());
        Ok(())
    })?;
    let (reached, answered) = (begun(daemon)? - reached, noticed(daemon, given)? - answered);
    seen.figure(&format!("guarded, {answered} {given}"));
    ensure!(reached < REACHES, "{reached} SYNs reached the backends of a guarded listener");
    ensure!(answered > 1000, "the flood was answered by the kernel part");
    ensure!(seen.is_served(), "{} of {TRIES} were served: {:?}", seen.served, daemon.status()?.drops());
    let most = FLOOR.max(p99(&seen.quiet).mul_f64(SLOWER));
    ensure!(p99(&seen.flood) <= most, "p99 {:?}, at most {most:?}", p99(&seen.flood));
    until("the guard goes off by itself", OFF, || {
        Http::connect(scene.world.client(), scene.world.service(scene.family))?.who()?;
        ensure!(noticed(daemon, "guard_off")? > off);
        Ok(())
    })?;
    Ok(seen.slower())
}

fn http(family: Family) -> Result<()> {
    let text = |world: &World| {
        own_service(world, family)?;
        Ok(web_config(world, family, ""))
    };
    survive(family, text, "cookie_given")
}

fn clients_of_a_flooded_http_listener_are_served_by_ipv4() -> Result<()> {
    http(Family::V4)
}

fn clients_of_a_flooded_http_listener_are_served_by_ipv6() -> Result<()> {
    http(Family::V6)
}

fn tcp(family: Family) -> Result<()> {
    survive(family, |world| Ok(tcp_config(world, family, "")), "proof_asked")
}

fn clients_of_a_flooded_tcp_listener_are_served_by_ipv4() -> Result<()> {
    tcp(Family::V4)
}

fn clients_of_a_flooded_tcp_listener_are_served_by_ipv6() -> Result<()> {
    tcp(Family::V6)
}

/// The same flood where nothing guards: what is promised of guarded listeners does not hold, or the flood goes where it
/// shall not.
fn unguarded(world: &World, processor: Option<usize>, text: &str) -> Result<(Noticed, u64)> {
    let daemon = Daemon::start(world, text)?;
    let scene = Scene::new(world, Family::V4, processor)?;
    let before = begun(&daemon)?;
    let came = received(world)?;
    let seen = scene.meet(|| {
        ensure!(received(world)? - came > REACHES);
        Ok(())
    })?;
    seen.figure("not guarded");
    ensure!(noticed(&daemon, "guard_on")? == 0);
    let reached = begun(&daemon)? - before;
    Ok((seen, reached))
}

fn without_a_guard_a_flood_of_a_tcp_listener_reaches_its_backends() -> Result<()> {
    apart(|processor| {
        let world = World::routed().build()?;
        let text = tcp_config(&world, Family::V4, "syn_cookies = \"off\"");
        let (_, reached) = unguarded(&world, processor, &text)?;
        figure(&format!("{reached} SYNs reached the backends"));
        ensure!(reached > REACHES, "{reached}");
        Ok(())
    })
}

/// How many of so many clients are let in that wait for no second SYN.
fn let_in(world: &World, to: SocketAddr, clients: usize) -> Result<usize> {
    const SECOND_SYN: Duration = Duration::from_millis(700);
    world
        .client()
        .enter(|| (0..clients).filter(|_| TcpStream::connect_timeout(&to, SECOND_SYN).is_ok()).count())
}

fn without_a_guard_a_flood_of_an_http_listener_shuts_clients_out() -> Result<()> {
    const CLIENTS: usize = 30;
    apart(|processor| {
        let world = World::routed().build()?;
        own_service(&world, Family::V4)?;
        // Without a way to those who seem to ask, the host does not answer them.
        let router = world.client_address(Family::V4, 0);
        world.balancer.ip(&format!("route add 198.18.0.0/15 via {router}"))?;
        let to = world.service(Family::V4);
        // By the host's cookies clients come in, but each SYN costs the host several times as much.
        let text = web_config(&world, Family::V4, "syn_cookies = \"off\"\n");
        let (seen, _) = unguarded(&world, processor, &text)?;
        world.balancer.sysctl("ipv4/tcp_syncookies", "0")?;
        // The host lets clients in before others that it has served of late: these are new to it.
        world.balancer.sysctl("ipv4/tcp_no_metrics_save", "1")?;
        let daemon = Daemon::start(&world, &text)?;
        let scene = Scene::new(&world, Family::V4, processor)?;
        ensure!(let_in(&world, to, CLIENTS)? == CLIENTS, "in quiet all are let in");
        world.balancer.ip("tcp_metrics flush")?;
        let came = received(&world)?;
        let (_, there) = scene.flood.pour(RATE, || {
            until("the flood has begun", OFF, || {
                ensure!(received(&world)? - came > 10 * REACHES);
                Ok(())
            })?;
            let_in(&world, to, CLIENTS)
        })?;
        figure(&format!(
            "by the host's own cookies it takes {:.0} SYNs/s; without them {there} of {CLIENTS} clients are let in",
            seen.rate
        ));
        ensure!(
            there * 10 < CLIENTS * 9,
            "{there} of {CLIENTS} clients were let in: {:?}",
            daemon.status()?.drops()
        );
        Ok(())
    })
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

fn guards_are_shown_in_status_and_metrics() -> Result<()> {
    let world = World::routed().build()?;
    let daemon = Daemon::start(&world, &tcp_config(&world, Family::V4, "syn_cookies = \"always\""))?;
    let shown = |on: bool, always: bool, word: &str| -> Result<()> {
        let status = daemon.status()?;
        let guard = &status.json()["kernel"]["guards"][0];
        ensure!(guard["listener"] == "tcp4" && guard["on"] == on && guard["always"] == always, "{guard}");
        let table = daemon.cli(&["status"])?;
        let row = table.lines().skip_while(|line| !line.starts_with("GUARDED LISTENER")).nth(1);
        ensure!(row.is_some_and(|row| row.starts_with("tcp4") && row.contains(word)), "{table}");
        let socket = world.folder().join("admin.sock");
        let socket = socket.to_str().context("a path in UTF-8")?;
        let metrics =
            web::curl(&world.balancer, &["--unix-socket", socket, "http://localhost/metrics"])?.text();
        let line = format!("proxy_now_guard_on{{listener=\"tcp4\"}} {}", u8::from(on));
        ensure!(metrics.contains(&line), "{metrics}");
        Ok(())
    };
    shown(true, true, "on, always")?;
    daemon.write_config(&tcp_config(&world, Family::V4, ""))?;
    daemon.cli(&["reload"])?;
    until("the guard is off", OFF, || shown(false, false, "off"))
}

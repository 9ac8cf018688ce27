//! Limits of HTTP on real traffic: who is counted together, what happens to what is too much, and how exactly.

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::process::Output;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use proxy_tests::client::{Http, PATIENCE};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::program;
use proxy_tests::runner::{Fact, figure};
use proxy_tests::wait::{SOON, until};
use proxy_tests::web::{self, Answer, curl};
use proxy_tests::world::{Family, World};

use crate::issuer::{Ca, s_client};

pub(crate) const FACTS: &[Fact] = facts![
    requests_over_a_limit_are_answered_429_and_told_when_to_come_again,
    each_kind_of_key_has_a_bucket_of_its_own,
    behind_a_trusted_proxy_the_client_that_it_names_is_counted,
    actions_end_requests_as_configured,
    all_workers_together_let_the_burst_through_and_no_more,
    a_reload_keeps_what_is_used_up,
    connections_are_limited_as_they_are_accepted,
    handshakes_are_limited_by_address_name_and_kind_of_client,
];

/// With nobody else on the machine: they measure time.
pub(crate) const ALONE: &[Fact] =
    facts![rates_are_kept_within_two_percent, bandwidth_is_kept_and_nothing_is_refused];

/// A listener `web` under these limits, before two backends.
fn config(world: &World, lines: &str) -> String {
    let bind = world.service(Family::V4);
    let backends = [0, 1].map(|number| world.backend(Family::V4, number).to_string());
    web::text(
        world,
        &format!(
            "[listener.web]\nbind = [\"{bind}\"]\nprotocol = \"http\"\n[[route]]\nname = \"files\"\n\
             path = \"/bytes/\"\npool = \"app\"\n[[route]]\nname = \"all\"\npool = \"app\"\n\
             [pool.app]\nbalance = \"round-robin\"\nbackends = {backends:?}\n{lines}"
        ),
    )
}

fn ask(world: &World, words: &[&str]) -> Result<Answer> {
    ask_for(world, "/", words)
}

fn ask_for(world: &World, path: &str, words: &[&str]) -> Result<Answer> {
    let url = format!("http://{}{path}", world.service(Family::V4));
    curl(world.client(), &[words, &[&url]].concat())
}

/// What curl says and how it ends, where there may be no answer.
fn tried(world: &World, words: &[&str]) -> Result<Output> {
    let mut command = program::command(&["curl", "--silent", "--show-error", "--max-time", "20"]);
    command.args(words);
    program::run(world.client(), &mut command)
}

fn requests_over_a_limit_are_answered_429_and_told_when_to_come_again() -> Result<()> {
    let world = World::routed().backends(2).build()?;
    for http in ["--http1.1", "--http2-prior-knowledge"] {
        let limit = "[limit.few]\nper = \"ip\"\nrequests = \"3/h burst 3\"\n";
        let _daemon = Daemon::start(&world, &config(&world, limit))?;
        for left in [2, 1, 0] {
            let answer = ask(&world, &[http])?;
            ensure!(answer.status == 200, "{answer:?}");
            ensure!(answer.field("ratelimit-policy") == Some("\"few\";q=3;w=3600"), "{answer:?}");
            let state = answer.field("ratelimit").unwrap_or_default().to_owned();
            ensure!(state.starts_with(&format!("\"few\";r={left};t=")), "{state}");
            ensure!(answer.field("retry-after").is_none(), "{answer:?}");
        }
        let refused = ask(&world, &[http])?;
        ensure!(refused.status == 429 && refused.text() == "429 Too Many Requests\n", "{refused:?}");
        let wait: u64 = refused.field("retry-after").context("no Retry-After")?.parse()?;
        ensure!((1100..=1200).contains(&wait), "{wait}");
        ensure!(refused.field("ratelimit") == Some(&*format!("\"few\";r=0;t={wait}")), "{refused:?}");
        let grpc = ["--request", "POST", "--header", "content-type: application/grpc", http];
        let refused = ask(&world, &grpc)?;
        ensure!(refused.status == 200 && refused.field("grpc-status") == Some("8"), "{refused:?}");
    }
    Ok(())
}

/// Whether so many requests pass, and no more.
fn passing(world: &World, most: usize, path: &str, words: &[&str]) -> Result<()> {
    let one = |_| Ok(ask_for(world, path, words)?.status);
    let statuses = (0..most + 2).map(one).collect::<Result<Vec<u16>>>()?;
    let passed = statuses.iter().take_while(|status| **status == 200).count();
    ensure!(
        passed == most && statuses[most..].iter().all(|status| *status == 429),
        "{words:?}: {statuses:?}"
    );
    Ok(())
}

fn each_kind_of_key_has_a_bucket_of_its_own() -> Result<()> {
    let world = World::routed().backends(2).build()?;
    let kinds: [(&str, &str, &[&str], &[&str]); 5] = [
        ("header.x-user", "/", &["--header", "X-User: a"], &["--header", "X-User: b"]),
        ("cookie.session", "/", &["--cookie", "x=1; session=a"], &["--cookie", "x=1; session=b"]),
        ("{client_ip} {header.x-a}{query}", "/", &["--header", "X-A: 1"], &["--header", "X-A: 2"]),
        ("route", "/bytes/1", &[], &[]),
        ("subnet/24", "/", &[], &[]),
    ];
    for (per, other_path, one, other) in kinds {
        let limit = format!("[limit.few]\nper = \"{per}\"\nrequests = \"2/h burst 2\"\n");
        let _daemon = Daemon::start(&world, &config(&world, &limit))?;
        passing(&world, 2, "/", one)?;
        let shared = other_path == "/" && one == other;
        passing(&world, if shared { 0 } else { 2 }, other_path, other)?;
    }
    // Each of the two backends gets two, in turn.
    let limit = "[limit.few]\nper = \"backend\"\nrequests = \"2/h burst 2\"\n[server]\nworkers = 1\n";
    let _daemon = Daemon::start(&world, &config(&world, limit))?;
    passing(&world, 4, "/", &[])
}

fn behind_a_trusted_proxy_the_client_that_it_names_is_counted() -> Result<()> {
    let world = World::routed().backends(2).build()?;
    let limit = "[limit.few]\nper = \"ip\"\nexempt = [\"198.51.100.128/25\"]\nrequests = \"2/h burst 2\"\n";
    let plain = config(&world, limit);
    let client = world.client_address(Family::V4, 0);
    let named = |address: &str| format!("X-Forwarded-For: {address}");
    {
        let trusting = plain.replace(
            "protocol = \"http\"",
            &format!("protocol = \"http\"\ntrusted_proxies = [\"{client}\"]"),
        );
        let _daemon = Daemon::start(&world, &trusting)?;
        passing(&world, 2, "/", &["--header", &named("198.51.100.7")])?;
        passing(&world, 2, "/", &["--header", &named("198.51.100.8")])?;
        for _ in 0..4 {
            let exempt = ask(&world, &["--header", &named("198.51.100.200")])?;
            ensure!(exempt.status == 200 && exempt.field("ratelimit").is_none(), "{exempt:?}");
        }
    }
    let _daemon = Daemon::start(&world, &plain)?;
    passing(&world, 2, "/", &["--header", &named("198.51.100.7")])?;
    passing(&world, 0, "/", &["--header", &named("198.51.100.8")])
}

fn actions_end_requests_as_configured() -> Result<()> {
    let world = World::routed().backends(2).build()?;
    let url = format!("http://{}/", world.service(Family::V4));
    for (action, h1, h2) in [
        ("drop", "Empty reply from server", "ENHANCE_YOUR_CALM"),
        ("close", "Empty reply from server", "curl: ("),
        ("reset", "reset by peer", "reset by peer"),
    ] {
        let limit = format!("[limit.few]\nper = \"ip\"\nrequests = \"1/h\"\naction = \"{action}\"\n");
        for (http, said) in [("--http1.1", h1), ("--http2-prior-knowledge", h2)] {
            let _daemon = Daemon::start(&world, &config(&world, &limit))?;
            let passed = ask(&world, &[http])?;
            ensure!(passed.status == 200 && passed.field("ratelimit").is_none(), "{passed:?}");
            let output = tried(&world, &[http, &url])?;
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            ensure!(!output.status.success() && error.contains(said), "{action} {http}: {error}");
        }
    }
    let limit = "[limit.few]\nper = \"ip\"\nrequests = \"1/h\"\naction = \"observe\"\n";
    let daemon = Daemon::start(&world, &config(&world, limit))?;
    for _ in 0..3 {
        let answer = ask(&world, &[])?;
        ensure!(answer.status == 200 && answer.field("ratelimit").is_none(), "{answer:?}");
    }
    // Two were too much, and one line is enough.
    daemon.wait_log("limit exceeded")?;
    let lines = daemon.log().matches("limit exceeded").count();
    ensure!(lines == 1, "{lines} lines");
    Ok(())
}

/// The statuses that h2load has counted: 2xx and 4xx.
fn load(world: &World, words: &[&str], url: &str) -> Result<(u64, u64)> {
    let mut command = program::command(&["h2load", "--connection-active-timeout=60s"]);
    command.args(words).arg(url);
    let said = program::succeed(world.client(), &mut command)?;
    let line = said.lines().find_map(|line| line.strip_prefix("status codes: "));
    let line = line.with_context(|| format!("no status codes: {said}"))?;
    let number = |class: &str| {
        let part = line.split(", ").find_map(|part| part.strip_suffix(class));
        part.and_then(|count| count.trim().parse().ok()).with_context(|| format!("{class}: {line}"))
    };
    Ok((number(" 2xx")?, number(" 4xx")?))
}

fn all_workers_together_let_the_burst_through_and_no_more() -> Result<()> {
    let world = World::routed().backends(2).build()?;
    let url = format!("http://{}/", world.service(Family::V4));
    let limit = "[limit.some]\nper = \"ip\"\nrequests = \"500/h burst 500\"\n";
    for words in [&["--h1", "-n", "2000", "-c", "32"][..], &["-n", "2000", "-c", "16", "-m", "8"]] {
        let daemon = Daemon::start(&world, &config(&world, limit))?;
        let (passed, refused) = load(&world, words, &url)?;
        // One more may have come back while it lasted.
        ensure!((500..=504).contains(&passed) && passed + refused == 2000, "{words:?}: {passed}, {refused}");
        drop(daemon);
    }
    Ok(())
}

fn a_reload_keeps_what_is_used_up() -> Result<()> {
    let world = World::routed().backends(2).build()?;
    let limit = "[limit.few]\nper = \"ip\"\nrequests = \"3/h burst 3\"\n";
    let daemon = Daemon::start(&world, &config(&world, limit))?;
    ensure!(ask(&world, &[])?.status == 200 && ask(&world, &[])?.status == 200);
    daemon.write_config(&config(
        &world,
        &format!("{limit}[limit.other]\nper = \"ip\"\nrequests = \"9/h burst 9\"\n"),
    ))?;
    daemon.cli(&["reload"])?;
    let last = ask(&world, &[])?;
    ensure!(last.status == 200, "{last:?}");
    let state = last.field("ratelimit").unwrap_or_default();
    ensure!(state.contains("\"few\";r=0;") && state.contains(", \"other\";r=8;"), "{state}");
    // Of the two the stricter one answers, and the other is not charged.
    for _ in 0..3 {
        let refused = ask(&world, &[])?;
        ensure!(
            refused.status == 429 && refused.field("ratelimit").unwrap_or_default().contains("few"),
            "{refused:?}"
        );
    }
    daemon.write_config(&config(&world, "[limit.other]\nper = \"ip\"\nrequests = \"9/h burst 9\"\n"))?;
    daemon.cli(&["reload"])?;
    let freed = ask(&world, &[])?;
    ensure!(freed.field("ratelimit").is_some_and(|state| state.starts_with("\"other\";r=7;")), "{freed:?}");
    Ok(())
}

/// What one more connection reads. A reset may already be told where the connection is made.
fn one_more(world: &World) -> Result<std::io::Result<usize>> {
    let to = world.service(Family::V4);
    world.client().enter(|| {
        let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.read(&mut [0])
    })
}

fn connections_are_limited_as_they_are_accepted() -> Result<()> {
    let world = World::routed().backends(2).build()?;
    let served = |client: &mut Http| client.get("/").is_ok_and(|answer| answer.status == 200);
    let client = || Http::connect(world.client(), world.service(Family::V4));
    let limit = "[limit.few]\nper = \"ip\"\nconnections = \"3/h burst 3\"\naction = \"reset\"\n";
    {
        let _daemon = Daemon::start(&world, &config(&world, limit))?;
        let mut three = (0..3).map(|_| client()).collect::<Result<Vec<_>>>()?;
        ensure!(three.iter_mut().all(served), "three may come");
        let end = one_more(&world)?.map_err(|error| error.kind());
        ensure!(end == Err(std::io::ErrorKind::ConnectionReset), "{end:?}");
        ensure!(three.iter_mut().all(served), "those who are in stay");
    }
    let limit = "[limit.few]\nper = \"listener\"\nconcurrent = 2\n";
    let _daemon = Daemon::start(&world, &config(&world, limit))?;
    let (mut one, mut two) = (client()?, client()?);
    ensure!(served(&mut one) && served(&mut two), "two may be in");
    ensure!(matches!(one_more(&world)?, Ok(0)), "a third is closed");
    drop(one);
    until("its place is free again", SOON, || {
        ensure!(served(&mut client()?), "no place yet");
        Ok(())
    })
}

/// A listener for https, whose handshakes are under this limit.
fn secure(world: &World, ca: &Ca, limit: &str) -> Result<String> {
    ca.issue("a.test", &["a.test", "b.test"])?;
    let (cert, key) = (ca.path("a.test.crt"), ca.path("a.test.key"));
    let http = config(world, limit).replace("protocol = \"http\"", "protocol = \"https\"");
    Ok(http.replace("[[route]]\n", "[[route]]\ntls = \"files\"\nhost = [\"a.test\", \"b.test\"]\n")
        + &format!("[[tls.certificate]]\ncert = {cert:?}\nkey = {key:?}\n"))
}

/// Whether curl is served by https under this name.
fn shakes(world: &World, ca: &Ca, host: &str) -> Result<bool> {
    let address: SocketAddr = world.service(Family::V4);
    let resolved = format!("{host}:{}:{}", address.port(), address.ip());
    let url = format!("https://{host}:{}/", address.port());
    let pem = ca.path("ca.pem");
    Ok(tried(world, &["--cacert", &pem, "--resolve", &resolved, "--fail", &url])?.status.success())
}

fn handshakes_are_limited_by_address_name_and_kind_of_client() -> Result<()> {
    let world = World::routed().backends(2).build()?;
    let ca = Ca::new(&world.folder().join("certs"), "ca")?;
    for (per, other_name, other_kind) in [("ip", false, false), ("sni", true, false), ("ja4", false, true)] {
        let limit = format!("[limit.few]\nper = \"{per}\"\nhandshakes = \"2/h burst 2\"\n");
        let _daemon = Daemon::start(&world, &secure(&world, &ca, &limit)?)?;
        for expected in [true, true, false] {
            ensure!(shakes(&world, &ca, "a.test")? == expected, "{per}: {expected}");
        }
        ensure!(shakes(&world, &ca, "b.test")? == other_name, "{per}: another name");
        let said = s_client(
            world.client(),
            world.service(Family::V4),
            &["-servername", "a.test", "-tls1_2"],
            "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n",
        )?;
        ensure!(said.contains("HTTP/1.1 200") == other_kind, "{per}: another kind of client: {said}");
    }
    Ok(())
}

/// Asks by some connections for ten seconds: how many a second have passed.
fn measure(world: &World) -> Result<f64> {
    let to = world.service(Family::V4);
    let started = Instant::now();
    let ask = || -> Result<u64> {
        let mut client = Http::connect(world.client(), to)?;
        let mut passed = 0;
        while started.elapsed() < Duration::from_secs(10) {
            passed += u64::from(client.get("/bytes/1")?.status == 200);
        }
        Ok(passed)
    };
    let counts = thread::scope(|scope| {
        let threads = [0; 2].map(|_| scope.spawn(ask));
        threads.map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked"))))
    });
    let passed = counts.into_iter().sum::<Result<u64>>()?;
    Ok(passed as f64 / started.elapsed().as_secs_f64())
}

fn rates_are_kept_within_two_percent() -> Result<()> {
    let world = World::routed().backends(2).build()?;
    for rate in [5.0, 50.0, 500.0] {
        let limit = format!("[limit.some]\nper = \"ip\"\nrequests = \"{rate}/s\"\n");
        let _daemon = Daemon::start(&world, &config(&world, &limit))?;
        let passed = measure(&world)?;
        figure(&format!("{rate} requests/s are allowed, {passed:.2} passed"));
        // What may come at once at the beginning, and one on its way at the end.
        let most = rate * 1.02 + (rate / 50.0 + 2.0) / 10.0;
        ensure!(passed >= rate * 0.98 - 0.1 && passed <= most, "{rate}: {passed}");
    }
    Ok(())
}

/// Asks by curl, and gives the status, the bytes that came, and when the first and the last one did, in seconds since the
/// connection was there.
fn timed(world: &World, path: &str, words: &[&str]) -> Result<(u16, u64, f64, f64)> {
    let url = format!("http://{}{path}", world.service(Family::V4));
    let shown = "%{http_code} %{size_download} %{time_pretransfer} %{time_starttransfer} %{time_total}";
    let output = tried(world, &[words, &["--output", "/dev/null", "--write-out", shown, &url]].concat())?;
    let text = String::from_utf8(output.stdout)?;
    let words: Vec<&str> = text.split(' ').collect();
    let [status, size, begun, first, last] = words[..] else { anyhow::bail!("{text}") };
    let (begun, first, last): (f64, f64, f64) = (begun.parse()?, first.parse()?, last.parse()?);
    Ok((status.parse()?, size.parse()?, first - begun, last - begun))
}

fn bandwidth_is_kept_and_nothing_is_refused() -> Result<()> {
    const BYTES: u64 = 12_000_000;
    const BURST: u64 = 200_000;
    let world = World::routed().backends(2).build()?;
    let limit = "[limit.slow]\nper = \"ip\"\nbandwidth = \"4MB/s burst 200kB\"\n";
    let _daemon = Daemon::start(&world, &config(&world, limit))?;
    let file = world.folder().join("large");
    std::fs::write(&file, vec![b'x'; BYTES as usize])?;
    let data = format!("@{}", file.display());
    for http in ["--http1.1", "--http2-prior-knowledge"] {
        let (status, size, first, last) = timed(&world, &format!("/bytes/{BYTES}"), &[http])?;
        ensure!(status == 200 && size == BYTES, "{http}: {status}, {size}");
        let rate = (BYTES - BURST) as f64 / (last - first);
        figure(&format!("{http}: 4 MB/s are allowed, an answer came at {:.2}", rate / 1e6));
        ensure!((3.8e6..=4.2e6).contains(&rate), "{http}: {rate} bytes/s");
        // There and back: both take of the same bucket. The backend thinks in between.
        let (status, size, _, last) =
            timed(&world, "/echo", &[http, "--header", "Expect:", "--data-binary", &data])?;
        ensure!(status == 200 && size == BYTES, "{http}: {status}, {size}");
        let rate = (BYTES * 2 - BURST) as f64 / last;
        figure(&format!("{http}: a body and its echo moved at {:.2} MB/s together", rate / 1e6));
        ensure!((3.4e6..=4.2e6).contains(&rate), "{http}: {rate} bytes/s");
    }
    Ok(())
}

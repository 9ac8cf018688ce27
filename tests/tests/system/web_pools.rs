//! What a pool does with requests: who gets them, who does not, what is tried again, how many there may be.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Result, ensure};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::program::{self, Program};
use proxy_tests::runner::Fact;
use proxy_tests::wait::{SOON, until};
use proxy_tests::web::{self, Answer, curl};
use proxy_tests::world::{Family, World};

pub(crate) const FACTS: &[Fact] = facts![
    the_same_user_gets_the_same_backend,
    weights_share_requests,
    a_backend_that_says_it_is_ill_gets_no_requests,
    a_drained_backend_gets_no_requests,
    what_may_have_been_processed_is_not_sent_twice,
    more_requests_than_allowed_are_answered_503_with_retry_after,
    requests_are_counted_and_written_down,
    explain_names_the_route_that_a_request_takes,
];

fn config(world: &World, lines: &str) -> String {
    let bind = world.service(Family::V4);
    web::text(world, &format!("[listener.web]\nbind = [\"{bind}\"]\nprotocol = \"http\"\n{lines}"))
}

/// One pool of all backends of the world, with these lines.
fn pool(world: &World, lines: &str) -> String {
    let backends: Vec<String> =
        (0..world.backends.len()).map(|number| world.backend(Family::V4, number).to_string()).collect();
    config(world, &format!("[[route]]\npool = \"app\"\n[pool.app]\nbackends = {backends:?}\n{lines}"))
}

fn ask(world: &World, words: &[&str]) -> Result<Answer> {
    let url = format!("http://{}/", world.service(Family::V4));
    curl(world.client(), &[words, &[&url]].concat())
}

/// Who answers so many requests.
fn answering(world: &World, count: usize) -> Result<Vec<String>> {
    let one = |_| {
        let answer = ask(world, &[])?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(answer.field("server-name").unwrap_or_default().to_owned())
    };
    (0..count).map(one).collect()
}

fn the_same_user_gets_the_same_backend() -> Result<()> {
    let world = World::routed().build()?;
    for (balance, field) in
        [("{ header = \"x-user\" }", "X-User: "), ("{ cookie = \"user\" }", "Cookie: a=b; user=")]
    {
        let _daemon = Daemon::start(&world, &pool(&world, &format!("balance = {{ maglev = {balance} }}\n")))?;
        let mut all = BTreeSet::new();
        for user in 0..8 {
            let header = format!("{field}u{user}");
            let who = || Ok(ask(&world, &["--header", &header])?.field("server-name").map(str::to_owned));
            let servers: BTreeSet<_> = (0..4).map(|_| who()).collect::<Result<_>>()?;
            ensure!(servers.len() == 1, "{header}: {servers:?}");
            all.extend(servers);
        }
        ensure!(all.len() > 1, "all users are with {all:?}");
    }
    Ok(())
}

fn weights_share_requests() -> Result<()> {
    let world = World::routed().backends(2).build()?;
    let (first, second) = (world.backend(Family::V4, 0), world.backend(Family::V4, 1));
    let lines = format!(
        "[server]\nworkers = 1\n[[route]]\npool = \"app\"\n[pool.app]\nbalance = \"round-robin\"\n\
         backends = [\"{first}\", {{ address = \"{second}\", weight = 3 }}]\n"
    );
    let _daemon = Daemon::start(&world, &config(&world, &lines))?;
    let heavy = answering(&world, 40)?.iter().filter(|name| *name == "b1").count();
    ensure!(heavy == 30, "{heavy} of 40 requests");
    Ok(())
}

fn a_backend_that_says_it_is_ill_gets_no_requests() -> Result<()> {
    let world = World::routed().build()?;
    let health = "health = { http = \"/healthz\", interval = \"200ms\" }\n";
    let _daemon = Daemon::start(&world, &pool(&world, health))?;
    ensure!(answering(&world, 12)?.iter().any(|name| name == "b0"));
    for healthy in [false, true] {
        world.backends[0].server.set_healthy(healthy);
        until("the checks have seen it", SOON, || {
            let names = answering(&world, 12)?;
            ensure!(names.iter().any(|name| name == "b0") == healthy, "{names:?}");
            Ok(())
        })?;
    }
    Ok(())
}

fn a_drained_backend_gets_no_requests() -> Result<()> {
    let world = World::routed().build()?;
    let daemon = Daemon::start(&world, &pool(&world, ""))?;
    let backend = world.backend(Family::V4, 0).to_string();
    daemon.cli(&["drain", &backend, "--pool", "app"])?;
    let names = answering(&world, 12)?;
    ensure!(names.iter().all(|name| name != "b0"), "{names:?}");
    daemon.cli(&["undrain", &backend, "--pool", "app"])?;
    let names = answering(&world, 12)?;
    ensure!(names.iter().any(|name| name == "b0"), "{names:?}");
    Ok(())
}

/// The recording backend beside the daemon.
fn recorder(world: &World) -> Result<(Program, SocketAddr)> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 17900));
    let words = ["--port", "17900", "--ctl", "17901"];
    let script = program::script("conformance/backend.py", &words)?;
    let mut recording = Program::start(&world.balancer, &world.folder(), "recorder", script)?;
    recording.wait_for(&world.balancer, address)?;
    Ok((recording, address))
}

/// Requests that the recorder has seen.
fn recorded(world: &World) -> Result<u64> {
    let mut python = program::script("clients/recorded.py", &["17901"])?;
    Ok(program::succeed(&world.balancer, &mut python)?.trim().parse()?)
}

fn what_may_have_been_processed_is_not_sent_twice() -> Result<()> {
    let world = World::routed().backends(0).build()?;
    let (_recorder, address) = recorder(&world)?;
    let lines = format!("[[route]]\npool = \"app\"\n[pool.app]\nbackends = [\"{address}\"]\neject = false\n");
    let _daemon = Daemon::start(&world, &config(&world, &lines))?;
    // The recorder reads the request, and closes instead of answering.
    let url = format!("http://{}/close", world.service(Family::V4));
    for (method, tries) in [("POST", 1), ("GET", 3)] {
        let before = recorded(&world)?;
        let answer = curl(world.client(), &["--request", method, "--data", "x", &url])?;
        ensure!(answer.status == 502, "{method}: {answer:?}");
        let now = recorded(&world)?;
        ensure!(now - before == tries, "{method}: sent {} times", now - before);
    }
    Ok(())
}

fn more_requests_than_allowed_are_answered_503_with_retry_after() -> Result<()> {
    let world = World::routed().backends(0).build()?;
    let (_recorder, address) = recorder(&world)?;
    let lines = format!(
        "[server]\nmax_requests = 4\n[[route]]\npool = \"app\"\n[pool.app]\nbackends = [\"{address}\"]\n"
    );
    let _daemon = Daemon::start(&world, &config(&world, &lines))?;
    let slow = format!("http://{}/slow?ms=3000", world.service(Family::V4));
    let start = |number: usize| {
        let curl = program::command(&["curl", "--silent", "--show-error", "--fail", &slow]);
        Program::start(world.client(), &world.folder(), &format!("slow{number}"), curl)
    };
    let mut held = (0..4).map(start).collect::<Result<Vec<_>>>()?;
    until("four requests are under way", SOON, || {
        let seen = recorded(&world)?;
        ensure!(seen >= 4, "{seen}");
        Ok(())
    })?;
    let answer = ask(&world, &[])?;
    ensure!(answer.status == 503 && answer.field("retry-after").is_some(), "{answer:?}");
    for request in &mut held {
        ensure!(request.wait_end(SOON)?, "{}", request.said());
    }
    ensure!(ask(&world, &[])?.status == 200);
    Ok(())
}

fn requests_are_counted_and_written_down() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let log = world.folder().join("access.log");
    let backend = world.backend(Family::V4, 0);
    let lines = format!(
        "[access_log]\nto = {log:?}\n[[route]]\nname = \"all\"\npool = \"app\"\n\
         [[route]]\npath_exact = \"/gone\"\nname = \"gone\"\nrespond = 410\n[pool.app]\nbackends = [\"{backend}\"]\n"
    );
    let daemon = Daemon::start(&world, &config(&world, &lines))?;
    for _ in 0..3 {
        ask(&world, &[])?;
    }
    let gone = format!("http://{}/gone", world.service(Family::V4));
    ensure!(curl(world.client(), &["--header", "User-Agent: \"evil\\\" agent", &gone])?.status == 410);
    until("four lines are written", SOON, || {
        let text = fs::read_to_string(&log)?;
        let all = text.lines().map(serde_json::from_str).collect::<Result<Vec<serde_json::Value>, _>>()?;
        ensure!(all.len() == 4, "{text}");
        ensure!(all.iter().filter(|line| line["status"] == 200).count() == 3, "{text}");
        ensure!(all.iter().any(|line| line["status"] == 410 && line["route"] == "gone"), "{text}");
        Ok(())
    })?;
    let socket = world.folder().join("admin.sock").display().to_string();
    let metrics = || -> Result<String> {
        Ok(curl(&world.balancer, &["--unix-socket", &socket, "http://localhost/metrics"])?.text())
    };
    let wanted =
        "proxy_now_request_seconds_count{listener=\"web\",route=\"all\",pool=\"app\",status=\"2xx\"} 3\n";
    until("three are counted", SOON, || {
        let said = metrics()?;
        ensure!(said.contains(wanted), "{said}");
        Ok(())
    })?;
    // Who does not want them counted still has them written down.
    daemon.write_config(&config(&world, &format!("{lines}[server]\nrequest_metrics = false\n")))?;
    daemon.cli(&["reload"])?;
    ask(&world, &[])?;
    until("a fifth line is written", SOON, || {
        let text = fs::read_to_string(&log)?;
        ensure!(text.lines().count() == 5 && text.lines().all(|line| line.contains("\"route\"")), "{text}");
        Ok(())
    })?;
    let said = metrics()?;
    ensure!(said.contains(wanted), "{said}");
    Ok(())
}

fn explain_names_the_route_that_a_request_takes() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let backend = world.backend(Family::V4, 0);
    let lines = format!(
        "[[route]]\nname = \"plain\"\nhost = \"a.test\"\npool = \"app\"\n\
         [[route]]\nname = \"canary\"\nhost = \"a.test\"\nheader = {{ x-canary = \"yes\" }}\npool = \"app\"\n\
         [pool.app]\nbackends = [\"{backend}\"]\n"
    );
    let daemon = Daemon::start(&world, &config(&world, &lines))?;
    let plain = daemon.cli(&["explain", "http://a.test/x"])?;
    ensure!(plain.contains("plain"), "{plain}");
    let canary = daemon.cli(&["explain", "http://a.test/x", "--header", "X-Canary: yes"])?;
    ensure!(canary.contains("canary"), "{canary}");
    Ok(())
}

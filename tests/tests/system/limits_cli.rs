//! Limits as operators change them: what is typed holds for what comes next, and it is written down who typed it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use proxy_tests::admin::Admin;
use proxy_tests::client::{self, Http};
use proxy_tests::config::{self, Listener, Protocol};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::program::Program;
use proxy_tests::runner::{Fact, figure};
use proxy_tests::wait::{SOON, until};
use proxy_tests::web;
use proxy_tests::world::{Family, World};
use serde_json::Value;

pub(crate) const FACTS: &[Fact] = facts![
    a_limit_that_is_set_is_obeyed_by_the_next_request_and_reset_again,
    a_limit_that_is_saved_keeps_the_files_comments_and_is_in_force,
    what_makes_no_sense_is_told_and_changes_nothing,
    a_thousand_changes_in_a_row_under_load_lose_nothing,
    of_two_operators_at_once_the_later_wins_and_both_are_written_down,
    who_is_being_refused_is_shown_and_can_be_forgiven,
    what_is_set_outlives_the_daemon_for_workers_too,
    limits_are_shown_and_changed_without_a_daemon,
    a_limit_is_tried_on_what_tcpdump_has_captured,
];

pub(crate) const ROOTLESS: &[Fact] = facts![rootless: a_limit_is_tried_on_captures_of_other_tools];

/// A configuration that is for captures alone.
const TRIED: &str = "[listener.web]\nbind = \"192.0.2.10:80\"\nprotocol = \"http\"\n[[route]]\nrespond = 204\n\
     [limit.per-client]\nconnections = \"5/h burst 5\"\n";

/// A configuration with a limit that nobody meets.
fn text(world: &World, bind: std::net::SocketAddr) -> String {
    let audit = world.folder().join("audit.log");
    web::text(
        world,
        &format!(
            "audit_log = {audit:?}\n\n[listener.web]\nbind = \"{bind}\"\nprotocol = \"http\"\n\n\
             [[route]]\nrespond = 204\n\n[limit.per-client]   # as much as anybody needs\n\
             requests = \"100000/s burst 100000\"   # of a second\nconnections = \"100000/s burst 100000\"\n"
        ),
    )
}

/// Lines of the audit log.
fn audited(world: &World) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(world.folder().join("audit.log"))?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Text for Prometheus.
fn metrics(world: &World) -> Result<String> {
    let socket = world.folder().join("admin.sock");
    let socket = socket.to_str().context("a path in UTF-8")?;
    Ok(web::curl(&world.balancer, &["--unix-socket", socket, "http://localhost/metrics"])?.text())
}

/// What `limit list` says of a measure.
fn listed(daemon: &Daemon<'_>, measure: &str) -> Result<Value> {
    let list = daemon.json(&["limit", "list"])?;
    let rows = list["limits"].as_array().context("no limits")?;
    rows.iter().find(|row| row["measure"] == measure).cloned().context("no such measure")
}

fn a_limit_that_is_set_is_obeyed_by_the_next_request_and_reset_again() -> Result<()> {
    let world = World::routed().build()?;
    let service = world.service(Family::V4);
    let daemon = Daemon::start(&world, &text(&world, service))?;
    let mut http = Http::connect(world.client(), service)?;
    for _ in 0..50 {
        ensure!(http.get("/")?.status == 204);
    }
    let said = daemon.cli(&["limit", "set", "per-client", "requests=1/h", "burst=1"])?;
    ensure!(said.contains("requests is 1/h; it was 100000/s burst 100000"), "{said}");
    let statuses = [http.get("/")?.status, http.get("/")?.status, http.get("/")?.status];
    ensure!(statuses[1..] == [429, 429], "{statuses:?}");
    let row = listed(&daemon, "requests")?;
    ensure!(row["amount"] == "1/h" && row["file"] == "100000/s burst 100000", "{row}");
    ensure!(row["refused"].as_u64() >= Some(2) && row["passed"].as_u64() >= Some(50), "{row}");
    let metrics = metrics(&world)?;
    let counted = |result: &str| {
        let labels = format!("{{limit=\"per-client\",measure=\"requests\",result=\"{result}\"}} ");
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("proxy_now_limit_total")?.strip_prefix(&*labels));
        line.and_then(|count| count.parse::<u64>().ok())
    };
    ensure!(counted("refused") >= Some(2) && counted("observed") == Some(0), "{metrics}");
    let said = daemon.cli(&["limit", "set", "per-client", "requests=1/h", "burst=1"])?;
    ensure!(said.contains("requests is 1/h, as before"), "{said}");
    let said = daemon.cli(&["limit", "reset", "per-client"])?;
    ensure!(said.contains("requests is 100000/s burst 100000; it was 1/h"), "{said}");
    // What the slow rate has used up counts as spent; at the old rate that is made good within a tick.
    until("requests pass again", SOON, || {
        let status = http.get("/")?.status;
        ensure!(status == 204, "{status}");
        Ok(())
    })?;
    ensure!(listed(&daemon, "requests")?["file"].is_null());
    let lines = audited(&world)?;
    let told: Vec<_> = lines.iter().map(|line| (line["what"].as_str(), line["to"].as_str())).collect();
    let (set, reset) = (Some("limit set"), Some("limit reset"));
    let wanted = [(set, Some("1/h")), (set, Some("1/h")), (reset, Some("100000/s burst 100000"))];
    ensure!(told == wanted, "{told:?}");
    let uid = rustix::process::getuid().as_raw();
    ensure!(lines[0]["uid"] == uid && lines[0]["by"] == "daemon", "{}", lines[0]);
    ensure!(lines[0]["name"] == "per-client requests" && lines[0]["when"].is_string(), "{}", lines[0]);
    Ok(())
}

fn a_limit_that_is_saved_keeps_the_files_comments_and_is_in_force() -> Result<()> {
    let world = World::routed().build()?;
    let service = world.service(Family::V4);
    let before = text(&world, service);
    let daemon = Daemon::start(&world, &before)?;
    let said = daemon.cli(&["limit", "set", "per-client", "requests=2/h burst 2", "--save"])?;
    ensure!(said.contains("saved in") && said.contains("line "), "{said}");
    let after = std::fs::read_to_string(daemon.config_path())?;
    let wanted = before.replace("requests = \"100000/s burst 100000\" ", "requests = \"2/h burst 2\" ");
    ensure!(after == wanted, "{after}");
    let mut http = Http::connect(world.client(), service)?;
    let statuses: Vec<u16> = (0..4).map(|_| Ok(http.get("/")?.status)).collect::<Result<_>>()?;
    ensure!(statuses == [204, 204, 429, 429], "{statuses:?}");
    until("the file's word is that of the operator", SOON, || {
        let row = listed(&daemon, "requests")?;
        ensure!(row["amount"] == "2/h burst 2" && row["file"].is_null(), "{row}");
        Ok(())
    })
}

fn what_makes_no_sense_is_told_and_changes_nothing() -> Result<()> {
    let world = World::routed().build()?;
    let before = text(&world, world.service(Family::V4));
    let daemon = Daemon::start(&world, &before)?;
    for (words, said) in [
        (&["limit", "set", "per-cleint", "requests=5/s"][..], "did you mean \"per-client\"?"),
        (&["limit", "set", "per-client", "request=5/s"], "did you mean \"requests\"?"),
        (&["limit", "set", "per-client", "packets=5/s"], "counts connections, requests, and no \"packets\""),
        (&["limit", "set", "per-client", "requests=0/s"], "lets nothing through"),
        (&["limit", "set", "per-client", "requests=5/fortnight"], "fortnight"),
        (&["limit", "set", "per-client", "requests=5/s", "connections=0/s", "--save"], "connections"),
        (&["limit", "set", "per-client", "requests"], "does not say how much"),
        (&["limit", "set", "per-client", "burst=5"], "burst stands behind"),
        (&["limit", "reset", "per-client", "--key", "nobody"], "is no address"),
        (&["limit", "reset", "nothing"], "limits are: per-client"),
    ] {
        let output = daemon.command(words)?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success() && text.contains(said), "{words:?}: {text}");
    }
    ensure!(listed(&daemon, "requests")?["file"].is_null());
    ensure!(std::fs::read_to_string(daemon.config_path())? == before);
    ensure!(audited(&world).is_err(), "nothing was changed, so nothing is written down");
    Ok(())
}

fn a_thousand_changes_in_a_row_under_load_lose_nothing() -> Result<()> {
    const CHANGES: u64 = 1000;
    let world = World::routed().build()?;
    let service = world.service(Family::V4);
    let daemon = Daemon::start(&world, &text(&world, service))?;
    let (over, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut took = Vec::new();
    std::thread::scope(|scope| -> Result<()> {
        let load = scope.spawn(|| -> Result<()> {
            let mut http = Http::connect(world.client(), service)?;
            while !over.load(Ordering::Relaxed) {
                let status = http.get("/")?.status;
                ensure!(status == 204, "{status} after {}", asked.load(Ordering::Relaxed));
                asked.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        let changed = (|| {
            let mut admin = Admin::connect(&world)?;
            for number in 0..CHANGES {
                let amount = format!("{}/s burst 100000", 200_000 + number);
                let body = format!("{{\"limit\":\"per-client\",\"amounts\":{{\"requests\":\"{amount}\"}}}}");
                let begun = Instant::now();
                let answer = admin.post("/limits/set", &body)?;
                took.push(begun.elapsed());
                ensure!(answer.contains(&amount), "{answer}");
            }
            Ok(())
        })();
        over.store(true, Ordering::Relaxed);
        load.join().map_err(|_| anyhow::anyhow!("the load panicked"))??;
        changed
    })?;
    took.sort();
    let (half, most) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    figure(&format!(
        "{CHANGES} changes: median {half:.1?}, 99 % within {most:.1?}; {} requests meanwhile",
        asked.load(Ordering::Relaxed)
    ));
    ensure!(asked.load(Ordering::Relaxed) > 0, "there was load");
    let row = listed(&daemon, "requests")?;
    ensure!(row["amount"] == format!("{}/s burst 100000", 200_000 + CHANGES - 1), "{row}");
    ensure!(row["refused"] == 0, "{row}");
    let lines = audited(&world)?;
    ensure!(lines.len() as u64 == CHANGES, "{} lines", lines.len());
    let joined = lines.windows(2).all(|pair| pair[0]["to"] == pair[1]["from"]);
    ensure!(joined, "each change begins where the one before it ended");
    Ok(())
}

fn of_two_operators_at_once_the_later_wins_and_both_are_written_down() -> Result<()> {
    const CHANGES: u32 = 10;
    let world = World::routed().backends(1).build()?;
    let daemon = Daemon::start(&world, &text(&world, world.service(Family::V4)))?;
    let operator = |rate: u32| -> Result<()> {
        for number in 0..CHANGES {
            daemon.cli(&[
                "limit",
                "set",
                "per-client",
                &format!("requests={}/s", rate + number),
                "burst=9",
            ])?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| operator(1000));
        operator(2000)?;
        other.join().map_err(|_| anyhow::anyhow!("an operator panicked"))?
    })?;
    let lines = audited(&world)?;
    ensure!(lines.len() as u32 == 2 * CHANGES, "{} lines", lines.len());
    let joined = lines.windows(2).all(|pair| pair[0]["to"] == pair[1]["from"]);
    ensure!(joined, "each change begins where the one before it ended: {lines:?}");
    let last = lines.last().context("a line")?;
    ensure!(listed(&daemon, "requests")?["amount"] == last["to"], "the later wins: {last}");
    Ok(())
}

fn who_is_being_refused_is_shown_and_can_be_forgiven() -> Result<()> {
    let world = World::routed().build()?;
    let service = world.service(Family::V4);
    let daemon = Daemon::start(&world, &text(&world, service))?;
    let quiet = daemon.cli(&["limit", "top"])?;
    ensure!(quiet.contains("nobody is being refused"), "{quiet}");
    daemon.cli(&["limit", "set", "per-client", "requests=3/h", "burst=3"])?;
    let client = world.client_address(Family::V4, 0).to_string();
    let over = AtomicBool::new(false);
    let top = std::thread::scope(|scope| -> Result<Value> {
        let load = scope.spawn(|| -> Result<()> {
            let mut http = Http::connect(world.client(), service)?;
            while !over.load(Ordering::Relaxed) {
                http.get("/")?;
            }
            Ok(())
        });
        let top = until("the client is shown", SOON, || {
            let top = daemon.json(&["limit", "top", "-n", "1"])?;
            ensure!(top["keys"][0]["key"].is_string(), "{top}");
            Ok(top)
        });
        over.store(true, Ordering::Relaxed);
        load.join().map_err(|_| anyhow::anyhow!("the load panicked"))??;
        top
    })?;
    let key = &top["keys"][0];
    ensure!(key["key"] == client && key["limit"] == "per-client" && key["measure"] == "requests", "{top}");
    ensure!(key["refused_per_second"].as_f64() > Some(0.0), "{top}");
    ensure!(client::get(world.client(), service, "/")?.status == 429);
    daemon.cli(&["limit", "reset", "per-client", "--key", &client])?;
    ensure!(client::get(world.client(), service, "/")?.status == 204, "what it had used up is forgotten");
    ensure!(listed(&daemon, "requests")?["amount"] == "3/h burst 3", "the limit is as it was");
    Ok(())
}

/// A kernel part, and an `http` listener with a limit of requests and of connections.
fn with_kernel(world: &World, limit: &str) -> Result<(std::net::SocketAddr, String)> {
    let to = world.service(Family::V4);
    world.balancer.ip(&format!("addr add {}/32 dev front", to.ip()))?;
    let audit = world.folder().join("audit.log");
    let kernel = config::text(world, &[]);
    let kernel = kernel.replacen("[admin]\n", &format!("[admin]\naudit_log = {audit:?}\n"), 1);
    ensure!(kernel.contains("audit_log"), "{kernel}");
    let listener =
        format!("[listener.web]\nbind = \"{to}\"\nprotocol = \"http\"\n[[route]]\nrespond = 204\n");
    Ok((to, format!("{kernel}\n{listener}\n[limit.per-client]\n{limit}")))
}

/// The statuses of so many requests.
fn statuses(world: &World, to: std::net::SocketAddr, count: usize) -> Result<Vec<u16>> {
    let mut http = Http::connect(world.client(), to)?;
    (0..count).map(|_| Ok(http.get("/")?.status)).collect()
}

fn what_is_set_outlives_the_daemon_for_workers_too() -> Result<()> {
    let world = World::routed().build()?;
    let (to, text) = with_kernel(&world, "requests = \"100000/s burst 100000\"\n")?;
    let mut daemon = Daemon::start(&world, &text)?;
    daemon.cli(&["limit", "set", "per-client", "requests=2/h", "burst=2"])?;
    daemon.kill()?;
    daemon.run()?;
    let row = listed(&daemon, "requests")?;
    ensure!(row["amount"] == "2/h burst 2" && row["file"] == "100000/s burst 100000", "{row}");
    let seen = statuses(&world, to, 4)?;
    ensure!(seen == [204, 204, 429, 429], "{seen:?}");
    daemon.cli(&["limit", "reset", "per-client"])?;
    until("requests pass again", SOON, || {
        let seen = statuses(&world, to, 4)?;
        ensure!(seen == [204; 4], "{seen:?}");
        Ok(())
    })?;
    daemon.stop()?;
    daemon.run()?;
    ensure!(listed(&daemon, "requests")?["file"].is_null(), "what was reset stays reset");
    Ok(())
}

fn limits_are_shown_and_changed_without_a_daemon() -> Result<()> {
    let world = World::routed().build()?;
    let audit = world.folder().join("audit.log");
    let balanced = Listener::of(&world, Protocol::Tcp, Family::V4);
    let text = config::text(&world, std::slice::from_ref(&balanced));
    let text = text.replacen("[admin]\n", &format!("[admin]\naudit_log = {audit:?}\n"), 1);
    let limit =
        "[limit.per-client]\nconnections = \"1000/s burst 1000\"\nrequests = \"9/s\"\naction = \"reset\"\n";
    let web = "[listener.web]\nbind = \"127.0.0.1:8099\"\nprotocol = \"http\"\n[[route]]\nrespond = 204\n";
    let mut daemon = Daemon::start(&world, &format!("{text}\n{web}\n{limit}"))?;
    let to = world.service(Family::V4);
    let served = || {
        (0..10).filter(|_| Http::connect(world.client(), to).and_then(|mut http| http.who()).is_ok()).count()
    };
    ensure!(served() == 10);
    daemon.kill()?;
    let file = daemon.config_path().display().to_string();
    let offline = |words: &[&str]| daemon.cli(&[words, &["--config", &file]].concat());
    let said = offline(&["limit", "set", "per-client", "connections=3/h", "burst=3", "requests=2/s"])?;
    ensure!(said.contains("connections is 3/h burst 3; it was 1000/s burst 1000"), "{said}");
    let first = served();
    ensure!(first <= 3, "{first}: the next connections obey");
    let list: Value = serde_json::from_str(&offline(&["limit", "list", "--json"])?)?;
    let row = |measure: &str| {
        let rows = list["limits"].as_array().into_iter().flatten();
        rows.into_iter().find(|row| row["measure"] == measure).cloned().context("no such measure")
    };
    let connections = row("connections")?;
    ensure!(connections["amount"] == "3/h burst 3" && connections["file"] == "1000/s burst 1000", "{list}");
    ensure!(connections["per"] == "ip" && connections["refused"].as_u64() >= Some(7), "{list}");
    ensure!(row("requests")?["amount"] == "2/s", "{list}");
    let wrong = daemon.command(&["limit", "set", "per-cleint", "packets=1/s", "--config", &file])?;
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    ensure!(!wrong.status.success() && said.contains("did you mean \"per-client\"?"), "{said}");
    let client = world.client_address(Family::V4, 0).to_string();
    let over = AtomicBool::new(false);
    let top: Value = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                served();
            }
        });
        let top = offline(&["limit", "top", "--json"]);
        over.store(true, Ordering::Relaxed);
        Ok::<_, anyhow::Error>(serde_json::from_str(&top?)?)
    })?;
    ensure!(top["keys"][0]["key"] == client, "{top}");
    let said = offline(&["limit", "reset", "per-client", "--key", &client])?;
    ensure!(said.contains("is forgotten"), "{said}");
    ensure!((1..=3).contains(&served()), "what it had used up is forgotten, the limit is not");
    daemon.run()?;
    ensure!(served() == 0, "a daemon that starts keeps it");
    ensure!(listed(&daemon, "connections")?["amount"] == "3/h burst 3");
    ensure!(listed(&daemon, "requests")?["amount"] == "2/s", "what workers count was remembered, too");
    daemon.kill()?;
    let offline = |words: &[&str]| daemon.cli(&[words, &["--config", &file]].concat());
    let said = offline(&["limit", "reset", "per-client"])?;
    ensure!(said.contains("connections is 1000/s burst 1000; it was 3/h burst 3"), "{said}");
    until("connections pass again", SOON, || {
        ensure!(served() == 10);
        Ok(())
    })?;
    let lines = audited(&world)?;
    ensure!(lines.len() == 5 && lines.iter().all(|line| line["by"] == "offline"), "{lines:?}");
    let uid = rustix::process::getuid().as_raw();
    ensure!(lines[0]["uid"] == uid && lines[0]["from"] == "1000/s burst 1000", "{}", lines[0]);
    Ok(())
}

fn a_limit_is_tried_on_what_tcpdump_has_captured() -> Result<()> {
    let world = World::routed().build()?;
    let listener = Listener::of(&world, Protocol::Tcp, Family::V4);
    let limit = "[limit.per-client]\nconnections = \"1000/s burst 1000\"\n";
    let daemon = Daemon::start(
        &world,
        &format!("{}\n{limit}", config::text(&world, std::slice::from_ref(&listener))),
    )?;
    let capture = world.folder().join("capture.pcap");
    let mut tcpdump = std::process::Command::new("tcpdump");
    tcpdump.args(["-i", "eth0", "-U", "-w"]).arg(&capture).args(["tcp", "port", "80"]);
    let dumping = Program::start(world.client(), &world.folder(), "tcpdump", tcpdump)?;
    let said = world.folder().join("tcpdump.log");
    until("tcpdump listens", SOON, || {
        ensure!(std::fs::read_to_string(&said)?.contains("listening on"));
        Ok(())
    })?;
    let to = world.service(Family::V4);
    for _ in 0..20 {
        Http::connect(world.client(), to)?.who()?;
    }
    let file = daemon.config_path().display().to_string();
    let path = capture.display().to_string();
    let tried = |amounts: &[&str]| -> Result<Value> {
        let words =
            [&["limit", "try", "per-client", "--from", &path, "--config", &file][..], amounts].concat();
        daemon.json(&words)
    };
    let refused = |tried: &Value| tried["measures"][0]["refused"].as_u64();
    let all = until("all connections are in the capture", SOON, || {
        let all = tried(&[])?;
        ensure!(all["measures"][0]["passed"] == 20, "{all}");
        Ok(all)
    })?;
    ensure!(refused(&all) == Some(0), "{all}");
    let few = tried(&["connections=5/h", "burst=5"])?;
    ensure!(refused(&few) == Some(15), "{few}");
    ensure!(few.to_string().contains(&world.client_address(Family::V4, 0).to_string()), "{few}");
    ensure!(listed(&daemon, "connections")?["file"].is_null(), "nothing was changed by that");
    drop(dumping);
    Ok(())
}

fn a_limit_is_tried_on_captures_of_other_tools() -> Result<()> {
    let captures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    let config = std::env::temp_dir().join(format!("proxy-now-captures-{}.toml", std::process::id()));
    std::fs::write(&config, TRIED)?;
    let mut tried = 0;
    for entry in std::fs::read_dir(&captures)? {
        let path = entry?.path();
        if path.extension().is_none_or(|kind| kind == "md") {
            continue;
        }
        let mut command = std::process::Command::new(proxy_tests::daemon::binary()?);
        command
            .args(["--json", "limit", "try", "per-client", "--from"])
            .arg(&path)
            .arg("--config")
            .arg(&config);
        let output = command.output()?;
        let said = format!("{path:?}: {}", String::from_utf8_lossy(&output.stderr));
        let answer: Value = serde_json::from_slice(&output.stdout).context(said)?;
        let measure = &answer["measures"][0];
        ensure!(answer["packets"] == 8 && answer["timeless"] == 0, "{path:?}: {answer}");
        ensure!(measure["passed"] == 5 && measure["refused"] == 3, "{path:?}: {answer}");
        ensure!(measure["worst"][0]["key"] == "192.0.2.101", "{path:?}: {answer}");
        tried += 1;
    }
    std::fs::remove_file(&config)?;
    ensure!(tried == 10, "{tried} captures");
    Ok(())
}

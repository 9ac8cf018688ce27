//! Reload, drain, health: what the control side changes, and what it leaves alone.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use proxy_tests::client::{self, Http, Udp};
use proxy_tests::config::{self, Listener, Protocol};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::runner::{Fact, figure};
use proxy_tests::wait::{SOON, until};
use proxy_tests::web::curl;
use proxy_tests::world::{Family, World};
use rustix::process::Signal;

pub(crate) const FACTS: &[Fact] = facts![
    a_reload_by_sighup_by_cli_and_by_file_change_takes_a_backend_out,
    a_bad_configuration_changes_nothing,
    a_reload_that_cannot_be_done_is_rolled_back,
    a_drained_backend_keeps_its_flows_and_gets_no_new_ones,
    draining_by_hand_survives_a_restart,
    a_backend_that_fails_its_http_check_is_out_within_one_cycle,
    a_backend_that_refuses_connections_is_out_and_comes_back,
    a_pool_without_healthy_backends_drops_with_a_reason,
    a_udp_flow_moves_when_its_backend_is_removed,
];

/// Who answers `count` new connections.
fn answering(world: &World, count: usize) -> Result<BTreeSet<String>> {
    let ask = |_| Ok(client::get(world.client(), world.service(Family::V4), "/")?.server);
    (0..count).map(ask).collect()
}

fn names(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|name| (*name).to_owned()).collect()
}

/// Waits until exactly these answer new connections.
fn until_answering(world: &World, who: &[&str]) -> Result<()> {
    until(&format!("only {who:?} answer"), SOON, || {
        let now = answering(world, 40)?;
        ensure!(now == names(who), "{now:?}");
        Ok(())
    })
}

fn a_reload_by_sighup_by_cli_and_by_file_change_takes_a_backend_out() -> Result<()> {
    let world = World::routed().build()?;
    let full = Listener::of(&world, Protocol::Tcp, Family::V4);
    let daemon = Daemon::start(&world, &config::text(&world, std::slice::from_ref(&full)))?;
    ensure!(answering(&world, 40)? == names(&["b0", "b1", "b2"]));
    daemon.write_config(&config::text(&world, &[full.clone().without(0)]))?;
    daemon.signal(Signal::HUP)?;
    until_answering(&world, &["b1", "b2"])?;
    daemon.write_config(&config::text(&world, &[full.clone().without(1)]))?;
    daemon.cli(&["reload"])?;
    ensure!(answering(&world, 40)? == names(&["b0", "b2"]), "a reload is done when the command returns");
    daemon.write_config(&config::text(&world, &[full.without(2)]))?;
    until_answering(&world, &["b0", "b1"])
}

fn a_bad_configuration_changes_nothing() -> Result<()> {
    let world = World::routed().build()?;
    let listener = Listener::of(&world, Protocol::Tcp, Family::V4);
    let good = config::text(&world, std::slice::from_ref(&listener));
    let daemon = Daemon::start(&world, &good)?;
    let mut flow = Http::connect(world.client(), world.service(Family::V4))?;
    let who = flow.who()?;
    let fewer = config::text(&world, &[listener.without(0).without(0)]);
    daemon.write_config(&fewer.replace("protocol", "protocoll"))?;
    let output = daemon.command(&["reload"])?;
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.code() == Some(1), "{:?}: {said}", output.status);
    ensure!(
        said.contains("protocoll") && said.contains("mean \"protocol\""),
        "the right name is told: {said}"
    );
    daemon.signal(Signal::HUP)?;
    daemon.wait_log("protocoll")?;
    // By the command, and by the signal; whether the file's change was seen in between is not known here.
    until("it is counted", SOON, || {
        let socket = world.folder().join("admin.sock").display().to_string();
        let said = curl(&world.balancer, &["--unix-socket", &socket, "http://localhost/metrics"])?.text();
        let refused =
            said.lines().find_map(|line| line.strip_prefix("proxy_now_reloads_total{result=\"refused\"} "));
        ensure!(refused.and_then(|count| count.parse().ok()).is_some_and(|count: u64| count >= 2), "{said}");
        ensure!(said.contains("proxy_now_reloads_total{result=\"applied\"} 1\n"), "{said}");
        Ok(())
    })?;
    ensure!(answering(&world, 40)? == names(&["b0", "b1", "b2"]), "new flows go where they went");
    ensure!(flow.who()? == who, "old flows stay");
    daemon.write_config(&good)?;
    daemon.cli(&["reload"]).map(drop)
}

/// The configuration is right, the world is not: an interface is missing. Nothing of it takes effect.
fn a_reload_that_cannot_be_done_is_rolled_back() -> Result<()> {
    let world = World::routed().build()?;
    let listener = Listener::of(&world, Protocol::Tcp, Family::V4);
    let good = config::text(&world, std::slice::from_ref(&listener));
    let daemon = Daemon::start(&world, &good)?;
    let fewer = config::text(&world, &[listener.without(0).without(0)]);
    daemon.write_config(&fewer.replace("\"back\"]", "\"back\", \"nope0\"]"))?;
    let output = daemon.command(&["reload"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1) && said.contains("nope0"), "{}: {said}", output.status);
    ensure!(answering(&world, 40)? == names(&["b0", "b1", "b2"]), "new flows go where they went");
    let status = daemon.status()?;
    ensure!(status.backends("tcp4")?.len() == 3, "{}", status.json());
    for interface in world.interfaces() {
        ensure!(status.mode(interface).as_deref() == Some("native"), "{}", status.json());
    }
    daemon.write_config(&good)?;
    daemon.cli(&["reload"]).map(drop)
}

fn a_drained_backend_keeps_its_flows_and_gets_no_new_ones() -> Result<()> {
    let world = World::routed().build()?;
    let listener = Listener::of(&world, Protocol::Tcp, Family::V4);
    let daemon = Daemon::start(&world, &config::text(&world, &[listener]))?;
    let mut flow = Http::connect(world.client(), world.service(Family::V4))?;
    let who = flow.who()?;
    let number = world.number_of(&who).unwrap_or_default();
    let address = world.backend(Family::V4, number);
    daemon.cli(&["drain", &address.to_string()])?;
    ensure!(!answering(&world, 40)?.contains(&who), "{who} is drained, and new flows reach it");
    ensure!(flow.who()? == who, "its flow stays");
    let status = daemon.status()?;
    ensure!(status.backend("tcp4", address)?.state == "draining", "{}", status.json());
    daemon.cli(&["undrain", &address.to_string()])?;
    until_answering(&world, &["b0", "b1", "b2"])
}

fn draining_by_hand_survives_a_restart() -> Result<()> {
    let world = World::routed().build()?;
    let listener = Listener::of(&world, Protocol::Tcp, Family::V4);
    let mut daemon = Daemon::start(&world, &config::text(&world, &[listener]))?;
    daemon.cli(&["drain", &world.backend(Family::V4, 1).to_string()])?;
    daemon.kill()?;
    ensure!(answering(&world, 40)? == names(&["b0", "b2"]), "while no daemon runs");
    daemon.run()?;
    ensure!(answering(&world, 40)? == names(&["b0", "b2"]), "after a restart");
    daemon.cli(&["reload"])?;
    ensure!(answering(&world, 40)? == names(&["b0", "b2"]), "after a reload");
    daemon.cli(&["undrain", &world.backend(Family::V4, 1).to_string()])?;
    until_answering(&world, &["b0", "b1", "b2"])
}

fn a_backend_that_fails_its_http_check_is_out_within_one_cycle() -> Result<()> {
    let world = World::routed().build()?;
    let health = "{ http = \"/healthz\", interval = \"500ms\", timeout = \"300ms\" }";
    let listener = Listener::of(&world, Protocol::Tcp, Family::V4).with_health(health);
    let daemon = Daemon::start(&world, &config::text(&world, &[listener]))?;
    until_answering(&world, &["b0", "b1", "b2"])?;
    let mut flows: Vec<Http> = Vec::new();
    for _ in 0..20 {
        flows.push(Http::connect(world.client(), world.service(Family::V4))?);
    }
    let before = flows.iter_mut().map(Http::who).collect::<Result<Vec<_>>>()?;
    world.backends[1].server.set_healthy(false);
    let begin = Instant::now();
    let address = world.backend(Family::V4, 1);
    until("the check takes the backend out", SOON, || {
        let state = daemon.status()?.backend("tcp4", address)?.state;
        ensure!(state == "down", "{state}");
        Ok(())
    })?;
    let took = begin.elapsed();
    // A cycle is the interval with its jitter, and the time of a check; the rest is the machine's.
    ensure!(took < Duration::from_millis(550 + 300 + 400), "{took:?}");
    figure(&format!("a failed check took the backend out {} ms later", took.as_millis()));
    ensure!(answering(&world, 40)? == names(&["b0", "b2"]), "nothing new goes there");
    ensure!(flows.iter_mut().map(Http::who).collect::<Result<Vec<_>>>()? == before, "flows stay");
    world.backends[1].server.set_healthy(true);
    until_answering(&world, &["b0", "b1", "b2"])
}

fn a_backend_that_refuses_connections_is_out_and_comes_back() -> Result<()> {
    let mut world = World::flat().build()?;
    let health = "{ tcp = true, interval = \"200ms\", timeout = \"200ms\" }";
    let listener = Listener::of(&world, Protocol::Tcp, Family::V6).with_health(health);
    let text = config::text(&world, &[listener]);
    world.backends[2].server.stop();
    let answers = |world: &World| -> Result<BTreeSet<String>> {
        let ask = |_| Ok(client::get(world.client(), world.service(Family::V6), "/")?.server);
        (0..30).map(ask).collect()
    };
    {
        let _daemon = Daemon::start(&world, &text)?;
        until("the dead backend is out", SOON, || {
            let now = answers(&world)?;
            ensure!(now == names(&["b0", "b1"]), "{now:?}");
            Ok(())
        })?;
    }
    // What the kernel knows stays when the daemon goes, and is looked at anew when it comes back.
    world.serve(2)?;
    ensure!(answers(&world)? == names(&["b0", "b1"]), "no daemon, no news");
    let _daemon = Daemon::start(&world, &text)?;
    until("the backend is back", SOON, || {
        let now = answers(&world)?;
        ensure!(now == names(&["b0", "b1", "b2"]), "{now:?}");
        Ok(())
    })
}

fn a_pool_without_healthy_backends_drops_with_a_reason() -> Result<()> {
    let world = World::routed().build()?;
    let health = "{ http = \"/healthz\", interval = \"200ms\", timeout = \"200ms\" }";
    let listener = Listener::of(&world, Protocol::Tcp, Family::V4).with_health(health);
    let daemon = Daemon::start(&world, &config::text(&world, &[listener]))?;
    world.backends.iter().for_each(|host| host.server.set_healthy(false));
    until("connections are refused a way", SOON, || {
        ensure!(daemon.status()?.backends("tcp4")?.iter().all(|(_, backend)| backend.state == "down"));
        Ok(())
    })?;
    let to = world.service(Family::V4);
    let quick = Duration::from_millis(300);
    let tried = world.client().enter(|| std::net::TcpStream::connect_timeout(&to, quick))?;
    ensure!(tried.is_err(), "somebody answered");
    let status = daemon.status()?;
    ensure!(status.dropped("no_backend") > 0, "{}", status.json());
    world.backends.iter().for_each(|host| host.server.set_healthy(true));
    until_answering(&world, &["b0", "b1", "b2"])
}

fn a_udp_flow_moves_when_its_backend_is_removed() -> Result<()> {
    let world = World::routed().build()?;
    let listener = Listener::of(&world, Protocol::Udp, Family::V4);
    let daemon = Daemon::start(&world, &config::text(&world, std::slice::from_ref(&listener)))?;
    let flow = Udp::connect(world.client(), world.service_udp(Family::V4))?;
    let who = flow.ask(b"1")?;
    ensure!(flow.ask(b"2")? == who && flow.ask(b"3")? == who);
    let number = world.number_of(&who).unwrap_or_default();
    daemon.write_config(&config::text(&world, &[listener.without(number)]))?;
    daemon.cli(&["reload"])?;
    until("the flow goes elsewhere", SOON, || {
        let now = flow.ask(b"4")?;
        ensure!(now != who, "{now} still answers");
        Ok(())
    })
}

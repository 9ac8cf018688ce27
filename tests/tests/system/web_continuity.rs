//! Requests, WebSockets and streams live on, whatever is done to the daemon.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::program::{self, Program};
use proxy_tests::runner::{Fact, figure};
use proxy_tests::wait::{SOON, until};
use proxy_tests::web::{self, curl};
use proxy_tests::world::{Family, World};
use rustix::process::{Pid, Signal, kill_process};

use super::web_clients;

/// They load the machine.
pub(crate) const ALONE: &[Fact] = facts![alone:
    two_hundred_reloads_under_load_lose_nothing,
    five_upgrades_under_load_lose_nothing,
    a_request_under_way_is_answered_after_sigterm,
];

/// How long traffic goes on, in seconds.
const LONG: &str = "24";
/// After which it must have ended.
const LIMIT: Duration = Duration::from_secs(70);

/// Where the recording backend is, beside the daemon.
fn recorder() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 17900))
}

/// Requests go to the recorder, `/ws` to the echo, those of `grpc.test` to the gRPC server. A word differs from one
/// configuration to the next.
fn config(world: &World, word: usize) -> String {
    let service = world.service(Family::V4);
    let backend = |port| SocketAddr::new(world.backend_address(Family::V4, 0), port);
    web::text(
        world,
        &format!(
            "[server]\ngrace = \"60s\"\n\
             [listener.web]\nbind = [\"{service}\"]\nprotocol = \"http\"\n\
             [[route]]\npool = \"app\"\nresponse_headers = {{ set = {{ x-word = \"{word}\" }} }}\n\
             [[route]]\npath_exact = \"/ws\"\npool = \"echo\"\n\
             [[route]]\npath = \"/test.Echo/\"\npool = \"grpc\"\n\
             [[route]]\nhost = \"h{word}.test\"\npool = \"app\"\n\
             [pool.app]\nbackends = [\"{}\"]\n[pool.echo]\nbackends = [\"{}\"]\n\
             [pool.grpc]\nbackends = [\"{}\"]\nprotocol = \"h2c\"\n",
            recorder(),
            backend(8095),
            backend(8096),
        ),
    )
}

/// Clients of every kind: each runs for [`LONG`] and fails when it loses anything.
struct Traffic(Vec<Program>);

impl Traffic {
    fn begin(world: &World) -> Result<Self> {
        let service = world.service(Family::V4);
        let (host, port) = (service.ip().to_string(), service.port().to_string());
        let socket = format!("ws://{service}/ws");
        let service = service.to_string();
        let mut all = Vec::new();
        for (name, script, words) in [
            (
                "requests",
                "conformance/reload.py",
                &["--host", &host, "--port", &port, "--cmd", "true", "--times", "1", "--secs", LONG][..],
            ),
            ("sockets", "clients/websocket_check.py", &["hold", &socket, "20", LONG]),
            ("streams", "clients/grpc_check.py", &["hold", &service, LONG]),
            ("calls", "clients/grpc_check.py", &["calls", &service, LONG]),
        ] {
            let script = program::script(script, words)?;
            all.push(Program::start(world.client(), &world.folder(), name, script)?);
        }
        // Both say so when all their connections are there.
        for talking in &all[1..3] {
            until("connections are there", SOON, || {
                ensure!(talking.said().contains("talking"), "{}", talking.said());
                Ok(())
            })?;
        }
        Ok(Self(all))
    }

    fn end(self) -> Result<()> {
        let mut lost = String::new();
        for mut client in self.0 {
            let held = client.wait_end(LIMIT)?;
            let said = client.said();
            figure(said.lines().last().unwrap_or_default());
            if !held || said.contains(":reuse'") {
                lost.push_str(&said);
            }
        }
        ensure!(lost.is_empty(), "{lost}");
        Ok(())
    }
}

/// All backends of [`config`].
fn backends(world: &World) -> Result<Vec<Program>> {
    let words = ["--port", "17900", "--ctl", "17901"];
    let script = program::script("conformance/backend.py", &words)?;
    let mut recording = Program::start(&world.balancer, &world.folder(), "recorder", script)?;
    recording.wait_for(&world.balancer, recorder())?;
    Ok(vec![recording, web_clients::echo(world)?.0, web_clients::grpc(world)?.0])
}

fn two_hundred_reloads_under_load_lose_nothing() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let _backends = backends(&world)?;
    let daemon = Daemon::start(&world, &config(&world, 0))?;
    let traffic = Traffic::begin(&world)?;
    let begin = Instant::now();
    for word in 1..=200 {
        daemon.write_config(&config(&world, word))?;
        daemon.cli(&["reload"])?;
    }
    figure(&format!("200 reloads in {:.1} s", begin.elapsed().as_secs_f32()));
    let url = format!("http://{}/", world.service(Family::V4));
    let answer = curl(world.client(), &[&url])?;
    ensure!(answer.field("x-word") == Some("200"), "{answer:?}");
    traffic.end()
}

fn five_upgrades_under_load_lose_nothing() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let _backends = backends(&world)?;
    let daemon = Daemon::start(&world, &config(&world, 0))?;
    let traffic = Traffic::begin(&world)?;
    let mut before = daemon.pid()?;
    for number in 1..=5 {
        // By the command and by the signal, in turn.
        if number % 2 == 1 {
            daemon.cli(&["upgrade"])?;
        } else {
            let running = Pid::from_raw(before as i32).context("a process has a number")?;
            kill_process(running, Signal::USR2)?;
        }
        let now = until("the new daemon answers", SOON, || {
            let status = daemon.json(&["status"])?;
            let pid = status["daemon"]["pid"].as_u64().context("no pid in the status")? as u32;
            ensure!(pid != before, "it is the old one");
            Ok(pid)
        })?;
        figure(&format!("upgrade {number}: {before} → {now}"));
        before = now;
        // It is the new one that obeys.
        daemon.write_config(&config(&world, number))?;
        daemon.cli(&["reload"])?;
        let url = format!("http://{}/", world.service(Family::V4));
        let answer = curl(world.client(), &[&url])?;
        ensure!(answer.field("x-word") == Some(number.to_string().as_str()), "{answer:?}");
    }
    traffic.end()
}

fn a_request_under_way_is_answered_after_sigterm() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let _backends = backends(&world)?;
    let mut daemon = Daemon::start(&world, &config(&world, 0))?;
    let url = format!("http://{}/slow?ms=1500", world.service(Family::V4));
    for (number, version) in ["--http1.1", "--http2-prior-knowledge"].into_iter().enumerate() {
        let slow = program::command(&["curl", "--silent", "--show-error", "--fail", version, &url]);
        let mut slow = Program::start(world.client(), &world.folder(), "slow", slow)?;
        until("the request is with the backend", SOON, || {
            let mut python = program::script("clients/recorded.py", &["17901"])?;
            let seen: usize = program::succeed(&world.balancer, &mut python)?.trim().parse()?;
            ensure!(seen > number, "{seen} requests");
            Ok(())
        })?;
        daemon.signal(Signal::TERM)?;
        ensure!(slow.wait_end(SOON)?, "{version}: {}", slow.said());
        ensure!(slow.said().contains("ok "), "{version}: {}", slow.said());
        ensure!(daemon.wait_end()? == 0, "{}", daemon.log());
        daemon.run()?;
    }
    Ok(())
}

//! Who is kept out by its ClientHello before a socket exists: on real traffic.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use proxy_tests::config;
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::hello::Hello;
use proxy_tests::runner::Fact;
use proxy_tests::wait::{SOON, until};
use proxy_tests::world::{Family, World};
use serde_json::Value;

pub(crate) const FACTS: &[Fact] = facts![
    names_are_kept_out_before_a_socket_exists_by_ipv4,
    names_are_kept_out_before_a_socket_exists_by_ipv6,
    a_client_hello_in_two_segments_is_refused_by_the_worker,
    a_limit_by_name_is_charged_once_and_looked_at_before_a_socket_exists,
    whoever_looks_on_sees_what_the_kernel_and_the_worker_decide,
];

/// Reads no longer than this: a machine under load is slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// A listener of TLS in front of a plain socket.
struct Door<'w> {
    world: &'w World,
    at: SocketAddr,
    backend: TcpListener,
    daemon: Daemon<'w>,
}

impl<'w> Door<'w> {
    fn open(world: &'w World, family: Family, more: &str) -> Result<Self> {
        let (at, back) = (world.service(family), SocketAddr::new(world.backend_address(family, 0), 8097));
        let (bits, flags) = if family == Family::V4 { (32, "") } else { (128, " nodad") };
        // A socket waits there: the address is the balancer's. It may be there already.
        let _there = world.balancer.ip(&format!("addr add {}/{bits} dev front{flags}", at.ip()));
        let backend = world.backends[0].namespace.enter(|| TcpListener::bind(back))??;
        let route = |name: &str, hosts: &str, does: &str| {
            format!("[[route]]\nname = \"{name}\"\nlistener = \"door\"\n{hosts}{does}\n\n")
        };
        let pass = "passthrough = true\npool = \"raw\"\n";
        let text = [
            config::text(world, &[]),
            format!("\n[listener.door]\nbind = [\"{at}\"]\nprotocol = \"tls\"\n\n"),
            route("silent", "host = \"bad.test\"\n", "refuse = \"drop\"\n"),
            route("loud", "host = [\"worse.test\", \"*.wild.test\"]\n", "refuse = \"reset\"\n"),
            route("good", "host = [\"a.test\", \"good.wild.test\"]\n", pass),
            format!("[pool.raw]\nbackends = [\"{back}\"]\n\n{more}"),
        ];
        let daemon = Daemon::start(world, &text.concat())?;
        Ok(Self { world, at, backend, daemon })
    }

    fn connect(&self) -> Result<TcpStream> {
        let stream = self.world.client().enter(|| TcpStream::connect_timeout(&self.at, PATIENCE))??;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// A client that asks for `name`.
    fn ask(&self, name: &str) -> Result<TcpStream> {
        let mut stream = self.connect()?;
        stream.write_all(&Hello::asking_for(name).record())?;
        Ok(stream)
    }

    /// Who asks for `name` comes to the backend.
    fn passes(&self, name: &str) -> Result<()> {
        let mut client = self.ask(name)?;
        let (mut server, _) = self.backend.accept()?;
        server.set_read_timeout(Some(PATIENCE))?;
        let sent = Hello::asking_for(name).record();
        let mut heard = vec![0; sent.len()];
        server.read_exact(&mut heard)?;
        ensure!(heard == sent, "{name}: other bytes");
        server.write_all(b"hello")?;
        let mut answer = [0; 5];
        client.read_exact(&mut answer)?;
        ensure!(&answer == b"hello", "{name}: {answer:?}");
        Ok(())
    }

    fn is_reset(&self, name: &str) -> Result<()> {
        let end = self.ask(name)?.read(&mut [0; 64]);
        let reset = end.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset);
        ensure!(reset, "{name}: {end:?}");
        Ok(())
    }

    fn status(&self) -> Result<Value> {
        self.daemon.json(&["status"])
    }

    /// Connections that workers have taken.
    fn accepted(&self) -> Result<u64> {
        self.status()?["http"][0]["accepted"].as_u64().context("no listener")
    }

    /// ClientHellos for a host, and those that were refused.
    fn counted(&self, host: &str) -> Result<(u64, u64)> {
        let status = self.status()?;
        let names = status["kernel"]["names"].as_array().context("no names")?;
        let row = names.iter().find(|row| row["host"] == host).with_context(|| format!("no {host}"))?;
        Ok((row["seen"].as_u64().context("seen")?, row["refused"].as_u64().context("refused")?))
    }

    fn noticed(&self, notice: &str) -> Result<u64> {
        Ok(self.daemon.status()?.noticed(notice))
    }
}

fn kept_out(family: Family) -> Result<()> {
    let world = World::routed().build()?;
    let door = Door::open(&world, family, "")?;
    door.passes("a.test")?;
    door.passes("good.wild.test")?;
    let before = door.accepted()?;
    for name in ["worse.test", "WORSE.Test", "x.wild.test", "y.x.wild.test"] {
        door.is_reset(name)?;
    }
    ensure!(door.counted("worse.test")? == (2, 2), "{}", door.status()?);
    ensure!(door.counted("*.wild.test")? == (2, 2), "{}", door.status()?);
    let mut client = door.ask("Bad.test")?;
    until("the ClientHello is dropped", SOON, || {
        ensure!(door.counted("bad.test")?.1 > 0, "not yet");
        Ok(())
    })?;
    client.set_nonblocking(true)?;
    let heard = client.read(&mut [0; 1]).map_err(|error| error.kind());
    ensure!(heard == Err(ErrorKind::WouldBlock), "it hears something: {heard:?}");
    ensure!(door.daemon.status()?.dropped("sni") > 0, "the drop is not counted");
    ensure!(door.accepted()? == before, "a socket was made for who is kept out");
    // What no route is for is the worker's, who says so by an alert.
    let mut stranger = door.ask("stranger.test")?;
    let mut alert = [0; 7];
    stranger.read_exact(&mut alert)?;
    ensure!(alert[0] == 21, "{alert:?}");
    ensure!(door.counted("*")?.0 == 1 && door.accepted()? == before + 1, "{}", door.status()?);
    Ok(())
}

fn names_are_kept_out_before_a_socket_exists_by_ipv4() -> Result<()> {
    kept_out(Family::V4)
}

fn names_are_kept_out_before_a_socket_exists_by_ipv6() -> Result<()> {
    kept_out(Family::V6)
}

fn a_client_hello_in_two_segments_is_refused_by_the_worker() -> Result<()> {
    let world = World::routed().build()?;
    let door = Door::open(&world, Family::V4, "")?;
    let (mut client, bytes) = (door.connect()?, Hello::asking_for("worse.test").record());
    let (first, rest) = bytes.split_at(60);
    client.write_all(first)?;
    until("the first segment is left to the worker", SOON, || {
        ensure!(door.noticed("peek_cut")? == 1, "not yet");
        Ok(())
    })?;
    client.write_all(rest)?;
    let end = client.read(&mut [0; 64]).map_err(|error| error.kind());
    ensure!(end == Err(ErrorKind::ConnectionReset), "{end:?}");
    ensure!(door.counted("worse.test")? == (0, 0) && door.accepted()? == 1, "{}", door.status()?);
    Ok(())
}

fn a_limit_by_name_is_charged_once_and_looked_at_before_a_socket_exists() -> Result<()> {
    let world = World::routed().build()?;
    let limit = "[limit.by-name]\nlistener = \"door\"\nper = \"sni\"\nhandshakes = \"3/h burst 3\"\n";
    let door = Door::open(&world, Family::V4, limit)?;
    for _ in 0..3 {
        door.passes("a.test")?;
    }
    let before = door.accepted()?;
    for _ in 0..2 {
        door.is_reset("A.test")?;
    }
    ensure!(door.accepted()? == before, "the worker was asked");
    door.passes("good.wild.test")?;
    let row = door.daemon.json(&["limit", "list"])?["limits"][0].clone();
    ensure!((row["passed"].as_u64(), row["refused"].as_u64()) == (Some(4), Some(2)), "{row}");
    Ok(())
}

fn whoever_looks_on_sees_what_the_kernel_and_the_worker_decide() -> Result<()> {
    let world = World::routed().build()?;
    let door = Door::open(&world, Family::V4, "")?;
    let traced = |name: &str, lasts: &str, ask: &dyn Fn() -> Result<()>| -> Result<Vec<Value>> {
        let mut looker = door.daemon.spawn(&["--json", "trace", "--sni", name, "--for", lasts])?;
        // It looks on once the daemon has heard of it, which is soon: who comes before is not seen.
        let done = until("it has seen enough", PATIENCE, || {
            ask()?;
            ensure!(looker.try_wait()?.is_some(), "it goes on");
            Ok(())
        });
        if done.is_err() {
            looker.kill()?;
        }
        let output = looker.wait_with_output()?;
        done?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        serde_json::Deserializer::from_str(&text).into_iter().map(|line| Ok(line?)).collect()
    };
    let both = traced("a.test", "3s", &|| door.passes("a.test"))?;
    let by =
        |who: &str| both.iter().find(|line| line["by"] == who).with_context(|| format!("{who}: {both:?}"));
    let (kernel, worker) = (by("kernel")?, by("worker")?);
    ensure!(kernel["decision"] == "passed" && kernel["route"] == "good", "{kernel}");
    ensure!(kernel["sni"] == "a.test" && kernel["version"] == "1.3", "{kernel}");
    ensure!(worker["decision"] == "passed" && worker["route"] == "good", "{worker}");
    ensure!(worker["alpn"][0] == "h2" && kernel["alpn"][0] == "h2", "{worker}");
    let refused = traced("worse.test", "3s", &|| door.is_reset("worse.test"))?;
    ensure!(refused[0]["decision"] == "reset" && refused[0]["by"] == "kernel", "{refused:?}");
    Ok(())
}

//! Flows of QUIC: steered by the host that their first datagrams name, and passed on to its backend.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proxy_tests::config;
use proxy_tests::daemon::Daemon;
use proxy_tests::program::{self, Program};
use proxy_tests::wait::{SOON, until};
use proxy_tests::web;
use proxy_tests::world::{Family, World};
use serde_json::Value;

use super::front::metrics;
use crate::issuer::Ca;

/// Where clients send to, and where backends wait.
const PORT: u16 = 443;

/// HTTP/3 servers behind a listener of QUIC.
pub(super) struct Front<'w> {
    world: &'w World,
    pub(super) daemon: Daemon<'w>,
    ca: Ca,
    service: SocketAddr,
    /// What the daemon began with.
    pub(super) config: String,
    _servers: Vec<Program>,
}

impl<'w> Front<'w> {
    /// Backend 0 is `a.test`, backend 1 is everything below `b.test`. `before`: what else there is.
    pub(super) fn start(world: &'w World, family: Family, before: &str) -> Result<Self> {
        let ca = Ca::new(&world.folder().join("ca"), "ca")?;
        ca.issue("all", &["a.test", "x.b.test", "other.test"])?;
        let (cert, key) = (ca.path("all.crt"), ca.path("all.key"));
        let service = SocketAddr::new(world.service(family).ip(), PORT);
        let mut servers = Vec::new();
        for (host, retry) in world.backends.iter().zip(["", "retry"]) {
            let number = world.number_of(&host.name).context("a backend has a number")?;
            let address = world.backend_address(family, number).to_string();
            let words = ["server", &address, &PORT.to_string(), &cert, &key, &host.name, retry];
            let server = program::script("clients/http3.py", &words)?;
            let server =
                Program::start(&host.namespace, &world.folder(), &format!("h3-{}", host.name), server)?;
            until("the server waits", SOON, || {
                ensure!(server.said().contains("ready"), "{}", server.said());
                Ok(())
            })?;
            servers.push(server);
        }
        let backend = |number| SocketAddr::new(world.backend_address(family, number), PORT);
        let config = format!(
            "{before}\n[listener.front]\nbind = [\"{service}\"]\nprotocol = \"quic\"\n\n\
             [[route]]\nname = \"a\"\nhost = \"a.test\"\npassthrough = true\npool = \"a\"\n\n\
             [[route]]\nname = \"b\"\nhost = \"*.b.test\"\npassthrough = true\npool = \"b\"\n\n\
             [[route]]\nname = \"bad\"\nhost = \"bad.test\"\nrefuse = \"drop\"\n\n\
             [pool.a]\nbackends = [\"{}\"]\n\n[pool.b]\nbackends = [\"{}\"]\n",
            backend(0),
            backend(1),
        );
        let daemon = Daemon::start(world, &config)?;
        Ok(Self { world, daemon, ca, service, config, _servers: servers })
    }

    pub(super) fn client(&self, sni: &str, words: &[&str]) -> Result<Output> {
        let (address, port) = (self.service.ip().to_string(), PORT.to_string());
        let ca = self.ca.path("ca.pem");
        let words = [&["client", &address, &port, sni, &ca], words].concat();
        program::run(self.world.client(), &mut program::script("clients/http3.py", &words)?)
    }

    /// A client that asks for the first path, and for the others once the file is there.
    pub(super) fn waiting(&self, sni: &str, file: &Path, paths: &[&str]) -> Result<Program> {
        let (address, port, ca) = (self.service.ip().to_string(), PORT.to_string(), self.ca.path("ca.pem"));
        let wait = format!("wait={}", file.display());
        let words = [&["client", &address, &port, sni, &ca, &wait], paths].concat();
        let script = program::script("clients/http3.py", &words)?;
        let name = file.file_name().context("a name")?.to_string_lossy();
        Program::start(self.world.client(), &self.world.folder(), &format!("client-{name}"), script)
    }

    /// What a client is answered, one object a path.
    pub(super) fn ask(&self, sni: &str, words: &[&str]) -> Result<Vec<Value>> {
        let output = self.client(sni, words)?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "{sni} {words:?}: {out}{err}");
        let lines = out.lines().map(|line| serde_json::from_str(line).context("a line of JSON"));
        lines.collect()
    }

    /// A metric's value; 0 if it is not there.
    pub(super) fn metric(&self, line: &str) -> Result<u64> {
        let metrics = metrics(&self.daemon)?;
        let found = metrics.lines().find_map(|at| at.strip_prefix(line)?.trim().parse().ok());
        Ok(found.unwrap_or(0))
    }

    pub(super) fn refused(&self, reason: &str) -> Result<u64> {
        self.metric(&format!(
            "proxy_now_steered_total{{listener=\"front\",decision=\"refused\",reason=\"{reason}\"}}"
        ))
    }

    /// Sends what `http3.py` makes up.
    pub(super) fn make_up(&self, words: &[&str]) -> Result<()> {
        let (address, port) = (self.service.ip().to_string(), PORT.to_string());
        let words = [&["make-up", &address, &port], words].concat();
        program::succeed(self.world.client(), &mut program::script("clients/http3.py", &words)?).map(drop)
    }
}

pub(super) fn http3_goes_to_the_backend_of_its_name() -> Result<()> {
    let world = World::routed().backends(2).build()?;
    for family in Family::BOTH {
        let front = Front::start(&world, family, &web::text(&world, ""))?;
        // Versions 1 and 2; a ClientHello over several datagrams; a server that asks for a second one (Retry).
        for (sni, server) in [("a.test", "b0"), ("x.b.test", "b1")] {
            for words in [&[][..], &["v2"], &["protocols=12"]] {
                let said = front.ask(sni, &[words, &["/hello", "/bytes/300000"]].concat())?;
                let (first, second) = (&said[0], &said[1]);
                ensure!(first["server"] == server && first["right"] == true, "{sni} {words:?}: {first}");
                ensure!(second["bytes"] == 300_000 && second["right"] == true, "{sni} {words:?}: {second}");
                let version = if words == ["v2"] { "0x6b3343cf" } else { "0x1" };
                ensure!(first["version"] == version, "{first}");
            }
        }
        let passed = front.metric("proxy_now_relay_connections_total{listener=\"front\",route=\"a\"}")?;
        ensure!(passed == 3, "{passed} flows by route a");
    }
    Ok(())
}

pub(super) fn flows_of_http3_leave_for_the_kernel_part_and_outlive_the_daemon() -> Result<()> {
    let world = World::routed().backends(2).build()?;
    for family in Family::BOTH {
        let mut front = Front::start(&world, family, &config::text(&world, &[]))?;
        let go_on = world.folder().join("go-on");
        let _ = std::fs::remove_file(&go_on);
        let mut client = front.waiting("x.b.test", &go_on, &["/bytes/300000", "/bytes/2000000", "/end"])?;
        until("the flow has left the daemon", SOON, || {
            let left = front.metric("proxy_now_relay_handed_off_total{listener=\"front\",route=\"b\"}")?;
            ensure!(left == 1, "{left} have left: {}{}", client.said(), front.daemon.cli(&["status"])?);
            Ok(())
        })?;
        until("the first answer is there", SOON, || {
            ensure!(client.said().lines().count() == 1, "{}", client.said());
            Ok(())
        })?;
        let relayed = "proxy_now_relay_connections{listener=\"front\",route=\"b\"}";
        until("the daemon has nothing of it", SOON, || {
            ensure!(front.metric(relayed)? == 0, "it is still carried");
            Ok(())
        })?;
        front.daemon.kill()?;
        std::fs::write(&go_on, "")?;
        ensure!(client.wait_end(Duration::from_secs(60))?, "the client waits: {}", client.said());
        let said: Vec<Value> =
            client.said().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let right = |one: &Value| one["server"] == "b1" && one["right"] == true;
        ensure!(said.len() == 3 && said.iter().all(right), "{}", client.said());
    }
    Ok(())
}

pub(super) fn what_comes_to_nothing_by_quic_is_counted_with_its_reason() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let front = Front::start(&world, Family::V4, &web::text(&world, ""))?;
    for (sni, reason) in [("other.test", "unknown_sni"), ("bad.test", "rule"), ("", "no_sni")] {
        let before = front.refused(reason)?;
        let output = front.client(sni, &["patience=1", "/"])?;
        ensure!(!output.status.success(), "{sni} was answered");
        // A client says it again some times.
        ensure!(front.refused(reason)? > before, "{reason} is not counted");
    }
    for (what, reason) in [
        ("garbage", "not_initial"),
        ("short", "not_initial"),
        ("version", "version"),
        ("sealed", "not_initial"),
        ("frame", "malformed"),
    ] {
        let before = front.refused(reason)?;
        front.make_up(&[what, "1"])?;
        until(what, SOON, || {
            ensure!(front.refused(reason)? == before + 1, "{what}: {reason} is {}", front.refused(reason)?);
            Ok(())
        })?;
    }
    ensure!(front.ask("a.test", &["/"])?[0]["server"] == "b0", "others are served");
    Ok(())
}

pub(super) fn first_flights_that_never_end_are_bounded_and_left() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let front = Front::start(&world, Family::V4, &web::text(&world, "[server]\nworkers = 1\n"))?;
    let memory = front.daemon.anonymous_kib()?;
    front.make_up(&["pieces", "10000"])?;
    // One client address has so many at most; a machine under load may read the last when the first are late already.
    let reading = front.metric("proxy_now_steered_reading{listener=\"front\"}")?;
    ensure!(reading <= 256, "{reading} are being read");
    let more = front.daemon.anonymous_kib()?.saturating_sub(memory);
    ensure!(more < 16 << 10, "{more} KiB more");
    ensure!(front.ask("a.test", &["/"])?[0]["server"] == "b0", "who says all at once needs no place");
    until("all were left", SOON, || {
        let reading = front.metric("proxy_now_steered_reading{listener=\"front\"}")?;
        let (crowded, late) = (front.refused("crowded")?, front.refused("timeout")?);
        ensure!(
            reading == 0 && late >= 256 && crowded >= 256,
            "{reading} read, {late} late, {crowded} too many"
        );
        Ok(())
    })?;
    ensure!(front.ask("a.test", &["protocols=12", "/"])?[0]["server"] == "b0", "there is place again");
    Ok(())
}

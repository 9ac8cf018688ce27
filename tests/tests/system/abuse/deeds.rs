//! Each kind of event that a rule can count earns a ban, whatever the client spoke; and who is spared.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use proxy_tests::client;
use proxy_tests::config;
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::hello::Hello;
use proxy_tests::netns::Namespace;
use proxy_tests::packet::{Packet, flag};
use proxy_tests::runner::Fact;
use proxy_tests::wait::{SOON, until};
use proxy_tests::web;
use proxy_tests::world::{Family, World};
use serde_json::Value;

use crate::issuer::Ca;

pub(crate) const FACTS: &[Fact] = facts![
    each_kind_of_event_earns_a_ban,
    who_asks_for_names_that_are_kept_out_earns_a_ban_if_a_rule_says_so,
    who_is_needed_or_logged_in_is_never_banned_by_a_rule,
];

/// Reads no longer than this: a machine under load is slow.
const PATIENCE: Duration = Duration::from_secs(20);
const EVENTS: [&str; 9] =
    ["limit", "401", "403", "404", "handshake", "unknown-sni", "h2-attack", "malformed", "ja4"];
/// Events that earn a ban.
const ENOUGH: usize = 2;
const LIMITED: &str = "GET /limited HTTP/1.1\r\nHost: plain.test\r\nConnection: close\r\n\r\n";
const TWO_HOSTS: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n";

/// Where the listeners are.
fn at(world: &World, port: u16) -> SocketAddr {
    SocketAddr::new(world.balancer_address(Family::V4), port)
}

fn plain(world: &World) -> SocketAddr {
    at(world, 8088)
}

fn secure(world: &World) -> SocketAddr {
    at(world, 8443)
}

fn door(world: &World) -> SocketAddr {
    at(world, 8444)
}

/// A rule for each event, of which two are enough.
fn rules(ja4: &str) -> String {
    let rule = |event: &&str| {
        let list = if *event == "ja4" { format!("ja4 = [{ja4:?}]\n") } else { String::new() };
        format!(
            "[auto-ban.by-{event}]\nevents = [{event:?}]\ncount = {ENOUGH}\nwithin = \"60s\"\nfor = \"10m\"\n\
             growth = 3\n{list}\n"
        )
    };
    EVENTS.iter().map(rule).collect()
}

fn listeners(world: &World, ca: &Ca, raw: SocketAddr) -> String {
    let (cert, key) = (ca.path("a.test.crt"), ca.path("a.test.key"));
    let answer = |status: u16| {
        format!("[[route]]\nlistener = \"web\"\npath = \"/{status}\"\nrespond = {{ status = {status} }}\n\n")
    };
    let (plain, secure, door) = (plain(world), secure(world), door(world));
    format!(
        "[[tls.certificate]]\ncert = {cert:?}\nkey = {key:?}\n\n\
         [listener.web]\nbind = [\"{plain}\"]\nprotocol = \"http\"\n\n\
         [listener.secure]\nbind = [\"{secure}\"]\nprotocol = \"https\"\ntls = {{ strict_sni = true }}\n\n\
         [listener.door]\nbind = [\"{door}\"]\nprotocol = \"tls\"\n\n{}{}{}\
         [[route]]\nlistener = \"web\"\nname = \"limited\"\npath = \"/limited\"\nrespond = 204\n\n\
         [[route]]\nlistener = \"secure\"\nhost = \"a.test\"\ntls = \"files\"\nrespond = 204\n\n\
         [[route]]\nlistener = \"door\"\nhost = \"bad.test\"\nrefuse = \"drop\"\n\n\
         [[route]]\nlistener = \"door\"\nhost = \"a.test\"\npassthrough = true\npool = \"raw\"\n\n\
         [pool.raw]\nbackends = [\"{raw}\"]\n\n\
         [limit.few]\nroute = \"limited\"\nrequests = \"1/h burst 1\"\n\n",
        answer(401),
        answer(403),
        answer(200),
    )
}

/// Sends these bytes over a connection of its own, and waits until the other side has ended it, or has answered.
fn send(from: &Namespace, to: SocketAddr, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut stream = from.enter(|| TcpStream::connect_timeout(&to, PATIENCE))??;
    stream.set_read_timeout(Some(PATIENCE))?;
    // Whoever is refused early does not hear all of it.
    let _sent = stream.write_all(bytes);
    let mut heard = vec![0; 4096];
    let count = stream.read(&mut heard).unwrap_or(0);
    heard.truncate(count);
    Ok(heard)
}

/// More PINGs than anybody needs, over HTTP/2 with prior knowledge (RFC 9113 §3.3).
fn pings() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    for number in 0..20_000_u64 {
        bytes.extend([0, 0, 8, 6, 0, 0, 0, 0, 0]);
        bytes.extend(number.to_be_bytes());
    }
    bytes
}

/// Sends bytes until the other side has had enough.
fn flood(from: &Namespace, to: SocketAddr, bytes: &[u8]) -> Result<()> {
    let stream = from.enter(|| TcpStream::connect_timeout(&to, PATIENCE))??;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    std::thread::scope(|scope| {
        let (mut reader, mut writer) = (&stream, &stream);
        scope.spawn(move || drop(writer.write_all(bytes)));
        while reader.read(&mut [0; 65_536]).is_ok_and(|count| count > 0) {}
        // The writer may wait for room that does not come.
        let _ended = stream.shutdown(std::net::Shutdown::Both);
    });
    Ok(())
}

fn bans(daemon: &Daemon<'_>) -> Result<Vec<Value>> {
    daemon.json(&["ban", "list"])?["bans"].as_array().cloned().context("a list of bans")
}

/// What kind of client a ClientHello is of, as the command line says it of a capture (pcap).
fn ja4(daemon: &Daemon<'_>, world: &World, hello: &Hello) -> Result<String> {
    let client = SocketAddr::new(world.client_address(Family::V4, 0), 40_000);
    let frame = Packet::tcp(client, door(world), flag::ACK, 1, 1, &hello.record()).bytes();
    let length = u32::try_from(frame.len())?.to_le_bytes();
    let head = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1, 0, 0].map(u32::to_le_bytes);
    let path = world.folder().join("hello.pcap");
    std::fs::write(&path, [head.as_flattened(), &length, &length, &frame].concat())?;
    let (path, config) = (path.display().to_string(), daemon.config_path().display().to_string());
    let said =
        daemon.cli(&["explain", "--client-hello", &path, "--listener", "door", "--config", &config])?;
    let word = said.split_whitespace().find(|word| word.len() == 36 && word.starts_with("t13"));
    Ok(word.with_context(|| said.clone())?.to_owned())
}

fn each_kind_of_event_earns_a_ban() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let ca = Ca::new(&world.folder().join("certs"), "ca")?;
    ca.issue("a.test", &["a.test"])?;
    let raw = SocketAddr::new(world.backend_address(Family::V4, 0), 8097);
    let backend = world.backends[0].namespace.enter(|| TcpListener::bind(raw))??;
    std::thread::spawn(move || backend.incoming().for_each(drop));
    let listeners = listeners(&world, &ca, raw);
    let daemon = Daemon::prepare(&world, &web::text(&world, &listeners))?;
    let listed = Hello::asking_for("a.test").after(0xff01, vec![0]);
    let rules = rules(&ja4(&daemon, &world, &listed)?);
    drop(daemon);
    let daemon = Daemon::start(&world, &web::text(&world, &format!("{listeners}{rules}")))?;
    let get = |path: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: plain.test\r\nConnection: close\r\n\r\n").into_bytes()
    };
    let hello = |name: &str| Hello::asking_for(name).record();
    let (plain, secure, door) = (plain(&world), secure(&world), door(&world));
    let deeds: [(&str, &str, SocketAddr, Vec<u8>); 13] = [
        ("401", "of a status", plain, get("/401")),
        ("403", "of a status", plain, get("/403")),
        ("404", "of a status", plain, get("/404")),
        ("limit", "of requests", plain, LIMITED.into()),
        ("malformed", "of two hosts", plain, TWO_HOSTS.into()),
        ("h2-attack", "of PINGs", plain, pings()),
        ("handshake", "that is none", secure, vec![22; 100]),
        ("handshake", "that is none, at a door", door, vec![22; 100]),
        ("unknown-sni", "of a stranger", secure, hello("stranger.test")),
        ("unknown-sni", "of a stranger, at a door", door, hello("stranger.test")),
        ("unknown-sni", "of a name that a route refuses", door, hello("bad.test")),
        ("ja4", "of a listed kind", secure, listed.record()),
        ("ja4", "of a listed kind, passed through", door, listed.record()),
    ];
    let client = format!("{}/32", world.client_address(Family::V4, 0));
    // The first request is within the limit.
    send(world.client(), plain, LIMITED.as_bytes())?;
    for (event, what, to, bytes) in &deeds {
        let what = format!("{event} {what}");
        let mut heard = Vec::new();
        for number in 0..ENOUGH {
            ensure!(bans(&daemon)?.is_empty(), "{what}: banned after {number}");
            heard = if *event == "h2-attack" {
                flood(world.client(), *to, bytes).map(|()| Vec::new())
            } else {
                send(world.client(), *to, bytes)
            }?;
        }
        let heard = String::from_utf8_lossy(&heard);
        let list = until(&format!("{what} earns a ban"), SOON, || {
            let list = bans(&daemon)?;
            ensure!(!list.is_empty(), "nobody is banned: {heard}");
            Ok(list)
        })?;
        let why = format!("by-{event}: {ENOUGH} in 1m");
        ensure!(list.len() == 1 && list[0]["prefix"] == client && list[0]["why"] == why, "{what}: {list:?}");
        ensure!(list[0]["by"] == "auto", "{what}: {list:?}");
        let again = deeds
            .iter()
            .take_while(|(_, other, ..)| !what.ends_with(other))
            .any(|(before, ..)| before == event);
        let left = list[0]["seconds_left"].as_u64();
        ensure!(left > Some(600) || !again, "{what}: a second ban is longer: {list:?}");
        daemon.cli(&["ban", "remove", &client])?;
    }
    ensure!(client::get(world.client(), plain, "/200")?.status == 200, "it is served again");
    Ok(())
}

fn who_asks_for_names_that_are_kept_out_earns_a_ban_if_a_rule_says_so() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let door = door(&world);
    let rule = "[auto-ban.names]\nevents = \"unknown-sni\"\ncount = 2\nwithin = \"60s\"\nfor = \"10m\"\n";
    let raw = SocketAddr::new(world.backend_address(Family::V4, 0), 8097);
    let text = format!(
        "{}\n[listener.door]\nbind = [\"{door}\"]\nprotocol = \"tls\"\n\n\
         [[route]]\nlistener = \"door\"\nhost = \"bad.test\"\nrefuse = \"reset\"\n\n\
         [[route]]\nlistener = \"door\"\nhost = \"a.test\"\npassthrough = true\npool = \"raw\"\n\n\
         [pool.raw]\nbackends = [\"{raw}\"]\n\n",
        config::text(&world, &[])
    );
    let daemon = Daemon::start(&world, &text)?;
    let hello = Hello::asking_for("bad.test").record();
    let accepted = || daemon.json(&["status"])?["http"][0]["accepted"].as_u64().context("no listener");
    send(world.client(), door, &hello)?;
    ensure!(accepted()? == 0, "the kernel part refuses alone where nothing counts it");
    daemon.write_config(&format!("{text}{rule}"))?;
    daemon.cli(&["reload"])?;
    for _ in 0..2 {
        ensure!(bans(&daemon)?.is_empty());
        send(world.client(), door, &hello)?;
    }
    until("its packets are dropped by the kernel part", SOON, || {
        let _unheard =
            world.client().enter(|| TcpStream::connect_timeout(&door, Duration::from_millis(100)))?;
        ensure!(daemon.status()?.dropped("banned") > 0, "{:?}", bans(&daemon)?);
        Ok(())
    })?;
    let list = bans(&daemon)?;
    ensure!(list.len() == 1 && list[0]["why"] == "names: 2 in 1m", "{list:?}");
    Ok(())
}

fn who_is_needed_or_logged_in_is_never_banned_by_a_rule() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let (door, backend) = (plain(&world), world.backend(Family::V4, 0));
    let lines = format!(
        "[listener.web]\nbind = [\"{door}\"]\nprotocol = \"http\"\n\n\
         [[route]]\nlistener = \"web\"\npath = \"/app\"\npool = \"app\"\n\n[pool.app]\nbackends = [\"{backend}\"]\n\n\
         [auto-ban.scans]\nevents = \"404\"\ncount = 2\nwithin = \"60s\"\nfor = \"10m\"\n"
    );
    let daemon = Daemon::start(&world, &web::text(&world, &lines))?;
    let scan = |from: &Namespace| -> Result<()> {
        for _ in 0..4 {
            ensure!(client::get(from, door, "/nothing")?.status == 404);
        }
        Ok(())
    };
    // An operator, logged in from where the client is.
    let ssh = at(&world, 22);
    let server = world.balancer.enter(|| TcpListener::bind(ssh))??;
    let session = world.client().enter(|| TcpStream::connect_timeout(&ssh, PATIENCE))??;
    let held = server.accept()?;
    scan(&world.backends[0].namespace)?;
    daemon.wait_log(&format!("{0}/32 is allowed client={0}/32", backend.ip()))?;
    // Whoever asks from here: health checks do.
    scan(&world.balancer)?;
    daemon.wait_log(&format!("{0}/32 is allowed client={0}/32", door.ip()))?;
    scan(world.client())?;
    let client = world.client_address(Family::V4, 0);
    daemon.wait_log(&format!("an operator is logged in from {client}"))?;
    ensure!(bans(&daemon)?.is_empty(), "{:?}", bans(&daemon)?);
    ensure!(client::get(world.client(), door, "/nothing")?.status == 404, "it is answered");
    drop((session, held));
    until("nobody is logged in there any more: it is banned", SOON, || {
        let _answer = client::get(world.client(), door, "/nothing");
        let list = bans(&daemon)?;
        ensure!(list.first().is_some_and(|ban| ban["prefix"] == format!("{client}/32")), "{list:?}");
        Ok(())
    })
}

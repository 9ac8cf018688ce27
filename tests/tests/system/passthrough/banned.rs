//! A ban also ends what this process passes on already: nobody drops the packets of its clients without a kernel part.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Result, bail, ensure};
use proxy_tests::daemon::Daemon;
use proxy_tests::runner::Fact;
use proxy_tests::wait::until;
use proxy_tests::world::{Family, World};
use proxy_tests::{facts, web};

use super::front::{Front, PATIENCE, accept, exactly, hello, listen, passing};
use super::{quic, quic_run};

pub(crate) const FACTS: &[Fact] =
    facts![a_ban_ends_connections_that_are_relayed, a_ban_ends_flows_of_quic_that_are_carried];

/// Bans a client, or lets it in again.
fn ban(daemon: &Daemon<'_>, word: &str, client: &str) -> Result<()> {
    let more: &[&str] = if word == "add" { &["--for", "10m", "--why", "a test"] } else { &[] };
    daemon.cli(&[&["ban", word, client], more].concat()).map(drop)
}

/// What came from who is banned, or was to go there.
fn hits(daemon: &Daemon<'_>) -> Result<u64> {
    let list = daemon.json(&["ban", "list"])?;
    Ok(list["bans"][0]["hits"].as_u64().unwrap_or(0))
}

fn is_reset(stream: &mut TcpStream) -> Result<()> {
    match stream.read(&mut [0; 8]) {
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
        other => bail!("reading came to {other:?}"),
    }
}

fn a_ban_ends_connections_that_are_relayed() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let (listener, backend) = listen(&world)?;
    let front = Front::start(&world, &passing(backend))?;
    let address = world.client_address(Family::V4, 0).to_string();
    for by_client in [true, false] {
        let mut client = front.connect()?;
        client.write_all(&hello())?;
        let mut server = accept(&listener)?;
        exactly(&mut server, hello().len())?;
        server.write_all(b"heard")?;
        ensure!(exactly(&mut client, 5)? == b"heard");
        ban(&front.daemon, "add", &address)?;
        let speaks = if by_client { &mut client } else { &mut server };
        speaks.write_all(b"too late")?;
        is_reset(&mut client)?;
        is_reset(&mut server)?;
        ensure!(hits(&front.daemon)? > 0, "it is not counted");
        ban(&front.daemon, "remove", &address)?;
    }
    Ok(())
}

fn a_ban_ends_flows_of_quic_that_are_carried() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let front = quic::Front::start(&world, Family::V4, &web::text(&world, ""))?;
    let client = quic_run::Client::start(&front, &world.folder(), "stays", "a.test")?;
    ensure!(quic_run::steered(&front, "relayed")? == 1, "it is not carried");
    let address = world.client_address(Family::V4, 0).to_string();
    ban(&front.daemon, "add", &address)?;
    client.may_go_on()?;
    until("its flow has ended", PATIENCE, || {
        ensure!(quic_run::steered(&front, "relayed")? == 0, "it is still there");
        Ok(())
    })?;
    ensure!(hits(&front.daemon)? > 0, "it is not counted");
    ensure!(client.answers() == 1, "a client that is banned is answered");
    ban(&front.daemon, "remove", &address)?;
    front.ask("a.test", &["/hello"]).map(drop)
}

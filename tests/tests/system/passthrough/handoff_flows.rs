//! Connections that have left are flows like any other: shown, explained, drained, adopted and forgotten.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use anyhow::{Context as _, Result, bail, ensure};
use proxy_tests::wait::until;
use proxy_tests::world::{Family, World};
use serde_json::Value;

use super::front::exactly;
use super::spliced::{PATIENCE, Spliced};

/// Entries of the flow table.
fn entries(spliced: &Spliced<'_>) -> Result<u64> {
    let status = spliced.daemon.json(&["status"])?;
    status["kernel"]["flow_tables"][0]["used"].as_u64().context("no flow table")
}

fn wait_entries(spliced: &Spliced<'_>, what: &str, count: u64) -> Result<()> {
    until(what, PATIENCE, || {
        let there = entries(spliced)?;
        ensure!(there == count, "{there} entries");
        Ok(())
    })
}

/// Whoever reads is told that the connection is no more.
fn is_reset(stream: &mut TcpStream) -> Result<()> {
    match stream.read(&mut [0; 1]) {
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
        other => bail!("reading came to {other:?}"),
    }
}

/// A question and its answer.
fn talk((client, server): &mut (TcpStream, TcpStream)) -> Result<()> {
    client.write_all(b"question")?;
    ensure!(exactly(server, 8)? == b"question");
    server.write_all(b"answer")?;
    ensure!(exactly(client, 6)? == b"answer");
    Ok(())
}

pub(super) fn connections_that_have_left_are_shown_and_explained_and_forgotten_when_they_are_over()
-> Result<()> {
    let world = World::routed().backends(1).build()?;
    let text = Spliced::text(&world, Family::V4, "");
    let text = text.replace("[kernel]\n", "[kernel]\ntcp_closing = \"1s\"\n");
    let mut spliced = Spliced::with(&world, Family::V4, &text)?;

    let mut pair = spliced.left()?;
    let tuple = format!("tcp {} {}", pair.0.local_addr()?, pair.0.peer_addr()?);
    let said: Value = spliced.daemon.json(&["explain", &tuple])?;
    ensure!(said["verdict"] == "forward" && said["listener"] == "leaves", "{said}");
    ensure!(said["flow"]["kind"] == "handed over" && said["flow"]["direction"] == "forward", "{said}");
    wait_entries(&spliced, "both directions are counted", 2)?;

    // Another daemon finds it, and drains its backend: whoever is there stays.
    spliced.daemon.kill()?;
    spliced.daemon.run()?;
    talk(&mut pair)?;
    wait_entries(&spliced, "the next daemon has found it", 2)?;
    let backend = spliced.listener.local_addr()?.to_string();
    spliced.daemon.cli(&["drain", &backend, "--pool", "raw"])?;
    talk(&mut pair)?;
    spliced.daemon.cli(&["undrain", &backend, "--pool", "raw"])?;
    talk(&mut pair)?;

    // Closed both ways, reset, and without a word. What is shown is what was there when the tables were walked last.
    let ((mut client, mut server), reset, idle) = (pair, spliced.left()?, spliced.left()?);
    wait_entries(&spliced, "three are there", 6)?;
    client.shutdown(Shutdown::Write)?;
    ensure!(server.read(&mut [0; 1])? == 0, "half closed");
    drop(server);
    ensure!(client.read(&mut [0; 1])? == 0, "closed");
    let (client, mut server) = reset;
    proxy_tests::silent::drop_with_reset(client)?;
    is_reset(&mut server)?;
    wait_entries(&spliced, "what was closed and what was reset is forgotten, and nothing else", 2)?;
    spliced.daemon.write_config(&text.replace("[kernel]\n", "[kernel]\ntcp_idle = \"1s\"\n"))?;
    spliced.daemon.cli(&["reload"])?;
    wait_entries(&spliced, "what says nothing is forgotten", 0)?;
    let (mut client, mut server) = idle;
    client.write_all(b"too late")?;
    is_reset(&mut client).context("the client, who speaks later")?;
    server.write_all(b"too late")?;
    is_reset(&mut server).context("the backend, who speaks later")?;
    Ok(())
}

//! Connections that are passed through leave the daemon: the kernel part goes on with them.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use proxy_tests::config;
use proxy_tests::daemon::Daemon;
use proxy_tests::hello::Hello;
use proxy_tests::program;
use proxy_tests::wait::until;
use proxy_tests::world::{Family, World};

use super::spliced::Spliced;

/// Reads no longer than this: a machine under load is slow.
const PATIENCE: Duration = Duration::from_secs(60);
/// Connections at a time.
const MANY: usize = 20;

fn patient(stream: TcpStream) -> Result<TcpStream> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends bytes from one end to the other.
fn carry(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    from.write_all(bytes)?;
    let mut got = vec![0; bytes.len()];
    to.read_exact(&mut got)?;
    ensure!(got == bytes, "bytes changed on their way");
    Ok(())
}

fn handed_off(daemon: &Daemon<'_>) -> Result<u64> {
    let socket = daemon.config_path().with_file_name("admin.sock");
    let output = program::command(&["curl", "--silent", "--unix-socket"])
        .arg(socket)
        .arg("http://localhost/metrics")
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let of_route = |line: &str| line.starts_with("proxy_now_relay_handed_off_total{");
    Ok(text
        .lines()
        .filter(|line| of_route(line))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum())
}

pub(super) fn connections_leave_at_their_first_pause_and_outlive_the_daemon() -> Result<()> {
    for family in Family::BOTH {
        let world = World::routed().backends(1).build()?;
        let backend = SocketAddr::new(world.backend_address(family, 0), 8097);
        let listener = world.backends[0].namespace.enter(|| TcpListener::bind(backend))??;
        let service = SocketAddr::new(world.service(family).ip(), 443);
        let text = config::text(&world, &[])
            + &format!(
                "\n[listener.front]\nbind = [\"{service}\"]\nprotocol = \"tls\"\n\n[[route]]\nname = \"pass\"\n\
                 host = \"a.test\"\npassthrough = true\npool = \"raw\"\n\n[pool.raw]\nbackends = [\"{backend}\"]\n"
            );
        let mut daemon = Daemon::start(&world, &text)?;
        let hello = Hello::asking_for("a.test").record();
        let mut pairs = Vec::new();
        for _ in 0..MANY {
            let client = world.client().enter(|| TcpStream::connect_timeout(&service, PATIENCE))??;
            let mut client = patient(client)?;
            client.write_all(&hello)?;
            let mut server = patient(listener.accept()?.0)?;
            let mut first = vec![0; hello.len()];
            server.read_exact(&mut first)?;
            ensure!(first == hello, "the first flight changed");
            carry(&mut server, &mut client, b"heard")?;
            pairs.push((client, server));
        }
        until("all connections have left the daemon", PATIENCE, || {
            for (client, server) in &mut pairs {
                carry(client, server, b"ping")?;
                // One whose first pause was too short leaves after some more bytes.
                carry(server, client, &[7; 70_000])?;
            }
            let left = handed_off(&daemon)?;
            ensure!(left == MANY as u64, "{left} of {MANY} have left: {}", daemon.cli(&["status"])?);
            Ok(())
        })?;
        daemon.kill()?;
        for (mut client, mut server) in pairs {
            for round in 0..20u32 {
                carry(&mut client, &mut server, &round.to_ne_bytes())?;
                carry(&mut server, &mut client, &[round as u8; 20_000])?;
            }
            client.shutdown(Shutdown::Write)?;
            ensure!(server.read(&mut [0; 1])? == 0, "half closed");
            carry(&mut server, &mut client, b"last words")?;
            drop(server);
            ensure!(client.read(&mut [0; 1])? == 0, "closed");
        }
    }
    Ok(())
}

pub(super) fn a_kernel_part_that_comes_by_a_reload_takes_connections() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let text = Spliced::text(&world, Family::V4, "");
    let (_, without) = text.split_once("[admin]").context("no [admin]")?;
    let spliced = Spliced::with(&world, Family::V4, &format!("[admin]{without}"))?;
    let (mut client, mut server) = spliced.pair(443)?;
    carry(&mut server, &mut client, b"relayed")?;
    spliced.daemon.write_config(&text)?;
    spliced.daemon.cli(&["reload"])?;
    let (mut other_client, mut other_server) = spliced.left()?;
    carry(&mut other_client, &mut other_server, b"handed over")?;
    carry(&mut client, &mut server, b"still relayed")
}

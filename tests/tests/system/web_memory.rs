//! What the daemon holds in memory when little is asked of it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, ensure};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::runner::{Fact, figure};
use proxy_tests::wait::{SOON, until};
use proxy_tests::web::{self, curl};
use proxy_tests::world::{Family, World};

pub(crate) const FACTS: &[Fact] = facts![
    an_idle_daemon_and_idle_connections_take_little_memory,
    requests_that_take_more_memory_than_allowed_are_answered_503,
];

/// The kernel part's object takes 50 MiB while it is read.
const MOST_IDLE_KIB: u64 = 24 << 10;
const CONNECTIONS: u64 = 2000;
/// Of one that has asked and waits: with what the system rounds up to.
const MOST_OF_A_CONNECTION: u64 = 10 << 10;
/// What is unused goes back to the system step by step.
const LONG: Duration = Duration::from_secs(60);

fn an_idle_daemon_and_idle_connections_take_little_memory() -> Result<()> {
    let world = World::routed().backends(0).build()?;
    let bind = world.service(Family::V4);
    let limits = "limits = { connections_per_client = 10000, idle_timeout = \"600s\" }";
    let daemon = Daemon::start(
        &world,
        &web::text(
            &world,
            &format!(
                "[listener.web]\nbind = [\"{bind}\"]\nprotocol = \"http\"\n{limits}\n\n\
                 [[route]]\nrespond = {{ body = \"said\" }}\n"
            ),
        ),
    )?;
    let ask = || {
        let mut stream = world.client().enter(|| TcpStream::connect_timeout(&bind, SOON))??;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")?;
        let (mut seen, mut buffer) = (Vec::new(), [0; 1024]);
        while !seen.ends_with(b"said") {
            let count = stream.read(&mut buffer)?;
            ensure!(count > 0, "closed: {}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&buffer[..count]);
        }
        Ok(stream)
    };
    // Whatever the first of them need, once and for all.
    drop((0..64).map(|_| ask()).collect::<Result<Vec<_>>>()?);
    let idle = until("what the start has needed is given back", LONG, || {
        let now = daemon.anonymous_kib()?;
        ensure!(now <= MOST_IDLE_KIB, "{now} KiB");
        Ok(now)
    })?;
    let held = (0..CONNECTIONS).map(|_| ask()).collect::<Result<Vec<_>>>()?;
    let each = until("connections that wait are small", LONG, || {
        let each = daemon.anonymous_kib()?.saturating_sub(idle) * 1024 / CONNECTIONS;
        ensure!(each <= MOST_OF_A_CONNECTION, "{each} bytes each");
        Ok(each)
    })?;
    figure(&format!("idle {idle} KiB, a connection {each} bytes"));
    drop(held);
    Ok(())
}

/// Bodies that may have to be sent again are kept: sixty kilobytes each.
fn requests_that_take_more_memory_than_allowed_are_answered_503() -> Result<()> {
    const ALLOWED_KIB: u64 = 32 << 10;
    // Memory is looked at ten times a second, and what is let in meanwhile comes on top; huge pages are two megabytes.
    const SLACK_KIB: u64 = 32 << 10;
    let world = World::routed().backends(1).build()?;
    let (bind, backend) = (world.service(Family::V4), world.backend(Family::V4, 0));
    let limits = "limits = { connections_per_client = 10000, body_timeout = \"600s\" }";
    let text = web::simple(&world, bind, &[backend])
        .replace("protocol = \"http\"\n", &format!("protocol = \"http\"\n{limits}\n"));
    let daemon = Daemon::start(&world, &format!("[server]\nmax_buffer_bytes = \"32MiB\"\n{text}"))?;
    let url = format!("http://{bind}/");
    let ask = || curl(world.client(), &[&url]);
    ensure!(ask()?.status == 200);
    let idle = until("what the start has needed is given back", LONG, || {
        let now = daemon.anonymous_kib()?;
        ensure!(now <= MOST_IDLE_KIB, "{now} KiB");
        Ok(now)
    })?;
    let upload = || -> Result<TcpStream> {
        let mut stream = world.client().enter(|| TcpStream::connect_timeout(&bind, SOON))??;
        stream.write_all(b"PUT / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 62000\r\n\r\n")?;
        // One that is refused may be closed by now.
        drop(stream.write_all(&[b'x'; 60_000]));
        Ok(stream)
    };
    let mut held = Vec::new();
    let refused = loop {
        ensure!(held.len() < 3000, "180 MB are kept, and nobody is refused");
        for _ in 0..50 {
            held.push(upload()?);
        }
        let answer = ask()?;
        if answer.status == 503 {
            break answer;
        }
        ensure!(answer.status == 200, "{answer:?}");
    };
    ensure!(refused.field("retry-after").is_some(), "{refused:?}");
    let grown = daemon.anonymous_kib()?.saturating_sub(idle);
    figure(&format!("refused with {} uploads under way, {grown} KiB more than idle", held.len()));
    ensure!(grown <= ALLOWED_KIB + SLACK_KIB, "{grown} KiB");
    drop(held);
    until("memory suffices again", LONG, || {
        let answer = ask()?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    })
}

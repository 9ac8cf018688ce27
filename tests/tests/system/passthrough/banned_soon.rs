//! How soon a ban ends what is passed on without a kernel part, while both sides talk.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use proxy_tests::admin::Admin;
use proxy_tests::hello::Hello;
use proxy_tests::runner::{Fact, figure};
use proxy_tests::wait::{SOON, until};
use proxy_tests::world::{Family, World};
use proxy_tests::{facts, program};

use super::front::{Front, accept, exactly, hello, listen, passing};

pub(crate) const FACTS: &[Fact] = facts![alone:
    a_ban_ends_a_relayed_connection_within_50_ms,
    a_rule_ends_the_relayed_connections_of_whoever_broke_it_within_50_ms,
    a_ban_ends_a_carried_flow_of_quic_within_50_ms,
];

/// How often each is measured.
const TIMES: usize = 20;
/// From what earns a ban to the last that its client gets.
const WITHIN: Duration = Duration::from_millis(50);
/// So many answers have come before.
const TALK: u32 = 20;
/// Nothing comes any more.
const SILENCE: Duration = Duration::from_millis(200);

fn change(admin: &mut Admin, word: &str, client: IpAddr) -> Result<()> {
    let answer = admin.post(&format!("/bans/{word}"), &format!("{{\"prefixes\":[\"{client}\"]}}"))?;
    ensure!(answer.contains("\"changed\":true"), "{answer}");
    Ok(())
}

/// They talk.
fn talking(answers: &AtomicU32) -> Result<()> {
    until("they talk", SOON, || {
        let answers = answers.load(Relaxed);
        ensure!(answers >= TALK, "{answers} answers");
        Ok(())
    })
}

/// Says what was measured, and judges it.
fn soon(what: &str, mut took: Vec<Duration>) -> Result<()> {
    took.sort_unstable();
    let (half, worst) = (took[took.len() / 2], took[took.len() - 1]);
    figure(&format!("{what}: {} times, half within {half:.1?}, worst {worst:.1?}", took.len()));
    ensure!(took.len() == TIMES && worst <= WITHIN, "{took:.1?}");
    Ok(())
}

/// A connection on which both sides talk without end is relayed, and its client earns a ban by `deed`: how long after the
/// beginning of that it hears a reset.
fn relayed(front: &Front<'_>, listener: &TcpListener, deed: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let mut client = front.connect()?;
    client.write_all(&hello())?;
    let mut server = accept(listener)?;
    exactly(&mut server, hello().len())?;
    let answers = &AtomicU32::new(0);
    thread::scope(|scope| {
        let echo = scope.spawn(move || -> Result<()> {
            let mut bytes = [0; 64];
            loop {
                match server.read(&mut bytes) {
                    Ok(count @ 1..) => server.write_all(&bytes[..count])?,
                    Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(()),
                    other => bail!("the backend hears {other:?}"),
                }
            }
        });
        let talk = scope.spawn(move || -> Result<Instant> {
            loop {
                let heard = client.write_all(b"?").and_then(|()| client.read(&mut [0; 8]));
                match heard {
                    Ok(1..) => drop(answers.fetch_add(1, Relaxed)),
                    Err(error)
                        if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) =>
                    {
                        return Ok(Instant::now());
                    }
                    other => bail!("the client hears {other:?}"),
                }
            }
        });
        talking(answers)?;
        let begun = Instant::now();
        deed()?;
        let ended = talk.join().expect("it does not panic")?;
        // It may be told by what it writes next, or by what it hears: both are resets, and so is the other side's.
        let _reset = echo.join().expect("it does not panic");
        Ok(ended.saturating_duration_since(begun))
    })
}

fn a_ban_ends_a_relayed_connection_within_50_ms() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let (listener, backend) = listen(&world)?;
    let front = Front::start(&world, &passing(backend))?;
    let mut admin = Admin::connect(&world)?;
    let client = world.client_address(Family::V4, 0);
    let mut took = Vec::new();
    for _ in 0..TIMES {
        took.push(relayed(&front, &listener, || change(&mut admin, "add", client))?);
        change(&mut admin, "remove", client)?;
    }
    soon("from the request to the reset", took)
}

fn a_rule_ends_the_relayed_connections_of_whoever_broke_it_within_50_ms() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let (listener, backend) = listen(&world)?;
    let rule = "\n[auto-ban.names]\nevents = \"unknown-sni\"\ncount = 1\nwithin = \"60s\"\nfor = \"10m\"\n";
    let front = Front::start(&world, &(passing(backend) + rule))?;
    let mut admin = Admin::connect(&world)?;
    let stranger = Hello::asking_for("stranger.test").record();
    let mut took = Vec::new();
    for _ in 0..TIMES {
        let mut other = front.connect()?;
        took.push(relayed(&front, &listener, || Ok(other.write_all(&stranger)?))?);
        change(&mut admin, "remove", world.client_address(Family::V4, 0))?;
    }
    soon("from a ClientHello for a stranger to the reset of another connection", took)
}

/// A datagram that QUIC begins with, asking for a host.
fn initial(world: &World) -> Result<Vec<u8>> {
    let mut script = program::script("clients/http3.py", &["say", "a.test"])?;
    let said = program::succeed(world.client(), &mut script)?;
    let digits = said.lines().next().context("no datagram")?;
    let bytes = digits.as_bytes().chunks(2);
    bytes.map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?)).collect()
}

/// The same for a flow of QUIC: how long after the beginning of the ban the last answer comes.
fn carried(world: &World, admin: &mut Admin, initial: &[u8]) -> Result<Duration> {
    let socket = world.client().enter(|| UdpSocket::bind((world.client_address(Family::V4, 0), 0)))??;
    socket.connect(world.service(Family::V4))?;
    socket.set_read_timeout(Some(SILENCE))?;
    socket.send(initial)?;
    ensure!(socket.recv(&mut [0; 2048])? == initial.len(), "the first flight is not passed on");
    let answers = &AtomicU32::new(0);
    thread::scope(|scope| {
        let talk = scope.spawn(|| -> Result<Instant> {
            let mut last = Instant::now();
            loop {
                socket.send(b"\x40?")?;
                match socket.recv(&mut [0; 2048]) {
                    Ok(_) => {
                        last = Instant::now();
                        answers.fetch_add(1, Relaxed);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(last),
                    Err(error) => return Err(error.into()),
                }
            }
        });
        talking(answers)?;
        let begun = Instant::now();
        change(admin, "add", world.client_address(Family::V4, 0))?;
        let last = talk.join().expect("it does not panic")?;
        Ok(last.saturating_duration_since(begun))
    })
}

fn a_ban_ends_a_carried_flow_of_quic_within_50_ms() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let at = SocketAddr::new(world.backend_address(Family::V4, 0), 8097);
    let _front = Front::start(&world, &passing(at).replace("\"tls\"", "\"quic\""))?;
    let backend = world.backends[0].namespace.enter(|| UdpSocket::bind(at))??;
    let (mut admin, initial) = (Admin::connect(&world)?, initial(&world)?);
    thread::scope(|scope| {
        let echo = scope.spawn(|| -> Result<()> {
            let mut bytes = [0; 2048];
            loop {
                let (count, from) = backend.recv_from(&mut bytes)?;
                if count == 0 {
                    return Ok(());
                }
                backend.send_to(&bytes[..count], from)?;
            }
        });
        let mut measured = || {
            let mut took = Vec::new();
            for _ in 0..TIMES {
                took.push(carried(&world, &mut admin, &initial)?);
                change(&mut admin, "remove", world.client_address(Family::V4, 0))?;
            }
            soon("from the request to the last answer", took)
        };
        let result = measured();
        // Without a byte: it is over.
        world.backends[0].namespace.enter(|| UdpSocket::bind("0.0.0.0:0")?.send_to(b"", at))??;
        result.and(echo.join().expect("it does not panic"))
    })
}

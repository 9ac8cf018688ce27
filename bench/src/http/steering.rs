//! What connections cost that are passed through by the name in their ClientHello: CPU of the proxy for each GiB, and for each
//! new connection, beside HAProxy and nginx. All in the same run, in turn; the proxy has CPU 0 for itself.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use proxy_tests::hello::Hello;

use super::peer::{self, OURS};
use super::place::{BACKEND, Place, Ports};
use super::process::{self, LOAD_CPU, PROXY_CPU, Running};
use crate::say::say;

/// Bytes of a download or upload.
const BYTES: u64 = 2 << 30;
/// New connections of a round.
const CONNECTIONS: usize = 8_000;
const ROUNDS: usize = 5;
/// New connections for each second of CPU, beside HAProxy's.
const MORE_CONNECTIONS: f64 = 1.2;
/// What a piece of a stream is.
const PIECE: usize = 256 << 10;

/// What the server does after the ClientHello: the first byte behind it says.
const SEND: u8 = b'd';
const TAKE: u8 = b'u';
const ANSWER: u8 = b'c';

/// A peer: its name, its configuration, and how it is started.
type Peer = (&'static str, &'static str, &'static str, fn(&Path) -> Result<Command>);

const PEERS: [Peer; 3] = [
    (OURS, "proxy-now.toml", include_str!("../../peers/steering/proxy-now.toml"), peer::ours),
    ("haproxy", "haproxy.cfg", include_str!("../../peers/steering/haproxy.cfg"), |config| {
        Ok(peer::program("haproxy", &["-db", "-f", &config.display().to_string()]))
    }),
    ("nginx", "nginx.conf", include_str!("../../peers/steering/nginx.conf"), |config| {
        Ok(peer::program("nginx", &["-c", &config.display().to_string()]))
    }),
];

/// What is measured of one peer and case: seconds of CPU, seconds.
type Figures = BTreeMap<(&'static str, &'static str), Vec<(f64, f64)>>;

/// Measures, and prints a table. Fails where a promised figure is missed.
pub(crate) fn run() -> Result<ExitCode> {
    process::pin(LOAD_CPU)?;
    process::allow_files()?;
    let place = Place::make()?;
    let address = SocketAddr::from(([127, 0, 0, 1], BACKEND));
    let listener = place.namespace.enter(|| TcpListener::bind(address))??;
    thread::spawn(move || serve(&listener));
    let mut running = Vec::new();
    for (number, (name, file, template, command)) in PEERS.into_iter().enumerate() {
        match start(&place, number, (name, file, template, command)) {
            Ok(peer) => running.push((name, peer, Ports::of(number))),
            Err(why) if name != OURS => say(&format!("{name} is left out: {why:#}")),
            Err(why) => return Err(why),
        }
    }
    let mut figures = Figures::new();
    for _ in 0..ROUNDS {
        for (name, peer, ports) in &running {
            for (case, what) in [("down", SEND), ("up", TAKE), ("new", ANSWER)] {
                let before = (peer.cpu_seconds()?, Instant::now());
                place.namespace.enter(|| load(ports.tls, what))??;
                let took = (peer.cpu_seconds()? - before.0, before.1.elapsed().as_secs_f64());
                figures.entry((name, case)).or_default().push(took);
            }
        }
    }
    Ok(print(&running, &figures))
}

fn start(place: &Place, number: usize, (name, file, template, command): Peer) -> Result<Running> {
    let folder = place.folder_of(name)?;
    let (config, log, ports) = (folder.join(file), folder.join("log"), Ports::of(number));
    place.write(&config, template, ports)?;
    let mut running = Running::start(&place.namespace, PROXY_CPU, command(&config)?, &log)?;
    running.wait(&place.namespace, &[ports.tls], &log, || connection(ports.tls, ANSWER).map(drop))?;
    Ok(running)
}

fn print(running: &[(&'static str, Running, Ports)], figures: &Figures) -> ExitCode {
    let median = |name, case, of: fn(&(f64, f64)) -> f64| {
        let mut all: Vec<f64> = figures.get(&(name, case)).into_iter().flatten().map(of).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let gib = BYTES as f64 / f64::from(1 << 30);
    say(&format!(
        "  {:<12}{:>14}{:>12}{:>14}{:>12}{:>16}",
        "peer", "down cpu s/GiB", "down Gb/s", "up cpu s/GiB", "up Gb/s", "new/cpu second"
    ));
    let new = |name| CONNECTIONS as f64 / median(name, "new", |it| it.0);
    for (name, ..) in running {
        let cpu = |case| median(*name, case, |it| it.0) / gib;
        let speed = |case| BYTES as f64 * 8.0 / 1e9 / median(*name, case, |it| it.1);
        say(&format!(
            "  {name:<12}{:>14.3}{:>12.2}{:>14.3}{:>12.2}{:>16.0}",
            cpu("down"),
            speed("down"),
            cpu("up"),
            speed("up"),
            new(*name)
        ));
    }
    let times = new(OURS) / new("haproxy");
    let kept = times.is_nan() || times >= MORE_CONNECTIONS;
    let word = if kept { "kept  " } else { "MISSED" };
    say(&format!(
        "{word} new connections for each second of CPU: × {times:.2} HAProxy's (≥ {MORE_CONNECTIONS})"
    ));
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One round of a case.
fn load(port: u16, what: u8) -> Result<()> {
    match what {
        ANSWER => (0..CONNECTIONS).try_for_each(|_| connection(port, ANSWER).map(drop)),
        SEND => {
            let mut stream = connection(port, SEND)?;
            let (mut piece, mut left) = (vec![0; PIECE], BYTES);
            while left > 0 {
                let count = stream.read(&mut piece)?;
                ensure!(count > 0, "{left} bytes are missing");
                left = left.checked_sub(count as u64).context("more than was sent")?;
            }
            Ok(())
        }
        _ => {
            let mut stream = connection(port, TAKE)?;
            let piece = vec![7; PIECE];
            for _ in 0..BYTES / PIECE as u64 {
                stream.write_all(&piece)?;
            }
            stream.shutdown(Shutdown::Write)?;
            // The end comes back when all has arrived.
            ensure!(stream.read(&mut [0])? == 0, "no end");
            Ok(())
        }
    }
}

/// A connection whose ClientHello has been answered.
fn connection(port: u16, what: u8) -> Result<TcpStream> {
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut first = Hello::asking_for("a.test").record();
    first.push(what);
    stream.write_all(&first)?;
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    ensure!(answer == [what], "{answer:?}");
    Ok(stream)
}

/// The server that all of them have behind them: a thread for each connection.
fn serve(listener: &TcpListener) {
    for stream in listener.incoming().flatten() {
        thread::spawn(move || answer(stream));
    }
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut first = vec![0; Hello::asking_for("a.test").record().len() + 1];
    stream.read_exact(&mut first)?;
    let what = first.last().copied().unwrap_or_default();
    stream.write_all(&[what])?;
    let mut piece = vec![7; PIECE];
    match what {
        SEND => {
            for _ in 0..BYTES / PIECE as u64 {
                stream.write_all(&piece)?;
            }
        }
        TAKE => while stream.read(&mut piece)? > 0 {},
        _ => {
            let _ended = stream.read(&mut [0])?;
        }
    }
    Ok(())
}

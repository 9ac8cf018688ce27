//! How soon a changed configuration serves, and what traffic notices meanwhile: 1,000 hosts of ten routes each.
//!
//! The daemon has both CPUs, as in life: what compiles a configuration is not what serves.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::load::{self, Load};
use super::peer;
use super::place::{Place, Ports};
use super::process::{self, LOAD_CPU, Running};
use crate::say::say;

const HOSTS: usize = 1000;
const ROUTES_OF_A_HOST: usize = 10;
/// Traffic without reloads and traffic with them, in turn.
const ROUNDS: usize = 5;
/// Of a round.
const RELOADS: usize = 9;
/// From the file's change to the first request.
const MOST_MS: f64 = 100.0;
/// Of the 99th percentile, while reloads go on.
const MOST_TIMES: f64 = 2.0;
/// As exact are the times.
const ASK_EVERY: Duration = Duration::from_millis(1);
const CONNECTIONS: usize = 8;
const REQUESTS: usize = 20_000;
/// Traffic without reloads is measured for so long.
const QUIET: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(10);

/// Measures both. Fails where a promised figure is missed.
pub(crate) fn run() -> Result<ExitCode> {
    process::pin(LOAD_CPU)?;
    let place = Place::make()?;
    let backend = peer::backend(&place)?;
    let ports = Ports::of(0);
    let base = place.folder.join("base.toml");
    place.write(&base, include_str!("../../peers/proxy-now.toml"), ports)?;
    let file = Changing { path: place.folder.join("proxy-now.toml"), base: fs::read_to_string(base)? };
    for word in 0..=ROUNDS * RELOADS {
        file.prepare(word)?;
    }
    file.change(0)?;
    let daemon = peer::ours_with(&place, &file.path, ports)?;
    let judged = place.namespace.enter(|| measure(&file, ports, &daemon));
    drop((daemon, backend));
    judged?
}

/// The configuration's file.
struct Changing {
    path: PathBuf,
    base: String,
}

impl Changing {
    /// Where a configuration waits until it is the one: what writes it is no part of a reload.
    fn waiting(&self, word: usize) -> PathBuf {
        self.path.with_extension(word.to_string())
    }

    /// Writes a configuration that answers `/word` with this word.
    fn prepare(&self, word: usize) -> Result<()> {
        let mut text = self.base.clone();
        let _ = write!(text, "\n[[route]]\npath_exact = \"/word\"\nrespond = {{ body = \"{word}\" }}\n");
        for host in 0..HOSTS {
            for path in 0..ROUTES_OF_A_HOST {
                // Writing to a String cannot fail.
                let _ = write!(
                    text,
                    "[[route]]\nhost = \"n{host}.test\"\npath = \"/p{path}/\"\npool = \"nginx\"\n"
                );
            }
        }
        let path = self.waiting(word);
        fs::write(&path, text).with_context(|| path.display().to_string())
    }

    /// Puts it there as an editor does: nobody sees half of it.
    fn change(&self, word: usize) -> Result<()> {
        fs::rename(self.waiting(word), &self.path).with_context(|| self.path.display().to_string())
    }
}

/// What a round came to.
struct Round {
    /// Microseconds: the 99th percentile without reloads, and with them.
    quiet: f64,
    busy: f64,
    /// Milliseconds until each reload served.
    times: Vec<f64>,
    /// Milliseconds of CPU that a reload took.
    cost: f64,
}

fn measure(file: &Changing, ports: Ports, daemon: &Running) -> Result<ExitCode> {
    let mut traffic = load::h1(ports.h1, CONNECTIONS, "/")?;
    traffic.run(REQUESTS / 10)?;
    let mut rounds = Vec::new();
    for first in (1..=ROUNDS * RELOADS).step_by(RELOADS) {
        let round = round(&mut *traffic, file, ports, (first, daemon))?;
        let worst = round.times.iter().copied().fold(0.0, f64::max);
        say(&format!(
            "p99 {:.2} ms, {:.2} ms meanwhile; served by it after {:.0} ms, at worst {worst:.0} ms; {:.0} ms of CPU each",
            round.quiet / 1e3,
            round.busy / 1e3,
            median(round.times.iter().copied()),
            round.cost,
        ));
        rounds.push(round);
    }
    say(&format!(
        "{HOSTS} hosts, {} routes, {ROUNDS} rounds of {RELOADS} reloads by file change",
        HOSTS * ROUTES_OF_A_HOST
    ));
    let all = || rounds.iter().flat_map(|round| &round.times).copied();
    let (middle, worst) = (median(all()), all().fold(0.0, f64::max));
    let mut kept = true;
    kept &= verdict(
        middle <= MOST_MS,
        &format!("served by it after {middle:.0} ms, at worst {worst:.0} ms (≤ {MOST_MS})"),
    );
    let times = median(rounds.iter().map(|round| round.busy / round.quiet));
    kept &= verdict(times <= MOST_TIMES, &format!("p99 meanwhile: × {times:.2} (≤ {MOST_TIMES})"));
    Ok(if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Traffic alone, and then while the configuration changes again and again. Somebody asks for the word all the time.
fn round(
    traffic: &mut dyn Load,
    file: &Changing,
    ports: Ports,
    (first, daemon): (usize, &Running),
) -> Result<Round> {
    let (quiet, _) = beside(traffic, || {
        let mut asking = Asking::new(ports)?;
        let begin = Instant::now();
        while begin.elapsed() < QUIET {
            asking.ask()?;
            thread::sleep(ASK_EVERY);
        }
        Ok(())
    })?;
    let before = daemon.cpu_of_main()?;
    let (busy, times) = beside(traffic, || {
        (first..first + RELOADS).map(|word| reload(file, ports, word)).collect::<Result<Vec<f64>>>()
    })?;
    let cost = (daemon.cpu_of_main()? - before) * 1e3 / RELOADS as f64;
    Ok(Round { quiet, busy, times, cost })
}

/// The 99th percentile of requests while something is done, in microseconds, and what that came to.
fn beside<T: Send>(traffic: &mut dyn Load, what: impl FnOnce() -> Result<T> + Send) -> Result<(f64, T)> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let doing = scope.spawn(|| {
            let did = what();
            done.store(true, Relaxed);
            did
        });
        let mut all = traffic.run(REQUESTS / 10)?;
        while !done.load(Relaxed) {
            all.add(traffic.run(REQUESTS / 10)?);
        }
        let Ok(did) = doing.join() else { bail!("a thread panicked") };
        Ok((all.percentile(99.0), did?))
    })
}

fn median(all: impl Iterator<Item = f64>) -> f64 {
    let mut all: Vec<_> = all.collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

fn verdict(kept: bool, text: &str) -> bool {
    say(&format!("{} {text}", if kept { "kept  " } else { "MISSED" }));
    kept
}

/// Milliseconds from the file's change to the first answer that knows of it.
fn reload(file: &Changing, ports: Ports, word: usize) -> Result<f64> {
    let mut asking = Asking::new(ports)?;
    let wanted = word.to_string();
    file.change(word)?;
    let begin = Instant::now();
    loop {
        let now = asking.ask()?;
        let passed = begin.elapsed();
        if now == wanted {
            return Ok(passed.as_secs_f64() * 1e3);
        }
        ensure!(passed < PATIENCE, "{word} was to be served, and it is {now}");
        thread::sleep(ASK_EVERY);
    }
}

/// A connection on which somebody asks for the word.
struct Asking {
    reader: BufReader<TcpStream>,
}

impl Asking {
    fn new(ports: Ports) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], ports.h1));
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    fn ask(&mut self) -> Result<String> {
        self.reader.get_mut().write_all(b"GET /word HTTP/1.1\r\nHost: bench.test\r\n\r\n")?;
        let (mut line, mut length) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            ensure!(self.reader.read_line(&mut line)? > 0, "closed");
            let field = line.to_ascii_lowercase();
            if let Some(value) = field.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body)?;
        Ok(String::from_utf8(body)?)
    }
}

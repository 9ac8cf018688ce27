//! How soon a changed configuration serves, and what traffic notices meanwhile: 1,000 hosts of ten routes each.
//!
//! The daemon has both CPUs, as in life: what compiles a configuration is not what serves.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::load;
use super::peer;
use super::place::{Place, Ports};
use super::process::{self, LOAD_CPU};
use crate::say::say;

const HOSTS: usize = 1000;
const ROUTES_OF_A_HOST: usize = 10;
const RELOADS: usize = 9;
/// From the file's change to the first request.
const MOST_MS: f64 = 100.0;
/// Of the 99th percentile, while reloads go on.
const MOST_TIMES: f64 = 2.0;
/// As exact are the times.
const ASK_EVERY: Duration = Duration::from_millis(1);
const CONNECTIONS: usize = 8;
const REQUESTS: usize = 20_000;

/// Measures both. Fails where a promised figure is missed.
pub(crate) fn run() -> Result<ExitCode> {
    process::pin(LOAD_CPU)?;
    let place = Place::make()?;
    let backend = peer::backend(&place)?;
    let ports = Ports::of(0);
    let base = place.folder.join("base.toml");
    place.write(&base, include_str!("../../peers/proxy-now.toml"), ports)?;
    let file = Changing { path: place.folder.join("proxy-now.toml"), base: fs::read_to_string(base)? };
    file.write(0)?;
    let daemon = peer::ours_with(&place, &file.path, ports)?;
    let judged = place.namespace.enter(|| measure(&file, ports));
    drop((daemon, backend));
    judged?
}

/// The configuration's file.
struct Changing {
    path: PathBuf,
    base: String,
}

impl Changing {
    /// Writes a configuration that answers `/word` with this word.
    fn write(&self, word: usize) -> Result<()> {
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
        replace(&self.path, &text)
    }
}

/// As an editor does: nobody sees half of it.
fn replace(path: &Path, text: &str) -> Result<()> {
    let fresh = path.with_extension("new");
    fs::write(&fresh, text)?;
    fs::rename(&fresh, path).with_context(|| path.display().to_string())
}

fn measure(file: &Changing, ports: Ports) -> Result<ExitCode> {
    let mut traffic = load::h1(ports.h1, CONNECTIONS, "/")?;
    traffic.run(REQUESTS / 10)?;
    let quiet = traffic.run(REQUESTS)?.percentile(99.0);
    let done = AtomicBool::new(false);
    let (mut times, busy) = thread::scope(|scope| -> Result<_> {
        let reloads = scope.spawn(|| {
            let times = (1..=RELOADS).map(|word| reload(file, ports, word)).collect::<Result<Vec<f64>>>();
            done.store(true, Relaxed);
            times
        });
        // As long as reloads go on.
        let mut all = traffic.run(REQUESTS / 10)?;
        while !done.load(Relaxed) {
            all.add(traffic.run(REQUESTS / 10)?);
        }
        let Ok(times) = reloads.join() else { bail!("a thread panicked") };
        Ok((times?, all.percentile(99.0)))
    })?;
    times.sort_by(f64::total_cmp);
    let (middle, worst) = (times[times.len() / 2], times[times.len() - 1]);
    say(&format!("{HOSTS} hosts, {} routes, {RELOADS} reloads by file change", HOSTS * ROUTES_OF_A_HOST));
    let mut kept = true;
    kept &= verdict(
        middle <= MOST_MS,
        &format!("served by it after {middle:.0} ms, at worst {worst:.0} ms (≤ {MOST_MS})"),
    );
    let times = busy / quiet;
    kept &= verdict(
        times <= MOST_TIMES,
        &format!("p99 {:.2} ms, {:.2} ms meanwhile: × {times:.2} (≤ {MOST_TIMES})", quiet / 1e3, busy / 1e3),
    );
    Ok(if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn verdict(kept: bool, text: &str) -> bool {
    say(&format!("{} {text}", if kept { "kept  " } else { "MISSED" }));
    kept
}

/// Milliseconds from the file's change to the first answer that knows of it.
fn reload(file: &Changing, ports: Ports, word: usize) -> Result<f64> {
    let stream =
        TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], ports.h1)), Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream);
    file.write(word)?;
    let begin = Instant::now();
    loop {
        let now = ask(&mut reader)?;
        let passed = begin.elapsed();
        if now == word.to_string() {
            return Ok(passed.as_secs_f64() * 1e3);
        }
        ensure!(passed < Duration::from_secs(10), "{word} was to be served, and it is {now}");
        thread::sleep(ASK_EVERY);
    }
}

fn ask(reader: &mut BufReader<TcpStream>) -> Result<String> {
    reader.get_mut().write_all(b"GET /word HTTP/1.1\r\nHost: bench.test\r\n\r\n")?;
    let (mut line, mut length) = (String::new(), 0);
    while line != "\r\n" {
        line.clear();
        ensure!(reader.read_line(&mut line)? > 0, "closed");
        let field = line.to_ascii_lowercase();
        if let Some(value) = field.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(String::from_utf8(body)?)
}

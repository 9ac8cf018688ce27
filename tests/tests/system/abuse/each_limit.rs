//! Each measure, protocol, family and action: what is within the limit passes, what is too much ends as the action says.
//! Each has a listener and a limit of its own.

use std::fmt;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use proxy_tests::config;
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::hello::Hello;
use proxy_tests::program;
use proxy_tests::runner::{Fact, figure};
use proxy_tests::world::{Family, World};
use serde_json::Value;

use crate::issuer::Ca;

pub(crate) const FACTS: &[Fact] = facts![
    each_limit_of_each_protocol_does_as_its_action_says_by_ipv4,
    each_limit_of_each_protocol_does_as_its_action_says_by_ipv6,
];

/// An answer that has not come by then does not come.
const SILENCE: Duration = Duration::from_millis(1500);
/// Cells at a time: most of them wait.
const AT_ONCE: usize = 12;
/// Tries that are too many for each limit.
const MOST: usize = 60;
const GET: &[u8] = b"GET /bytes/1 HTTP/1.1\r\nHost: plain.test\r\n\r\n";
/// Bytes of an answer that bandwidth is measured with, and how long they take.
const LARGE: usize = 60_000;
const SLOW: Duration = Duration::from_millis(400);

const TCP: &[&str] = &["drop", "reset", "observe"];
const UDP: &[&str] = &["drop", "observe"];
const KERNEL: &[&str] = &["drop", "reset", "observe"];
const WORKER: &[&str] = &["drop", "reset", "close", "observe"];
const ANSWER: &[&str] = &["drop", "reset", "close", "reply", "observe"];

/// What is counted of which protocol, and what can be done about it.
const KINDS: [(&str, &str, &[&str]); 26] = [
    ("tcp", "packets", TCP),
    ("tcp", "bytes", TCP),
    ("tcp", "connections", TCP),
    ("tcp", "concurrent", TCP),
    ("udp", "packets", UDP),
    ("udp", "bytes", UDP),
    ("udp", "connections", UDP),
    ("udp", "concurrent", UDP),
    ("http", "packets", KERNEL),
    ("http", "bytes", KERNEL),
    ("http", "connections", WORKER),
    ("http", "concurrent", WORKER),
    ("http", "requests", ANSWER),
    ("http", "bandwidth", &["auto"]),
    ("https", "packets", KERNEL),
    ("https", "bytes", KERNEL),
    ("https", "connections", WORKER),
    ("https", "concurrent", WORKER),
    ("https", "requests", ANSWER),
    ("https", "handshakes", WORKER),
    ("https", "bandwidth", &["auto"]),
    ("tls", "packets", KERNEL),
    ("tls", "bytes", KERNEL),
    ("tls", "connections", WORKER),
    ("tls", "concurrent", WORKER),
    ("tls", "handshakes", WORKER),
];

/// How much passes of a measure.
fn amount(measure: &str) -> &'static str {
    match measure {
        "packets" => "\"15/h burst 15\"",
        "bytes" => "\"2kB/m burst 2kB\"",
        "concurrent" => "1",
        "bandwidth" => "\"100kB/s burst 10kB\"",
        _ => "\"2/h burst 2\"",
    }
}

/// What a client sees of a try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Seen {
    Served,
    Silence,
    Reset,
    Closed,
    TooMany,
}

/// A measure of a protocol, with an action.
#[derive(Clone, Copy, Debug)]
struct Cell {
    protocol: &'static str,
    measure: &'static str,
    action: &'static str,
    to: SocketAddr,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}, {}", self.measure, self.protocol, self.action)
    }
}

impl Cell {
    fn name(&self) -> String {
        format!("{}-{}-{}", self.protocol, self.measure, self.action)
    }

    /// What is too much ends so. A connection that is closed before its first bytes are read ends by a reset, too, if
    /// they come later (RFC 9293 §3.6).
    fn ends(&self) -> &'static [Seen] {
        let by_kernel = matches!(self.measure, "packets" | "bytes" | "connections")
            || matches!((self.protocol, self.measure), ("tcp" | "udp", _));
        match self.action {
            "observe" | "auto" => &[Seen::Served],
            "reset" => &[Seen::Reset],
            "reply" => &[Seen::TooMany],
            _ if by_kernel => &[Seen::Silence],
            _ if self.measure == "requests" => &[Seen::Closed],
            _ => &[Seen::Closed, Seen::Reset],
        }
    }

    fn lines(&self) -> String {
        let Self { protocol, measure, action, to } = self;
        let name = self.name();
        let limit = format!(
            "[limit.{name}]\nlistener = \"{name}\"\n{measure} = {}\naction = \"{action}\"\n\n",
            amount(measure)
        );
        let listener = format!("[listener.{name}]\nbind = [\"{to}\"]\nprotocol = \"{protocol}\"\n");
        let rest = match *protocol {
            "tcp" | "udp" => format!("forward = \"nat\"\npool = \"{protocol}\"\n"),
            "tls" => format!(
                "handoff = false\n[[route]]\nlistener = \"{name}\"\nhost = \"a.test\"\npassthrough = true\n\
                 pool = \"raw\"\n"
            ),
            "https" => format!(
                "[[route]]\nlistener = \"{name}\"\nhost = \"a.test\"\ntls = \"files\"\npool = \"web\"\n"
            ),
            _ => format!("[[route]]\nlistener = \"{name}\"\npool = \"web\"\n"),
        };
        format!("{listener}{rest}\n{limit}")
    }
}

/// One side of a connection or flow, from the client.
enum Line {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

fn seen(error: &std::io::Error) -> Seen {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Seen::Silence,
        ErrorKind::UnexpectedEof => Seen::Closed,
        _ => Seen::Reset,
    }
}

fn open(world: &World, cell: &Cell) -> std::io::Result<Line> {
    let enter = |udp: bool| -> std::io::Result<Line> {
        if udp {
            let any = if cell.to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any)?;
            socket.connect(cell.to)?;
            socket.set_read_timeout(Some(SILENCE))?;
            return Ok(Line::Udp(socket));
        }
        let stream = TcpStream::connect_timeout(&cell.to, SILENCE)?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_nodelay(true)?;
        Ok(Line::Tcp(stream))
    };
    world.client().enter(|| enter(cell.protocol == "udp")).map_err(std::io::Error::other)?
}

/// Asks in the protocol's own words: whatever comes back is an answer.
fn ask(line: &mut Line, cell: &Cell) -> Seen {
    let mut heard = [0; 4096];
    let result = match line {
        Line::Udp(socket) => socket.send(&[b'?'; 200]).and_then(|_| socket.recv(&mut heard)),
        Line::Tcp(stream) => {
            let hello = || Hello::asking_for("a.test").record();
            let says = if matches!(cell.protocol, "tcp" | "http") { GET.to_vec() } else { hello() };
            stream.write_all(&says).and_then(|()| stream.read(&mut heard))
        }
    };
    match result {
        Err(error) => seen(&error),
        Ok(0) => Seen::Closed,
        Ok(_) if heard.starts_with(b"HTTP/1.1 429") => Seen::TooMany,
        Ok(_) => Seen::Served,
    }
}

/// A request by https.
fn request(world: &World, cell: &Cell, path: &str) -> Result<Seen> {
    let at = match cell.to {
        SocketAddr::V4(to) => format!("a.test:{}:{}", to.port(), to.ip()),
        SocketAddr::V6(to) => format!("a.test:{}:[{}]", to.port(), to.ip()),
    };
    let url = format!("https://a.test:{}{path}", cell.to.port());
    let mut command = program::command(&["curl", "--silent", "--show-error", "--insecure", "--http1.1"]);
    command.args([
        "--max-time",
        "20",
        "--resolve",
        &at,
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code}",
    ]);
    command.arg(&url);
    let output = program::run(world.client(), &mut command)?;
    let (status, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok(match (&*status, output.status.success()) {
        ("200", true) => Seen::Served,
        ("429", true) => Seen::TooMany,
        _ if said.contains("reset by peer") => Seen::Reset,
        _ if said.contains("Empty reply") || said.contains("closed") || said.contains("unexpected eof") => {
            Seen::Closed
        }
        _ => bail!("{cell}: {status} {said}"),
    })
}

/// Bodies wait; nothing is refused.
fn is_slow(world: &World, cell: &Cell) -> Result<()> {
    let begin = Instant::now();
    let path = format!("/bytes/{LARGE}");
    if cell.protocol == "https" {
        ensure!(request(world, cell, &path)? == Seen::Served, "{cell}: not served");
    } else {
        let mut http = proxy_tests::client::Http::connect(world.client(), cell.to)?;
        ensure!(http.get(&path)?.body.len() == LARGE, "{cell}: not the whole body");
    }
    ensure!(begin.elapsed() > SLOW, "{cell}: {:?} for {LARGE} bytes", begin.elapsed());
    Ok(())
}

/// Tries until something is too much: how many were served before, and how it ended.
fn tried(world: &World, cell: &Cell) -> Result<(usize, Seen)> {
    let tries = if cell.action == "observe" { 20 } else { MOST };
    let held = matches!(cell.measure, "concurrent");
    let goes_on = cell.protocol == "udp" && !matches!(cell.measure, "connections" | "concurrent")
        || (cell.protocol, cell.measure) == ("http", "requests");
    let mut lines: Vec<Line> = Vec::new();
    for number in 0..tries {
        let seen = if (cell.protocol, cell.measure) == ("https", "requests") {
            request(world, cell, "/bytes/1")?
        } else if goes_on && number > 0 {
            ask(lines.first_mut().context("the first")?, cell)
        } else {
            match open(world, cell) {
                Err(error) => seen(&error),
                Ok(mut line) => {
                    let mut seen = ask(&mut line, cell);
                    // A flow is counted once its client has shown by a second datagram that it is there.
                    if seen == Seen::Served && (cell.protocol, cell.measure) == ("udp", "concurrent") {
                        seen = ask(&mut line, cell);
                    }
                    if held || goes_on {
                        lines.push(line);
                    }
                    seen
                }
            }
        };
        if seen != Seen::Served {
            return Ok((number, seen));
        }
    }
    Ok((tries, Seen::Served))
}

fn show(world: &World, daemon: &Daemon<'_>, cell: &Cell) -> Result<()> {
    if cell.measure == "bandwidth" {
        return is_slow(world, cell);
    }
    let (served, end) = tried(world, cell)?;
    let wanted = cell.ends();
    ensure!(wanted.contains(&end), "{cell}: {end:?} after {served}, not {wanted:?}");
    let most = match cell.measure {
        "concurrent" => 1,
        "packets" | "bytes" => MOST - 1,
        _ => 2,
    };
    ensure!(cell.action == "observe" || (1..=most).contains(&served), "{cell}: {served} were served");
    let list = daemon.json(&["limit", "list"])?;
    let rows = list["limits"].as_array().into_iter().flatten();
    let row: Vec<&Value> = rows.filter(|row| row["limit"] == cell.name()).collect();
    let count = |what: &str| row.first().and_then(|row| row[what].as_u64());
    let counted = if cell.action == "observe" {
        count("observed") > Some(0) && count("refused") == Some(0)
    } else {
        count("refused") > Some(0) && count("observed") == Some(0)
    };
    ensure!(counted && count("passed") > Some(0), "{cell}: {row:?}");
    Ok(())
}

/// Answers whatever it hears.
fn answer(listener: TcpListener) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                while stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0)
                    && stream.write_all(b"well").is_ok()
                {}
            });
        }
    });
}

fn each(family: Family) -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let ca = Ca::new(&world.folder().join("certs"), "ca")?;
    ca.issue("a.test", &["a.test"])?;
    let (cert, key) = (ca.path("a.test.crt"), ca.path("a.test.key"));
    let raw = SocketAddr::new(world.backend_address(family, 0), 8097);
    answer(world.backends[0].namespace.enter(|| TcpListener::bind(raw))??);
    let service = world.service(family).ip();
    let all = KINDS.iter().flat_map(|(protocol, measure, actions)| {
        actions.iter().map(move |action| (*protocol, *measure, *action))
    });
    let cells: Vec<Cell> = (7000..)
        .zip(all)
        .map(|(port, (protocol, measure, action))| Cell {
            protocol,
            measure,
            action,
            to: (service, port).into(),
        })
        .collect();
    let (web, udp) = (world.backend(family, 0), world.backend_udp(family, 0));
    let pool = |(name, backend): (&str, SocketAddr)| format!("[pool.{name}]\nbackends = [\"{backend}\"]\n\n");
    let pools = [("web", web), ("tcp", web), ("udp", udp), ("raw", raw)].map(pool);
    let lines: String = cells.iter().map(Cell::lines).collect();
    let text = format!(
        "{}\n[[tls.certificate]]\ncert = {cert:?}\nkey = {key:?}\n\n{}{lines}",
        config::text(&world, &[]),
        pools.concat()
    );
    let daemon = Daemon::start(&world, &text)?;
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(why) = show(&world, &daemon, cell) {
                        wrong
                            .lock()
                            .unwrap_or_else(std::sync::PoisonError::into_inner)
                            .push(format!("{why:#}"));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    ensure!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cells.len(), wrong.join("\n"));
    figure(&format!("{} measures, protocols and actions", cells.len()));
    Ok(())
}

fn each_limit_of_each_protocol_does_as_its_action_says_by_ipv4() -> Result<()> {
    each(Family::V4)
}

fn each_limit_of_each_protocol_does_as_its_action_says_by_ipv6() -> Result<()> {
    each(Family::V6)
}

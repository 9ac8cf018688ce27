//! Connections leave while both sides talk: a thousand at once, and some that talk in long segments.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use proxy_tests::facts;
use proxy_tests::runner::{Fact, figure};
use proxy_tests::world::{Family, World};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use super::front::exactly;
use super::handoff_bulk::jumbo;
use super::spliced::{PATIENCE, Spliced, hello, patient};

pub(crate) const FACTS: &[Fact] = facts![alone:
    a_thousand_connections_leave_at_once_while_both_sides_talk,
    connections_that_talk_in_segments_of_nine_thousand_bytes_leave_as_smoothly,
];

/// How they talk.
#[derive(Clone, Copy)]
struct Manner {
    /// Connections at a time.
    many: usize,
    /// Bytes of a question.
    question: usize,
}

/// The first answers come one after another, for this is about how long answers take while others talk.
const APART: Duration = Duration::from_millis(1);
/// How long they talk.
const TALK: Duration = Duration::from_secs(3);
/// Questions that come at once, each as soon as the one before was answered: a connection leaves while they are under way.
const EAGER: usize = 6;
/// From one later question of a connection to the next.
const PAUSE: Duration = Duration::from_millis(200);

/// Many connections that one thread looks after: a thread for each would wait for its turn longer than for its answer.
struct Many {
    streams: Vec<TcpStream>,
    epoll: OwnedFd,
    /// Bytes of a question.
    question: usize,
}

impl Many {
    fn of(streams: Vec<TcpStream>, question: usize) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (number, stream) in streams.iter().enumerate() {
            stream.set_nonblocking(true)?;
            epoll::add(&epoll, stream, epoll::EventData::new_u64(number as u64), epoll::EventFlags::IN)?;
        }
        Ok(Self { streams, epoll, question })
    }

    /// Those on which something has come; waits for it until then, in whole milliseconds.
    fn ready(&self, then: Option<Instant>) -> Result<Vec<usize>> {
        let wait = then.map_or(PATIENCE, |then| then.saturating_duration_since(Instant::now()));
        let millis = wait.as_nanos().div_ceil(1_000_000) as i64;
        let wait = Timespec { tv_sec: millis / 1000, tv_nsec: millis % 1000 * 1_000_000 };
        let mut events = Vec::with_capacity(64);
        epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&wait))?;
        ensure!(then.is_some() || !events.is_empty(), "nobody has said anything for {PATIENCE:?}");
        Ok(events.iter().map(|event| event.data.u64() as usize).collect())
    }

    /// What has come on one of them; nothing: it has ended.
    fn read(&mut self, number: usize) -> Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; self.question];
        match self.streams[number].read(&mut bytes) {
            Ok(count) => Ok(Some(bytes[..count].to_vec())),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error).with_context(|| format!("connection {number}")),
        }
    }

    fn over(&self, number: usize) -> Result<()> {
        Ok(epoll::delete(&self.epoll, &self.streams[number])?)
    }
}

/// Answers each first flight, one after another, and then with what it hears, until all have ended.
fn echo(mut all: Many) -> Result<()> {
    let many = all.streams.len();
    let (began, mut heard, mut open) = (Instant::now(), 0, many);
    while open > 0 {
        while heard < many && began.elapsed() >= APART * heard as u32 {
            all.streams[heard].write_all(b"heard")?;
            heard += 1;
        }
        let then = (heard < many).then(|| began + APART * heard as u32);
        for number in all.ready(then)? {
            let Some(bytes) = all.read(number)? else { continue };
            if bytes.is_empty() {
                all.over(number)?;
                all.streams[number].shutdown(Shutdown::Write)?;
                open -= 1;
            }
            all.streams[number].write_all(&bytes)?;
        }
    }
    Ok(())
}

/// One who asks.
#[derive(Clone, Default)]
struct Asker {
    asked: Option<Instant>,
    /// What has come since it asked.
    come: Vec<u8>,
    answers: usize,
    ended: bool,
}

impl Asker {
    /// What it asks next. (Before it has asked anything it is told that it was heard.)
    fn question(&self, number: usize, length: usize) -> Vec<u8> {
        if self.answers == 0 { b"heard".to_vec() } else { vec![(number + self.answers) as u8; length] }
    }
}

/// Has all of them ask until the time is over: how long each answer took.
fn ask(mut all: Many) -> Result<Vec<Duration>> {
    let (until, mut took, mut open) = (Instant::now() + TALK, Vec::new(), all.streams.len());
    let mut askers = vec![Asker::default(); open];
    let mut later: BinaryHeap<Reverse<(Instant, usize)>> = BinaryHeap::new();
    while open > 0 {
        while later.peek().is_some_and(|first| first.0.0 <= Instant::now()) {
            let Some(Reverse((_, number))) = later.pop() else { break };
            let asker = &mut askers[number];
            if Instant::now() >= until {
                asker.ended = true;
                all.streams[number].shutdown(Shutdown::Write)?;
                continue;
            }
            asker.asked = Some(Instant::now());
            all.streams[number].write_all(&asker.question(number, all.question))?;
        }
        for number in all.ready(later.peek().map(|first| first.0.0))? {
            let Some(bytes) = all.read(number)? else { continue };
            let asker = &mut askers[number];
            if asker.ended || bytes.is_empty() {
                ensure!(
                    asker.ended && bytes.is_empty(),
                    "connection {number} ends, or goes on, in the midst"
                );
                all.over(number)?;
                open -= 1;
                continue;
            }
            asker.come.extend(bytes);
            let expected = asker.question(number, all.question);
            if asker.come.len() < expected.len() {
                continue;
            }
            ensure!(asker.come == expected, "bytes changed on their way");
            asker.come.clear();
            took.extend(asker.asked.take().map(|asked| asked.elapsed()));
            asker.answers += 1;
            let pause = if asker.answers > EAGER { PAUSE } else { Duration::ZERO };
            later.push(Reverse((Instant::now() + pause, number)));
        }
    }
    Ok(took)
}

/// How long answers took, the longest last, on connections to this port that begin to talk at once.
fn talk(spliced: &Spliced<'_>, manner: Manner, port: u16) -> Result<Vec<Duration>> {
    let Manner { many, question } = manner;
    let hello = hello();
    let all = thread::scope(|scope| {
        let servers = scope.spawn(|| {
            let accepted = (0..many).map(|_| {
                let mut server = patient(spliced.listener.accept()?.0)?;
                exactly(&mut server, hello.len())?;
                Ok(server)
            });
            accepted.collect::<Result<Vec<_>>>()
        });
        let clients = (0..many).map(|_| {
            let mut client = spliced.connect(port)?;
            client.write_all(&hello)?;
            Ok(client)
        });
        let clients = Many::of(clients.collect::<Result<_>>()?, question)?;
        let servers = Many::of(servers.join().expect("it does not panic")?, question)?;
        let servers = scope.spawn(move || echo(servers));
        let took = ask(clients);
        servers.join().expect("it does not panic").and(took)
    });
    let mut all = all?;
    all.sort_unstable();
    Ok(all)
}

/// The share of answers that took no longer.
fn share(all: &[Duration], part: f64) -> Duration {
    all[((all.len() - 1) as f64 * part) as usize]
}

fn say(what: &str, all: &[Duration]) {
    let [half, most, nearly, worst] = [0.5, 0.99, 0.999, 1.0].map(|part| share(all, part));
    figure(&format!(
        "{what}: {} answers, p50 {half:.1?}, p99 {most:.1?}, p99.9 {nearly:.1?}, worst {worst:.1?}",
        all.len()
    ));
}

/// How long an answer may take, on a machine that does nothing else.
const LONGEST: Duration = Duration::from_millis(10);
/// Where others need the machine, too: so many times what the same talk takes beside, relayed or balanced.
const TIMES: u32 = 2;

/// They talk on connections that leave, and the longest answer takes hardly longer than beside, relayed or balanced.
fn leave_smoothly(world: &World, manner: Manner) -> Result<()> {
    // What the same talk takes that no process stands between: so much of it is this harness's own.
    let place = |port| SocketAddr::new(world.service(Family::V4).ip(), port);
    let balanced = format!(
        "\n[listener.balanced]\nbind = [\"{}\"]\nprotocol = \"tcp\"\npool = \"plain\"\n\n\
         [pool.plain]\nbackends = [\"{}\"]\n",
        place(445),
        SocketAddr::new(world.backend_address(Family::V4, 0), 8097)
    );
    let spliced = Spliced::start(world, Family::V4, &balanced)?;
    let mut last = String::new();
    // Who else needs the machine stalls all alike, but not at the same moment.
    for time in 1..=3 {
        let balanced = talk(&spliced, manner, 445)?;
        say("balanced", &balanced);
        let relayed = talk(&spliced, manner, 444)?;
        say("relayed", &relayed);
        let left = talk(&spliced, manner, 443)?;
        say("handed off while they talk", &left);
        spliced.wait_left((time * manner.many) as u64)?;
        ensure!(spliced.kernel("torn")? == 0, "a connection broke");
        let lost = spliced.daemon.status()?.noticed("handoff_lost");
        figure(&format!(
            "{} were tried again at a better moment, {lost} frames not held",
            spliced.kernel("busy")?
        ));
        ensure!(lost == 0, "{lost} frames were lost");
        let (worst, beside) = (share(&left, 1.0), share(&relayed, 1.0).max(share(&balanced, 1.0)));
        if worst <= LONGEST.max(beside * TIMES) {
            return Ok(());
        }
        last = format!("{worst:?}, and beside {beside:?}");
    }
    bail!("the longest answer took {last}")
}

fn a_thousand_connections_leave_at_once_while_both_sides_talk() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    leave_smoothly(&world, Manner { many: 1000, question: 64 })
}

fn connections_that_talk_in_segments_of_nine_thousand_bytes_leave_as_smoothly() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    jumbo(&world)?;
    leave_smoothly(&world, Manner { many: 200, question: 8800 })
}

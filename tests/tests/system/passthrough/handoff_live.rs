//! A thousand connections leave at once while both sides talk.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::{self, Builder, Scope};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use proxy_tests::facts;
use proxy_tests::runner::{Fact, figure};
use proxy_tests::world::{Family, World};

use super::front::exactly;
use super::spliced::{Spliced, hello, patient};

pub(crate) const FACTS: &[Fact] = facts![alone: a_thousand_connections_leave_at_once_while_both_sides_talk];

/// Connections at a time.
const MANY: usize = 1000;
/// The first answers come one after another, for this is about how long answers take while others talk.
const APART: Duration = Duration::from_millis(1);
/// How long they talk.
const TALK: Duration = Duration::from_secs(3);
/// Questions that come at once, each as soon as the one before was answered: a connection leaves while they are under way.
const EAGER: usize = 6;
/// From one later question of a connection to the next.
const PAUSE: Duration = Duration::from_millis(200);
/// Memory of a thread.
const STACK: usize = 128 << 10;
/// A question.
const QUESTION: usize = 64;

/// Opens once.
#[derive(Default)]
struct Gate(Mutex<bool>, Condvar);

impl Gate {
    fn open(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.1.notify_all();
    }

    fn pass(&self) {
        let closed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.1.wait_while(closed, |open| !*open).unwrap_or_else(PoisonError::into_inner));
    }
}

/// Says nothing before the gate is open, then answers with what it hears.
fn echo(mut server: TcpStream, number: u32, gate: &Gate) -> Result<()> {
    exactly(&mut server, hello().len())?;
    gate.pass();
    thread::sleep(APART * number);
    server.write_all(b"heard")?;
    let mut bytes = [0; QUESTION];
    loop {
        match server.read(&mut bytes)? {
            0 => return Ok(()),
            count => server.write_all(&bytes[..count])?,
        }
    }
}

/// Asks until the time is over: how long each answer took.
fn ask(mut client: TcpStream, number: usize, until: Instant) -> Result<Vec<Duration>> {
    ensure!(exactly(&mut client, 5)? == b"heard");
    let mut took = Vec::new();
    while Instant::now() < until {
        let question = [(number + took.len()) as u8; QUESTION];
        let asked = Instant::now();
        client.write_all(&question)?;
        let answer = exactly(&mut client, QUESTION)?;
        took.push(asked.elapsed());
        ensure!(answer == question, "bytes changed on their way");
        if took.len() >= EAGER {
            thread::sleep(PAUSE);
        }
    }
    client.shutdown(Shutdown::Write)?;
    ensure!(client.read(&mut [0; 1])? == 0, "more bytes than were sent");
    Ok(took)
}

fn spawn<'s, T: Send + 's>(
    scope: &'s Scope<'s, '_>,
    what: impl FnOnce() -> T + Send + 's,
) -> Result<thread::ScopedJoinHandle<'s, T>> {
    Builder::new().stack_size(STACK).spawn_scoped(scope, what).context("a thread")
}

/// How long answers took, the longest last, on connections to this port that begin to talk at once.
fn talk(spliced: &Spliced<'_>, port: u16) -> Result<Vec<Duration>> {
    let gate = Gate::default();
    let all = thread::scope(|scope| {
        let servers = spawn(scope, || {
            let accepted = (0..MANY as u32).map(|number| {
                let server = patient(spliced.listener.accept()?.0)?;
                let gate = &gate;
                spawn(scope, move || echo(server, number, gate))
            });
            accepted.collect::<Result<Vec<_>>>()
        })?;
        let hello = hello();
        let clients = (0..MANY).map(|_| {
            let mut client = spliced.connect(port)?;
            client.write_all(&hello)?;
            Ok(client)
        });
        let clients = clients.collect::<Result<Vec<_>>>();
        gate.open();
        let servers = servers.join().expect("it does not panic")?;
        let until = Instant::now() + TALK;
        let clients = clients?.into_iter().enumerate();
        let clients = clients.map(|(number, client)| spawn(scope, move || ask(client, number, until)));
        let clients = clients.collect::<Result<Vec<_>>>()?;
        let mut all = Vec::new();
        for client in clients {
            all.extend(client.join().expect("it does not panic")?);
        }
        for server in servers {
            server.join().expect("it does not panic")?;
        }
        anyhow::Ok(all)
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

fn a_thousand_connections_leave_at_once_while_both_sides_talk() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let spliced = Spliced::start(&world, Family::V4, "")?;
    let mut last = String::new();
    // Who else needs the machine stalls both alike, but not at the same moment.
    for time in 1..=3 {
        let relayed = talk(&spliced, 444)?;
        say("relayed", &relayed);
        let left = talk(&spliced, 443)?;
        say("handed off while they talk", &left);
        spliced.wait_left(time * MANY as u64)?;
        ensure!(spliced.kernel("torn")? == 0, "a connection broke");
        let (worst, before) = (share(&left, 1.0), share(&relayed, 1.0));
        if worst <= Duration::from_millis(10).max(before) {
            figure(&format!("{} were tried again at a better moment", spliced.kernel("busy")?));
            return Ok(());
        }
        last = format!("{worst:?}, and relayed {before:?}");
    }
    bail!("the longest answer took {last}")
}

//! Many connections on one thread, by epoll.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{Timespec, epoll};

use super::outcome::{Load, Outcome};
use super::talk::Talk;

struct Connection<T> {
    stream: TcpStream,
    talk: T,
    out: Vec<u8>,
    /// Exchanges that run: number and start.
    running: VecDeque<(u64, Instant)>,
    begun: u64,
}

/// Connections to one address.
pub(super) struct Engine<T> {
    to: SocketAddr,
    depth: usize,
    fresh: bool,
    talk: Box<dyn Fn() -> T>,
    epoll: OwnedFd,
    connections: Vec<Connection<T>>,
    buffer: Vec<u8>,
}

/// Connections to this port, ready to run.
pub(super) fn boxed<T: Talk + 'static>(
    port: u16,
    connections: usize,
    depth: usize,
    fresh: bool,
    talk: impl Fn() -> T + 'static,
) -> Result<Box<dyn Load>> {
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    Ok(Box::new(Engine::new(to, connections, depth, fresh, Box::new(talk))?))
}

/// No exchange takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

impl<T: Talk> Engine<T> {
    /// Opens connections with so many exchanges at a time on each. `fresh`: each exchange has a connection of its own.
    fn new(
        to: SocketAddr,
        connections: usize,
        depth: usize,
        fresh: bool,
        talk: Box<dyn Fn() -> T>,
    ) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let buffer = vec![0; 256 * 1024];
        let mut engine = Self { to, depth, fresh, talk, epoll, connections: Vec::new(), buffer };
        for number in 0..connections {
            let connection = engine.connect(number)?;
            engine.connections.push(connection);
        }
        Ok(engine)
    }

    fn connect(&self, number: usize) -> Result<Connection<T>> {
        let stream = TcpStream::connect_timeout(&self.to, PATIENCE).context("no connection")?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        epoll::add(&self.epoll, &stream, epoll::EventData::new_u64(number as u64), epoll::EventFlags::IN)?;
        let mut talk = (self.talk)();
        let mut out = Vec::new();
        talk.opening(&mut out);
        let mut connection = Connection { stream, talk, out, running: VecDeque::new(), begun: 0 };
        connection.flush()?;
        Ok(connection)
    }

    /// Begins exchanges on a connection as long as there is room and a budget.
    fn fill(&mut self, number: usize, left: &mut usize) -> Result<()> {
        let connection = &mut self.connections[number];
        while *left > 0 && connection.talk.ready() && connection.running.len() < self.depth {
            connection.running.push_back((connection.begun, Instant::now()));
            connection.begun += 1;
            connection.talk.begin(&mut connection.out);
            *left -= 1;
        }
        connection.flush()
    }

    /// Takes what has come on a connection, and notes the exchanges that have ended.
    fn receive(&mut self, number: usize, times: &mut Vec<u32>) -> Result<()> {
        let mut ended = Vec::new();
        let connection = &mut self.connections[number];
        let read = match connection.stream.read(&mut self.buffer) {
            Ok(0) => bail!("closed with {} exchanges open", connection.running.len()),
            Ok(read) => read,
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(why) => return Err(why).context("a connection failed"),
        };
        connection.talk.take(&self.buffer[..read], &mut connection.out, &mut ended)?;
        let now = Instant::now();
        for exchange in ended {
            let at = connection.running.iter().position(|(number, _)| *number == exchange);
            let (_, start) =
                at.and_then(|at| connection.running.remove(at)).context("an answer nobody asked for")?;
            times.push((now - start).as_micros() as u32);
        }
        // A handshake goes on by itself.
        connection.flush()
    }

    /// Waits until so many exchanges have ended, and begins others as long as any are `left`.
    fn wait(&mut self, count: usize, left: &mut usize, times: &mut Vec<u32>) -> Result<()> {
        let mut events = Vec::with_capacity(1024);
        let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
        while times.len() < count {
            events.clear();
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&patience))?;
            ensure!(!events.is_empty(), "no answer for {PATIENCE:?}, after {} of {count}", times.len());
            for event in &events {
                let number = event.data.u64() as usize;
                if self.fresh && self.connections[number].running.is_empty() {
                    // Used up, and closed by the peer: nothing more is wanted of it.
                    let _ = epoll::delete(&self.epoll, &self.connections[number].stream);
                    continue;
                }
                self.receive(number, times)?;
                if !self.fresh {
                    self.fill(number, left)?;
                } else if self.connections[number].running.is_empty() {
                    self.renew(number, left)?;
                }
            }
        }
        Ok(())
    }

    /// Replaces a connection whose exchange has ended; the time it takes to connect belongs to the next exchange.
    fn renew(&mut self, number: usize, left: &mut usize) -> Result<()> {
        if *left == 0 {
            return Ok(());
        }
        let start = Instant::now();
        // The one before is closed with it, and gone from epoll.
        self.connections[number] = self.connect(number)?;
        self.fill(number, left)?;
        if let Some((_, begun)) = self.connections[number].running.back_mut() {
            *begun = start;
        }
        Ok(())
    }
}

impl<T: Talk> Load for Engine<T> {
    fn run(&mut self, count: usize) -> Result<Outcome> {
        let mut outcome = Outcome { seconds: 0.0, times: Vec::with_capacity(count) };
        let (mut left, start) = (count, Instant::now());
        for number in 0..self.connections.len() {
            // What ended the run before may have used it up.
            if self.fresh && self.connections[number].begun > 0 {
                self.renew(number, &mut left)?;
            } else {
                self.fill(number, &mut left)?;
            }
        }
        self.wait(count, &mut left, &mut outcome.times)?;
        outcome.seconds = start.elapsed().as_secs_f64();
        Ok(outcome)
    }

    fn visit(&mut self, at_a_time: usize) -> Result<Outcome> {
        let all = self.connections.len();
        let mut outcome = Outcome { seconds: 0.0, times: Vec::with_capacity(all) };
        let start = Instant::now();
        for first in (0..all).step_by(at_a_time) {
            let last = all.min(first + at_a_time);
            for number in first..last {
                self.fill(number, &mut 1)?;
            }
            self.wait(last, &mut 0, &mut outcome.times)?;
        }
        outcome.seconds = start.elapsed().as_secs_f64();
        Ok(outcome)
    }
}

impl<T> Connection<T> {
    /// Sends what is to be sent. It is little: the socket takes it.
    fn flush(&mut self) -> Result<()> {
        if !self.out.is_empty() {
            let sent = self.stream.write(&self.out).context("a connection cannot be written to")?;
            ensure!(sent == self.out.len(), "{sent} of {} bytes could be sent", self.out.len());
            self.out.clear();
        }
        Ok(())
    }
}

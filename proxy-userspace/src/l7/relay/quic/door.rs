//! Takes datagrams from a socket: each belongs to a flow, begins one, or is dropped.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::task::{AbortHandle, spawn_local};

use super::carry::{Carried, MOST_DATAGRAM, carry};
use super::decide::{self, Known, Passed};
use super::flows::{Flow, Flows, Reading};
use crate::config::{WebBind, WebListenerConfig};
use crate::l7::crowd::ListenerCrowd;
use crate::l7::relay::both::End;
use crate::l7::worker::Worker;
use crate::net::quic::{NoFlight, Step};
use crate::telemetry::steering::Refused;

/// No first flight may take longer, whatever `header_timeout` says.
const LONGEST: Duration = Duration::from_secs(10);
/// Datagrams that are taken before others have their turn.
const TURN: usize = 64;
/// How often first flights are looked at that may be late.
const LOOK: Duration = Duration::from_millis(500);

/// A socket that datagrams are taken from.
#[derive(Debug)]
pub(in crate::l7) struct Door {
    task: AbortHandle,
    inside: Rc<Inside>,
}

/// What the door and its tasks know.
#[derive(Debug)]
struct Inside {
    worker: Rc<Worker>,
    address: SocketAddr,
    socket: UdpSocket,
    flows: RefCell<Flows>,
    /// A datagram that is just being looked at.
    buffer: RefCell<Box<[u8]>>,
    known: RefCell<Option<Known>>,
    carriers: RefCell<Vec<AbortHandle>>,
    /// First flights of this socket, as the listener counts them.
    counted: std::cell::Cell<u32>,
}

impl Door {
    /// Begins to take datagrams.
    pub(in crate::l7) fn open(
        worker: &Rc<Worker>,
        address: SocketAddr,
        socket: std::net::UdpSocket,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let inside = Rc::new(Inside {
            worker: Rc::clone(worker),
            address,
            socket: UdpSocket::from_std(socket)?,
            flows: RefCell::default(),
            buffer: RefCell::new(vec![0; MOST_DATAGRAM].into()),
            known: RefCell::default(),
            carriers: RefCell::default(),
            counted: std::cell::Cell::default(),
        });
        let task = spawn_local(Rc::clone(&inside).take_datagrams()).abort_handle();
        Ok(Self { task, inside })
    }

    /// Takes no more datagrams: whoever has the socket now gets them, and flows that this process carried end.
    pub(in crate::l7) fn close(self) {
        self.task.abort();
        self.inside.carriers.borrow().iter().for_each(AbortHandle::abort);
        if let Some(known) = &*self.inside.known.borrow() {
            self.inside.count(&known.crowd, 0);
        }
    }
}

impl Inside {
    async fn take_datagrams(self: Rc<Self>) {
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                ready = self.socket.readable() => {
                    if let Err(error) = ready {
                        tracing::error!("{}: no datagrams can be taken: {error}", self.address);
                        return;
                    }
                    self.turn();
                    tokio::task::yield_now().await;
                }
                _ = look.tick() => self.look(),
            }
        }
    }

    /// Some datagrams.
    fn turn(self: &Rc<Self>) {
        // Its listener is just going, or has just come.
        let known = self.known();
        for _ in 0..TURN {
            let mut buffer = self.buffer.borrow_mut();
            match self.socket.try_recv_from(&mut buffer) {
                Ok((bytes, client)) => {
                    if let Some(known) = &known {
                        self.take(known, client, &buffer[..bytes]);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // A client that has gone says so by ICMP.
                Err(error) => tracing::debug!("{}: {error}", self.address),
            }
        }
        if let Some(known) = &known {
            self.count(&known.crowd, self.flows.borrow().reading() as u32);
        }
    }

    /// First flights that are late.
    fn look(&self) {
        self.carriers.borrow_mut().retain(|carrier| !carrier.is_finished());
        let Some(known) = self.known() else { return };
        let Some(then) = Instant::now().checked_sub(longest(&known)) else { return };
        for _ in 0..self.flows.borrow_mut().expire(then) {
            known.crowd.steered.refused(Refused::Timeout);
        }
        self.count(&known.crowd, self.flows.borrow().reading() as u32);
    }

    /// Says how many first flights are being read.
    fn count(&self, crowd: &ListenerCrowd, reading: u32) {
        let before = self.counted.replace(reading);
        crowd.steered.reading.fetch_add(reading.wrapping_sub(before), Ordering::Relaxed);
    }

    fn take(self: &Rc<Self>, known: &Known, client: SocketAddr, datagram: &[u8]) {
        let mut flows = self.flows.borrow_mut();
        if known.bans.keeps_out(client.ip()) {
            if let Some(Flow::Carried(carried)) = flows.of(&client) {
                let carried = Rc::clone(carried);
                carried.end(End::Banned);
                flows.end(&client, &carried);
            }
            return;
        }
        if let Some(Flow::Carried(carried)) = flows.of(&client) {
            if carried.send(datagram) {
                flows.proved();
            }
            return;
        }
        let begun = flows.take_reading(&client);
        if begun.is_none() {
            decide::came(known);
        }
        let mut reading = begun.unwrap_or_else(|| Box::new(Reading::new(Instant::now())));
        let refused = |why| known.crowd.steered.refused(why);
        // A drip does not extend it.
        if reading.began.elapsed() > longest(known) {
            return refused(Refused::Timeout);
        }
        match reading.flight.push(datagram) {
            step @ (Step::NeedMore | Step::Done) if !reading.hold(datagram) => {
                tracing::debug!(%client, "a first flight is too long: {step:?}");
                refused(Refused::TooLong);
            }
            Step::NeedMore => match flows.keep(client, reading) {
                None => refused(Refused::Crowded),
                Some(gone) => (0..gone).for_each(|_| refused(Refused::Crowded)),
            },
            Step::Done => {
                let Some(message) = reading.flight.message() else { return };
                let said = (message, reading.began);
                if let Some(passed) = decide::by_hello(&self.worker, known, client, self.address, said) {
                    self.carry(&mut flows, client, reading.held, passed);
                }
            }
            Step::Refused(NoFlight::Version(_)) => {
                if let Some(passed) = decide::by_version(&self.worker, known, client, self.address) {
                    self.carry(&mut flows, client, vec![datagram.into()], passed);
                }
            }
            Step::Refused(why) => {
                tracing::debug!(%client, listener = %known.config.name, "datagram refused: {why}");
                refused(decide::reason(why));
            }
        }
    }

    /// Begins to pass a flow on.
    fn carry(self: &Rc<Self>, flows: &mut Flows, client: SocketAddr, held: Vec<Box<[u8]>>, passed: Passed) {
        let carried = Carried::new(held);
        for _ in 0..flows.carry(client, Rc::clone(&carried)) {
            passed.crowded();
        }
        let inside = Rc::clone(self);
        let task = spawn_local(async move {
            carry(&carried, &inside.socket, &inside.buffer, &passed).await;
            inside.flows.borrow_mut().end(&client, &carried);
        });
        self.carriers.borrow_mut().push(task.abort_handle());
    }

    /// The listener as it is configured now.
    fn known(&self) -> Option<Known> {
        let snapshot = self.worker.snapshot();
        let mut known = self.known.borrow_mut();
        if known.as_ref().is_none_or(|known| known.generation != snapshot.generation) {
            let binds = |listener: &&Arc<WebListenerConfig>| {
                let is_here = |bind: &WebBind| matches!(bind, WebBind::Tcp(at) if *at == self.address);
                listener.is_quic() && listener.bind.iter().any(is_here)
            };
            *known = snapshot.listeners.iter().find(binds).map(|config| Known {
                generation: snapshot.generation,
                wants_ja4: snapshot.config.wants_ja4(config)
                    || snapshot.steering.of(&config.name).is_some_and(|names| names.wants_ja4()),
                config: Arc::clone(config),
                limits: snapshot.limits.listeners.get(&config.name).cloned(),
                bans: Arc::clone(&snapshot.bans),
                crowd: self.worker.shared.crowd.listener(&config.name),
            });
        }
        known.clone()
    }
}

/// How long a first flight may take.
fn longest(known: &Known) -> Duration {
    known.config.limits.header_timeout.min(LONGEST)
}

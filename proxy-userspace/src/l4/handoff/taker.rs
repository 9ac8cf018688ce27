//! Hands over: holds the packets of both connections, reads their state out of the sockets, has their segments
//! translated from then on, and sends what was held on its way.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use proxy_common::splice::{Splice, held_until, state};
use socket2::SockRef;

use super::flows::{Flows, TCP};
use super::held::Held;
use super::known::Known;
use super::linger::{Linger, Sockets};
use super::ports::Turns;
use super::splices::Splices;
use super::step::{Step, reach};
use super::take::{self, Ends, State};
use super::ways;
use crate::l4::clock;
use crate::net::handoff::{Kept, Passed};
use crate::net::netlink::Socket;
use crate::net::{repair, route};

/// Packets are held for no longer, even if this process ends meanwhile: after it they are the host's.
const HELD_FOR: Duration = Duration::from_secs(1);
/// What was let through before packets were held is through the host's stack by then, mostly. What is not is found by a
/// look at the queues, or is sent again by its sender.
const SETTLE: Duration = Duration::from_micros(30);
/// Ports that are tried for one connection.
pub(super) const PORTS: usize = 64;

/// What it works with.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) flows: Flows,
    pub(super) splices: Arc<Splices>,
    pub(super) held: Held,
    /// Tells the kernel's clock.
    pub(super) clock: OwnedFd,
    pub(super) hz: u32,
}

/// Takes relayed connections over into the kernel part.
#[derive(Debug)]
pub struct Taker {
    pub(super) parts: Parts,
    known: RwLock<Known>,
    /// Interfaces whose packets the kernel part sees.
    interfaces: RwLock<BTreeSet<u32>>,
    routes: Mutex<Option<Socket>>,
    linger: Linger,
    pub(super) turns: Turns,
    pub(super) done: AtomicU64,
    torn: AtomicU64,
    kept: [AtomicU64; Kept::ALL.len()],
}

/// How often something came of trying to hand a connection over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HandOffCount {
    /// `done`, `torn`, or why it stayed with its relay.
    pub word: &'static str,
    /// The same for people.
    pub meaning: &'static str,
    /// How often.
    pub count: u64,
}

impl Taker {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            parts,
            known: RwLock::default(),
            interfaces: RwLock::default(),
            routes: Mutex::default(),
            linger: Linger::default(),
            turns: Turns::default(),
            done: AtomicU64::new(0),
            torn: AtomicU64::new(0),
            kept: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// What is applied now.
    pub(crate) fn learn(&self, known: Known) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// Packets of these interfaces are seen.
    pub(crate) fn see_by(&self, interfaces: BTreeSet<u32>) {
        *self.interfaces.write().unwrap_or_else(PoisonError::into_inner) = interfaces;
    }

    /// What comes a moment later: sockets are closed, frames that came late are sent on. To be called ten times a second or
    /// so.
    pub(crate) fn tidy(&self) -> io::Result<()> {
        for number in self.linger.close() {
            // Bytes were acknowledged that nobody can deliver: both sides are told that the connection is broken.
            self.parts.splices.set_state(number, state::FREE);
            self.torn.fetch_add(1, Relaxed);
        }
        self.parts.held.late()
    }

    /// What came of it so far.
    #[must_use]
    pub fn counts(&self) -> Vec<HandOffCount> {
        let count = |word, meaning, count: &AtomicU64| {
            let count = count.load(Relaxed);
            HandOffCount { word, meaning, count }
        };
        let kept = Kept::ALL.iter().zip(&self.kept);
        let kept = kept.map(|(kept, n)| count(kept.label(), kept.describe(), n));
        let ours = [
            count("done", "The kernel part goes on with them.", &self.done),
            count("torn", "A socket took bytes after its state was read: both sides were reset.", &self.torn),
        ];
        ours.into_iter().chain(kept).collect()
    }

    /// Connections that are translated now.
    #[must_use]
    pub fn handed_over(&self) -> u32 {
        self.parts.splices.count()
    }

    pub(super) fn counted<T>(&self, result: Result<T, Kept>) -> Result<T, Kept> {
        if let Err(kept) = &result {
            self.kept[*kept as usize].fetch_add(1, Relaxed);
        }
        result
    }

    /// The number of a backend, where connections to it leave from, and by which ports.
    pub(super) fn backend(&self, about: &Passed<'_>) -> Result<(u16, IpAddr, RangeInclusive<u16>), Kept> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let of_listener = known.backends.get(about.listener).ok_or(Kept::NoKernel)?;
        let (number, source) = of_listener.get(&about.backend).ok_or(Kept::NoKernel)?;
        Ok((*number, *source, known.ports.clone().ok_or(Kept::Ports)?))
    }

    /// The way to both sides is by interfaces of the kernel part.
    pub(super) fn ways(&self, ends: &Ends) -> Result<(), Kept> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = match &mut *routes {
            Some(socket) => socket,
            none => none.insert(Socket::open().map_err(|_| Kept::Refused)?),
        };
        let interfaces = self.interfaces.read().unwrap_or_else(PoisonError::into_inner);
        for far in ends.far() {
            let Ok(way) = route::to(socket, far) else {
                *routes = None;
                return Err(Kept::Way);
            };
            if way.local || !interfaces.contains(&way.ifindex) {
                return Err(Kept::Way);
            }
        }
        Ok(())
    }

    /// Packets of a client come in by an interface of the kernel part.
    fn way_of_client(&self, client: BorrowedFd<'_>) -> Result<(), Kept> {
        ways::of_client(client, &self.interfaces.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn now(&self) -> Result<u32, Kept> {
        clock::ticks(&self.parts.clock).map_err(|_| Kept::Refused)
    }

    fn place(&self, client: BorrowedFd<'_>, backend: BorrowedFd<'_>, about: &Passed<'_>) -> Result<(), Kept> {
        let (_, source, ports) = self.backend(about)?;
        let (_, peer) = take::addresses(client)?;
        if peer.is_ipv6() != about.backend.is_ipv6() || source.is_ipv6() != peer.is_ipv6() {
            return Err(Kept::Families);
        }
        let facts = repair::facts(client).map_err(|_| Kept::Refused)?;
        let socket = SockRef::from(&backend);
        let refused = |_: io::Error| Kept::Refused;
        // Connections to other backends may leave from the same port.
        socket.set_reuse_address(true).map_err(refused)?;
        for port in self.turns.candidates(&ports, PORTS) {
            let place = SocketAddr::new(source, port);
            if self.parts.flows.is_taken(TCP, about.backend, place).map_err(|_| Kept::Refused)? {
                continue;
            }
            match socket.bind(&place.into()) {
                Ok(()) => return socket.set_tcp_mss(u32::from(take::segment_size(&facts))).map_err(refused),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(_) => return Err(Kept::Refused),
            }
        }
        Err(Kept::Ports)
    }

    fn take(
        &self,
        [client, backend]: [BorrowedFd<'_>; 2],
        waits: [usize; 2],
        about: &Passed<'_>,
    ) -> Result<(), Kept> {
        let (id, _, ports) = self.backend(about)?;
        let ends = Ends::of(client, backend)?;
        if !ports.contains(&ends.source.port()) {
            return Err(Kept::Unprepared);
        }
        let refused = |_: io::Error| Kept::Refused;
        let facts = (repair::facts(client).map_err(refused)?, repair::facts(backend).map_err(refused)?);
        take::agree(&facts.0, &facts.1)?;
        is_quiet([client, backend], waits)?;
        self.ways(&ends)?;
        self.way_of_client(client)?;
        let sockets = [client, backend].map(|socket| socket.try_clone_to_owned());
        let [client, backend] = sockets;
        let sockets = [client.map_err(refused)?, backend.map_err(refused)?];
        let now = self.now()?;
        reach(Step::Begins);
        let number = self.parts.splices.take().ok_or(Kept::Full)?;
        let held = Splice { state: held_until(now.wrapping_add(self.ticks(HELD_FOR))), ..Splice::default() };
        self.parts.splices.write(number, &held);
        self.parts.held.begin(number);
        let taken = match self.parts.flows.enter(&ends, number, id, now) {
            Ok(()) => take_state(&sockets, waits, facts, now),
            Err(kept) => Err(kept),
        };
        let result = match taken {
            Ok((splice, expected)) => {
                self.parts.splices.write(number, &splice);
                reach(Step::Live);
                let [client, backend] = sockets;
                Ok(Sockets { number, ends: [(client, expected[0]), (backend, expected[1])] })
            }
            Err(kept) => {
                // Its packets are the host's again. The number is free once no walk finds a flow that has it.
                self.parts.splices.set_state(number, state::FREE);
                self.parts.flows.remove(&ends).map_err(|_| Kept::Refused).and(Err(kept))
            }
        };
        if self.parts.held.end(number).is_err() {
            tracing::debug!("a frame that was held could not be sent on: its sender sends it again");
        }
        let sockets = result?;
        reach(Step::Replayed);
        for (socket, _) in &sockets.ends {
            // What each side answers tells the other where it is, and what its timestamps and its window are.
            if let Err(error) = repair::probe(socket.as_fd()) {
                tracing::debug!("a peer could not be asked where it is: {error}");
            }
        }
        reach(Step::Asked);
        self.linger.keep(sockets);
        Ok(())
    }

    /// To be called before a connection to a backend is made: gives its socket, which is bound to nothing, a place to
    /// leave from, and has it ask for segments that the client can take.
    ///
    /// When connecting then says that the place is taken (`EADDRNOTAVAIL`), a new socket gets another one.
    ///
    /// # Errors
    /// It is to be connected without: it cannot be handed over later.
    pub fn prepare(
        &self,
        client: BorrowedFd<'_>,
        backend: BorrowedFd<'_>,
        about: &Passed<'_>,
    ) -> Result<(), Kept> {
        self.counted(self.place(client, backend, about))
    }

    /// Takes the connections of a client and a backend over: whoever holds the sockets closes them without a word, and nobody is
    /// told. To be called when the relay has no byte in hand. Takes some hundred microseconds, and does not wait for anybody.
    /// `waits`: bytes in the queues of the sockets that were sent on already.
    ///
    /// # Errors
    /// Both sockets are as before.
    pub fn hand_off(
        &self,
        sockets: [BorrowedFd<'_>; 2],
        waits: [usize; 2],
        about: &Passed<'_>,
    ) -> Result<(), Kept> {
        self.counted(self.take(sockets, waits, about))?;
        self.done.fetch_add(1, Relaxed);
        Ok(())
    }

    fn ticks(&self, time: Duration) -> u32 {
        (time.as_millis() as u64 * u64::from(self.parts.hz) / 1000) as u32
    }
}

/// Nothing is in a queue of either socket, but for so much that has come and was sent on already.
fn is_quiet(sockets: [BorrowedFd<'_>; 2], waits: [usize; 2]) -> Result<(), Kept> {
    let refused = |_: io::Error| Kept::Refused;
    for (socket, waits) in sockets.into_iter().zip(waits) {
        if repair::has_urgent(socket).map_err(refused)? {
            return Err(Kept::Urgent);
        }
        let unacknowledged = repair::unacknowledged(socket).map_err(refused)?;
        if unacknowledged > 0 || repair::waits(socket).map_err(refused)? != waits {
            return Err(Kept::Busy);
        }
    }
    Ok(())
}

/// Reads the state of both connections, whose packets are held. What translates between them, and the next byte that each
/// of our sockets expects; on failure both sockets are as before.
fn take_state(
    sockets: &[OwnedFd; 2],
    waits: [usize; 2],
    facts: (repair::Facts, repair::Facts),
    now: u32,
) -> Result<(Splice, [u32; 2]), Kept> {
    reach(Step::Held);
    let began = Instant::now();
    while began.elapsed() < SETTLE {
        std::hint::spin_loop();
    }
    let [client, backend] = sockets.each_ref().map(AsFd::as_fd);
    is_quiet([client, backend], waits)?;
    reach(Step::Settled);
    let result = read([client, backend], waits, facts, now);
    if result.is_err() {
        for socket in [client, backend] {
            // Each was done or not, and what was not done cannot be undone.
            let _ = repair::end(socket);
            let _ = repair::hear(socket);
        }
    }
    result
}

/// The same, on sockets that hear nothing any more: what came before that shows in their queues, and what comes after it
/// will come again.
fn read(
    [client, backend]: [BorrowedFd<'_>; 2],
    waits: [usize; 2],
    facts: (repair::Facts, repair::Facts),
    now: u32,
) -> Result<(Splice, [u32; 2]), Kept> {
    let refused = |_: io::Error| Kept::Refused;
    for socket in [client, backend] {
        repair::deafen(socket).map_err(refused)?;
        repair::begin(socket).map_err(refused)?;
    }
    reach(Step::Deaf);
    let states: (State, State) = (
        (facts.0, repair::numbers(client).map_err(refused)?),
        (facts.1, repair::numbers(backend).map_err(refused)?),
    );
    reach(Step::Read);
    let splice = take::splice(&states.0, &states.1, now)?;
    let after = (repair::facts(client).map_err(refused)?, repair::facts(backend).map_err(refused)?);
    take::agree(&after.0, &after.1)?;
    is_quiet([client, backend], waits)?;
    Ok((splice, [states.0.1.received, states.1.1.received]))
}

//! A flow from its backend to its end: datagrams both ways, by a socket of its own towards the backend.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use smallvec::SmallVec;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::time::timeout_at;

use super::decide::Passed;
use crate::l7::relay::both::End;
use crate::l7::relay::connect::key;
use crate::l7::relay::pass::{self, Outcome};
use crate::net::stream::Target;
use crate::telemetry::steering::{Open, Refused};
use crate::upstream::{Ask, Backend, Permit};

/// Backends that are tried for one flow.
const TRIES: usize = 3;
/// How long a client may take to show that it is there, after its backend has answered. Made-up ones never do.
const UNPROVED: Duration = Duration::from_secs(10);
/// How long datagrams are taken that were on their way when their flow left.
const STRAGGLERS: Duration = Duration::from_millis(200);
/// Datagrams that are taken from a backend before others have their turn.
const TURN: usize = 64;
/// The longest datagram.
pub(super) const MOST_DATAGRAM: usize = 1 << 16;

/// The side of a flow that datagrams of its client go to.
#[derive(Debug)]
pub(super) struct Carried {
    backend: RefCell<Option<UdpSocket>>,
    /// What was sent so far, as long as the backend has said nothing: for another one, if nobody is there.
    first: RefCell<Vec<Box<[u8]>>>,
    received: Cell<u64>,
    sent: Cell<u64>,
    last: Cell<Instant>,
    /// The client has written again after an answer: it is where it says.
    proved: Cell<bool>,
    /// Why it ends, if somebody else says so.
    over: Cell<Option<End>>,
    /// It may leave this process.
    leaves: Cell<bool>,
    gone: Notify,
    turned: Notify,
}

impl Carried {
    /// Of a client that has sent these.
    pub(super) fn new(first: Vec<Box<[u8]>>) -> Rc<Self> {
        Rc::new(Self {
            backend: RefCell::default(),
            received: Cell::new(first.iter().map(|datagram| datagram.len() as u64).sum()),
            first: RefCell::new(first),
            sent: Cell::new(0),
            last: Cell::new(Instant::now()),
            proved: Cell::new(false),
            over: Cell::new(None),
            leaves: Cell::new(false),
            gone: Notify::new(),
            turned: Notify::new(),
        })
    }

    /// Sends a datagram of the client's on. What cannot be sent at once is lost, as on any link. True: with it the client has
    /// proved to be there.
    pub(super) fn send(&self, datagram: &[u8]) -> bool {
        self.received.set(self.received.get() + datagram.len() as u64);
        self.last.set(Instant::now());
        let proves = self.sent.get() > 0 && !self.proved.replace(true);
        if proves {
            self.turned.notify_one();
        }
        if let Some(socket) = &*self.backend.borrow() {
            self.send_by(socket, datagram);
        }
        proves
    }

    /// The client has proved to be there.
    pub(super) fn is_proved(&self) -> bool {
        self.proved.get()
    }

    #[cfg(test)]
    pub(super) fn prove(&self) {
        self.proved.set(true);
    }

    /// Ends it.
    pub(super) fn end(&self, how: End) {
        self.over.set(Some(how));
        self.turned.notify_one();
    }

    fn send_by(&self, socket: &UdpSocket, datagram: &[u8]) {
        // By the system itself: a socket that nobody has waited for yet is not known to be ready.
        match SockRef::from(socket).send(datagram) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => self.gone.notify_one(),
            _ => {}
        }
    }

    /// Goes on with another backend, from the beginning.
    fn begin(&self, socket: UdpSocket) {
        self.first.borrow().iter().for_each(|datagram| self.send_by(&socket, datagram));
        *self.backend.borrow_mut() = Some(socket);
    }
}

/// Carries a flow to its end. `door` is the socket that its client sends to.
pub(super) async fn carry(carried: &Carried, door: &UdpSocket, buffer: &RefCell<Box<[u8]>>, passed: &Passed) {
    let Passed { about, to, .. } = passed;
    let open = Open::of(&about.crowd.steered.route(&to.route));
    let names = (&*to.route, to.pool.name().as_str());
    let mut tried: SmallVec<[Arc<Backend>; TRIES]> = SmallVec::new();
    let (permit, end) = loop {
        let permit = match connect(carried, passed, &open, &tried) {
            Ok(permit) => permit,
            Err(why) => {
                tracing::debug!(client = %about.addresses.source, route = %to.route, "a flow has no backend: {why}");
                about.crowd.steered.refused(Refused::NoBackend);
                return pass::write(about, names, None, (0, 0), Outcome::Refused(Refused::NoBackend));
            }
        };
        let end = answers(carried, door, buffer, passed, &open, permit.backend()).await;
        if end != End::BackendGone {
            break (permit, end);
        }
        to.pool.failed(permit.backend(), Instant::now());
        tried.push(Arc::clone(permit.backend()));
        if carried.sent.get() > 0 || tried.len() == TRIES {
            break (permit, end);
        }
    };
    let moved = (carried.received.get(), carried.sent.get());
    open.counts().received.fetch_add(moved.0, Ordering::Relaxed);
    open.counts().sent.fetch_add(moved.1, Ordering::Relaxed);
    pass::write(about, names, Some(permit.backend()), moved, Outcome::Passed(end));
}

/// A place at a backend, and a socket that sends to it.
fn connect(
    carried: &Carried,
    passed: &Passed,
    open: &Open,
    tried: &[Arc<Backend>],
) -> Result<Permit, Box<str>> {
    let Passed { about, to, .. } = passed;
    let web = to.pool.web();
    let ask = Ask { now: Instant::now(), key: key(&web.balance, about.addresses.source.ip()) };
    let permit = to.pool.enter(&ask, tried).map_err(|none| none.to_string())?;
    let mut permit = permit.ok_or("all connections of the pool are in use")?;
    if tried.iter().any(|tried| tried.id() == permit.backend().id()) {
        return Err("no other backend can serve".into());
    }
    if !permit.open(web.max_connections) {
        return Err("all connections of the backend are in use".into());
    }
    let Target::Tcp(address) = permit.backend().target else { return Err("no address".into()) };
    let failed = |error: io::Error| format!("{address}: {error}");
    let (socket, leaves) = socket_to(address, passed, open).map_err(failed)?;
    carried.leaves.set(leaves);
    carried.begin(socket);
    Ok(permit)
}

/// A socket that sends to a backend; and whether its flow may leave this process.
fn socket_to(address: SocketAddr, passed: &Passed, open: &Open) -> io::Result<(UdpSocket, bool)> {
    let new = || Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP));
    let mut socket = new()?;
    let mut reserved = passed.to.hand_off.as_ref().filter(|_| passed.about.listener.steer.handoff);
    if reserved.is_some() && pass::is_bound(&passed.about, &passed.to) {
        open.counts().kept(pass::LIMITED);
        reserved = None;
    }
    let reserved = reserved.map(|who| who.reserve_datagrams(socket.as_fd(), &passed.to(address)));
    if let Some(Err(kept)) = reserved {
        open.counts().kept(kept.reason);
        socket = new()?;
    }
    socket.connect(&address.into())?;
    Ok((UdpSocket::from_std(socket.into())?, matches!(reserved, Some(Ok(())))))
}

/// Hands a flow over whose client has proved to be there. False: it stays.
fn leave(carried: &Carried, passed: &Passed, open: &Open, backend: &Backend) -> bool {
    let (socket, Target::Tcp(address)) = (carried.backend.borrow(), &backend.target) else { return false };
    let (Some(socket), Some(who)) = (&*socket, &passed.to.hand_off) else { return false };
    // It is asked once: what stands against it stays so for a while.
    if !carried.leaves.replace(false) {
        return false;
    }
    match who.take_datagrams(socket.as_fd(), &passed.to(*address)) {
        Ok(()) => open.counts().handed_off.fetch_add(1, Ordering::Relaxed),
        Err(kept) => {
            open.counts().kept(kept.reason);
            return false;
        }
    };
    true
}

/// Sends the client what its backend answers, until there is nothing more.
async fn answers(
    carried: &Carried,
    door: &UdpSocket,
    buffer: &RefCell<Box<[u8]>>,
    passed: &Passed,
    open: &Open,
    backend: &Backend,
) -> End {
    let about = &passed.about;
    let limits = &about.listener.limits;
    let until = limits.relay_total.map(|total| about.started + total);
    let begun = Instant::now();
    let mut left = None;
    loop {
        let idle = match carried.proved.get() {
            _ if left.is_some() => left.unwrap_or(begun),
            true => carried.last.get() + limits.relay_idle,
            false => begun + UNPROVED,
        };
        let due = until.map_or(idle, |until| until.min(idle));
        let ready = async {
            let backend = std::future::poll_fn(|context| match &*carried.backend.borrow() {
                Some(socket) => socket.poll_recv_ready(context),
                None => std::task::Poll::Pending,
            });
            tokio::select! {
                ready = backend => ready,
                () = carried.gone.notified() => Err(io::ErrorKind::ConnectionRefused.into()),
                () = carried.turned.notified() => Ok(()),
            }
        };
        let ready = timeout_at(due.into(), ready).await;
        if let Some(how) = carried.over.get() {
            return how;
        }
        match ready {
            Ok(Ok(())) => {}
            Err(_) if left.is_some_and(|left| left <= Instant::now()) => return End::HandedOff,
            Ok(Err(_)) => return End::BackendGone,
            Err(_) if until.is_some_and(|until| until <= Instant::now()) => return End::Total,
            Err(_) if idle <= Instant::now() => return End::Idle,
            Err(_) => continue,
        }
        if left.is_none() && carried.proved.get() && leave(carried, passed, open, backend) {
            left = Some(Instant::now() + STRAGGLERS);
        }
        if about.worker.snapshot().bans.keeps_out(about.addresses.source.ip()) {
            return End::Banned;
        }
        let before = carried.sent.get();
        if !turn(carried, door, buffer, about.addresses.source) {
            return End::BackendGone;
        }
        if before == 0 && carried.sent.get() > 0 {
            passed.to.pool.answered(backend, begun.elapsed(), Instant::now());
            carried.first.take();
        }
        tokio::task::yield_now().await;
    }
}

/// Some datagrams of the backend's. False: nobody is there.
fn turn(carried: &Carried, door: &UdpSocket, buffer: &RefCell<Box<[u8]>>, client: SocketAddr) -> bool {
    let (mut buffer, backend) = (buffer.borrow_mut(), carried.backend.borrow());
    let Some(socket) = &*backend else { return true };
    for _ in 0..TURN {
        match socket.try_recv(&mut buffer) {
            Ok(bytes) => {
                carried.sent.set(carried.sent.get() + bytes as u64);
                carried.last.set(Instant::now());
                // What cannot be sent at once is lost, as on any link.
                let _ = SockRef::from(door).send_to(&buffer[..bytes], &client.into());
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return false,
            Err(_) => return true,
        }
    }
    true
}

//! Takes clients from a socket, as many as there are places.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::task::{AbortHandle, spawn_local};

use super::arrival::Arrival;
use super::crowd::ListenerCrowd;
use super::leave::Leave;
use super::limit::{ConnectionRules, deeds};
use super::refuse;
use super::tls::TlsListener;
use super::worker::{Counted, Worker};
use crate::ban::View;
use crate::config::{WebBind, WebListenerConfig};
use crate::net::epoll::{EpollListener, EpollStream};
use crate::net::listen::Listening;
use crate::net::stream::{Driver, Target};

/// When the system has no descriptor or memory left for a connection, it is asked again after this.
const BREATH: Duration = Duration::from_millis(50);
/// The client of a Unix socket.
const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A socket that clients are taken from.
#[derive(Debug)]
pub(super) struct Door {
    task: AbortHandle,
    inside: Rc<Inside>,
}

/// What the door and its task both know.
#[derive(Debug)]
struct Inside {
    worker: Rc<Worker>,
    target: Target,
    listener: EpollListener,
    leave: Rc<Leave>,
    /// What the configuration says, as it was when a client was last taken.
    known: RefCell<Option<Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    generation: u64,
    config: Arc<WebListenerConfig>,
    tls: Option<Arc<TlsListener>>,
    /// Some route looks at ClientHellos: most listeners decrypt all that comes.
    steered: bool,
    limits: Option<Arc<ConnectionRules>>,
    bans: Arc<View>,
    crowd: Arc<ListenerCrowd>,
}

impl Known {
    /// There is no place. Who wants to speak TLS understands nothing else, and a handshake is what cannot be afforded.
    fn turn_away(&self, stream: EpollStream) {
        if self.tls.is_none() {
            refuse::busy(stream);
        }
    }
}

impl Door {
    /// Begins to take clients.
    pub(super) fn open(worker: &Rc<Worker>, target: &Target, socket: Listening) -> io::Result<Self> {
        let listener = match socket {
            Listening::Tcp(socket) => EpollListener::tcp(socket)?,
            Listening::Unix(socket) => EpollListener::unix(socket)?,
            Listening::Udp(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        let inside = Rc::new(Inside {
            worker: Rc::clone(worker),
            target: target.clone(),
            listener,
            leave: Rc::default(),
            known: RefCell::default(),
        });
        // Also for who waits when the listener goes.
        inside.known();
        let task = spawn_local(Rc::clone(&inside).take_clients()).abort_handle();
        Ok(Self { task, inside })
    }

    /// Takes those who have connected already and no more, and tells all that they should end.
    pub(super) fn close(self) {
        self.task.abort();
        let mut context = Context::from_waker(Waker::noop());
        loop {
            match self.inside.worker.driver.poll_accept(&self.inside.listener, &mut context) {
                Poll::Ready(Ok((stream, peer))) => self.inside.admit(stream, peer),
                // Others wait behind it.
                Poll::Ready(Err(error)) if is_of_one_client(&error) => {}
                Poll::Ready(Err(error)) => {
                    tracing::warn!("{}: clients that wait are not served: {error}", self.inside.target);
                    break;
                }
                Poll::Pending => break,
            }
        }
        self.inside.leave.leave();
    }
}

impl Inside {
    async fn take_clients(self: Rc<Self>) {
        loop {
            match poll_fn(|context| self.worker.driver.poll_accept(&self.listener, context)).await {
                Ok((stream, peer)) => self.admit(stream, peer),
                Err(error) if is_shortage(&error) => {
                    tracing::warn!("{}: a client waits: {error}", self.target);
                    tokio::time::sleep(BREATH).await;
                }
                // The client has gone while it waited.
                Err(error) => tracing::debug!("{}: {error}", self.target),
            }
        }
    }

    /// Serves a client, if there is a place for it.
    fn admit(&self, stream: EpollStream, peer: Option<SocketAddr>) {
        let Some(known) = self.known() else { return };
        known.crowd.accepted.fetch_add(1, Ordering::Relaxed);
        if !known.config.proxy_protocol && peer.is_some_and(|peer| known.bans.keeps_out(peer.ip())) {
            // Closed, and nothing said: there is no one to talk to.
            return;
        }
        let limits = &known.config.limits;
        let mut place = match self.worker.shared.crowd.enter(&known.crowd, limits) {
            Ok(place) => place,
            Err(_) => return known.turn_away(stream),
        };
        if !known.config.proxy_protocol
            && let Some(peer) = peer
            && place.of(peer.ip(), limits).is_err()
        {
            return known.turn_away(stream);
        }
        let mut inside = None;
        if let Some(limits) = known.limits.as_ref().filter(|_| !known.config.proxy_protocol)
            && let Some(peer) = peer
        {
            match limits.connect(peer.ip(), self.worker.number) {
                Ok(place) => inside = Some(Box::new(place)),
                Err(how) => {
                    deeds::turned_away(&self.worker.snapshot().abuse, peer.ip(), &known.config);
                    return refuse::limited(stream, how);
                }
            }
        }
        let arrival = Arrival {
            peer: peer.unwrap_or(LOCAL),
            local: self.local(&stream),
            stream,
            read: BytesMut::new(),
            started: Instant::now(),
            listener: known.config,
            tls: known.tls,
            limits: known.limits,
            crowd: known.crowd,
            place,
            inside,
        };
        let (worker, leave) = (Rc::clone(&self.worker), Rc::clone(&self.leave));
        let counted = Counted::among(&worker.shared.connections);
        // Two kinds of tasks, since those that look at ClientHellos first are smaller.
        if known.steered {
            spawn_local(async move {
                arrival.serve_steered(worker, leave).await;
                drop(counted);
            });
        } else {
            spawn_local(async move {
                arrival.serve(worker, leave).await;
                drop(counted);
            });
        }
    }

    /// Where the client wanted to go: asked of the system only where the listener waits on all addresses.
    fn local(&self, stream: &EpollStream) -> SocketAddr {
        match &self.target {
            Target::Tcp(address) if !address.ip().is_unspecified() => *address,
            Target::Tcp(address) => stream.addresses().map_or(*address, |(_, ours)| ours),
            Target::Unix(_) | Target::Udp(_) => LOCAL,
        }
    }

    /// The listener as it is configured now; as it was last, if it is just going.
    fn known(&self) -> Option<Known> {
        let snapshot = self.worker.snapshot();
        let mut known = self.known.borrow_mut();
        if known.as_ref().is_none_or(|known| known.generation != snapshot.generation) {
            let binds = |listener: &&Arc<WebListenerConfig>| {
                !listener.is_quic() && listener.bind.iter().any(|bind| is_same(bind, &self.target))
            };
            let now = snapshot.listeners.iter().find(binds).map(|config| Known {
                generation: snapshot.generation,
                config: Arc::clone(config),
                tls: snapshot.tls_of(&config.name).cloned(),
                steered: snapshot.steering.of(&config.name).is_some(),
                bans: Arc::clone(&snapshot.bans),
                limits: snapshot.limits.listeners.get(&config.name).cloned(),
                crowd: self.worker.shared.crowd.listener(&config.name),
            });
            if now.is_some() {
                *known = now;
            }
        }
        known.clone()
    }
}

fn is_same(bind: &WebBind, target: &Target) -> bool {
    match (bind, target) {
        (WebBind::Tcp(bind), Target::Tcp(target)) => bind == target,
        (WebBind::Unix(bind), Target::Unix(target)) => bind == target,
        _ => false,
    }
}

/// The client that would have been next has gone: accept(2) names what is of its connection, and not of the socket.
fn is_of_one_client(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::ENETDOWN
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH
                | libc::EPERM
                | libc::EINTR
        )
    )
}

/// The process or the system has as many files as it may, or no memory.
fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_has_gone_is_told_from_a_socket_that_has() {
        let is = |code| is_of_one_client(&io::Error::from_raw_os_error(code));
        assert!(is(libc::ECONNABORTED) && is(libc::EPROTO));
        assert!(!is(libc::EBADF) && !is(libc::EINVAL) && !is(libc::EMFILE));
    }
}

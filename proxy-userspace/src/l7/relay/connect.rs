//! A connection to a backend for a client's: a place, a socket, and what is said before the client's own bytes.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;

use super::starttls;
use crate::config::{Balance, StartTls};
use crate::l7::origin::{Offer, introduce, secure};
use crate::l7::worker::Worker;
use crate::net::epoll::EpollStream;
use crate::net::proxy_protocol::{Addresses, Said};
use crate::net::stream::{Driver, Target};
use crate::upstream::{self, Ask, Backend, BackendStream, Permit, Pool};

/// Where a connection is to go, and for whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) pool: &'a Arc<Pool>,
    pub(super) addresses: Addresses,
    pub(super) said: Said<'a>,
    /// How the backend is asked for the TLS that the client begins with; none: it expects it, or none is wanted.
    pub(super) starttls: Option<StartTls>,
    /// The pool's own TLS is wanted.
    pub(super) secure: bool,
}

/// A connection to a backend. Its place is held as long as it is open.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) permit: Permit,
    pub(super) stream: BackendStream,
}

/// Connects to a backend, to another one if that fails. `prepare` sees each socket before it is connected.
pub(super) async fn connect(
    worker: &Worker,
    wanted: Wanted<'_>,
    mut prepare: impl FnMut(BorrowedFd<'_>, SocketAddr),
) -> Result<Connected, Box<str>> {
    let web = wanted.pool.web();
    let mut tried: SmallVec<[Arc<Backend>; 2]> = SmallVec::new();
    let tries = if web.retry.on_connect { web.retry.attempts + 1 } else { 1 };
    let mut last: Box<str> = "no backend of the pool can serve".into();
    for _ in 0..tries {
        let ask = Ask { now: Instant::now(), key: key(&web.balance, wanted.addresses.source.ip()) };
        let place = match wanted.pool.enter(&ask, &tried) {
            Ok(Some(permit)) => Ok(permit),
            Ok(None) => wanted.pool.wait(&ask).await,
            Err(none) => Err(none),
        };
        let mut permit = place.map_err(|none| none.to_string())?;
        let backend = Arc::clone(permit.backend());
        if !permit.open(web.max_connections) {
            last = "all connections of the backend are in use".into();
            tried.push(backend);
            continue;
        }
        let begun = Instant::now();
        let opened = tokio::time::timeout(web.connect_timeout, open(worker, &backend, wanted, &mut prepare));
        match opened.await {
            Ok(Ok(stream)) => {
                wanted.pool.answered(&backend, begun.elapsed(), Instant::now());
                return Ok(Connected { permit, stream });
            }
            Ok(Err(error)) => last = format!("{}: {error}", backend.target).into(),
            Err(_) => last = format!("{}: no connection in time", backend.target).into(),
        }
        tracing::debug!(pool = %wanted.pool.name(), "a connection cannot be relayed: {last}");
        wanted.pool.failed(&backend, Instant::now());
        tried.push(backend);
    }
    Err(last)
}

async fn open(
    worker: &Worker,
    backend: &Backend,
    wanted: Wanted<'_>,
    prepare: &mut impl FnMut(BorrowedFd<'_>, SocketAddr),
) -> io::Result<BackendStream> {
    let mut stream: EpollStream = match &backend.target {
        Target::Tcp(address) => from_a_place(worker, &backend.target, *address, prepare).await?,
        target => worker.driver.connect(target).await?,
    };
    if let Some(version) = wanted.pool.web().send_proxy_protocol {
        introduce(&mut stream, version, wanted.addresses, wanted.said).await?;
    }
    if let Some(how) = wanted.starttls {
        starttls::ask(&mut stream, how).await?;
    }
    if !wanted.secure {
        return Ok(BackendStream::Clear(stream));
    }
    secure(stream, backend, Offer::Http1).await.map_err(io::Error::other)
}

/// Sockets that are tried before one connects from wherever the host says.
const PLACES: usize = 3;

/// Connects from the place that `prepare` gave the socket. Somebody may have it: a connection that is just over keeps its
/// place for a minute.
async fn from_a_place(
    worker: &Worker,
    target: &Target,
    address: SocketAddr,
    prepare: &mut impl FnMut(BorrowedFd<'_>, SocketAddr),
) -> io::Result<EpollStream> {
    for _ in 0..PLACES {
        match worker.driver.connect_prepared(address, |socket| prepare(socket, address)).await {
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {}
            done => return done,
        }
    }
    worker.driver.connect(target).await
}

/// What a pool that is balanced by a key takes of a connection: there is nothing but its client.
pub(in crate::l7) fn key(balance: &Balance, client: IpAddr) -> u64 {
    match (balance, client.to_canonical()) {
        (Balance::Maglev(_), IpAddr::V4(ip)) => upstream::key(&ip.octets()),
        (Balance::Maglev(_), IpAddr::V6(ip)) => upstream::key(&ip.octets()),
        _ => 0,
    }
}

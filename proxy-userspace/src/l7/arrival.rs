//! A client that has just come: whose connection it is (PROXY protocol), and what it speaks: as it agrees to by TLS, or by
//! its first bytes.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::{Buf, BytesMut};
use tokio::time::timeout_at;

use super::crowd::{ListenerCrowd, Place};
use super::leave::Leave;
use super::limit::deeds::{self, Watched};
use super::limit::{ConnectionRules, Inside, TurnedAway};
use super::relay::pass::{Decrypted, Onward, pass};
use super::relay::steer::{Comer, Decrypt, steer};
use super::request::Connection;
use super::tls::handshake::{Terms, shake};
use super::tls::{TlsInfo, TlsListener};
use super::worker::Worker;
use super::{h1, h2, refuse};
use crate::config::WebListenerConfig;
use crate::net::buffers;
use crate::net::proxy_protocol::{self, Addresses, NoHeader};
use crate::net::stream::Stream;
use crate::route::Hello;
use crate::telemetry::abuse::Deed;
use crate::telemetry::handshakes::{Alpn, Failure};
use crate::telemetry::hellos::Decided;

/// How an HTTP/2 connection with prior knowledge begins (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A client that has just come.
#[derive(Debug)]
pub(super) struct Arrival<S> {
    pub(super) stream: S,
    /// What it has said already.
    pub(super) read: BytesMut,
    pub(super) started: Instant,
    /// Who connected: perhaps a proxy.
    pub(super) peer: SocketAddr,
    /// What was connected to.
    pub(super) local: SocketAddr,
    pub(super) listener: Arc<WebListenerConfig>,
    /// What TLS with it goes by; none: it speaks without.
    pub(super) tls: Option<Arc<TlsListener>>,
    pub(super) crowd: Arc<ListenerCrowd>,
    /// Its limits, if there are any.
    pub(super) limits: Option<Arc<ConnectionRules>>,
    /// Held until it goes.
    pub(super) place: Place,
    /// Likewise.
    pub(super) inside: Option<Box<Inside>>,
}

/// Who has gone before it has said what it speaks.
enum Gone {
    /// It has closed, or its connection broke. Nobody is there to be told.
    Closed,
    /// Its PROXY protocol header is wrong, or missing.
    NoHeader,
}

/// How a client goes for which there is no place.
#[derive(Clone, Copy)]
enum Away {
    /// It has gone, or nobody knows who it is.
    Silently,
    /// It may come again.
    Busy,
    /// It is more than a limit lets in.
    Limited(TurnedAway),
}

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

impl<S: Stream> Arrival<S> {
    /// Serves it until it goes.
    pub(super) async fn serve(mut self, worker: Rc<Worker>, leave: Rc<Leave>) {
        if let Err(how) = self.enter(&worker).await {
            return self.turn_away(how);
        }
        match self.tls.take() {
            // Has a place of its own, so that connections in the clear, which are smaller, need none for it.
            Some(tls) => Box::pin(self.serve_tls(&tls, (None, None), worker, &leave)).await,
            None => self.serve_plain(worker, &leave).await,
        }
    }

    /// Serves a client whose ClientHello is looked at until it goes: a task of its own, since many of these say little.
    pub(super) async fn serve_steered(mut self, worker: Rc<Worker>, leave: Rc<Leave>) {
        if let Err(how) = self.enter(&worker).await {
            return self.turn_away(how);
        }
        let Some(tls) = self.tls.take() else { return };
        let Self { stream, read, started, peer, local, listener, limits, crowd, place, inside, .. } = self;
        let comer = Comer {
            stream,
            read,
            started,
            peer,
            local,
            listener: Arc::clone(&listener),
            tls: Arc::clone(&tls),
            crowd: Arc::clone(&crowd),
            limits: limits.clone(),
        };
        let Some(Decrypt { stream, read, known, onward }) = steer(comer, &worker).await else { return };
        let decrypted =
            Self { stream, read, started, peer, local, listener, tls: None, crowd, limits, place, inside };
        Box::pin(decrypted.serve_tls(&tls, (known, onward), worker, &leave)).await;
    }

    /// Whether there is a place for it, once it is known who it is: a handshake is worth something.
    async fn enter(&mut self, worker: &Worker) -> Result<(), Away> {
        if self.listener.proxy_protocol {
            if !self.is_known().await {
                return Err(Away::Silently);
            }
            // A client behind a proxy is counted once it is known.
            if self.place.of(self.peer.ip(), &self.listener.limits).is_err() {
                return Err(Away::Busy);
            }
            if let Some(limits) = &self.limits {
                match limits.connect(self.peer.ip(), worker.number) {
                    Ok(place) => self.inside = Some(Box::new(place)),
                    Err(how) => {
                        deeds::turned_away(&worker.snapshot().abuse, self.peer.ip(), &self.listener);
                        return Err(Away::Limited(how));
                    }
                }
            }
        }
        if self.tls.is_some()
            && let Some(Err(how)) =
                self.limits.as_deref().map(|it| it.handshake(self.peer.ip(), worker.number))
        {
            self.crowd.handshakes.failed(Failure::Limited);
            deeds::turned_away(&worker.snapshot().abuse, self.peer.ip(), &self.listener);
            return Err(Away::Limited(how));
        }
        Ok(())
    }

    fn turn_away(self, how: Away) {
        match how {
            // Who wants to speak TLS understands nothing else.
            Away::Busy if self.tls.is_none() => refuse::busy(self.stream),
            Away::Limited(how) => refuse::limited(self.stream, how),
            Away::Busy | Away::Silently => {}
        }
    }

    async fn serve_plain(mut self, worker: Rc<Worker>, leave: &Rc<Leave>) {
        // One that has said nothing is told nothing.
        let Ok(Ok(http2)) = timeout_at(self.due(), self.first_bytes()).await else { return };
        let Self { stream, read, started, peer, local, listener, place, inside, .. } = self;
        let watched = Watched::of(&worker.snapshot().abuse, peer.ip(), &listener);
        let connection = connection(listener, peer, local, None);
        if http2 {
            let attacked = h2::serve(stream, read, connection, worker, leave).await;
            told(watched.filter(|_| attacked));
        } else {
            h1::server::serve(stream, read, started, connection, worker, leave).await;
        }
        drop((place, inside));
    }

    async fn serve_tls(
        self,
        tls: &Arc<TlsListener>,
        (known, onward): (Option<Box<Hello>>, Onward),
        worker: Rc<Worker>,
        leave: &Rc<Leave>,
    ) {
        let Self { stream, read, started, peer, local, listener, limits, crowd, place, inside, .. } = self;
        let rules = limits.as_deref();
        // What was steered has been told of.
        let steered = known.is_some();
        let watched = Watched::of(&worker.snapshot().abuse, peer.ip(), &listener);
        let terms = Terms {
            listener: tls,
            client: peer,
            local,
            since: started,
            time: listener.limits.header_timeout,
            counts: &crowd.handshakes,
            watched: watched.as_ref(),
            limits: rules.and_then(ConnectionRules::hellos).map(|rules| (rules, worker.number)),
        };
        // Beside the connection's own state: it is large, and soon over.
        let Some((stream, info)) = Box::pin(shake(stream, read, known, terms)).await else { return };
        if let Some(onward) = onward {
            let (about, to) = *onward;
            let decrypted = Decrypted::of(&info);
            return Box::pin(pass(stream, BytesMut::new(), about, to, Some(decrypted))).await;
        }
        let http2 = info.agreed.alpn == Alpn::H2;
        if !steered {
            worker.shared.crowd.hellos.tell(|| Decided {
                listener: listener.name.as_str().into(),
                client: peer,
                name: info.sni().unwrap_or_default().into(),
                alpn: Some(if http2 { "h2" } else { "http/1.1" }.into()),
                version: 0,
                decision: "terminated",
                reason: None,
                route: Box::default(),
            });
        }
        let connection = connection(listener, peer, local, Some(Box::new(info)));
        if http2 {
            let attacked = h2::serve(stream, BytesMut::new(), connection, worker, leave).await;
            told(watched.filter(|_| attacked));
        } else {
            h1::server::serve(stream, BytesMut::new(), Instant::now(), connection, worker, leave).await;
        }
        drop((place, inside));
    }

    fn due(&self) -> tokio::time::Instant {
        (self.started + self.listener.limits.header_timeout).into()
    }

    /// Whether it is known who it is, by what a proxy says.
    async fn is_known(&mut self) -> bool {
        match timeout_at(self.due(), self.proxy_protocol()).await {
            Ok(Ok(())) => true,
            Ok(Err(Gone::NoHeader)) => {
                self.crowd.refused_proxy.fetch_add(1, Ordering::Relaxed);
                false
            }
            // One that has said nothing is told nothing.
            Ok(Err(Gone::Closed)) | Err(_) => false,
        }
    }

    /// Whether it speaks HTTP/2.
    async fn first_bytes(&mut self) -> Result<bool, Gone> {
        if !self.listener.http2 {
            return Ok(false);
        }
        loop {
            let seen = self.read.len().min(PREFACE.len());
            if self.read[..seen] != PREFACE[..seen] {
                return Ok(false);
            }
            if seen == PREFACE.len() {
                return Ok(true);
            }
            self.read_more().await?;
        }
    }

    /// Takes the header that a proxy has put before everything else. Only a trusted one is believed.
    async fn proxy_protocol(&mut self) -> Result<(), Gone> {
        loop {
            self.read_more().await?;
            match proxy_protocol::read(&self.read) {
                Ok(header) => {
                    self.read.advance(header.length);
                    if let Some(Addresses { source, destination }) = header.addresses
                        && is_trusted(&self.listener, self.peer)
                    {
                        (self.peer, self.local) = (source, destination);
                    }
                    return Ok(());
                }
                Err(NoHeader::Incomplete) => {}
                Err(why) => {
                    tracing::debug!(listener = %self.listener.name, peer = %self.peer, "connection refused: {why}");
                    return Err(Gone::NoHeader);
                }
            }
        }
    }

    async fn read_more(&mut self) -> Result<(), Gone> {
        // A buffer only for who has something to say.
        poll_fn(|context| self.stream.poll_readable(context)).await?;
        buffers::room(&mut self.read);
        match poll_fn(|context| self.stream.poll_read(context, &mut self.read)).await? {
            0 => Err(Gone::Closed),
            _ => Ok(()),
        }
    }
}

/// Tells of an attack.
fn told(attacker: Option<Watched>) {
    if let Some(attacker) = attacker {
        attacker.did(Deed::H2Attack);
    }
}

fn connection(
    listener: Arc<WebListenerConfig>,
    client: SocketAddr,
    local: SocketAddr,
    tls: Option<Box<TlsInfo>>,
) -> Rc<Connection> {
    let trusted = is_trusted(&listener, client);
    Rc::new(Connection { listener, client, local, trusted, tls })
}

fn is_trusted(listener: &WebListenerConfig, client: SocketAddr) -> bool {
    listener.trusted_proxies.iter().any(|proxies| proxies.contains(&client.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::epoll::EpollStream;

    /// Bytes of what such a function gives.
    fn size<F>(_: impl FnOnce(Arrival<EpollStream>, Rc<Worker>, Rc<Leave>) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_client_whose_hello_is_looked_at_takes_little_memory() {
        let steered = size(|arrival, worker, leave| arrival.serve_steered(worker, leave));
        assert!(steered <= 4096, "{steered}");
    }
}

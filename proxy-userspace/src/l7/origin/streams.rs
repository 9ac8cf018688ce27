//! The HTTP/2 connections of one worker to one backend. Each carries many requests; one more is opened when all are
//! full.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::SendStream;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Mutex, Notify};

use super::tokio_stream::TokioStream;
use super::unanswered::Unanswered;
use super::unconnected::Unconnected;
use crate::net::epoll::EpollStream;
use crate::upstream::{BackendStream, STREAMS, Slot};

/// What one stream may send before it is read. Small enough that all streams of a connection together cannot fill the
/// connection's window: a client that does not read holds up nobody else.
const STREAM_WINDOW: u32 = 128 << 10;
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * STREAMS;
/// What one stream may hold that the backend does not take.
const SEND_BUFFER: usize = 64 << 10;
const HEADER_LIST: u32 = 128 << 10;

/// The connections.
#[derive(Debug, Default)]
pub(super) struct Streams {
    connections: RefCell<Vec<Rc<Shared>>>,
    /// Held by who opens one: others wait whether that one is enough.
    pub(super) opening: Mutex<()>,
    /// A stream has ended.
    pub(super) freed: Notify,
}

/// A connection.
struct Shared {
    sender: RefCell<SendRequest<Bytes>>,
    /// Streams that are open.
    busy: Cell<u32>,
    /// How many there may be.
    most: Cell<u32>,
    /// Gets no new ones: it did not answer in time.
    suspect: Cell<bool>,
    /// Since when there is none.
    idle: Cell<Instant>,
    /// The peer has said how many there may be, or is gone.
    settled: Notify,
    streams: Weak<Streams>,
}

/// One stream of a connection.
#[derive(Debug)]
pub(super) struct Stream(Rc<Shared>);

impl Streams {
    /// Whether there is no connection.
    pub(super) fn is_empty(&self) -> bool {
        self.connections.borrow().is_empty()
    }

    /// A stream of a connection that has room: of the fullest, so that others become idle.
    pub(super) fn free(&self) -> Option<Stream> {
        let connections = self.connections.borrow();
        let usable = |shared: &&Rc<Shared>| shared.busy.get() < shared.most.get() && !shared.suspect.get();
        let shared = connections.iter().filter(usable).max_by_key(|shared| shared.busy.get())?;
        shared.busy.set(shared.busy.get() + 1);
        Some(Stream(Rc::clone(shared)))
    }

    /// A stream of the connection that was added last, which nobody else shall use.
    pub(super) fn last(&self) -> Option<Stream> {
        let shared = self.connections.borrow_mut().pop()?;
        shared.busy.set(1);
        Some(Stream(shared))
    }

    /// Speaks HTTP/2 on a new connection. It is closed when it was idle for `keepalive`.
    pub(super) async fn add(
        self: &Rc<Self>,
        stream: BackendStream,
        slot: Slot,
        keepalive: Duration,
    ) -> Result<(), Unconnected> {
        match stream {
            BackendStream::Clear(EpollStream::Tcp(stream)) => self.begin(stream, slot, keepalive).await,
            stream => self.begin(TokioStream::new(stream), slot, keepalive).await,
        }
    }

    async fn begin<T>(self: &Rc<Self>, io: T, slot: Slot, keepalive: Duration) -> Result<(), Unconnected>
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let mut client = Builder::new();
        client
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(SEND_BUFFER)
            .max_header_list_size(HEADER_LIST)
            .enable_push(false)
            // None before the peer's SETTINGS: streams above its limit would be refused (RFC 9113 §5.1.2).
            .initial_max_send_streams(0);
        let (sender, connection) = client.handshake(io).await.map_err(|_| Unconnected::NoHttp2)?;
        let shared = Rc::new(Shared {
            sender: RefCell::new(sender),
            busy: Cell::new(0),
            most: Cell::new(0),
            suspect: Cell::new(false),
            idle: Cell::new(Instant::now()),
            settled: Notify::new(),
            streams: Rc::downgrade(self),
        });
        tokio::task::spawn_local(drive(connection, Rc::downgrade(&shared), slot, keepalive));
        shared.settled.notified().await;
        if shared.most.get() == 0 {
            return Err(Unconnected::NoHttp2);
        }
        self.connections.borrow_mut().push(shared);
        Ok(())
    }

    fn remove(&self, gone: &Weak<Shared>) {
        self.connections.borrow_mut().retain(|shared| !std::ptr::eq(Rc::as_ptr(shared), gone.as_ptr()));
    }
}

/// Moves a connection's bytes until it ends. When nobody holds its sender any more, it says so and ends by itself.
async fn drive<T>(mut connection: Connection<T, Bytes>, shared: Weak<Shared>, slot: Slot, keepalive: Duration)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut tick = tokio::time::interval(keepalive.max(Duration::from_millis(100)) / 4);
    let ended = poll_fn(|context| {
        while tick.poll_tick(context).is_ready() {
            let idle =
                |shared: &Rc<Shared>| shared.busy.get() == 0 && shared.idle.get().elapsed() >= keepalive;
            if let Some(over) = shared.upgrade().filter(idle) {
                over.leave();
            }
        }
        let ended = Pin::new(&mut connection).poll(context);
        if let (Poll::Pending, Some(shared)) = (&ended, shared.upgrade()) {
            let most = u32::try_from(connection.max_concurrent_send_streams()).unwrap_or(STREAMS);
            shared.allow(most.min(STREAMS));
            shared.heed(context);
        }
        ended
    })
    .await;
    if let Err(error) = ended {
        tracing::debug!("connection to a backend: {error}");
    }
    drop(slot);
    if let Some(shared) = shared.upgrade() {
        shared.leave();
        shared.settled.notify_one();
        // Who waits for a stream may open a connection now.
        if let Some(streams) = shared.streams.upgrade() {
            streams.freed.notify_waiters();
        }
    }
}

impl Shared {
    /// So many streams there may be. Who waits for one is told if these are more than before.
    fn allow(&self, most: u32) {
        let before = self.most.replace(most);
        if before == 0 && most > 0 {
            self.settled.notify_one();
        }
        if let Some(streams) = self.streams.upgrade().filter(|_| before < most) {
            streams.freed.notify_waiters();
        }
    }

    /// A backend that has said that it will leave (GOAWAY) gets no new streams.
    fn heed(self: &Rc<Self>, context: &mut Context<'_>) {
        // Ready with what is wrong, or that nothing is: this sender never waits for a stream of its own.
        if matches!(self.sender.borrow_mut().poll_ready(context), Poll::Ready(Err(_))) {
            self.leave();
        }
    }

    /// It gets no new streams.
    fn leave(self: &Rc<Self>) {
        if let Some(streams) = self.streams.upgrade() {
            streams.remove(&Rc::downgrade(self));
        }
    }
}

impl Stream {
    /// Sends a request's head. What follows it goes into what this gives, unless it has `ended`.
    pub(super) fn send(
        &self,
        head: http::Request<()>,
        ended: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), Unanswered> {
        let mut sender = self.0.sender.borrow().clone();
        sender.send_request(head, ended).map_err(|error| {
            if error.is_io() || error.is_go_away() || error.is_reset() {
                // The connection has ended since it was looked at.
                self.0.leave();
                Unanswered::Unprocessed
            } else {
                Unanswered::Request
            }
        })
    }

    /// The backend takes extended CONNECT (RFC 8441 §3).
    pub(super) fn has_tunnels(&self) -> bool {
        self.0.sender.borrow().is_extended_connect_protocol_enabled()
    }

    /// The connection does not answer: it gets no new streams.
    pub(super) fn suspect(&self) {
        self.0.suspect.set(true);
        self.0.leave();
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.busy.set(self.0.busy.get() - 1);
        if self.0.busy.get() == 0 {
            self.0.idle.set(Instant::now());
        }
        if let Some(streams) = self.0.streams.upgrade() {
            streams.freed.notify_one();
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("busy", &self.busy).field("most", &self.most).finish_non_exhaustive()
    }
}

//! The HTTP/2 connections of one worker to one backend. Each carries many requests; one more is opened when all are
//! full.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};

use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper::rt::{Executor, Read, Write};
use hyper_util::rt::TokioIo;
use tokio::sync::{Mutex, Notify};
use tokio::time::MissedTickBehavior;

use super::tokio_stream::TokioStream;
use super::unconnected::Unconnected;
use super::upload::Upload;
use crate::net::epoll::EpollStream;
use crate::upstream::{BackendStream, STREAMS, Slot};

/// What one stream may send before it is read. Small enough that all streams of a connection together cannot fill the
/// connection's window: a client that does not read holds up nobody else.
const STREAM_WINDOW: u32 = 128 << 10;
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * STREAMS;
/// What one stream may hold that the backend does not take.
const SEND_BUFFER: usize = 64 << 10;
const HEADER_LIST: u32 = 128 << 10;
/// How soon the peer's first SETTINGS are looked for again.
const LOOK: Duration = Duration::from_millis(1);

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
#[derive(Debug)]
struct Shared {
    sender: SendRequest<Upload>,
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
        let usable = |shared: &&Rc<Shared>| {
            shared.busy.get() < shared.most.get() && !shared.suspect.get() && !shared.sender.is_closed()
        };
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
            BackendStream::Clear(EpollStream::Tcp(stream)) => {
                self.begin(TokioIo::new(stream), slot, keepalive).await
            }
            stream => self.begin(TokioIo::new(TokioStream::new(stream)), slot, keepalive).await,
        }
    }

    async fn begin<T>(self: &Rc<Self>, io: T, slot: Slot, keepalive: Duration) -> Result<(), Unconnected>
    where
        T: Read + Write + Unpin + 'static,
    {
        let mut client = Builder::new(Local);
        client
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(HEADER_LIST)
            // None before the peer's SETTINGS: streams above its limit would be refused (RFC 9113 §5.1.2).
            .initial_max_send_streams(0);
        let (sender, connection) = client.handshake(io).await.map_err(|_| Unconnected::NoHttp2)?;
        let shared = Rc::new(Shared {
            sender,
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
async fn drive<T>(
    connection: Connection<T, Upload, Local>,
    shared: Weak<Shared>,
    _slot: Slot,
    keepalive: Duration,
) where
    T: Read + Write + Unpin + 'static,
{
    let mut connection = pin!(connection);
    let mut tick = tokio::time::interval(keepalive.max(Duration::from_millis(100)) / 4);
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ended = poll_fn(|context| {
        while tick.poll_tick(context).is_ready() {
            let idle =
                |shared: &Rc<Shared>| shared.busy.get() == 0 && shared.idle.get().elapsed() >= keepalive;
            if let Some(over) = shared.upgrade().filter(idle) {
                over.leave();
            }
        }
        let ended = connection.as_mut().poll(context);
        if let (Poll::Pending, Some(shared)) = (&ended, shared.upgrade()) {
            let most = u32::try_from(connection.current_max_send_streams()).unwrap_or(STREAMS);
            shared.allow(most.min(STREAMS));
            // Frames come in by a task of hyper's own, which does not say that the peer's SETTINGS were among them.
            while most == 0 && look.poll_tick(context).is_ready() {}
        }
        ended
    })
    .await;
    if let Err(error) = ended {
        tracing::debug!("connection to a backend: {error}");
    }
    if let Some(shared) = shared.upgrade() {
        shared.leave();
        shared.settled.notify_one();
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

    /// It gets no new streams.
    fn leave(self: &Rc<Self>) {
        if let Some(streams) = self.streams.upgrade() {
            streams.remove(&Rc::downgrade(self));
        }
    }
}

impl Stream {
    /// What sends the request.
    pub(super) fn sender(&self) -> SendRequest<Upload> {
        self.0.sender.clone()
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

/// Runs what hyper spawns on this thread.
#[derive(Clone, Copy, Debug)]
struct Local;

impl<F: Future<Output = ()> + 'static> Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

//! One backend of a pool: what is known of it, its connections, and the right to send it a request. Outlives reloads.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::budget::Budget;
use super::eject::Ejection;
use super::latency::{FAILURE, Latency};
use super::queue::Queue;
use super::shelf::Shelf;
use super::spoken::Spoken;
use super::stream::BackendStream;
use super::tls::{BackendTls, Identity};
use crate::config::{PoolName, ProxyProtocolVersion};
use crate::net::deadline::Deadline;
use crate::net::stream::{Stream, Target};

/// A connection to a backend, and the timer that it keeps from one exchange to the next.
#[derive(Debug)]
pub struct Wire {
    /// The connection.
    pub stream: BackendStream,
    /// Its timer, of the thread that the connection belongs to.
    pub deadline: Deadline,
}

/// What all configurations of a pool have in common: it is the same as long as its name is.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: PoolName,
    /// Those who wait for a place at one of its backends.
    pub(super) queue: Queue<Permit>,
    /// Retries under way.
    pub(super) budget: Budget,
    /// Whose turn it is.
    pub(super) turn: AtomicU32,
    /// Rises whenever somebody can serve, or cannot any more.
    pub(super) changes: AtomicU32,
    backends: Mutex<HashMap<Way, Weak<Backend>>>,
    workers: usize,
    epoch: Instant,
    /// Seconds since the epoch, moved on by [`Group::expire`]: idle connections are timed without a look at the clock.
    second: AtomicU32,
}

impl Group {
    /// A pool with this name, for this many workers.
    pub(super) fn new(name: PoolName, workers: usize) -> Self {
        Self {
            name,
            queue: Queue::default(),
            budget: Budget::default(),
            turn: AtomicU32::new(0),
            changes: AtomicU32::new(0),
            backends: Mutex::default(),
            workers,
            epoch: Instant::now(),
            second: AtomicU32::new(0),
        }
    }

    /// The backend there: the one that is known, or a new one.
    pub(super) fn backend(
        self: &Arc<Self>,
        target: &Target,
        introduced: Option<ProxyProtocolVersion>,
        tls: Option<&BackendTls>,
    ) -> Arc<Backend> {
        let way = Way { target: target.clone(), introduced, tls: tls.map(BackendTls::identity).cloned() };
        let mut backends = self.backends.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(backend) = backends.get(&way).and_then(Weak::upgrade) {
            return backend;
        }
        backends.retain(|_, backend| backend.strong_count() > 0);
        let backend = Arc::new(Backend::new(target.clone(), tls.cloned(), self));
        backends.insert(way, Arc::downgrade(&backend));
        backend
    }

    /// Closes idle connections whose time is over, and those that their backend has closed.
    pub(super) fn expire(&self, now: Instant) {
        let second = now.saturating_duration_since(self.epoch).as_secs() as u32;
        self.second.store(second, Ordering::Relaxed);
        let backends: Vec<_> = {
            let backends = self.backends.lock().unwrap_or_else(PoisonError::into_inner);
            backends.values().filter_map(Weak::upgrade).collect()
        };
        for backend in backends {
            let gone = backend.shelf.expire(second, |wire| !wire.stream.is_quiet());
            backend.open.fetch_sub(gone.len() as u32, Ordering::Relaxed);
        }
    }

    /// Somebody can serve, or cannot any more.
    pub(super) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Milliseconds since the group began, as latencies count them.
    pub(super) fn ms(&self, now: Instant) -> u32 {
        now.saturating_duration_since(self.epoch).as_millis() as u32
    }
}

/// How a backend is reached. Connections of one way are none of another: who changes one begins anew with it.
#[derive(PartialEq, Eq, Hash, Debug)]
struct Way {
    target: Target,
    introduced: Option<ProxyProtocolVersion>,
    tls: Option<Identity>,
}

/// One backend.
#[derive(Debug)]
pub struct Backend {
    /// Where it is.
    pub target: Target,
    /// Connections begin with it.
    pub tls: Option<BackendTls>,
    /// What the last connection that had the choice agreed on: 0 if there was none, else 1 or 2.
    spoken: AtomicU8,
    /// The hash of what TLS last failed by; 0: it did not.
    trouble: AtomicU64,
    /// No other has the same, now or later.
    pub(super) id: u64,
    pub(super) group: Arc<Group>,
    /// Requests in flight, of all workers.
    busy: AtomicU32,
    /// Connections, idle ones too, of all workers.
    open: AtomicU32,
    pub(super) latency: Latency,
    pub(super) ejection: Ejection,
    /// Checks say that it does not answer.
    down: AtomicBool,
    shelf: Shelf<Wire>,
}

impl Backend {
    fn new(target: Target, tls: Option<BackendTls>, group: &Arc<Group>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            target,
            tls,
            spoken: AtomicU8::new(0),
            trouble: AtomicU64::new(0),
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            busy: AtomicU32::new(0),
            open: AtomicU32::new(0),
            latency: Latency::unknown(group.ms(Instant::now())),
            ejection: Ejection::default(),
            down: AtomicBool::new(false),
            shelf: Shelf::new(group.workers),
            group: Arc::clone(group),
        }
    }

    /// Requests in flight.
    pub fn busy(&self) -> u32 {
        self.busy.load(Ordering::Relaxed)
    }

    /// Connections, idle ones too.
    pub fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    /// Connections that nobody uses just now.
    pub fn idle(&self) -> usize {
        self.shelf.len()
    }

    /// No other backend has the same, now or later.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What the last connection that had the choice agreed on.
    pub fn spoken(&self) -> Option<Spoken> {
        match self.spoken.load(Ordering::Relaxed) {
            1 => Some(Spoken::Http1),
            2 => Some(Spoken::Http2),
            _ => None,
        }
    }

    /// A connection has agreed on this.
    pub fn speaks(&self, spoken: Spoken) {
        let number = match spoken {
            Spoken::Http1 => 1,
            Spoken::Http2 => 2,
        };
        self.spoken.store(number, Ordering::Relaxed);
    }

    /// A handshake has failed. It is said once, until another one fails differently or succeeds.
    pub fn refused(&self, why: &impl fmt::Display) {
        let why = why.to_string();
        let mut hasher = DefaultHasher::new();
        why.hash(&mut hasher);
        let hash = hasher.finish() | 1;
        if self.trouble.swap(hash, Ordering::Relaxed) != hash {
            tracing::warn!(pool = %self.group.name, backend = %self.target, "TLS with the backend fails: {why}");
        }
    }

    /// A handshake has succeeded.
    pub fn accepted(&self) {
        if self.trouble.load(Ordering::Relaxed) != 0 && self.trouble.swap(0, Ordering::Relaxed) != 0 {
            tracing::info!(pool = %self.group.name, backend = %self.target, "TLS with the backend succeeds again");
        }
    }

    /// The right to one more connection that is no single request's: if there are fewer than `most`, or
    /// `in_any_case`.
    pub fn slot(self: &Arc<Self>, most: u32, in_any_case: bool) -> Option<Slot> {
        let more = |open| (in_any_case || open < most).then_some(open + 1);
        let counted = self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        counted.then(|| Slot(Arc::clone(self)))
    }

    /// Whether checks say that it answers. Without checks it is taken to.
    pub fn is_up(&self) -> bool {
        !self.down.load(Ordering::Relaxed)
    }

    /// What checks say. True if that is news.
    pub(super) fn set_up(&self, up: bool) -> bool {
        self.down.swap(!up, Ordering::Relaxed) == up
    }

    /// The right to send a request, if fewer than `most` are in flight.
    pub(super) fn enter(self: &Arc<Self>, most: u32) -> Option<Permit> {
        // Ordered with the look into the queue of who leaves: see `Queue::is_empty`.
        if self.busy.fetch_add(1, Ordering::SeqCst) < most {
            return Some(Permit { backend: Arc::clone(self), most, connected: false, serve: true });
        }
        self.busy.fetch_sub(1, Ordering::SeqCst);
        None
    }

    /// A request was answered, `took` after it was sent.
    pub(super) fn answered(&self, took: Duration, now: Instant) {
        self.latency.observe(took, self.group.ms(now));
        self.ejection.succeeded();
    }

    /// A request failed. Gives the failures in a row.
    pub(super) fn failed(&self, now: Instant) -> u32 {
        self.latency.observe(FAILURE, self.group.ms(now));
        self.ejection.failed()
    }
}

/// The right to a connection that many requests share.
#[derive(Debug)]
pub struct Slot(Arc<Backend>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The right to have one request in flight at a backend, and to have a connection for it. Dropping it gives it to the
/// next who waits.
#[derive(Debug)]
pub struct Permit {
    backend: Arc<Backend>,
    most: u32,
    /// A connection of this permit's is counted in `open`.
    connected: bool,
    /// Those who wait are looked after when it is dropped.
    serve: bool,
}

impl Permit {
    /// Of which backend.
    pub fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }

    /// An idle connection of this worker's that is still there.
    pub fn idle(&mut self, worker: usize) -> Option<Wire> {
        debug_assert!(!self.connected, "one connection a permit");
        while let Some(mut wire) = self.backend.shelf.take(worker) {
            if wire.stream.is_quiet() {
                self.connected = true;
                return Some(wire);
            }
            self.backend.open.fetch_sub(1, Ordering::Relaxed);
        }
        None
    }

    /// An idle connection of another worker's, which may have been closed meanwhile. It still belongs to that worker's
    /// thread.
    pub fn borrowed(&mut self, worker: usize) -> Option<Wire> {
        let wire = self.backend.shelf.steal(worker)?;
        self.connected = true;
        Some(wire)
    }

    /// Whether one more connection may be opened beside fewer than `most`; if so it is counted. If not, there is an idle
    /// one somewhere, or one about to be.
    pub fn open(&mut self, most: u32) -> bool {
        let more = |open| (open < most).then_some(open + 1);
        self.connected = self.backend.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        self.connected
    }

    /// The connection is gone; the right to another one stays.
    pub fn closed(&mut self) {
        if std::mem::take(&mut self.connected) {
            self.backend.open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Keeps the connection for the next request, for so many seconds, if the worker has fewer than `most` of them.
    pub fn park(mut self, worker: usize, wire: Wire, seconds: u32, most: usize) {
        let until =
            self.backend.group.second.load(Ordering::Relaxed).saturating_add(seconds).saturating_add(1);
        // Before the permit is given back: who then finds no room for a connection finds this one.
        if self.connected && self.backend.shelf.put(worker, wire, until, most).is_none() {
            self.connected = false;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.closed();
        self.backend.busy.fetch_sub(1, Ordering::SeqCst);
        let group = &self.backend.group;
        if self.serve
            && !group.queue.is_empty()
            && let Some(permit) = self.backend.enter(self.most)
            && let Some(mut nobody) = group.queue.give(self.backend.id, permit)
        {
            nobody.serve = false;
        }
    }
}

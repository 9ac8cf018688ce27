//! What one worker has: its own, used by its thread alone, and what it shares with the others.

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use super::crowd::Crowd;
use super::middleware::LocalService;
use super::snapshot::Snapshot;
use crate::net::epoll::Epoll;

/// What all workers share.
#[derive(Debug)]
pub struct Shared {
    /// Of the snapshot in force: what a worker looks at for each request.
    generation: AtomicU64,
    snapshot: ArcSwap<Snapshot>,
    /// Who is in.
    pub crowd: Arc<Crowd>,
    /// Orders that workers have not obeyed yet.
    pub orders: AtomicU64,
    /// Connections of clients, of all workers.
    pub connections: AtomicU64,
}

impl Shared {
    /// Serves by this.
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        Self {
            generation: AtomicU64::new(snapshot.generation),
            snapshot: ArcSwap::new(snapshot),
            crowd: Arc::new(Crowd::new()),
            orders: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        }
    }

    /// Serves by this from now on. Requests in flight end by the one they began with.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        let generation = snapshot.generation;
        self.snapshot.store(snapshot);
        self.generation.store(generation, Ordering::Release);
    }

    /// The snapshot in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }
}

/// One worker. Never leaves its thread.
#[derive(Debug)]
pub struct Worker {
    /// From 0.
    pub number: usize,
    /// How bytes move.
    pub driver: Epoll,
    /// What it shares.
    pub shared: Arc<Shared>,
    /// The snapshot, so that a request costs one look at a number that hardly ever changes.
    held: RefCell<Rc<Held>>,
}

/// A snapshot, as one worker holds it.
#[derive(Debug)]
pub struct Held {
    snapshot: Arc<Snapshot>,
    /// Routes' middleware around what answers, once it was needed.
    services: RefCell<Vec<Option<LocalService>>>,
}

impl Held {
    fn new(snapshot: Arc<Snapshot>) -> Rc<Self> {
        Rc::new(Self { snapshot, services: RefCell::default() })
    }

    /// What was made for a route, or what `make` makes.
    pub fn service(&self, route: usize, make: impl FnOnce() -> LocalService) -> LocalService {
        let mut services = self.services.borrow_mut();
        if services.len() <= route {
            services.resize(route + 1, None);
        }
        services[route].get_or_insert_with(make).clone()
    }
}

impl Deref for Held {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.snapshot
    }
}

impl Worker {
    /// A worker that serves nobody yet.
    pub fn new(number: usize, driver: Epoll, shared: Arc<Shared>) -> Self {
        let held = Held::new(shared.snapshot());
        Self { number, driver, shared, held: RefCell::new(held) }
    }

    /// The snapshot in force.
    pub fn snapshot(&self) -> Rc<Held> {
        let mut held = self.held.borrow_mut();
        if self.shared.generation.load(Ordering::Acquire) != held.generation {
            *held = Held::new(self.shared.snapshot());
        }
        Rc::clone(&held)
    }
}

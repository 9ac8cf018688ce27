//! What one worker has: its own, used by its thread alone, and what it shares with the others.

use std::cell::{OnceCell, RefCell};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use smallvec::SmallVec;

use super::cause::Cause;
use super::crowd::Crowd;
use super::logbook::Logbook;
use super::middleware::LocalService;
use super::origin::Origins;
use super::snapshot::Snapshot;
use crate::config::{AccessLogFormat, ListenerName, RouteAction};
use crate::net::epoll::Epoll;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::requests::{Causes, Counts, Names, Registry};

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
    pub connections: Arc<AtomicU64>,
    /// What became of requests.
    pub requests: Registry,
    /// Where requests are written down.
    access_log: ArcSwapOption<(AccessLog, AccessLogFormat)>,
}

impl Shared {
    /// Serves by this.
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        Self {
            generation: AtomicU64::new(snapshot.generation),
            snapshot: ArcSwap::new(snapshot),
            crowd: Arc::new(Crowd::new()),
            orders: AtomicU64::new(0),
            connections: Arc::default(),
            requests: Registry::new(&Cause::WORDS),
            access_log: ArcSwapOption::empty(),
        }
    }

    /// Where requests are written down by those who serve by the next snapshot that is published.
    pub fn set_access_log(&self, log: Option<(AccessLog, AccessLogFormat)>) {
        self.access_log.store(log.map(Arc::new));
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

/// A connection that is counted until this is dropped, whatever becomes of its task.
#[derive(Debug)]
pub struct Counted(Arc<AtomicU64>);

impl Counted {
    /// One more of these.
    pub fn among(all: &Arc<AtomicU64>) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(all))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One worker. Never leaves its thread.
#[derive(Debug)]
pub struct Worker {
    /// From 0.
    pub number: usize,
    /// How bytes move.
    pub driver: Epoll,
    /// Its side of the connections to backends.
    pub origins: Rc<Origins>,
    /// What it shares.
    pub shared: Arc<Shared>,
    /// Where it counts what it answered by itself.
    pub causes: Arc<Causes>,
    /// The snapshot, so that a request costs one look at a number that hardly ever changes.
    held: RefCell<Rc<Held>>,
}

/// A snapshot, as one worker holds it.
#[derive(Debug)]
pub struct Held {
    snapshot: Arc<Snapshot>,
    /// Routes' middleware around what answers, once it was needed.
    services: RefCell<Vec<Option<LocalService>>>,
    /// Where requests are counted, by route (from 1; 0: none) and listener, once it was needed.
    counts: RefCell<Vec<OfListeners>>,
    /// Lines about requests, once it was known whether there is a log.
    logbook: OnceCell<Option<Rc<Logbook>>>,
}

/// Where requests of a route are counted, by listener: most routes have one.
type OfListeners = SmallVec<[(ListenerName, Arc<Counts>); 1]>;

impl Held {
    fn new(snapshot: Arc<Snapshot>) -> Rc<Self> {
        Rc::new(Self {
            snapshot,
            services: RefCell::default(),
            counts: RefCell::default(),
            logbook: OnceCell::new(),
        })
    }

    /// Where requests are written down.
    pub(super) fn logbook(&self, shared: &Shared) -> Option<&Logbook> {
        let make =
            || shared.access_log.load().as_deref().map(|(log, format)| Logbook::new(log.clone(), *format));
        self.logbook.get_or_init(make).as_deref()
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
        let causes = shared.requests.causes(number);
        let origins = Rc::new(Origins::new(number, driver));
        Self { number, driver, origins, shared, causes, held: RefCell::new(held) }
    }

    /// Where requests of a route are counted, that came by this listener; none: no route wanted them.
    pub fn counts(&self, held: &Held, route: Option<u32>, listener: &ListenerName) -> Arc<Counts> {
        let mut all = held.counts.borrow_mut();
        let at = route.map_or(0, |route| route as usize + 1);
        if all.len() <= at {
            all.resize_with(at + 1, SmallVec::new);
        }
        if let Some((_, counts)) = all[at].iter().find(|(name, _)| name == listener) {
            return Arc::clone(counts);
        }
        let route = route.map(|route| &held.config.routes[route as usize]);
        let pool = route.map(|route| match &route.action {
            RouteAction::Pool(pool) => pool.as_str(),
            RouteAction::Redirect(_) | RouteAction::Respond(_) | RouteAction::Refuse(_) => "",
        });
        let names = Names {
            listener: listener.as_str().into(),
            route: route.map_or("", |route| &route.name).into(),
            pool: pool.unwrap_or_default().into(),
        };
        let counts = self.shared.requests.counts(self.number, names);
        all[at].push((listener.clone(), Arc::clone(&counts)));
        counts
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_whose_task_panics_is_not_counted_for_ever() {
        let all = Arc::<AtomicU64>::default();
        let counted = Counted::among(&all);
        assert_eq!(all.load(Ordering::Relaxed), 1);
        let task = tokio::spawn(async move {
            let _counted = counted;
            panic!("a mistake of ours");
        });
        assert!(task.await.unwrap_err().is_panic());
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }
}

//! The part that serves HTTP: sockets, and the workers that take clients from them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::outside::StepBack;
use super::overload::{self, Overload};
use super::requests_log::RequestsLog;
use super::serve::ServeError;
use super::snapshot::keeps_out;
use crate::config::{
    Config, ListenerName, RouteAction, RouteConfig, ServerConfig, Speaks, WebBind, WebListenerConfig,
};
use crate::l4;
use crate::l7::{Snapshot, Workers, limit};
use crate::limit::{Ids, Table};
use crate::net::defer::{Acknowledge, acknowledge, defer_accept};
use crate::net::listen::{ListenError, Listening};
use crate::net::stream::Target;
use crate::telemetry::abuse::Sink;
use crate::telemetry::requests::Names;
use crate::upstream::Registry;

/// How long a client's first bytes are waited for before it gets a socket, where its ClientHello may keep it out.
const DEFER: Duration = Duration::from_secs(3);

/// Sockets by where they wait, one for each worker.
pub(super) type Sockets = BTreeMap<Target, Vec<Listening>>;

/// Why HTTP cannot be served as configured.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// An address cannot be waited at.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Routes cannot be compiled.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The access log cannot be opened.
    #[error("cannot open the access log: {0}")]
    AccessLog(#[source] io::Error),
    /// There are no workers.
    #[error("cannot start workers: {0}")]
    Workers(#[source] io::Error),
}

/// Sockets and workers. There are none of either until a configuration has an `http` listener.
#[derive(Debug)]
pub(super) struct Web {
    workers: Option<Workers>,
    /// Kept so that they can be handed over.
    sockets: Sockets,
    /// How many workers there are, or will be.
    count: usize,
    /// What is known of pools and their backends.
    registry: Registry,
    /// How much is let through.
    limits: Arc<limit::Registry>,
    /// Who wants to hear what clients do.
    abuse: Sink,
    /// Whether there is too much to do.
    overload: Overload,
    /// What is served by.
    snapshot: Option<Arc<Snapshot>>,
    /// What was served by before, while requests still are: freed here, where nobody waits for it.
    retired: Vec<Arc<Snapshot>>,
    /// Those of the daemon before this one, until they are asked for.
    inherited: Sockets,
    /// Where requests are written down. After the workers: they hand over their last lines when they end.
    requests_log: RequestsLog,
}

/// What a configuration needs, got before anything is changed. Dropped, it is as if it had never been.
#[derive(Debug)]
pub(super) struct Prepared {
    snapshot: Arc<Snapshot>,
    workers: Option<Workers>,
    opened: Vec<(Target, Vec<Listening>, Vec<Listening>)>,
    wanted: BTreeSet<Target>,
    requests_log: Option<RequestsLog>,
}

impl Web {
    /// Of a daemon that has not begun to serve.
    pub(super) fn new(server: &ServerConfig) -> Self {
        let count =
            server.workers.map_or_else(|| Workers::allowed_cpus().len(), |count| count.get() as usize);
        Self {
            workers: None,
            sockets: Sockets::new(),
            count,
            registry: Registry::new(count),
            limits: Arc::default(),
            abuse: Sink::default(),
            overload: Overload::default(),
            snapshot: None,
            retired: Vec::new(),
            inherited: Sockets::new(),
            requests_log: RequestsLog::default(),
        }
    }

    /// What is known of pools and their backends.
    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Limits are kept in a table of the kernel part, which outlives this process. Before anything is compiled.
    pub(super) fn share_limits(&mut self, table: Table, ids: Arc<Ids>) {
        self.limits = Arc::new(limit::Registry::sharing(table, ids));
    }

    /// How much is let through.
    pub(super) fn limits(&self) -> &Arc<limit::Registry> {
        &self.limits
    }

    /// What clients do is told here.
    pub(super) fn set_abuse(&mut self, sink: Sink) {
        self.abuse = sink;
    }

    /// Who wants to hear what clients do.
    pub(super) fn abuse(&self) -> &Sink {
        &self.abuse
    }

    /// What is served by.
    pub(super) fn snapshot(&self) -> Option<&Arc<Snapshot>> {
        self.snapshot.as_ref()
    }

    /// Takes over the sockets of the daemon before this one.
    pub(super) fn inherit(&mut self, sockets: Sockets) {
        self.inherited = sockets;
    }

    /// Binds what is new in a configuration, and starts workers if there are none yet.
    pub(super) fn prepare(&mut self, snapshot: Arc<Snapshot>) -> Result<Prepared, WebError> {
        let config = snapshot.config.clone();
        let wanted = targets(&config);
        let workers = if self.workers.is_none() && !wanted.is_empty() {
            Some(Workers::start(self.count, snapshot.clone()).map_err(WebError::Workers)?)
        } else {
            None
        };
        let requests_log = self.requests_log.change(config.server.access_log.as_ref());
        let requests_log = requests_log.map_err(WebError::AccessLog)?;
        let count = self.count;
        let cpus = workers.as_ref().or(self.workers.as_ref()).map_or(&[][..], Workers::cpus);
        let mut opened = Vec::new();
        let mut there: Vec<_> = self.sockets.keys().cloned().collect();
        for target in wanted.iter().filter(|target| !self.sockets.contains_key(*target)) {
            let sockets = match self.inherited.remove(target) {
                Some(sockets) => enough(sockets, count).map_err(WebError::Workers)?,
                None => {
                    let shared = there.iter().any(|other| is_near(other, target));
                    Listening::bind(target, count, shared)?
                }
            };
            // Inherited ones, too: the program of the daemon before knows that one's workers.
            by_cpu(target, &sockets, cpus);
            let kept = sockets.iter().map(Listening::try_clone).collect::<io::Result<_>>();
            opened.push((target.clone(), sockets, kept.map_err(WebError::Workers)?));
            there.push(target.clone());
        }
        Ok(Prepared { snapshot, workers, opened, wanted, requests_log })
    }

    /// Serves by what was prepared. Cannot fail.
    pub(super) fn put(&mut self, prepared: Prepared) {
        let Prepared { snapshot, workers, opened, wanted, requests_log } = prepared;
        // What the daemon before this one waited at, and this one does not.
        self.inherited.clear();
        self.retired.extend(self.snapshot.replace(snapshot.clone()));
        if workers.is_some() {
            self.workers = workers;
        }
        let Some(workers) = &self.workers else { return };
        match requests_log {
            Some(log) => self.requests_log = log,
            None => self.requests_log.reopen(),
        }
        let shared = workers.shared();
        shared.set_access_log(self.requests_log.get());
        let configured = can_have(&snapshot.config);
        shared.requests.retain(configured);
        for (listener, crowd) in shared.crowd.listeners() {
            crowd.steered.retain(|route| {
                let mut routes = snapshot.config.routes.iter().filter(|it| it.listeners.contains(&listener));
                routes.any(|it| &*it.name == route)
            });
        }
        if let Some(memory) = overload::memory() {
            self.overload.begin(memory);
        }
        shared.crowd.most_requests.store(snapshot.config.server.max_requests, Ordering::Relaxed);
        snapshot.limits.apply(&self.limits);
        // First the snapshot: who comes by a new socket finds the listener in it.
        workers.publish(snapshot.clone());
        for (target, sockets, kept) in opened {
            workers.open(&target, sockets);
            self.sockets.insert(target, kept);
        }
        self.defer(&snapshot);
        let gone: Vec<_> = self.sockets.keys().filter(|target| !wanted.contains(*target)).cloned().collect();
        for target in gone {
            // Ours first: with the worker's, which takes those who wait there, the socket is gone.
            self.sockets.remove(&target);
            workers.close(&target);
            forget(&target);
        }
    }

    /// Where the kernel part keeps clients out by their ClientHello, nobody is taken before it has come. Where connections
    /// are relayed as they are, an acknowledgment waits for what the backend says.
    fn defer(&self, snapshot: &Snapshot) {
        for listener in &snapshot.listeners {
            let lasts = if keeps_out(&snapshot.config, listener, &snapshot.steering) {
                DEFER
            } else {
                Duration::ZERO
            };
            let when = if listener.steer.speaks == Speaks::Tls {
                Acknowledge::WithTheNext
            } else {
                Acknowledge::AtOnce
            };
            for bind in &listener.bind {
                let WebBind::Tcp(address) = bind else { continue };
                for socket in self.sockets.get(&Target::Tcp(*address)).into_iter().flatten() {
                    if let Err(error) = defer_accept(socket.as_fd(), lasts) {
                        tracing::warn!("{address}: sockets come before ClientHellos: {error}");
                    }
                    if let Err(error) = acknowledge(socket.as_fd(), when) {
                        tracing::warn!("{address}: acknowledgments are packets of their own: {error}");
                    }
                }
            }
        }
    }

    /// Takes no more clients, unless they are somebody else's now; those who are in are served to their end.
    pub(super) fn leave(&mut self, handed_over: bool) {
        if !handed_over {
            self.sockets.keys().for_each(forget);
        }
        self.sockets.clear();
        if let Some(workers) = &self.workers {
            workers.leave();
        }
    }

    /// Decides how many requests may be in flight, and frees what nobody is served by any more. Called often.
    pub(super) fn look(&mut self, server: &ServerConfig) {
        if self.retired.iter().any(|snapshot| Arc::strong_count(snapshot) == 1) {
            let _behind = StepBack::begin();
            self.retired.retain(|snapshot| Arc::strong_count(snapshot) > 1);
        }
        let (Some(workers), Some(memory)) = (&self.workers, overload::memory()) else { return };
        let crowd = &workers.shared().crowd;
        let most = self.overload.look(server, memory, crowd.requests.load(Ordering::Relaxed));
        crowd.most_requests.store(most, Ordering::Relaxed);
    }

    /// The workers, if there are any.
    pub(super) fn workers(&self) -> Option<&Workers> {
        self.workers.as_ref()
    }

    /// Where requests are written down.
    pub(super) fn requests_log(&self) -> &RequestsLog {
        &self.requests_log
    }

    /// The sockets, to be handed over.
    pub(super) fn sockets(&self) -> &Sockets {
        &self.sockets
    }
}

/// Says of names whether requests can have them.
fn can_have(config: &Config) -> impl Fn(&Names) -> bool + '_ {
    let routes: HashMap<&str, &RouteConfig> =
        config.routes.iter().map(|route| (&*route.name, route)).collect();
    move |names| {
        let listener = |name: &ListenerName| name.as_str() == &*names.listener;
        if names.route.is_empty() {
            return config.web_listeners.iter().any(|it| listener(&it.name)) && names.pool.is_empty();
        }
        routes.get(&*names.route).is_some_and(|route| {
            let pool = match &route.action {
                RouteAction::Pool(pool) => pool.as_str(),
                RouteAction::Redirect(_) | RouteAction::Respond(_) | RouteAction::Refuse(_) => "",
            };
            route.listeners.iter().any(listener) && *names.pool == *pool
        })
    }
}

/// Where a configuration wants clients to be waited for.
fn targets(config: &Config) -> BTreeSet<Target> {
    let of = |listener: &'_ WebListenerConfig| {
        let quic = listener.is_quic();
        listener.bind.iter().cloned().map(move |bind| (quic, bind)).collect::<Vec<_>>()
    };
    let binds = config.web_listeners.iter().flat_map(of);
    binds
        .map(|(quic, bind)| match bind {
            WebBind::Tcp(address) if quic => Target::Udp(address),
            WebBind::Tcp(address) => Target::Tcp(address),
            WebBind::Unix(path) => Target::Unix(path),
        })
        .collect()
}

/// Whether two binds cannot be told apart by the system from one bound twice: same port.
fn is_near(one: &Target, other: &Target) -> bool {
    match (one, other) {
        (Target::Tcp(one), Target::Tcp(other)) | (Target::Udp(one), Target::Udp(other)) => {
            one.port() == other.port()
        }
        _ => false,
    }
}

/// At least `count` sockets: more of the same if there are fewer.
fn enough(mut sockets: Vec<Listening>, count: usize) -> io::Result<Vec<Listening>> {
    if let Some(first) = sockets.pop() {
        let missing = count.saturating_sub(sockets.len()).max(1);
        sockets.extend(first.spread(missing)?);
    }
    Ok(sockets)
}

/// Gives clients to the worker of the CPU that their packets come in on, where that can be done.
fn by_cpu(target: &Target, sockets: &[Listening], cpus: &[usize]) {
    // Datagrams of one client must all come to one worker, whatever CPU they come in on.
    if cpus.is_empty() || !matches!(target, Target::Tcp(_)) {
        return;
    }
    let sockets: Vec<_> = cpus.iter().map(|cpu| *cpu as u32).zip(sockets.iter().map(AsFd::as_fd)).collect();
    if let Err(error) = l4::steer(&sockets) {
        tracing::info!("clients of {target} are given to workers by hash, not by CPU: {error}");
    }
}

fn forget(target: &Target) {
    if let Target::Unix(path) = target
        && let Err(error) = std::fs::remove_file(path)
    {
        tracing::debug!("{} stays: {error}", path.display());
    }
}

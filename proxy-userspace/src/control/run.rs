//! Starting: what is made, and in which order. Stopping is leaving the loop: the kernel part goes on.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{mpsc, oneshot};

use crate::admin::{Server, SocketError};
use crate::config::{Config, ConfigErrors};
use crate::telemetry::log;
use crate::tls::TicketsError;
use crate::upstream::discovery::Lookups;
use crate::upstream::health::Checkers;

use super::bans::KeptOut;
use super::cert_files::CertFiles;
use super::certs::Certs;
use super::dataplane::DataplaneError;
use super::dataplane::hellos::Compared;
use super::drain::Drained;
use super::handover::{Estate, Heir};
use super::health::Findings;
use super::notes::Notes;
use super::occupied::{Occupied, refuse_occupied};
use super::order::Order;
use super::outside::Outside;
use super::snapshot::compile;
use super::status::Rates;
use super::supervisor::{Events, Supervisor};
use super::web::{Web, WebError};
use super::{serve, signal, watch};

/// Calls and orders that may wait.
const QUEUE: usize = 64;

/// What `proxy-now run` was told.
#[derive(Clone, Default, Debug)]
pub struct RunOptions {
    /// The configuration.
    pub config: PathBuf,
    /// The admin socket, whatever the configuration says.
    pub socket: Option<PathBuf>,
    /// The shape of the log.
    pub log: log::Format,
    /// Gives unused memory back to the system.
    pub give_back: Option<fn()>,
}

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// There is no admin socket.
    #[error(transparent)]
    Admin(#[from] SocketError),
    /// A listener's address is in use.
    #[error(transparent)]
    Occupied(#[from] Occupied),
    /// HTTP cannot be served.
    #[error(transparent)]
    Web(#[from] WebError),
    /// There are no session tickets as configured.
    #[error(transparent)]
    Tickets(#[from] TicketsError),
    /// The kernel part could not be loaded, told what to do, or attached.
    #[error("{0}")]
    Kernel(#[source] DataplaneError),
    /// No thread, no timer, no signals.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// Runs until it is told to stop.
pub fn run(options: &RunOptions) -> Result<(), RunError> {
    log::start(options.log);
    raise_file_limit();
    let socket = options.socket.clone();
    let load = move |path: &Path| {
        let mut config = crate::config::load(path)?;
        if let Some(socket) = &socket {
            config.admin.socket.clone_from(socket);
        }
        Ok(config)
    };
    let give_back = options.give_back.unwrap_or(|| ());
    let outside = Outside { load: Box::new(load), open: Box::new(super::kernel::open), give_back };
    let (orders, ordered) = mpsc::channel(QUEUE);
    let io = Io::start()?;
    io.handle.block_on(async { signal::listen(orders.clone()) })?;
    let known = std::fs::read(&options.config).ok();
    let mut heir = Heir::new()?;
    let estate = heir.estate()?;
    let started = start(&options.config, outside, io.handle.clone(), ordered, estate);
    let (mut supervisor, events) = heir.tell(started)?;
    supervisor.certs.files().watch(orders.clone())?;
    io.handle.spawn(watch::watch(options.config.clone(), known, orders));

    tracing::info!("ready: {}", summary(&supervisor));
    signal::ready();
    let loop_ = Builder::new_current_thread().enable_all().build()?;
    let who = loop_.block_on(async {
        let who = supervisor.run(events).await;
        signal::stopping();
        supervisor.admin.finish().await;
        who
    });
    tracing::info!("stopping ({who}); the kernel part goes on forwarding until `proxy-now detach`");
    Ok(())
}

/// Makes everything that the loop needs, in the order in which a failure leaves the least behind.
pub(super) fn start(
    file: &Path,
    outside: Outside,
    io: Handle,
    orders: mpsc::Receiver<Order>,
    estate: Estate,
) -> Result<(Supervisor, Events), RunError> {
    let config = Arc::new((outside.load)(file)?);
    for warning in &config.warnings {
        tracing::warn!("{}:{}:{}: {}", warning.file, warning.line, warning.column, warning.message);
    }
    // First the socket: where another daemon answers, nothing of its kernel part may be touched.
    let (calls, called) = mpsc::channel(QUEUE);
    let admin = {
        let _io = io.enter();
        let (path, mode) = (&config.admin.socket, config.admin.mode);
        match estate.admin {
            Some((at, socket)) if at == *path => Server::adopt(socket, path, mode, calls.clone())?,
            _ => Server::start(path, mode, calls.clone())?,
        }
    };
    let certs = Certs::new(&config.tls.tickets)?;
    let kernel = config.kernel.as_ref().map(&*outside.open).transpose().map_err(RunError::Kernel)?;
    let (bans, deeds) = KeptOut::start(kernel.as_deref()).map_err(RunError::Kernel)?;
    let ((checkers, reports), (lookups, resolved)) = (Checkers::new(), Lookups::new());
    let mut supervisor = Supervisor {
        outside,
        file: file.to_owned(),
        kernel,
        bans,
        applied: None,
        findings: Findings::default(),
        drained: Drained::default(),
        checkers,
        lookups,
        io,
        admin,
        calls,
        rates: Rates::default(),
        notes: Notes::default(),
        compared: Compared::default(),
        started: Instant::now(),
        reloads: 1,
        reloads_refused: 0,
        refused: None,
        web: Web::new(&config.server),
        certs,
        leaving: None,
        handed_over: false,
        generation: 1,
        config,
    };
    if let Some((table, ids)) = supervisor.kernel.as_ref().and_then(|kernel| kernel.limit_table()) {
        supervisor.web.share_limits(table, ids);
    }
    supervisor.web.set_abuse(deeds);
    supervisor.adopt();
    supervisor.remember(&estate.backends);
    supervisor.web.inherit(estate.sockets);
    refuse_occupied(&supervisor.config, &supervisor.adopted_addresses())?;
    let named = CertFiles::marks(&supervisor.config);
    let Supervisor { config, generation, web, certs, bans, .. } = &supervisor;
    let mut snapshot = serve::compile(config, *generation, web.registry(), certs, web.limits(), web.abuse())
        .map_err(WebError::from)?;
    snapshot.bans = bans.view().clone();
    snapshot.hand_off = supervisor.kernel.as_ref().and_then(|kernel| kernel.hand_off());
    serve::tell_pools(&snapshot, &supervisor.findings, &supervisor.drained);
    let prepared = supervisor.web.prepare(Arc::new(snapshot))?;
    if let Some(desired) = compile(&supervisor.config, &supervisor.findings, &supervisor.drained) {
        supervisor.replace_kernel(desired).map_err(RunError::Kernel)?;
    }
    supervisor.kernel.iter_mut().for_each(|kernel| kernel.keep());
    supervisor.certs.put(&supervisor.config, named);
    supervisor.web.put(prepared);
    supervisor.adopt_limits();
    // After the pools are there: checks go by their TLS.
    supervisor.set_checks();
    supervisor.set_bans();
    Ok((supervisor, Events { orders, calls: called, reports, resolved }))
}

/// What is served, in a few words.
fn summary(supervisor: &Supervisor) -> String {
    let Config { listeners, web_listeners, pools, .. } = &*supervisor.config;
    let backends: usize = pools.iter().map(|pool| pool.backends.len()).sum();
    let interfaces = supervisor.status().kernel.map(|kernel| {
        let each = kernel.interfaces.iter().map(|i| format!("{} ({})", i.name, i.mode));
        each.collect::<Vec<_>>().join(", ")
    });
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    format!(
        "{}, {}, {}; attached to {}; admin socket {}",
        count(listeners.len() + web_listeners.len(), "listener"),
        count(pools.len(), "pool"),
        count(backends, "backend"),
        interfaces.filter(|i| !i.is_empty()).unwrap_or_else(|| "nothing".into()),
        supervisor.admin.path().display(),
    )
}

/// A thread for checks and the admin socket: what the supervisor does to the kernel part takes milliseconds, and
/// must not make a backend look slow.
struct Io {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Io {
    fn start() -> io::Result<Self> {
        let runtime: Runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("io".into()).spawn(move || {
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Checks need sockets: as many as the system allows this process.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::debug!("the limit of open files stays as it is: {error}");
    }
}

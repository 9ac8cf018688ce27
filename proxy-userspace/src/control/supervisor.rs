//! The loop: what happens, and what is done about it. One thread does all of this, so nothing here is shared.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::admin::api::{
    Answer, Daemon, Drain, Drained as DrainedAnswer, DrainedBackend, Refusal, RefusalKind,
};
use crate::admin::api::{Request, Status};
use crate::admin::trace::{TraceRequest, Traced};
use crate::admin::{Call, Server};
use crate::config::{Config, Protocol};
use crate::l4::Desired;
use crate::route::{HelloQuestion, Question};
use crate::upstream::discovery::{Lookups, Resolved};
use crate::upstream::health::{CheckKey, Checkers, Failure, Health, Report};

use super::bans::KeptOut;
use super::certs::Certs;
use super::dataplane::hellos::{Compared, of_kernel, of_worker};
use super::dataplane::{Dataplane, DataplaneError, Observed, Place};
use super::drain::{Drained, keys, meant};
use super::handover::Remembered;
use super::health::{Findings, checks};
use super::leaving::{LOOK_EVERY, Leaving};
use super::notes::{Notes, Source};
use super::occupied::addresses;
use super::order::Order;
use super::outside::Outside;
use super::snapshot::compile;
use super::status::{Known, Rates, state, status};
use super::web::Web;
use super::{certs_calls, metrics, serve, signal};

/// Whoever does not ask again within this looks on no more.
const TRACE_LASTS: Duration = Duration::from_secs(5);
/// Decisions of the kernel programs in one answer.
const MOST_TRACED: usize = 1024;
/// Flows that are over are collected in slices, one each time.
const COLLECT_EVERY: Duration = Duration::from_millis(100);
/// Rates are measured over this; what could not be applied is tried again.
const MEASURE_EVERY: Duration = Duration::from_secs(2);

/// Where everything that happens comes from.
#[derive(Debug)]
pub(super) struct Events {
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) calls: mpsc::Receiver<Call>,
    pub(super) reports: mpsc::UnboundedReceiver<Report>,
    pub(super) resolved: mpsc::UnboundedReceiver<Resolved>,
}

/// All that the daemon knows.
pub(super) struct Supervisor {
    pub(super) outside: Outside,
    pub(super) file: PathBuf,
    pub(super) config: Arc<Config>,
    /// The part that serves HTTP.
    pub(super) web: Web,
    /// Certificates.
    pub(super) certs: Certs,
    /// Who is kept out.
    pub(super) bans: KeptOut,
    /// It is about to end.
    pub(super) leaving: Option<Leaving>,
    /// Another daemon has everything.
    pub(super) handed_over: bool,
    /// Of the snapshot in force.
    pub(super) generation: u64,
    /// None: the configuration has no `[kernel]`.
    pub(super) kernel: Option<Box<dyn Dataplane>>,
    /// What the kernel part was last told.
    pub(super) applied: Option<Desired>,
    pub(super) findings: Findings,
    pub(super) drained: Drained,
    pub(super) checkers: Checkers,
    pub(super) lookups: Lookups,
    /// Where checks and the admin socket run.
    pub(super) io: Handle,
    pub(super) admin: Server,
    /// Where the admin socket sends calls.
    pub(super) calls: mpsc::Sender<Call>,
    pub(super) rates: Rates,
    pub(super) notes: Notes,
    /// What the kernel part and the workers say of the same connections.
    pub(super) compared: Compared,
    pub(super) started: Instant,
    pub(super) reloads: u64,
    pub(super) reloads_refused: u64,
    pub(super) refused: Option<String>,
}

impl Supervisor {
    /// Runs until it is told to stop, and says by whom.
    pub(super) async fn run(&mut self, mut events: Events) -> &'static str {
        let mut collect = interval(COLLECT_EVERY);
        collect.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut measure = interval(MEASURE_EVERY);
        measure.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(order) = events.orders.recv() => match order {
                    Order::Stop(who) if self.leaving.is_some() || self.leave(who) => return who,
                    Order::Stop(_) => {}
                    Order::Reload(why) => drop(self.reload(why)),
                    Order::Upgrade(why) => drop(self.upgrade(why).await),
                },
                Some(report) = events.reports.recv() => self.reported(report, &mut events.reports),
                Some(resolved) = events.resolved.recv() => self.resolved(&resolved),
                Some(call) = events.calls.recv() => self.answer(call).await,
                _ = collect.tick() => self.collect(),
                _ = measure.tick() => self.measure(),
                _ = look.tick(), if self.leaving.is_some() => if let Some(who) = self.has_left() {
                    return who;
                },
            }
        }
    }

    /// Takes all reports that are there before the rings are made anew: many changes at once cost one change.
    pub(super) fn reported(&mut self, first: Report, more: &mut mpsc::UnboundedReceiver<Report>) {
        let mut changed = false;
        let mut next = Some(first);
        while let Some(report) = next {
            // A report of a check that was ended would be believed for ever.
            changed |= self.checkers.runs(&report.key) && self.findings.take(report);
            next = more.try_recv().ok();
        }
        if changed {
            self.tell_pools();
            self.refresh();
        }
    }

    /// A name has other addresses: they are served, and checked.
    fn resolved(&mut self, resolved: &Resolved) {
        self.web.registry().set_addresses(&resolved.host, &resolved.addresses);
        for pool in self.web.snapshot().into_iter().flat_map(|snapshot| &snapshot.pools) {
            pool.set_addresses(&resolved.host, &resolved.addresses);
        }
        self.set_checks();
        self.set_bans();
        let wanted = checks(&self.config, |host| self.web.registry().addresses(host), &[]);
        self.findings.retain(&wanted);
        self.tell_pools();
    }

    /// Tells those who serve HTTP what checks and operators say.
    fn tell_pools(&self) {
        if let Some(snapshot) = self.web.snapshot() {
            serve::tell_pools(snapshot, &self.findings, &self.drained);
        }
    }

    /// Makes bans what the configuration wants.
    pub(super) fn set_bans(&mut self) {
        let done = self.bans.configure(&self.config, self.web.registry());
        self.notes.trouble(Source::Bans, "bans are not as configured", done);
    }

    /// Applies what is known now. What fails is tried again at every measuring.
    pub(super) fn refresh(&mut self) {
        let result = self.apply();
        self.notes.trouble(
            Source::Refresh,
            "the kernel part could not be told what changed, trying again",
            result,
        );
    }

    /// Applies what is known now, or leaves everything as it was.
    pub(super) fn apply(&mut self) -> Result<(), DataplaneError> {
        let desired = compile(&self.config, &self.findings, &self.drained);
        let (Some(kernel), Some(desired)) = (&mut self.kernel, desired) else { return Ok(()) };
        if self.applied.as_ref() != Some(&desired) {
            let notes = kernel.apply(&desired)?;
            self.applied(desired, notes);
        }
        Ok(())
    }

    /// Remembers what was applied, and what could not be done of it.
    pub(super) fn applied(&mut self, desired: Desired, notes: Vec<String>) {
        self.notes.log(Source::Apply, notes);
        self.applied = Some(desired);
    }

    fn collect(&mut self) {
        self.web.look(&self.config.server);
        let Some(kernel) = &mut self.kernel else { return };
        let followed = kernel.follow();
        let followed = self.notes.trouble(Source::Follow, "what changes around it is not followed", followed);
        followed.unwrap_or_default().iter().for_each(|note| tracing::warn!("{note}"));
        self.notes.trouble(Source::Collect, "flows that are over could not be collected", kernel.collect());
    }

    fn measure(&mut self) {
        signal::alive();
        (self.outside.give_back)();
        self.certs.look(&self.config);
        self.take_kernel_back();
        self.refresh();
        self.web.registry().expire(Instant::now());
        let Some(kernel) = &self.kernel else { return };
        let observed = kernel.observe();
        if let Some(observed) =
            self.notes.trouble(Source::Observe, "the kernel part could not be read", observed)
        {
            self.rates.measure(&observed, Instant::now());
        }
    }

    fn observe(&self) -> Option<Observed> {
        // Said by `measure` when it fails.
        self.kernel.as_ref()?.observe().ok()
    }

    async fn answer(&mut self, call: Call) {
        let Call { request, uid, answer } = call;
        let answered = match request {
            Request::Certs(asked) => {
                let io = self.io.clone();
                return certs_calls::answer(asked, (uid, answer), &self.config, &self.certs, &io);
            }
            Request::Limits(asked) => self.limits(&asked, uid).map(Answer::Limits),
            Request::Trace(asked) => self.trace(&asked).map(Answer::Trace),
            Request::Bans(asked) => self.bans.answer(asked, uid).map(Answer::Bans),
            Request::Status => Ok(Answer::Status(Box::new(self.status()))),
            Request::Metrics => Ok(Answer::Metrics(metrics::text(
                &self.status(),
                &self.limit_rows(),
                &self.web,
                &self.certs,
                &self.compared,
            ))),
            Request::Health => Ok(Answer::Health(self.daemon())),
            Request::Reload => self.reload("asked for").map(Answer::Reload),
            Request::Drain(which) => self.drain(&which, true, uid).map(Answer::Drain),
            Request::Undrain(which) => self.drain(&which, false, uid).map(Answer::Drain),
            Request::Upgrade => self.upgrade("asked for").await.map(Answer::Upgrade),
            Request::ExplainRequest(question) => self.explain_request(&question).map(Answer::Explain),
            Request::ExplainHello(question) => self.explain_hello(&question).map(Answer::Explain),
            Request::Explain(tuple) => self.explain(&tuple).map(Answer::Explain),
        };
        // Whoever asked may have gone.
        let _ = answer.send(answered);
    }

    /// What has been decided since the last call; and goes on.
    fn trace(&mut self, asked: &TraceRequest) -> Result<Traced, Refusal> {
        let failed = |error: DataplaneError| Refusal::new(RefusalKind::Failed, error.to_string());
        let mut traced = Traced::default();
        if let Some(kernel) = &mut self.kernel {
            for (listener, seen) in
                kernel.hellos(asked.sni.as_deref(), TRACE_LASTS, MOST_TRACED).map_err(failed)?
            {
                // It was told to whoever looked on before, for another host.
                let other =
                    |name: &str| asked.sni.as_deref().is_some_and(|asked| !asked.eq_ignore_ascii_case(name));
                if seen.name.as_deref().is_some_and(other) {
                    continue;
                }
                self.compared.kernel(&seen);
                traced.hellos.push(of_kernel(listener, &seen));
            }
        }
        if let Some(workers) = self.web.workers() {
            let watch = &workers.shared().crowd.hellos;
            watch.look(asked.sni.as_deref(), TRACE_LASTS);
            let (decided, lost) = watch.take();
            traced.lost = lost;
            for decided in decided {
                self.compared.worker(&decided);
                traced.hellos.push(of_worker(decided));
            }
        }
        Ok(traced)
    }

    /// Everything that is to be known.
    pub(super) fn status(&self) -> Status {
        let observed = self.observe();
        let known = Known {
            config: &self.config,
            observed: observed.as_ref(),
            findings: &self.findings,
            drained: &self.drained,
            rates: &self.rates,
            web: &self.web,
        };
        Status { daemon: Some(self.daemon()), ..status(known) }
    }

    fn daemon(&self) -> Daemon {
        Daemon {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            uptime: self.started.elapsed().as_secs(),
            config: self.file.display().to_string(),
            reloads: self.reloads,
            reloads_refused: self.reloads_refused,
            refused: self.refused.clone(),
        }
    }

    fn explain(&self, tuple: &str) -> Result<serde_json::Value, Refusal> {
        let kernel = self.kernel.as_ref().ok_or_else(|| {
            Refusal::new(RefusalKind::NotFound, "the configuration has no [kernel]: nothing is balanced")
        })?;
        kernel.explain(tuple).map_err(|error| Refusal::new(RefusalKind::BadRequest, error.to_string()))
    }

    fn explain_request(&self, question: &Question) -> Result<serde_json::Value, Refusal> {
        let bad = |error: &dyn std::fmt::Display| Refusal::new(RefusalKind::BadRequest, error.to_string());
        let explanation = question.explain(&self.config).map_err(|error| bad(&error))?;
        serde_json::to_value(explanation).map_err(|error| bad(&error))
    }

    fn explain_hello(&self, question: &HelloQuestion) -> Result<serde_json::Value, Refusal> {
        let bad = |error: &dyn std::fmt::Display| Refusal::new(RefusalKind::BadRequest, error.to_string());
        let explanation = question.explain(&self.config).map_err(|error| bad(&error))?;
        serde_json::to_value(explanation).map_err(|error| bad(&error))
    }

    /// Drains a backend by hand, or ends that. If the kernel part refuses, nothing has changed.
    pub(super) fn drain(
        &mut self,
        which: &Drain,
        drain: bool,
        uid: Option<u32>,
    ) -> Result<DrainedAnswer, Refusal> {
        let keys = meant(&self.config, which)?;
        let before = self.drained.clone();
        self.drained.set(&keys, drain);
        if let Err(error) = self.apply() {
            self.drained = before;
            return Err(Refusal::new(RefusalKind::Failed, format!("not done: {error}")));
        }
        self.tell_pools();
        for CheckKey { pool, backend } in &keys {
            let what = if drain { "drained by hand" } else { "no longer drained by hand" };
            tracing::info!(%pool, %backend, uid, "backend is {what}");
        }
        Ok(DrainedAnswer { backends: self.drained_backends(&keys) })
    }

    fn drained_backends(&self, keys: &[CheckKey]) -> Vec<DrainedBackend> {
        let status = self.status();
        let one = |key: &CheckKey| {
            let (pool, backend) = (key.pool.to_string(), key.backend.to_string());
            let now = status.pools.iter().filter(|p| p.name == pool).flat_map(|p| &p.backends);
            let now = now.into_iter().find(|b| b.address == backend);
            let (state, flows) = now.map_or((state(true, true), 0), |b| {
                let requests = b.http.map_or(0, |http| http.requests);
                (b.state, b.use_.flows + u64::from(requests))
            });
            DrainedBackend { pool, backend, state, flows }
        };
        keys.iter().map(one).collect()
    }

    /// Addresses of listeners that the kernel part served before this daemon.
    pub(super) fn adopted_addresses(&self) -> HashSet<(SocketAddr, Protocol)> {
        let known = self.kernel.as_ref().map(|kernel| kernel.known()).unwrap_or_default();
        let served: HashSet<_> = known.into_keys().map(|place| place.listener).collect();
        let addresses = addresses(&self.config).filter(|(listener, ..)| served.contains(*listener));
        addresses.map(|(_, address, protocol)| (address, protocol)).collect()
    }

    /// Takes over what the daemon before this one knew of backends, until a check says otherwise.
    pub(super) fn remember(&mut self, backends: &[Remembered]) {
        let known: HashMap<_, _> =
            backends.iter().map(|known| ((known.pool.as_str(), known.backend.as_str()), known)).collect();
        for key in keys(&self.config) {
            let backend = key.backend.to_string();
            let Some(known) = known.get(&(key.pool.as_str(), backend.as_str())) else { continue };
            if known.drained_by_hand {
                self.drained.set(std::slice::from_ref(&key), true);
            }
            let checked = self.config.pool(&key.pool).is_some_and(|pool| pool.health.is_some());
            if known.down && checked && self.findings.of(&key).is_none() {
                self.findings.remember(key, Health::Down(Arc::new(Failure::Before)));
            }
        }
    }

    /// Takes over what the kernel part remembers of a daemon before this one: who was drained by hand, and who was
    /// down, until a check says otherwise.
    pub(super) fn adopt(&mut self) {
        let Some(known) = self.kernel.as_ref().map(|kernel| kernel.known()) else { return };
        for listener in &self.config.listeners {
            let checked = self.config.pool(&listener.pool).is_some_and(|pool| pool.health.is_some());
            for (address, backend) in self.config.backends(listener) {
                let place = Place { listener: listener.name.clone(), address };
                let Some(known) = known.get(&place) else { continue };
                let key = CheckKey { pool: listener.pool.clone(), backend: backend.endpoint.clone() };
                if known.drained_by_hand && !self.drained.has(&key) {
                    tracing::info!(pool = %key.pool, backend = %key.backend, "backend is still drained by hand");
                    self.drained.set(std::slice::from_ref(&key), true);
                }
                if known.down && checked && self.findings.of(&key).is_none() {
                    self.findings.remember(key, Health::Down(Arc::new(Failure::Before)));
                }
            }
        }
    }
}

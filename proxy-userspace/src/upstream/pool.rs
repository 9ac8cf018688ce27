//! A pool as one configuration has it: its backends, who of them can serve, and places at them.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use proxy_common::backend::BackendId;
use proxy_common::maglev::{NO_BACKEND, Ring};

use super::backend::{Backend, Group, Permit};
use super::maglev::{self, Candidate};
use super::selection::{Ask, Choice, Selection};
use super::spoken::Spoken;
use super::tls::{BackendTls, PoolTls, TlsError};
use crate::config::{Balance, Endpoint, PoolConfig, PoolName, UpstreamProtocol, WebPoolConfig};
use crate::net::stream::Target;

/// Requests at a time on one connection of HTTP/2 (RFC 9113 §6.5.2 asks for no fewer than 100).
pub const STREAMS: u32 = 100;

/// A pool.
#[derive(Debug)]
pub struct Pool {
    config: Arc<PoolConfig>,
    tls: Option<PoolTls>,
    group: Arc<Group>,
    members: Mutex<Members>,
    selection: ArcSwap<Selection>,
}

/// Whose place it is.
#[derive(Debug, Default)]
struct Members {
    /// As configured, in file order, and the addresses of each.
    places: Vec<Place>,
    /// Who gets which slot, if the pool is balanced by a key.
    ring: Option<Arc<Ring>>,
}

#[derive(Debug)]
struct Place {
    endpoint: Endpoint,
    weight: u32,
    /// Gets nothing new, by the configuration or by an operator.
    drained: bool,
    /// A name that has not been resolved yet.
    pending: bool,
    tls: Option<BackendTls>,
    backends: Vec<Arc<Backend>>,
}

/// Why there is no place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoPlace {
    /// No backend can serve.
    #[error("no backend of the pool can serve")]
    NoBackend,
    /// Too many wait already.
    #[error("all connections of the pool are in use, and its queue is full")]
    QueueFull,
    /// None became free in time.
    #[error("all connections of the pool are in use, and none became free in time")]
    QueueTimeout,
}

/// One backend of a pool, for status and metrics.
#[derive(Clone, Debug)]
pub struct BackendView {
    /// As configured.
    pub endpoint: Endpoint,
    /// Where it is: one address, if it is a name.
    pub target: Target,
    /// Its share.
    pub weight: u32,
    /// Gets nothing new.
    pub drained: bool,
    /// Checks say that it answers, or there are none.
    pub up: bool,
    /// It failed too often, and is left alone for this long.
    pub ejected: Option<Duration>,
    /// Requests in flight.
    pub busy: u32,
    /// Connections, idle ones too.
    pub open: u32,
    /// Idle connections.
    pub idle: usize,
    /// How long it takes to answer.
    pub latency: Duration,
}

impl Pool {
    /// Of this configuration; `addresses` are those that are known of a name.
    pub(super) fn new(
        config: &PoolConfig,
        group: Arc<Group>,
        tls: Option<PoolTls>,
        addresses: impl Fn(&str) -> Option<Vec<IpAddr>>,
    ) -> Result<Self, TlsError> {
        let mut places = Vec::with_capacity(config.backends.len());
        for backend in &config.backends {
            let endpoint = &backend.endpoint;
            let tls = tls.as_ref().map(|tls| tls.backend(endpoint)).transpose()?;
            let targets = targets(endpoint, |host| addresses(host).unwrap_or_default());
            let one = |target| group.backend(target, config.web.send_proxy_protocol, tls.as_ref());
            places.push(Place {
                pending: matches!(endpoint, Endpoint::Name { host, .. } if addresses(host).is_none()),
                backends: targets.iter().map(one).collect(),
                tls,
                endpoint: endpoint.clone(),
                weight: backend.weight,
                drained: backend.drain,
            });
        }
        let members = Members { places, ring: None };
        let empty = Selection::new(Vec::new(), &Balance::RoundRobin, None, 0, None);
        let pool = Self {
            config: Arc::new(config.clone()),
            tls,
            group,
            members: Mutex::new(members),
            selection: ArcSwap::from_pointee(empty),
        };
        pool.members_changed(&mut pool.members(), Instant::now());
        Ok(pool)
    }

    /// Its name.
    pub fn name(&self) -> &PoolName {
        &self.group.name
    }

    /// Its configuration.
    pub fn config(&self) -> &Arc<PoolConfig> {
        &self.config
    }

    /// TLS to its backends.
    pub fn tls(&self) -> Option<&PoolTls> {
        self.tls.as_ref()
    }

    /// How its backends are spoken to.
    pub fn web(&self) -> &WebPoolConfig {
        &self.config.web
    }

    /// A place at a backend that is not one of `tried`, or at any if there is no other. Does not wait: none, if all
    /// are full.
    ///
    /// # Errors
    /// Nobody can serve.
    pub fn enter(&self, ask: &Ask, tried: &[Arc<Backend>]) -> Result<Option<Permit>, NoPlace> {
        let selection = self.current(ask.now);
        let nobody = selection.choices().is_empty();
        if nobody && selection.pending || !nobody && !self.group.queue.is_empty() {
            return Ok(None);
        }
        self.enter_by(&selection, ask, tried)
    }

    fn enter_by(
        &self,
        selection: &Selection,
        ask: &Ask,
        tried: &[Arc<Backend>],
    ) -> Result<Option<Permit>, NoPlace> {
        let untried = |backend: &Backend| tried.iter().all(|other| other.id != backend.id);
        let first = selection.choose(ask, untried).or_else(|| selection.choose(ask, |_| true));
        let first = first.ok_or(NoPlace::NoBackend)?;
        if let Some(permit) = first.backend.enter(self.most(&first.backend)) {
            return Ok(Some(permit));
        }
        if selection.is_sticky() {
            return Ok(None);
        }
        let free = |backend: &Backend| untried(backend) && backend.busy() < self.most(backend);
        Ok(selection.choose(ask, free).and_then(|choice| choice.backend.enter(self.most(&choice.backend))))
    }

    /// A place, waited for as long as the pool's configuration says.
    ///
    /// # Errors
    /// Too many wait, or it took too long.
    pub async fn wait(&self, ask: &Ask) -> Result<Permit, NoPlace> {
        let web = self.web();
        let wants = {
            let selection = self.current(ask.now);
            match selection.choose(ask, |_| true) {
                Some(first) => selection.is_sticky().then_some(first.backend.id),
                // Whoever comes first.
                None if selection.pending => None,
                None => return Err(NoPlace::NoBackend),
            }
        };
        let place = self.group.queue.join(wants, web.max_queue as usize).ok_or(NoPlace::QueueFull)?;
        self.feed(ask.now);
        match tokio::time::timeout(web.queue_timeout, place).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(NoPlace::QueueTimeout),
        }
    }

    /// Gives those who wait what is free: it may have become so just before they joined, or somebody has come up.
    fn feed(&self, now: Instant) {
        let selection = self.current(now);
        let ask = Ask { now, key: 0 };
        for wish in self.group.queue.wishes() {
            let permit = match wish {
                None => selection.choose(&ask, |backend| backend.busy() < self.most(backend)),
                Some(id) => selection.choices().iter().find(|choice| choice.backend.id == id),
            }
            .and_then(|choice| choice.backend.enter(self.most(&choice.backend)));
            if let Some(permit) = permit {
                let id = permit.backend().id;
                drop(self.group.queue.give(id, permit));
            }
        }
    }

    /// Takes a retry out of the budget, if there is one left. It is given back by [`Pool::retried`].
    pub fn may_retry(&self) -> bool {
        let in_flight =
            self.current(Instant::now()).choices().iter().map(|choice| choice.backend.busy()).sum();
        self.group.budget.take(self.web().retry.budget, in_flight)
    }

    /// A retry is over.
    pub fn retried(&self) {
        self.group.budget.give();
    }

    /// A backend has answered, `took` after the request was sent.
    pub fn answered(&self, backend: &Backend, took: Duration, now: Instant) {
        backend.answered(took, now);
    }

    /// A backend did not answer, or said that it cannot.
    pub fn failed(&self, backend: &Backend, now: Instant) {
        let failures = backend.failed(now);
        let Some(eject) = self.web().eject.as_ref().filter(|eject| failures >= eject.failures) else {
            return;
        };
        let length = {
            let members = self.members();
            let ejected = |member: &&Arc<Backend>| member.ejection.until(now).is_some();
            let most = (members.backends().count() as f64 * eject.max_share) as usize;
            if backend.ejection.until(now).is_some() || members.backends().filter(ejected).count() >= most {
                return;
            }
            backend.ejection.begin(now, eject)
        };
        self.group.changed();
        tracing::warn!(pool = %self.group.name, backend = %backend.target,
            "backend has failed {failures} times in a row: left alone for {} s", length.as_secs_f32());
    }

    /// What checks say of the backend there.
    pub fn set_up(&self, target: &Target, up: bool) {
        let backend = self.members().backends().find(|backend| backend.target == *target).cloned();
        if backend.is_some_and(|backend| backend.set_up(up)) {
            self.group.changed();
            self.feed(Instant::now());
        }
    }

    /// Whether an operator wants nothing new to go there.
    pub fn set_drained(&self, endpoint: &Endpoint, drained: bool) {
        let mut changed = false;
        for place in self.members().places.iter_mut().filter(|place| place.endpoint == *endpoint) {
            changed |= std::mem::replace(&mut place.drained, drained) != drained;
        }
        if changed {
            self.group.changed();
            self.feed(Instant::now());
        }
    }

    /// The addresses that a name has now.
    pub fn set_addresses(&self, host: &str, addresses: &[IpAddr]) {
        let now = Instant::now();
        {
            let mut members = self.members();
            for place in &mut members.places {
                if matches!(&place.endpoint, Endpoint::Name { host: name, .. } if **name == *host) {
                    let targets = targets(&place.endpoint, |_| addresses.to_vec());
                    let (introduced, tls) = (self.web().send_proxy_protocol, place.tls.as_ref());
                    place.backends =
                        targets.iter().map(|target| self.group.backend(target, introduced, tls)).collect();
                    place.pending = false;
                }
            }
            self.members_changed(&mut members, now);
        }
        self.feed(now);
    }

    /// Where its backends are, in file order.
    pub fn targets(&self) -> Vec<(Endpoint, Target)> {
        let members = self.members();
        let each = |place: &Place, backend: &Arc<Backend>| (place.endpoint.clone(), backend.target.clone());
        members.places.iter().flat_map(|place| place.backends.iter().map(move |b| each(place, b))).collect()
    }

    /// Its backends, in file order.
    pub fn view(&self, now: Instant) -> Vec<BackendView> {
        let ms = self.group.ms(now);
        let members = self.members();
        let view = |place: &Place, backend: &Arc<Backend>| BackendView {
            endpoint: place.endpoint.clone(),
            target: backend.target.clone(),
            weight: place.weight,
            drained: place.drained,
            up: backend.is_up(),
            ejected: backend.ejection.until(now).map(|until| until.saturating_duration_since(now)),
            busy: backend.busy(),
            open: backend.open(),
            idle: backend.idle(),
            latency: Duration::from_secs_f32(backend.latency.us(ms) / 1e6),
        };
        members.places.iter().flat_map(|place| place.backends.iter().map(move |b| view(place, b))).collect()
    }

    /// Whether its operator has bounded the connections to a backend.
    pub fn is_bounded(&self) -> bool {
        self.web().max_connections != WebPoolConfig::default().max_connections
    }

    /// Requests that wait for a place.
    pub fn waiting(&self) -> usize {
        self.group.queue.len()
    }

    /// Requests in flight at one backend.
    fn most(&self, backend: &Backend) -> u32 {
        let many = match self.web().protocol {
            UpstreamProtocol::Http1 => false,
            UpstreamProtocol::H2c => true,
            UpstreamProtocol::Auto => backend.spoken() == Some(Spoken::Http2),
        };
        self.web().max_connections.saturating_mul(if many { STREAMS } else { 1 })
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that can serve. Made anew by the first who finds them out of date; others meanwhile use the old ones.
    fn current(&self, now: Instant) -> arc_swap::Guard<Arc<Selection>> {
        let selection = self.selection.load();
        let fresh = selection.changes == self.group.changes.load(Ordering::Acquire)
            && selection.until.is_none_or(|until| now < until);
        if fresh {
            return selection;
        }
        if let Ok(members) = self.members.try_lock() {
            self.select(&members, now);
        }
        self.selection.load()
    }

    /// Makes the ring and the selection anew.
    fn members_changed(&self, members: &mut Members, now: Instant) {
        if matches!(self.web().balance, Balance::Maglev(_)) {
            members.ring = Some(Arc::from(members.fill()));
        }
        self.select(members, now);
    }

    fn select(&self, members: &Members, now: Instant) {
        // Before looking at the backends: what changes while we look is seen the next time.
        let changes = self.group.changes.load(Ordering::Acquire);
        let until = members.backends().filter_map(|backend| backend.ejection.until(now)).min();
        let mut choices = members.choices(|backend| backend.ejection.until(now).is_none());
        if choices.iter().all(Option::is_none) {
            // Better one that has failed than nobody.
            choices = members.choices(|_| true);
        }
        let mut selection =
            Selection::new(choices, &self.web().balance, members.ring.as_ref(), changes, until);
        selection.pending = members.places.iter().any(|place| place.pending);
        self.selection.store(Arc::new(selection));
    }
}

impl Members {
    fn backends(&self) -> impl Iterator<Item = &Arc<Backend>> {
        self.places.iter().flat_map(|place| &place.backends)
    }

    /// Each member, if it can serve.
    fn choices(&self, usable: impl Fn(&Backend) -> bool) -> Vec<Option<Choice>> {
        let choice = |place: &Place, backend: &Arc<Backend>| {
            let serves = place.weight > 0 && !place.drained && backend.is_up() && usable(backend);
            serves.then(|| Choice { backend: Arc::clone(backend), weight: place.weight })
        };
        let members = self.places.iter().flat_map(|place| place.backends.iter().map(move |b| (place, b)));
        members.map(|(place, backend)| choice(place, backend)).collect()
    }

    /// The slots of all members, whether they can serve or not: a key comes back to where it was.
    fn fill(&self) -> Box<Ring> {
        let weights =
            self.places.iter().flat_map(|place| std::iter::repeat_n(place.weight, place.backends.len()));
        let names: Vec<_> = self.backends().map(|backend| backend.target.to_string()).collect();
        let candidates = names.iter().zip(weights).zip(0..NO_BACKEND);
        let candidate =
            |((name, weight), id): ((&'_ String, u32), u16)| (name.clone(), weight, BackendId(id));
        let owned: Vec<_> = candidates.map(candidate).collect();
        let candidates: Vec<_> = owned
            .iter()
            .map(|(name, weight, id)| Candidate { id: *id, weight: *weight, identity: name.as_bytes() })
            .collect();
        maglev::fill(&candidates)
    }
}

/// Where an endpoint is: nowhere, if it is a name without known addresses.
fn targets(endpoint: &Endpoint, addresses: impl Fn(&str) -> Vec<IpAddr>) -> Vec<Target> {
    match endpoint {
        Endpoint::Ip(address) => vec![Target::Tcp(address.at(0))],
        Endpoint::Unix(path) => vec![Target::Unix(path.clone())],
        Endpoint::Name { host, port } => {
            let of = |ip| Target::Tcp(SocketAddr::new(ip, *port));
            addresses(host).into_iter().map(of).collect()
        }
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;

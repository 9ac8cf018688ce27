//! What is told to those who ask.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::admin::api::{self, Rate, State, Status, Traffic, Use};
use crate::config::{BackendConfig, Config, Forward, PoolConfig, WebListenerConfig};
use crate::l7::crowd::ListenerCrowd;
use crate::telemetry::steering::{Refused, Relayed};
use crate::upstream::health::{CheckKey, Health};

use super::dataplane::{Observed, Place, Seen};
use super::drain::Drained;
use super::health::{Finding, Findings, describe};
use super::web::Web;

/// What each backend of each listener does in a second.
#[derive(Default, Debug)]
pub(super) struct Rates {
    at: Option<Instant>,
    traffic: HashMap<Place, Traffic>,
    rates: HashMap<Place, Rate>,
}

impl Rates {
    /// Takes the counters as they are now.
    pub(super) fn measure(&mut self, observed: &Observed, now: Instant) {
        let seconds = self.at.map_or(0.0, |at| now.duration_since(at).as_secs_f64());
        let rate = |(place, seen): (&Place, &Seen)| {
            let rate = self.traffic.get(place).map(|earlier| seen.traffic.rate_since(*earlier, seconds));
            (place.clone(), rate.unwrap_or_default())
        };
        self.rates = observed.backends.iter().map(rate).collect();
        self.traffic = observed.backends.iter().map(|(place, seen)| (place.clone(), seen.traffic)).collect();
        self.at = Some(now);
    }

    fn of(&self, place: &Place) -> Rate {
        self.rates.get(place).copied().unwrap_or_default()
    }
}

/// What a status is made of.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) config: &'a Config,
    pub(super) observed: Option<&'a Observed>,
    pub(super) findings: &'a Findings,
    pub(super) drained: &'a Drained,
    pub(super) rates: &'a Rates,
    pub(super) web: &'a Web,
}

/// Everything that is to be known, but for the daemon itself.
pub(super) fn status(known: Known<'_>) -> Status {
    let mut uses: HashMap<CheckKey, Use> = HashMap::new();
    let mut lost = HashSet::new();
    let mut listeners = Vec::new();
    for listener in &known.config.listeners {
        let mut sum = Use::default();
        for (address, backend) in known.config.backends(listener) {
            let place = Place { listener: listener.name.clone(), address };
            let one = use_of(known, &place);
            sum += one;
            let key = CheckKey { pool: listener.pool.clone(), backend: backend.endpoint.clone() };
            if known.observed.and_then(|o| o.backends.get(&place)).is_some_and(|seen| seen.down) {
                lost.insert(key.clone());
            }
            *uses.entry(key).or_default() += one;
        }
        listeners.push(api::Listener {
            name: listener.name.to_string(),
            protocol: listener.protocol.to_string(),
            forward: forward_word(listener.forward).into(),
            bind: listener.bind.clone(),
            pool: listener.pool.to_string(),
            use_: sum,
        });
    }
    let pool = |pool: &PoolConfig| api::Pool {
        name: pool.name.to_string(),
        check: pool.health.as_ref().map(describe),
        backends: pool.backends.iter().map(|b| backend(known, pool, b, &uses, &lost)).collect(),
    };
    let pools = known.config.pools.iter().map(pool).collect();
    let http = http_listeners(known);
    Status { daemon: None, kernel: known.observed.map(kernel), listeners, http, pools }
}

/// What passes through the `http` listeners.
fn http_listeners(known: Known<'_>) -> Vec<api::HttpListener> {
    let Some(workers) = known.web.workers() else { return Vec::new() };
    let totals = workers.shared().requests.by_listener();
    let one = |listener: &WebListenerConfig| {
        let crowd = workers.shared().crowd.listener(&listener.name);
        let total = totals.get(listener.name.as_str()).copied().unwrap_or_default();
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        api::HttpListener {
            name: listener.name.to_string(),
            bind: listener.bind.iter().map(ToString::to_string).collect(),
            connections: crowd.open.load(Ordering::Relaxed),
            accepted: get(&crowd.accepted),
            refused: get(&crowd.refused_full) + get(&crowd.refused_client) + get(&crowd.refused_proxy),
            requests: total.requests,
            failed: total.failed,
            received: total.received,
            sent: total.sent,
            protocol: listener.protocol().to_owned(),
            steered: steered(known, listener, &crowd),
        }
    };
    known.config.web_listeners.iter().map(one).collect()
}

/// What ClientHellos of a listener have led to; none: nobody looks at them.
fn steered(known: Known<'_>, listener: &WebListenerConfig, crowd: &ListenerCrowd) -> Option<api::Steered> {
    known.web.snapshot()?.steering.of(&listener.name)?;
    let counts = &crowd.steered;
    let routes = counts.routes();
    let sum = |count: fn(&Relayed) -> &AtomicU64| {
        routes.iter().map(|(_, it)| count(it).load(Ordering::Relaxed)).sum()
    };
    let peeked = counts.reading.load(Ordering::Relaxed);
    let relayed = routes.iter().map(|(_, it)| it.open.load(Ordering::Relaxed)).sum();
    Some(api::Steered {
        peeked,
        relayed,
        terminated: crowd.open.load(Ordering::Relaxed).saturating_sub(peeked + relayed),
        handed_off: sum(|it| &it.handed_off),
        refused: Refused::ALL.into_iter().map(|why| counts.count(why)).sum(),
        received: sum(|it| &it.received),
        sent: sum(|it| &it.sent),
    })
}

/// What a backend has to do for those who serve HTTP: all its addresses together; none: they do not know it.
fn http_use(known: Known<'_>, pool: &PoolConfig, backend: &BackendConfig) -> Option<api::HttpUse> {
    let snapshot = known.web.snapshot()?;
    let pool = snapshot.pools.iter().find(|served| *served.name() == pool.name)?;
    let mut sum = api::HttpUse::default();
    for view in pool.view(Instant::now()).iter().filter(|view| view.endpoint == backend.endpoint) {
        sum.requests += view.busy;
        sum.connections += view.open;
        sum.ejected |= view.ejected.is_some();
    }
    Some(sum)
}

fn use_of(known: Known<'_>, place: &Place) -> Use {
    let seen = known.observed.and_then(|observed| observed.backends.get(place)).copied().unwrap_or_default();
    Use { flows: seen.flows, traffic: seen.traffic, rate: known.rates.of(place) }
}

fn kernel(observed: &Observed) -> api::Kernel {
    api::Kernel {
        interfaces: observed.interfaces.clone(),
        flow_tables: observed.flow_tables.clone(),
        guards: observed.guards.clone(),
        drops: observed.drops.clone(),
        notices: observed.notices.clone(),
        handoffs: observed.handoffs.clone(),
        names: observed.names.clone(),
    }
}

fn backend(
    known: Known<'_>,
    pool: &PoolConfig,
    backend: &BackendConfig,
    uses: &HashMap<CheckKey, Use>,
    lost: &HashSet<CheckKey>,
) -> api::Backend {
    let key = CheckKey { pool: pool.name.clone(), backend: backend.endpoint.clone() };
    let by_hand = known.drained.has(&key);
    let drained_by = if by_hand { Some("hand") } else { backend.drain.then_some("config") };
    let serves = known.findings.serves(&key);
    let mut health = match (&pool.health, known.findings.of(&key)) {
        (None, _) => api::Health { word: "unchecked".into(), ..api::Health::default() },
        (Some(_), None) => api::Health { word: Health::Unknown.word().into(), ..api::Health::default() },
        (Some(_), Some(finding)) => health(finding),
    };
    if serves && lost.contains(&key) {
        health.why = Some("no route to it".into());
    }
    api::Backend {
        address: backend.endpoint.to_string(),
        weight: Some(backend.weight),
        state: state(by_hand || backend.drain, serves && !lost.contains(&key)),
        drained_by: drained_by.map(str::to_owned),
        health,
        use_: uses.get(&key).copied().unwrap_or_default(),
        http: http_use(known, pool, backend),
    }
}

/// Whether a backend gets new flows.
pub(super) const fn state(draining: bool, serves: bool) -> State {
    match (draining, serves) {
        (true, _) => State::Draining,
        (false, false) => State::Down,
        (false, true) => State::Ready,
    }
}

fn health(finding: &Finding) -> api::Health {
    api::Health {
        word: finding.health.word().into(),
        why: match &finding.health {
            Health::Down(why) => Some(why.to_string()),
            _ => None,
        },
        since: Some(finding.since.elapsed().as_secs()),
        took_ms: finding.took.map(|took| (took.as_secs_f64() * 1e5).round() / 100.0),
    }
}

pub(super) const fn forward_word(forward: Forward) -> &'static str {
    match forward {
        Forward::Nat => "nat",
        Forward::Dsr => "dsr",
        Forward::Local => "local",
    }
}

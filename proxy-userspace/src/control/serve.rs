//! From a configuration to what workers serve by. Pure.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::certs::Certs;
use super::drain::Drained;
use super::health::Findings;
use crate::config::{
    AutoBanEvent, Config, Endpoint, PoolConfig, PoolName, RouteAction, RouteConfig, WebListenerConfig,
};
use crate::l7::Snapshot;
use crate::l7::answer::Answer;
use crate::l7::limit::{self, Limits};
use crate::l7::middleware::{Stack, StackError};
use crate::l7::snapshot::{Action, Route};
use crate::l7::tls::TlsListener;
use crate::net::stream::Target;
use crate::route::{CompileError, Router, Steering};
use crate::telemetry::abuse::{Deed, Sink};
use crate::tls::{self, ListenerTls};
use crate::upstream::health::CheckKey;
use crate::upstream::{Registry, TlsError};

/// Why a configuration cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Routes do not compile.
    #[error(transparent)]
    Routes(#[from] CompileError),
    /// A pool's backends cannot be spoken to by TLS as configured.
    #[error("pool \"{pool}\": {error}")]
    Pool {
        /// The pool.
        pool: PoolName,
        /// What is wrong.
        error: Box<TlsError>,
    },
    /// A route's middleware does not.
    #[error("route \"{route}\" (line {line}): {error}")]
    Stack {
        /// The route.
        route: Box<str>,
        /// Where it stands.
        line: usize,
        /// What is wrong.
        error: StackError,
    },
    /// There is no TLS as configured.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
}

/// What workers serve by. What is known of the pools' backends goes on.
pub(super) fn compile(
    config: &Arc<Config>,
    generation: u64,
    registry: &Registry,
    certs: &Certs,
    limits: &limit::Registry,
    abuse: &Sink,
) -> Result<Snapshot, ServeError> {
    let router = Router::compile(&config.routes)?;
    let mut pools = Vec::new();
    let mut numbers = HashMap::new();
    for name in config.routes.iter().filter_map(pool_of) {
        if let (Entry::Vacant(vacant), Some(pool)) = (numbers.entry(name), config.pool(name)) {
            vacant.insert(pools.len() as u32);
            pools.push(pool);
        }
    }
    let routes =
        config.routes.iter().map(|route| compile_route(route, &numbers)).collect::<Result<_, _>>()?;
    let tls = config.web_listeners.iter().map(|listener| secure(config, listener, certs));
    let tls = tls.collect::<Result<_, _>>()?;
    let pool = |pool: &PoolConfig| {
        registry
            .pool(pool)
            .map_err(|error| ServeError::Pool { pool: pool.name.clone(), error: Box::new(error) })
    };
    let pools = pools.into_iter().map(pool).collect::<Result<_, _>>()?;
    Ok(Snapshot {
        generation,
        tls,
        steering: Steering::compile(config),
        hand_off: None,
        config: config.clone(),
        listeners: config.web_listeners.iter().cloned().map(Arc::new).collect(),
        router,
        routes,
        bans: Arc::default(),
        limits: Limits::compile(config, limits),
        abuse: abuse.wanting(deeds(config)),
        certificates: certs.store.clone(),
        challenges: certs.challenges.clone(),
        pools,
    })
}

fn pool_of(route: &RouteConfig) -> Option<&PoolName> {
    match &route.action {
        RouteAction::Pool(name) => Some(name),
        RouteAction::Redirect(_) | RouteAction::Respond(_) | RouteAction::Refuse(_) => None,
    }
}

/// What automatic bans want to hear of.
fn deeds(config: &Config) -> impl Iterator<Item = Deed> {
    let deed = |event: &AutoBanEvent| match event {
        AutoBanEvent::Limit => Deed::Limited,
        AutoBanEvent::Unauthorized => Deed::Unauthorized,
        AutoBanEvent::Forbidden => Deed::Forbidden,
        AutoBanEvent::NotFound => Deed::NotFound,
        AutoBanEvent::Handshake => Deed::Handshake,
        AutoBanEvent::UnknownSni => Deed::UnknownSni,
        AutoBanEvent::H2Attack => Deed::H2Attack,
        AutoBanEvent::Malformed => Deed::Malformed,
        AutoBanEvent::Ja4 => Deed::Ja4,
    };
    let share = config.auto_bans.iter().any(|ban| ban.share > 0.0).then_some(Deed::Answered);
    config.auto_bans.iter().flat_map(|ban| &ban.events).map(deed).chain(share)
}

/// What a listener goes by that speaks TLS.
fn secure(
    config: &Config,
    listener: &WebListenerConfig,
    certs: &Certs,
) -> Result<Option<Arc<TlsListener>>, tls::TlsError> {
    let rules = ListenerTls::build(listener, &config.tls, &certs.store, &certs.challenges, &certs.tickets)?;
    let on_demand = certs.on_demand.clone().map(|ask| (ask, config.acme.on_demand.wait));
    let ja4 = (config.wants_ja4(listener), config.listed_ja4(listener));
    Ok(rules.map(|rules| Arc::new(TlsListener::new(listener, rules, on_demand, ja4))))
}

fn compile_route(route: &RouteConfig, pools: &HashMap<&PoolName, u32>) -> Result<Route, ServeError> {
    let wrong = |error| ServeError::Stack { route: route.name.clone(), line: route.line, error };
    let stack = Stack::compile(route).map_err(wrong)?;
    let action = match (Answer::of(&route.action), pool_of(route).and_then(|name| pools.get(name))) {
        (None, Some(pool)) => Action::Pool(*pool),
        (Some(answer), _) => Action::Answer(answer),
        (None, None) => unreachable!("a route's pool exists: the configuration was checked"),
    };
    Ok(Route { stack, action })
}

/// Tells pools what checks and operators say of their backends.
pub(super) fn tell_pools(snapshot: &Snapshot, findings: &Findings, drained: &Drained) {
    for pool in &snapshot.pools {
        let config = pool.config();
        let key = |backend: &Endpoint| CheckKey { pool: config.name.clone(), backend: backend.clone() };
        for backend in &config.backends {
            pool.set_drained(&backend.endpoint, backend.drain || drained.has(&key(&backend.endpoint)));
        }
        for (endpoint, target) in pool.targets() {
            // Each address of a name is checked by itself.
            let checked = match (&endpoint, &target) {
                (Endpoint::Name { .. }, Target::Tcp(address)) => (*address).into(),
                _ => endpoint,
            };
            pool.set_up(&target, findings.serves(&key(&checked)));
        }
    }
}

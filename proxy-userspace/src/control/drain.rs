//! Backends that the operator drained by hand: remembered through reloads, and by the kernel part through restarts.

use std::collections::HashSet;

use crate::admin::api::{Drain, Refusal, RefusalKind};
use crate::config::{Config, Endpoint};
use crate::upstream::health::CheckKey;

/// Which are drained by hand.
#[derive(Clone, Default, Debug)]
pub(super) struct Drained {
    marks: HashSet<CheckKey>,
}

impl Drained {
    pub(super) fn has(&self, key: &CheckKey) -> bool {
        self.marks.contains(key)
    }

    /// Drains, or ends it.
    pub(super) fn set(&mut self, keys: &[CheckKey], drained: bool) {
        for key in keys {
            if drained {
                self.marks.insert(key.clone());
            } else {
                self.marks.remove(key);
            }
        }
    }

    /// Forgets backends that are not there any more: whoever comes back later comes back undrained.
    pub(super) fn retain(&mut self, config: &Config) {
        let there: HashSet<_> = keys(config).collect();
        self.marks.retain(|key| there.contains(key));
    }
}

/// Every backend of every pool.
pub(super) fn keys(config: &Config) -> impl Iterator<Item = CheckKey> + '_ {
    config.pools.iter().flat_map(|pool| {
        pool.backends
            .iter()
            .map(|backend| CheckKey { pool: pool.name.clone(), backend: backend.endpoint.clone() })
    })
}

/// The backends that a request means: at least one.
pub(super) fn meant(config: &Config, which: &Drain) -> Result<Vec<CheckKey>, Refusal> {
    let wanted: Endpoint = which.backend.parse().map_err(|error| {
        Refusal::new(RefusalKind::BadRequest, format!("backend \"{}\": {error}", which.backend))
    })?;
    if let Some(pool) = &which.pool
        && !config.pools.iter().any(|p| p.name.as_str() == pool)
    {
        let names: Vec<_> = config.pools.iter().map(|p| p.name.as_str()).collect();
        let error = format!("no pool is called \"{pool}\": there are {}", names.join(", "));
        return Err(Refusal::new(RefusalKind::NotFound, error));
    }
    let in_pool = |key: &CheckKey| which.pool.as_deref().is_none_or(|pool| pool == key.pool.as_str());
    // Without a port, the backend of that address, if no more than one has it in a pool.
    let portless = wanted.ip().filter(|address| address.port.is_none());
    let same = |key: &CheckKey| match portless {
        None => key.backend == wanted,
        Some(address) => key.backend.ip().is_some_and(|backend| backend.ip == address.ip),
    };
    let found: Vec<_> = keys(config).filter(|key| in_pool(key) && same(key)).collect();
    if found.is_empty() {
        let place = which.pool.as_deref().map_or("in any pool".into(), |pool| format!("in pool \"{pool}\""));
        let error = format!("no backend {wanted} {place}: `proxy-now status` lists them");
        return Err(Refusal::new(RefusalKind::NotFound, error));
    }
    if portless.is_some() && found.iter().any(|a| found.iter().any(|b| a.pool == b.pool && a != b)) {
        let error = format!("several backends have the address {wanted}: say which, as {wanted}:PORT");
        return Err(Refusal::new(RefusalKind::BadRequest, error));
    }
    Ok(found)
}

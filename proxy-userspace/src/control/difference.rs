//! What is different between two configurations, in words for people.

use std::collections::BTreeMap;

use crate::admin::api::Change;
use crate::config::{BackendConfig, Config, ListenerConfig, PoolConfig};

/// What is different, listeners first.
pub(super) fn difference(old: &Config, new: &Config) -> Vec<Change> {
    let mut changes = Vec::new();
    if old.kernel != new.kernel {
        changes.push(change("kernel", "[kernel]", "changed"));
    }
    if old.admin != new.admin {
        changes.push(change("admin", "[admin]", "changed"));
    }
    let by_name = |config: &Config| -> BTreeMap<String, ListenerConfig> {
        config.listeners.iter().map(|l| (l.name.to_string(), l.clone())).collect()
    };
    compare("listener", &by_name(old), &by_name(new), &mut changes, |_, _| "changed".into());
    let by_name = |config: &Config| -> BTreeMap<String, PoolConfig> {
        config.pools.iter().map(|p| (p.name.to_string(), p.clone())).collect()
    };
    let (old, new) = (by_name(old), by_name(new));
    let without_backends = |pools: &BTreeMap<String, PoolConfig>| -> BTreeMap<String, PoolConfig> {
        pools
            .iter()
            .map(|(name, pool)| (name.clone(), PoolConfig { backends: vec![], ..pool.clone() }))
            .collect()
    };
    compare("pool", &without_backends(&old), &without_backends(&new), &mut changes, |_, _| {
        "checks changed".into()
    });
    compare("backend", &backends(&old), &backends(&new), &mut changes, backend_change);
    changes
}

/// By pool and address: `app/10.0.0.1:80`.
fn backends(pools: &BTreeMap<String, PoolConfig>) -> BTreeMap<String, BackendConfig> {
    let of = |(name, pool): (&String, &PoolConfig)| {
        let name = name.clone();
        pool.backends.clone().into_iter().map(move |b| (format!("{name}/{}", b.endpoint), b))
    };
    pools.iter().flat_map(of).collect()
}

fn backend_change(old: &BackendConfig, new: &BackendConfig) -> String {
    let mut how = Vec::new();
    if old.weight != new.weight {
        how.push(format!("weight {} -> {}", old.weight, new.weight));
    }
    if old.drain != new.drain {
        how.push(if new.drain { "drained".into() } else { "no longer drained".into() });
    }
    how.join(", ")
}

fn compare<T: PartialEq>(
    what: &str,
    old: &BTreeMap<String, T>,
    new: &BTreeMap<String, T>,
    changes: &mut Vec<Change>,
    how: impl Fn(&T, &T) -> String,
) {
    for (name, was) in old {
        match new.get(name) {
            None => changes.push(change(what, name, "removed")),
            Some(is) if is != was => changes.push(change(what, name, &how(was, is))),
            Some(_) => {}
        }
    }
    for name in new.keys().filter(|name| !old.contains_key(*name)) {
        changes.push(change(what, name, "added"));
    }
}

fn change(what: &str, name: &str, how: &str) -> Change {
    Change { what: what.into(), name: name.into(), how: how.into() }
}

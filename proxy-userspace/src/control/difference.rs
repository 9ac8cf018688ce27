//! What is different between two configurations, in words for people.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::admin::api::Change;
use crate::config::{
    Amount, AutoBanConfig, BackendConfig, Config, HostTlsConfig, LimitConfig, ListenerConfig, Measure,
    PoolConfig, RouteConfig, TlsConfig, WebListenerConfig, amount_text,
};

/// Changes of one kind that are named one by one; of more it is said how many there are.
const NAMED: usize = 50;

/// What is different, listeners first.
pub(super) fn difference(old: &Config, new: &Config) -> Vec<Change> {
    let mut changes = Vec::new();
    for (name, same) in [
        ("kernel", old.kernel == new.kernel),
        ("admin", old.admin == new.admin),
        ("tls", same_files(&old.tls, &new.tls)),
        ("acme", old.acme == new.acme),
        ("ban", old.ban == new.ban),
        ("server", without_log(old) == without_log(new)),
        ("access_log", old.server.access_log == new.server.access_log),
    ] {
        if !same {
            changes.push(change(name, &format!("[{name}]"), "changed"));
        }
    }
    let changed = |same: bool| (!same).then(|| "changed".to_owned());
    let of = |config| listeners(config);
    changes.extend(compare("listener", &of(old), &of(new), |old, new| changed(old == new)));
    let of = |config| web_listeners(config);
    changes.extend(compare("listener", &of(old), &of(new), |old, new| changed(old == new)));
    changes.extend(compare("route", &routes(old), &routes(new), route_change));
    changes.extend(compare("certificate", &hosts(old), &hosts(new), host_change));
    changes.extend(compare("pool", &pools(old), &pools(new), pool_change));
    changes.extend(compare("backend", &backends(old), &backends(new), backend_change));
    changes.extend(compare("limit", &limits(old), &limits(new), limit_change));
    changes.extend(compare("auto-ban", &auto_bans(old), &auto_bans(new), |old, new| {
        let same = AutoBanConfig { line: new.line, ..old.clone() } == *new;
        changed(same)
    }));
    changes
}

fn auto_bans(config: &Config) -> ByName<'_, AutoBanConfig> {
    config.auto_bans.iter().map(|rule| ((&*rule.name).into(), rule)).collect()
}

/// Things by their names, which are unique.
type ByName<'a, T> = BTreeMap<Cow<'a, str>, &'a T>;

fn listeners(config: &Config) -> ByName<'_, ListenerConfig> {
    config.listeners.iter().map(|listener| (listener.name.as_str().into(), listener)).collect()
}

fn web_listeners(config: &Config) -> ByName<'_, WebListenerConfig> {
    config.web_listeners.iter().map(|listener| (listener.name.as_str().into(), listener)).collect()
}

fn routes(config: &Config) -> ByName<'_, RouteConfig> {
    config.routes.iter().map(|route| ((&*route.name).into(), route)).collect()
}

fn hosts(config: &Config) -> ByName<'_, HostTlsConfig> {
    config.tls.hosts.iter().map(|(host, tls)| (host.to_string().into(), tls)).collect()
}

fn pools(config: &Config) -> ByName<'_, PoolConfig> {
    config.pools.iter().map(|pool| (pool.name.as_str().into(), pool)).collect()
}

/// By pool and address: `app/10.0.0.1:80`.
fn backends(config: &Config) -> ByName<'_, BackendConfig> {
    let of = |pool: &'_ PoolConfig| pool.name.clone();
    let named =
        config.pools.iter().flat_map(|pool| pool.backends.iter().map(move |backend| (of(pool), backend)));
    named.map(|(pool, backend)| (format!("{pool}/{}", backend.endpoint).into(), backend)).collect()
}

fn limits(config: &Config) -> ByName<'_, LimitConfig> {
    config.limits.iter().map(|limit| (limit.name.as_str().into(), limit)).collect()
}

/// Everything but the hosts, of which each is told.
fn same_files(old: &TlsConfig, new: &TlsConfig) -> bool {
    let files = |tls: &TlsConfig| (tls.certificates.clone(), tls.directories.clone(), tls.tickets.clone());
    files(old) == files(new)
}

fn without_log(config: &Config) -> impl PartialEq {
    let server = &config.server;
    (server.workers, server.max_requests, server.max_buffer_bytes, server.grace, server.request_metrics)
}

/// What is different in a route; its line is not.
fn route_change(old: &RouteConfig, new: &RouteConfig) -> Option<String> {
    let parts = [
        ("listener", old.listeners == new.listeners),
        ("host", old.hosts == new.hosts),
        ("path", old.path == new.path),
        ("method", old.methods == new.methods),
        ("header", old.headers == new.headers),
        ("query", old.query == new.query),
        ("client_ip", old.client_ip == new.client_ip),
        ("what is done", old.action == new.action),
        ("middleware", old.middleware == new.middleware),
        ("timeout", old.request_timeout == new.request_timeout),
    ];
    let different: Vec<_> = parts.iter().filter(|(_, same)| !same).map(|(part, _)| *part).collect();
    (!different.is_empty()).then(|| format!("{} changed", different.join(", ")))
}

/// What is different in how a host gets its certificate; its listeners are told of by routes.
fn host_change(old: &HostTlsConfig, new: &HostTlsConfig) -> Option<String> {
    let from = (old.from != new.from).then(|| format!("from {} -> {}", old.from.word(), new.from.word()));
    let auth = (old.client_auth != new.client_auth).then(|| "client_auth changed".to_owned());
    let how: Vec<_> = from.into_iter().chain(auth).collect();
    (!how.is_empty()).then(|| how.join(", "))
}

/// What is different in a pool, but for its backends.
fn pool_change(old: &PoolConfig, new: &PoolConfig) -> Option<String> {
    let checks = (old.health != new.health).then_some("checks changed");
    let web = (old.web != new.web).then_some("how requests are sent changed");
    let how: Vec<_> = checks.into_iter().chain(web).collect();
    (!how.is_empty()).then(|| how.join(", "))
}

fn backend_change(old: &BackendConfig, new: &BackendConfig) -> Option<String> {
    let mut how = Vec::new();
    if old.weight != new.weight {
        how.push(format!("weight {} -> {}", old.weight, new.weight));
    }
    if old.drain != new.drain {
        how.push(if new.drain { "drained".into() } else { "no longer drained".into() });
    }
    (!how.is_empty()).then(|| how.join(", "))
}

/// What is different in a limit: how much, from what to what; its line is not.
fn limit_change(old: &LimitConfig, new: &LimitConfig) -> Option<String> {
    let amounts = Measure::ALL.into_iter().filter_map(|measure| {
        let (was, is) = (old.measures.get(measure), new.measures.get(measure));
        let text = |amount: Option<Amount>| {
            amount.map_or_else(|| "any number".to_owned(), |amount| amount_text(measure, amount))
        };
        (was != is).then(|| format!("{} {} -> {}", measure.name(), text(was), text(is)))
    });
    let parts = [
        ("listener", old.listeners == new.listeners),
        ("route", old.routes == new.routes),
        ("per", old.per == new.per),
        ("action", old.action == new.action),
        ("exempt", old.exempt == new.exempt),
    ];
    let parts = parts.iter().filter(|(_, same)| !same).map(|(part, _)| format!("{part} changed"));
    let different: Vec<_> = amounts.chain(parts).collect();
    (!different.is_empty()).then(|| different.join(", "))
}

/// What came, went, and changed: `how` says how, if it did.
fn compare<T>(
    what: &str,
    old: &ByName<'_, T>,
    new: &ByName<'_, T>,
    how: impl Fn(&T, &T) -> Option<String>,
) -> Vec<Change> {
    let mut changes = Vec::new();
    for (name, was) in old {
        match new.get(name) {
            None => changes.push(change(what, name, "removed")),
            Some(is) => changes.extend(how(was, is).map(|how| change(what, name, &how))),
        }
    }
    let added = new.keys().filter(|name| !old.contains_key(*name));
    changes.extend(added.map(|name| change(what, name, "added")));
    if changes.len() > NAMED {
        let more = changes.len() - NAMED;
        changes.truncate(NAMED);
        changes.push(change(what, &format!("{more} more"), "added, removed or changed"));
    }
    changes
}

fn change(what: &str, name: &str, how: &str) -> Change {
    Change { what: what.into(), name: name.into(), how: how.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(old: &str, new: &str) -> Vec<String> {
        let base = "[listener.web]\nbind = \"192.0.2.1:80\"\nprotocol = \"http\"\n";
        let parse = |text: &str| crate::config::parse(&format!("{base}{text}"), "proxy.toml").unwrap();
        let changes = difference(&parse(old), &parse(new));
        changes.into_iter().map(|change| format!("{} {}: {}", change.what, change.name, change.how)).collect()
    }

    #[test]
    fn what_is_different_in_routes_is_said_and_their_lines_are_not() {
        let route = "[[route]]\nname = \"a\"\npath = \"/a\"\nrespond = 204\n";
        assert_eq!(told(route, &format!("\n\n{route}")), [""; 0]);
        let other =
            "[[route]]\nname = \"a\"\npath = \"/b\"\nrespond = 404\n[[route]]\nhost = \"b\"\nrespond = 204\n";
        assert_eq!(told(route, other), ["route a: path, what is done changed", "route route-2: added"]);
        assert_eq!(told(other, route).last().map(String::as_str), Some("route route-2: removed"));
    }

    #[test]
    fn what_is_different_in_how_requests_are_served_is_said() {
        let old = "[[route]]\npool = \"app\"\n[pool.app]\nbackends = [\"192.0.2.2:80\"]\n";
        let new = format!("{old}balance = \"p2c\"\n[server]\nworkers = 2\n[access_log]\n");
        let told = told(old, &new);
        let pool = "pool app: how requests are sent changed";
        assert_eq!(told, ["server [server]: changed", "access_log [access_log]: changed", pool]);
    }

    #[test]
    fn of_a_limit_it_is_said_from_what_to_what() {
        let old = "[limit.a]\nrequests = \"100/s\"\nconcurrent = 5\n[limit.b]\nrequests = \"5/m\"\n";
        let new =
            "\n[limit.a]\nrequests = \"100/s burst 300\"\naction = \"observe\"\n[limit.c]\nconcurrent = 2\n";
        let a = "limit a: concurrent 5 -> any number, requests 100/s -> 100/s burst 300, action changed";
        assert_eq!(told(old, new), [a, "limit b: removed", "limit c: added"]);
        assert_eq!(told(old, &format!("\n{old}")), [""; 0]);
    }

    #[test]
    fn of_very_many_changes_it_is_said_how_many_there_are() {
        let routes = |status| {
            let route = |number| format!("[[route]]\npath = \"/{number}\"\nrespond = {status}\n");
            (0..200).map(route).collect::<String>()
        };
        let told = told(&routes(200), &routes(204));
        assert_eq!(told.len(), NAMED + 1);
        assert_eq!(told[NAMED], "route 150 more: added, removed or changed");
    }
}

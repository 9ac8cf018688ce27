//! Which connection goes where: decided by its ClientHello, before anything is decrypted.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::hello::{self, Hello};
use crate::config::{
    Config, HelloCondition, HostPattern, ListenerName, Refuse, RouteAction, RouteConfig, WebListenerConfig,
};

/// Routes of connections, of the listeners that have any.
///
/// Of all routes of a listener that match by their host, `client_ip` and `client_hello`, the one wins whose host is the
/// most specific (a name, then the wildcard with the most labels, then none), then which has more of those conditions,
/// then which stands first in the file. What it says of requests comes later.
#[derive(Debug, Default)]
pub struct Steering {
    listeners: HashMap<ListenerName, Names>,
}

/// Routes of one listener, by host pattern.
#[derive(Debug, Default)]
pub struct Names {
    exact: HashMap<Box<str>, Vec<Entry>>,
    /// By what follows `*.`.
    wildcard: HashMap<Box<str>, Vec<Entry>>,
    every: Vec<Entry>,
    /// Labels of the longest wildcard.
    labels: usize,
    /// Some route asks for the fingerprint.
    wants_ja4: bool,
}

/// What becomes of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Steered {
    /// It is decrypted here. The route is the one that said so: of an `https` listener, requests find their own.
    Terminate(u32),
    /// It goes to the route's pool as it is.
    Pass(u32),
    /// It is refused.
    Refuse(u32, Refuse),
}

/// What the kernel part can know of a name by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamePlan {
    /// The name, or the names; none: every other one, and none.
    pub host: Option<HostPattern>,
    /// What becomes of its connections; none: the worker finds out, by more than the name.
    pub steered: Option<Steered>,
}

/// A route under one host pattern.
#[derive(Clone, Debug)]
struct Entry {
    steered: Steered,
    rank: (std::cmp::Reverse<u32>, u32),
    clients: Box<[IpNet]>,
    hello: Option<Box<HelloCondition>>,
}

impl Steering {
    /// Compiles the routes of listeners that have to look at ClientHellos.
    pub fn compile(config: &Config) -> Self {
        let looks = |listener: &&WebListenerConfig| looks(listener, &config.routes);
        let listeners = config.web_listeners.iter().filter(looks);
        let names = |listener: &WebListenerConfig| Names::compile(&listener.name, &config.routes);
        Self { listeners: listeners.map(|listener| (listener.name.clone(), names(listener))).collect() }
    }

    /// The routes of a listener; none: its connections are all decrypted, and nobody looks.
    pub fn of(&self, listener: &ListenerName) -> Option<&Names> {
        self.listeners.get(listener)
    }
}

/// Whether a listener has to look at ClientHellos.
fn looks(listener: &WebListenerConfig, routes: &[RouteConfig]) -> bool {
    let steers = |route: &RouteConfig| {
        route.listeners.contains(&listener.name)
            && (route.takes_connections() || !route.client_hello.is_empty())
    };
    listener.is_raw() || listener.tls.is_some() && routes.iter().any(steers)
}

impl Names {
    fn compile(listener: &ListenerName, routes: &[RouteConfig]) -> Self {
        let mut names = Self::default();
        for (index, route) in (0..).zip(routes).filter(|(_, route)| route.listeners.contains(listener)) {
            let entry = Entry::of(index, route);
            names.wants_ja4 |= !route.client_hello.ja4.is_empty();
            for host in &route.hosts {
                let entries = match host {
                    HostPattern::Exact(name) => names.exact.entry(name.clone()),
                    HostPattern::Wildcard(parent) => {
                        names.labels = names.labels.max(parent.split('.').count());
                        names.wildcard.entry(parent.clone())
                    }
                };
                entries.or_default().push(entry.clone());
            }
            if route.hosts.is_empty() {
                names.every.push(entry);
            }
        }
        let lists = names.exact.values_mut().chain(names.wildcard.values_mut());
        lists.chain([&mut names.every]).for_each(tidy);
        names
    }

    /// Some route asks for the fingerprint.
    pub fn wants_ja4(&self) -> bool {
        self.wants_ja4
    }

    /// What becomes of a connection; none: no route matches. `name` is the SNI, canonical; empty: there is none.
    pub fn find(&self, name: &str, client: IpAddr, hello: &Hello) -> Option<Steered> {
        let client = client.to_canonical();
        self.lists(name).find_map(|entries| {
            entries.iter().find(|entry| entry.holds(client, hello)).map(|entry| entry.steered)
        })
    }

    /// Whether the connections of some route have this name.
    pub fn knows(&self, name: &str) -> bool {
        self.lists(name).next().is_some()
    }

    /// What the kernel part can know by the name alone: one entry for each host pattern, and one for all else.
    pub fn plans(&self) -> Vec<NamePlan> {
        let steered = |entries: &[Entry]| {
            let first = entries.first()?;
            (first.clients.is_empty() && first.hello.is_none()).then_some(first.steered)
        };
        let exact =
            self.exact.iter().map(|(name, entries)| (Some(HostPattern::Exact(name.clone())), entries));
        let wildcard =
            self.wildcard.iter().map(|(name, entries)| (Some(HostPattern::Wildcard(name.clone())), entries));
        let every = [(None, &self.every)];
        let all = exact.chain(wildcard).chain(every);
        all.map(|(host, entries)| NamePlan { host, steered: steered(entries) }).collect()
    }

    /// Routes of the patterns that the name is, the most specific first.
    fn lists<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Vec<Entry>> {
        let dots = name.bytes().filter(|byte| *byte == b'.').count();
        let mut rest = Some(name);
        let suffixes = std::iter::from_fn(move || {
            rest = rest?.split_once('.').map(|(_, rest)| rest);
            rest
        });
        let wildcards = suffixes.skip(dots.saturating_sub(self.labels));
        let wildcards = wildcards.filter_map(|suffix| self.wildcard.get(suffix));
        self.exact
            .get(name)
            .into_iter()
            .chain(wildcards)
            .chain((!self.every.is_empty()).then_some(&self.every))
    }
}

/// In the order of their ranks. What stands behind one that asks for nothing is never reached.
fn tidy(entries: &mut Vec<Entry>) {
    entries.sort_by_key(|entry| entry.rank);
    if let Some(last) = entries.iter().position(|entry| entry.clients.is_empty() && entry.hello.is_none()) {
        entries.truncate(last + 1);
    }
}

impl Entry {
    fn of(index: u32, route: &RouteConfig) -> Self {
        let steered = match route.action {
            RouteAction::Refuse(how) => Steered::Refuse(index, how),
            _ if route.passthrough => Steered::Pass(index),
            _ => Steered::Terminate(index),
        };
        Self {
            steered,
            rank: (std::cmp::Reverse(conditions(route)), index),
            clients: route.client_ip.clone().into(),
            hello: (!route.client_hello.is_empty()).then(|| Box::new(route.client_hello.clone())),
        }
    }

    fn holds(&self, client: IpAddr, hello: &Hello) -> bool {
        (self.clients.is_empty() || self.clients.iter().any(|network| network.contains(&client)))
            && self.hello.as_ref().is_none_or(|wanted| hello::refusal(wanted, hello).is_none())
    }
}

/// Conditions that are known with the ClientHello, beside the host.
pub(super) fn conditions(route: &RouteConfig) -> u32 {
    u32::from(!route.client_ip.is_empty()) + route.client_hello.count()
}

#[cfg(test)]
#[path = "steering_tests.rs"]
mod tests;

//! The router graph: listener, then host, then path, then the other conditions. Immutable.

use std::collections::HashMap;

use super::arena::Writer;
use super::compiled::{CompileError, Compiled};
use super::condition::Conditions;
use super::entry::{Entry, RouteRef};
use super::hosts::Hosts;
use super::paths;
use super::pattern::Patterns;
use super::query::Query;
use super::rank::{Rank, Ranks};
use super::rule::Regexes;
use crate::config::{HostPattern, ListenerName, RouteConfig};

/// The routes of a configuration, compiled.
///
/// Of the routes that match, the one wins whose host is the most specific (a name, then the wildcard with the most
/// labels, then none), then whose path is (`path_exact`, then the longest `path`, then `path_regex` in file order,
/// then none or `path = "/"`), then which has more further conditions, then which stands first in the file.
#[derive(Debug)]
pub struct Router {
    /// By name.
    listeners: Box<[(ListenerName, Hosts)]>,
    /// What host patterns have, and the trees of paths.
    records: Box<[u8]>,
    patterns: Patterns,
    routes: Box<[Route]>,
}

/// The route of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Match {
    /// Its index in the configuration.
    pub route: u32,
}

#[derive(Debug)]
struct Route {
    conditions: Option<Box<Conditions>>,
    /// Its pattern names an escape: a path that has it is meant.
    escape: bool,
}

/// Routes of a listener, by host pattern.
type ByHost<'a> = HashMap<Option<&'a HostPattern>, Vec<(Rank, Entry)>>;

impl Router {
    /// Compiles routes.
    ///
    /// # Errors
    /// A regular expression is too large, or a path is none.
    pub fn compile(routes: &[RouteConfig]) -> Result<Self, CompileError> {
        let ranks = Ranks::of(routes);
        let mut regexes = Regexes::default();
        let mut compiled = Vec::with_capacity(routes.len());
        let mut by_listener: HashMap<&ListenerName, ByHost<'_>> = HashMap::new();
        for (index, route) in (0..).zip(routes) {
            let rules = Compiled::new(route, &mut regexes)?;
            // Routes of connections stand in `Steering`.
            let listeners = if route.takes_connections() { &[][..] } else { &route.listeners };
            let rank = ranks.rank(index, route, &rules.path);
            let reference = RouteRef::new(index, rules.conditions.is_some());
            for listener in listeners {
                let hosts = by_listener.entry(listener).or_default();
                let every = route.hosts.is_empty().then_some(None);
                for host in every.into_iter().chain(route.hosts.iter().map(Some)) {
                    let entry = Entry { place: 0, route: reference, path: rules.path.clone() };
                    hosts.entry(host).or_default().push((rank, entry));
                }
            }
            compiled.push(Route { escape: rules.path.has_escape(), conditions: rules.conditions });
        }
        let (mut records, mut patterns) = (Writer::default(), Patterns::default());
        let mut listeners: Vec<_> = by_listener
            .into_iter()
            .map(|(name, hosts)| (name.clone(), Hosts::new(ordered(hosts), &mut records, &mut patterns)))
            .collect();
        listeners.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Ok(Self { listeners: listeners.into(), records: records.finish(), patterns, routes: compiled.into() })
    }

    /// The route of a request.
    ///
    /// A path that some servers read in another way than it is written (`/a%2Fb`) has a route only if that is the
    /// route of the other reading too, or names the escape: else rules for `/a/` would be passed by.
    pub fn find(&self, request: &Query<'_>) -> Option<Match> {
        let listener =
            self.listeners.binary_search_by(|(name, _)| name.as_str().cmp(request.listener)).ok()?;
        let hosts = &self.listeners[listener].1;
        let route = self.find_path(hosts, request, request.target.path())?;
        if let Some(other) = request.target.other_reading()
            && !self.routes[route.index() as usize].escape
            && self.find_path(hosts, request, &other) != Some(route)
        {
            return None;
        }
        Some(Match { route: route.index() })
    }

    fn find_path(&self, hosts: &Hosts, request: &Query<'_>, path: &str) -> Option<RouteRef> {
        let mut accepts = |route: RouteRef| {
            !route.is_conditional()
                || self.routes[route.index() as usize]
                    .conditions
                    .as_ref()
                    .is_none_or(|conditions| conditions.refusal(request).is_none())
        };
        hosts.matching(&self.records, request.host).find_map(|routes| {
            paths::find(&self.records, routes, path.as_bytes(), &self.patterns, &mut accepts)
        })
    }
}

/// Routes in the order of their ranks, each once. Host patterns in a fixed order, so that a graph is always the same.
fn ordered(hosts: ByHost<'_>) -> Vec<(Option<&HostPattern>, Vec<Entry>)> {
    let mut ordered: Vec<_> = hosts.into_iter().collect();
    ordered.sort_unstable_by_key(|(pattern, _)| *pattern);
    let entries = |mut routes: Vec<(Rank, Entry)>| {
        routes.sort_by_key(|(rank, _)| *rank);
        routes.dedup_by_key(|(rank, _)| *rank);
        (0..).zip(routes).map(|(place, (_, entry))| Entry { place, ..entry }).collect()
    };
    ordered.into_iter().map(|(pattern, routes)| (pattern, entries(routes))).collect()
}

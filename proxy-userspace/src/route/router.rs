//! The router graph: listener, then host, then path, then the other conditions. Immutable.

use std::collections::HashMap;

use super::compiled::{CompileError, Compiled};
use super::paths::Paths;
use super::query::Query;
use super::rank::{Rank, Ranks};
use super::rule::{PathRule, Regexes};
use crate::config::{HostPattern, ListenerName, RouteConfig};

/// The routes of a configuration, compiled.
///
/// Of the routes that match, the one wins whose host is the most specific (a name, then the wildcard with the most
/// labels, then none), then whose path is (`path_exact`, then the longest `path`, then `path_regex` in file order,
/// then none or `path = "/"`), then which has more further conditions, then which stands first in the file.
#[derive(Debug)]
pub struct Router {
    listeners: HashMap<ListenerName, Hosts>,
    routes: Box<[Compiled]>,
}

/// The route of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Match {
    /// Its index in the configuration.
    pub route: u32,
}

#[derive(Debug, Default)]
struct Hosts {
    exact: HashMap<Box<str>, Paths>,
    /// By what follows `*.`.
    wildcard: HashMap<Box<str>, Paths>,
    /// Labels of the longest of them.
    labels: usize,
    every: Option<Paths>,
}

/// Routes of a listener, by host pattern.
type ByHost<'a> = HashMap<Option<&'a HostPattern>, Vec<(Rank, PathRule)>>;

impl Router {
    /// Compiles routes.
    ///
    /// # Errors
    /// A regular expression is too large, or a path is none.
    pub fn compile(routes: &[RouteConfig]) -> Result<Self, CompileError> {
        let ranks = Ranks::of(routes);
        let mut regexes = Regexes::default();
        let mut compiled = Vec::with_capacity(routes.len());
        let mut listeners: HashMap<ListenerName, ByHost<'_>> = HashMap::new();
        for (index, route) in (0..).zip(routes) {
            let rules = Compiled::new(route, &mut regexes)?;
            let rank = ranks.rank(index, route, &rules.path);
            for listener in &route.listeners {
                let hosts = listeners.entry(listener.clone()).or_default();
                let every = route.hosts.is_empty().then_some(None);
                for host in every.into_iter().chain(route.hosts.iter().map(Some)) {
                    hosts.entry(host).or_default().push((rank, rules.path.clone()));
                }
            }
            compiled.push(rules);
        }
        let listeners = listeners.into_iter().map(|(name, hosts)| (name, Hosts::new(hosts))).collect();
        Ok(Self { listeners, routes: compiled.into() })
    }

    /// The route of a request.
    ///
    /// A path that some servers read in another way than it is written (`/a%2Fb`) has a route only if that is the
    /// route of the other reading too, or names the escape: else rules for `/a/` would be passed by.
    pub fn find(&self, request: &Query<'_>) -> Option<Match> {
        let hosts = self.listeners.get(request.listener)?;
        let route = self.find_path(hosts, request, request.target.path())?;
        if let Some(other) = request.target.other_reading()
            && !self.routes[route as usize].path.has_escape()
            && self.find_path(hosts, request, &other) != Some(route)
        {
            return None;
        }
        Some(Match { route })
    }

    fn find_path(&self, hosts: &Hosts, request: &Query<'_>, path: &str) -> Option<u32> {
        let accepts = |route: u32| {
            let conditions = self.routes[route as usize].conditions.as_ref();
            conditions.is_none_or(|conditions| conditions.refusal(request).is_none())
        };
        hosts.matching(request.host).find_map(|paths| paths.find(path, accepts))
    }
}

impl Hosts {
    fn new(patterns: ByHost<'_>) -> Self {
        let mut hosts = Self::default();
        for (pattern, routes) in patterns {
            let paths = Paths::new(routes);
            match pattern {
                None => hosts.every = Some(paths),
                Some(HostPattern::Exact(name)) => {
                    hosts.exact.insert(name.clone(), paths);
                }
                Some(HostPattern::Wildcard(suffix)) => {
                    hosts.labels = hosts.labels.max(suffix.split('.').count());
                    hosts.wildcard.insert(suffix.clone(), paths);
                }
            }
        }
        hosts
    }

    /// Those whose pattern the host is, the most specific first.
    fn matching<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a Paths> + 'a {
        let wildcards = suffixes(host, self.labels).filter_map(|suffix| self.wildcard.get(suffix));
        self.exact.get(host).into_iter().chain(wildcards).chain(self.every.as_ref())
    }
}

/// What may follow `*.` in a wildcard that the host is, of at most so many labels, the longest first.
fn suffixes(host: &str, labels: usize) -> impl Iterator<Item = &str> {
    let dots = host.bytes().filter(|&byte| byte == b'.').count();
    let all = host.bytes().enumerate().filter(|(_, byte)| *byte == b'.').map(|(at, _)| &host[at + 1..]);
    all.skip(dots.saturating_sub(labels))
}

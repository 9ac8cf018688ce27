//! Why a request has the route that it has: every rule of its host that refused, and the way taken. Goes through the
//! routes one by one in the order of precedence, without the graph.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::compiled::{CompileError, Compiled};
use super::query::Query;
use super::rank::{Rank, Ranks};
use super::rule::Regexes;
use super::words;
use crate::config::{HostPattern, RouteConfig};

/// How a request is routed, and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// The listener.
    pub listener: String,
    /// The canonical host.
    pub host: String,
    /// The canonical path.
    pub path: String,
    /// How some servers read the path, where its escapes leave a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_reading: Option<String>,
    /// The name of the route; none: no route matches, and the answer is 404.
    pub route: Option<String>,
    /// What the route does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// What happens on the way, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub middleware: Vec<String>,
    /// The routes of the listener and host, in the order of precedence.
    pub considered: Vec<Considered>,
    /// How many more there are.
    pub left_out: usize,
    /// How many routes have other listeners or hosts.
    pub elsewhere: usize,
}

/// What one route says to a request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Considered {
    /// Its name.
    pub route: String,
    /// Its line in the file.
    pub line: usize,
    /// Its host pattern that matches, and its path.
    pub pattern: String,
    /// What it says.
    pub verdict: Verdict,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// What a route says to a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is the way.
    Taken,
    /// It does not match.
    Refused,
    /// It matches too, and another one comes before it.
    Outranked,
}

/// No more routes than this are listed.
const LISTED: usize = 100;

/// How specific a host pattern is: the least wins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HostRank {
    Exact,
    Wildcard(Reverse<usize>),
    Every,
}

/// A route whose listener and host match.
struct Candidate<'a> {
    config: &'a RouteConfig,
    host: Option<&'a HostPattern>,
    order: (HostRank, Rank),
    rules: Compiled,
}

/// Explains how a request is routed.
///
/// # Errors
/// A route does not compile.
pub fn explain(routes: &[RouteConfig], request: &Query<'_>) -> Result<Explanation, CompileError> {
    let candidates = candidates(routes, request)?;
    let path = request.target.path();
    let first = |path: &str| candidates.iter().position(|one| one.refusal(path, request).is_none());
    let way = first(path);
    let other_reading = request.target.other_reading();
    let astray = way.and_then(|way| {
        let other = other_reading.as_deref().filter(|_| !candidates[way].rules.path.has_escape())?;
        let there = first(other);
        (there != Some(way)).then(|| {
            let there = there.map_or("no route", |there| &*candidates[there].config.name);
            format!("a server may read the path as {other}, which leads to {there}")
        })
    });
    let taken = way.filter(|_| astray.is_none()).map(|way| candidates[way].config);
    let listed = |&(index, _): &(usize, _)| index < LISTED || Some(index) == way;
    let considered: Vec<Considered> = (0..)
        .zip(&candidates)
        .filter(listed)
        .map(|(index, candidate)| {
            let (verdict, why) = match (candidate.refusal(path, request), &astray) {
                (Some(why), _) => (Verdict::Refused, why),
                (None, _) if way != Some(index) => (Verdict::Outranked, "another one comes before it".into()),
                (None, Some(astray)) => (Verdict::Refused, astray.clone()),
                (None, None) => (Verdict::Taken, String::new()),
            };
            candidate.considered(verdict, why)
        })
        .collect();
    Ok(Explanation {
        listener: request.listener.to_owned(),
        host: request.host.to_owned(),
        path: path.to_owned(),
        other_reading,
        route: taken.map(|route| route.name.to_string()),
        action: taken.map(|route| words::action(&route.action)),
        middleware: taken.map(|route| words::middleware(&route.middleware)).unwrap_or_default(),
        left_out: candidates.len() - considered.len(),
        elsewhere: routes.len() - candidates.len(),
        considered,
    })
}

/// The routes whose listener and host match, in the order of precedence.
fn candidates<'a>(
    routes: &'a [RouteConfig],
    request: &Query<'_>,
) -> Result<Vec<Candidate<'a>>, CompileError> {
    let ranks = Ranks::of(routes);
    let mut regexes = Regexes::default();
    let mut candidates = Vec::new();
    for (index, config) in (0..).zip(routes) {
        if config.takes_connections()
            || !config.listeners.iter().any(|listener| listener.as_str() == request.listener)
        {
            continue;
        }
        if let Some((host_rank, host)) = best_host(config, request.host) {
            let rules = Compiled::new(config, &mut regexes)?;
            let order = (host_rank, ranks.rank(index, config, &rules.path));
            candidates.push(Candidate { config, host, order, rules });
        }
    }
    candidates.sort_by_key(|candidate| candidate.order);
    Ok(candidates)
}

/// The most specific pattern of a route that a host is.
pub(super) fn best_host<'a>(
    route: &'a RouteConfig,
    host: &str,
) -> Option<(HostRank, Option<&'a HostPattern>)> {
    if route.hosts.is_empty() {
        return Some((HostRank::Every, None));
    }
    let rank = |pattern: &HostPattern| match pattern {
        HostPattern::Exact(name) => (**name == *host).then_some(HostRank::Exact),
        HostPattern::Wildcard(suffix) => {
            let before = host.strip_suffix(&**suffix).and_then(|before| before.strip_suffix('.'));
            before.map(|_| HostRank::Wildcard(Reverse(suffix.split('.').count())))
        }
    };
    let matching = route.hosts.iter().filter_map(|pattern| Some((rank(pattern)?, Some(pattern))));
    matching.min_by_key(|(rank, _)| *rank)
}

impl Candidate<'_> {
    fn refusal(&self, path: &str, request: &Query<'_>) -> Option<String> {
        if !self.rules.path.matches(path) {
            return Some(words::path(&self.rules.path, path));
        }
        let refusal = self.rules.conditions.as_ref()?.refusal(request)?;
        Some(words::refusal(refusal, self.config, request))
    }

    fn considered(&self, verdict: Verdict, why: String) -> Considered {
        Considered {
            route: self.config.name.to_string(),
            line: self.config.line,
            pattern: format!("{} {}", words::host(self.host), words::pattern(&self.config.path)),
            verdict,
            why,
        }
    }
}

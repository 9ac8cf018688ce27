//! Which route wins when several match.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::rule::PathRule;
use crate::config::{PathPattern, RouteConfig};

/// The place of a route among those of one host pattern: the least that matches wins.
///
/// Between host patterns: an exact one, then the wildcard with the most labels, then none. Within one, as the fields
/// stand here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Rank {
    /// `path_exact`, then `path`, then `path_regex`, then none.
    class: Class,
    /// Of prefixes the longer; of regular expressions the one that stands first in the file.
    within: u32,
    /// The more further conditions.
    conditions: Reverse<u32>,
    /// The one that stands first in the file.
    pub(super) route: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Class {
    Exact,
    Prefix,
    Regex,
    Any,
}

/// Ranks of all routes of a configuration.
#[derive(Debug)]
pub(super) struct Ranks<'a> {
    /// Where a regular expression stands first.
    first: HashMap<&'a str, u32>,
}

impl<'a> Ranks<'a> {
    pub(super) fn of(routes: &'a [RouteConfig]) -> Self {
        let mut first = HashMap::new();
        for (index, route) in (0..).zip(routes) {
            if let PathPattern::Regex(text) = &route.path {
                first.entry(&**text).or_insert(index);
            }
        }
        Self { first }
    }

    /// The rank of a route, whose index is `index` and whose path is `rule`.
    pub(super) fn rank(&self, index: u32, route: &RouteConfig, rule: &PathRule) -> Rank {
        let (class, within) = match rule {
            PathRule::Exact(_) => (Class::Exact, 0),
            PathRule::Prefix(prefix) => (Class::Prefix, u32::MAX - prefix.len() as u32),
            PathRule::Regex(regex) => {
                (Class::Regex, self.first.get(regex.as_str()).copied().unwrap_or(index))
            }
            PathRule::Any => (Class::Any, 0),
        };
        Rank { class, within, conditions: Reverse(conditions(route)), route: index }
    }
}

/// How many conditions a route has beside host and path. Methods are one, client networks are one.
pub(super) fn conditions(route: &RouteConfig) -> u32 {
    let sets = u32::from(!route.methods.is_empty()) + u32::from(!route.client_ip.is_empty());
    sets + route.client_hello.count() + (route.headers.len() + route.query.len()) as u32
}

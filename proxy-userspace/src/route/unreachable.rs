//! Routes that can never match: another one always comes before them, or their own rules exclude each other.

use std::collections::HashMap;
use std::fmt;

use super::compiled::{CompileError, Compiled};
use super::implied::implies;
use super::rank::{Rank, Ranks};
use super::rule::{PathRule, Regexes, literal_prefix};
use super::shadow;
use crate::config::{FieldCondition, HostPattern, ListenerName, RouteConfig, ValuePattern};

/// A route that can never match.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unreachable {
    /// Its index in the configuration.
    pub route: usize,
    /// Its name.
    pub name: Box<str>,
    /// Its line in the file.
    pub line: usize,
    /// Why.
    pub why: Why,
}

/// Why a route can never match.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Why {
    /// Other routes match whatever it matches, and come before it. Names and lines, each once.
    Shadowed(Vec<(Box<str>, usize)>),
    /// A field or parameter would have to be there and not be there, or a regular expression wants a path that does
    /// not begin with a slash.
    Contradiction(String),
    /// A field that is never looked at: it concerns one connection (RFC 9110 §7.6.1), or is known otherwise.
    Unseen(String),
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "route {} can never match: ", self.name)?;
        match &self.why {
            Why::Contradiction(what) => f.write_str(what),
            Why::Unseen(name) => write!(f, "the field {name} is not among those that routes see"),
            Why::Shadowed(by) => {
                f.write_str("whatever it matches goes to ")?;
                for (index, (name, line)) in by.iter().enumerate() {
                    let between = if index == 0 { "" } else { " or " };
                    write!(f, "{between}{name} (line {line})")?;
                }
                Ok(())
            }
        }
    }
}

impl Unreachable {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self.why {
            Why::Shadowed(_) => {
                "host counts first, then path_exact, the longest path, path_regex, then more conditions, then the \
                 order of the file: make it more specific, or take it out"
            }
            Why::Contradiction(_) => "take one of the two out",
            Why::Unseen(_) => "Host is `host`; fields of one connection, such as TE, cannot be matched",
        }
    }
}

/// Fields that a request's normal form does not have.
const UNSEEN: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// A route under a host pattern.
struct Place<'a> {
    rank: Rank,
    route: &'a RouteConfig,
    rules: &'a Compiled,
}

/// The routes that can never match, in file order. Finds what one other route takes away; not what several do
/// together.
///
/// # Errors
/// A route does not compile.
pub fn unreachable(routes: &[RouteConfig]) -> Result<Vec<Unreachable>, CompileError> {
    let mut regexes = Regexes::default();
    let rules: Vec<Compiled> =
        routes.iter().map(|route| Compiled::new(route, &mut regexes)).collect::<Result<_, _>>()?;
    let ranks = Ranks::of(routes);
    let mut groups: HashMap<(&ListenerName, Option<&HostPattern>), Vec<Place<'_>>> = HashMap::new();
    for ((index, route), rules) in (0..).zip(routes).zip(&rules) {
        let rank = ranks.rank(index, route, &rules.path);
        if route.takes_connections() {
            continue;
        }
        for listener in &route.listeners {
            let every = route.hosts.is_empty().then_some(None);
            for host in every.into_iter().chain(route.hosts.iter().map(Some)) {
                groups.entry((listener, host)).or_default().push(Place { rank, route, rules });
            }
        }
    }
    // A route can match if there is a place where nothing shadows it.
    let mut shadows: Vec<Option<Vec<u32>>> = vec![Some(Vec::new()); routes.len()];
    for places in groups.into_values() {
        judge(places, &mut shadows);
    }
    for ((route, shadow), taken) in routes.iter().zip(&mut shadows).zip(shadow::shadows(routes)) {
        if route.takes_connections() || shadow.is_none() {
            *shadow = taken;
        }
    }
    let named = |index: u32| {
        let route = &routes[index as usize];
        (route.name.clone(), route.line)
    };
    let why = |index: usize, by: Option<Vec<u32>>| {
        impossible(&routes[index], &rules[index]).or_else(|| {
            let mut by = by?;
            by.sort_unstable();
            by.dedup();
            Some(Why::Shadowed(by.into_iter().map(named).collect()))
        })
    };
    let found = shadows.into_iter().enumerate().filter_map(|(route, by)| {
        let RouteConfig { name, line, .. } = &routes[route];
        Some(Unreachable { route, name: name.clone(), line: *line, why: why(route, by)? })
    });
    Ok(found.collect())
}

/// No more earlier routes than this are compared with one: thousands that differ in a network only are not looked
/// through whole.
const COMPARED: usize = 512;

/// Notes, for each route of one host pattern, which other one shadows it there.
fn judge(mut places: Vec<Place<'_>>, shadows: &mut [Option<Vec<u32>>]) {
    places.sort_by_key(|place| place.rank);
    places.dedup_by_key(|place| place.rank);
    // Routes before this one that could shadow it, by what their path is, and by a value that they want.
    let mut before: HashMap<(String, Option<Wanted<'_>>), Vec<&Place<'_>>> = HashMap::new();
    for place in &places {
        let values = || std::iter::once(None).chain(wanted(place.route).map(Some));
        let keys =
            covering(&place.rules.path).flat_map(|key| values().map(move |value| (key.clone(), value)));
        let candidates = keys.filter_map(|key| before.get(&key)).flatten().take(COMPARED);
        let shadow = candidates.copied().find(|earlier| implies(place.route, earlier.route));
        match (shadow, &mut shadows[place.rank.route as usize]) {
            (Some(shadow), Some(by)) => by.push(shadow.rank.route),
            (Some(_), None) => {}
            (None, by) => *by = None,
        }
        before.entry((key(&place.rules.path), wanted(place.route).next())).or_default().push(place);
    }
}

/// A field or parameter, and the value that it must have.
type Wanted<'a> = (bool, &'a str, &'a str);

/// The values that a route wants: one that wants the first of these shadows none that does not.
fn wanted(route: &RouteConfig) -> impl Iterator<Item = Wanted<'_>> {
    let headers = route.headers.iter().map(|one| (true, one.name.as_str(), &one.value));
    let query = route.query.iter().map(|one| (false, &*one.name, &one.value));
    headers.chain(query).filter_map(|(header, name, value)| match value {
        ValuePattern::Exact(value) => Some((header, name, &**value)),
        ValuePattern::Present | ValuePattern::Absent | ValuePattern::Regex(_) => None,
    })
}

/// What stands for the paths that a rule matches. Regular expressions that match all are known as people write them.
fn key(path: &PathRule) -> String {
    match path {
        PathRule::Any => "any".to_owned(),
        PathRule::Exact(path) => format!("exact {path}"),
        PathRule::Prefix(path) => format!("prefix {path}"),
        PathRule::Regex(regex) => match regex.as_str() {
            "" | "^" | ".*" | "^.*" | ".*$" | "^.*$" => "all".to_owned(),
            "/" | "^/" | "/.*" | "^/.*" | "/.*$" | "^/.*$" => "all but *".to_owned(),
            other => format!("regex {other}"),
        },
    }
}

/// The keys of rules that match whatever this one matches, and may come before it.
fn covering(path: &PathRule) -> impl Iterator<Item = String> {
    let mut keys = vec![key(path)];
    if matches!(path, PathRule::Any | PathRule::Regex(_)) {
        keys.push("all".to_owned());
    }
    if let PathRule::Regex(regex) = path
        && literal_prefix(regex.as_str()).starts_with('/')
    {
        keys.push("all but *".to_owned());
        // What begins so begins with each of these prefixes too.
        let begin = literal_prefix(regex.as_str());
        let ends = begin.bytes().enumerate().skip(1).filter(|(_, byte)| *byte == b'/').map(|(at, _)| at);
        keys.extend(ends.map(|end| format!("prefix {}", &begin[..end])));
    }
    keys.into_iter()
}

/// Why a route's own rules can never hold.
fn impossible(route: &RouteConfig, rules: &Compiled) -> Option<Why> {
    if let PathRule::Regex(regex) = &rules.path
        && !literal_prefix(regex.as_str()).is_empty()
        && !literal_prefix(regex.as_str()).starts_with('/')
    {
        return Some(Why::Contradiction(format!(
            "every path begins with a slash, and {regex} wants none there"
        )));
    }
    let unseen = |condition: &&FieldCondition| {
        condition.value != ValuePattern::Absent && UNSEEN.contains(&condition.name.as_str())
    };
    if let Some(condition) = route.headers.iter().find(unseen) {
        return Some(Why::Unseen(condition.name.to_string()));
    }
    let headers = route.headers.iter().map(|condition| (condition.name.as_str(), &condition.value));
    let query = route.query.iter().map(|condition| (&*condition.name, &condition.value));
    contradiction("header", &headers.collect::<Vec<_>>())
        .or_else(|| contradiction("query", &query.collect::<Vec<_>>()))
}

fn contradiction(what: &str, conditions: &[(&str, &ValuePattern)]) -> Option<Why> {
    let absent = conditions.iter().filter(|(_, value)| **value == ValuePattern::Absent);
    let mut wanted = absent.filter(|(name, _)| {
        conditions.iter().any(|(other, value)| other == name && **value != ValuePattern::Absent)
    });
    let (name, _) = wanted.next()?;
    Some(Why::Contradiction(format!("{what} {name} would have to be there and not to be there")))
}

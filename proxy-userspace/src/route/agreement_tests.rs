//! The graph, the explanation and a plain reading of the rules agree; what is said never to match never does.

use std::cell::RefCell;
use std::collections::HashMap;

use http::Method;
use proptest::prelude::*;

use super::explain::{Verdict, explain};
use super::router::Router;
use super::router_tests::{Asked, route};
use super::unreachable::{Why, unreachable};
use crate::config::{HostPattern, PathPattern, RouteConfig, ValuePattern};

/// The winner, as the documentation says it: no graph, no shared code.
fn plain(routes: &[RouteConfig], asked: &Asked, path: &str) -> Option<usize> {
    let matching = routes.iter().enumerate().filter_map(|(index, route)| {
        let host = host_rank(route, &asked.host)?;
        let path = path_rank(routes, &route.path, path)?;
        let holds =
            route.listeners.iter().any(|name| name.as_str() == asked.listener) && conditions(route, asked);
        let count = route.headers.len()
            + route.query.len()
            + usize::from(!route.methods.is_empty())
            + usize::from(!route.client_ip.is_empty());
        holds.then_some((host, path, usize::MAX - count, index))
    });
    matching.min().map(|(.., index)| index)
}

fn host_rank(route: &RouteConfig, host: &str) -> Option<(u8, usize)> {
    let of = |pattern: &HostPattern| match pattern {
        HostPattern::Exact(name) => (**name == *host).then_some((0, 0)),
        HostPattern::Wildcard(suffix) => {
            host.ends_with(&format!(".{suffix}")).then(|| (1, usize::MAX - suffix.split('.').count()))
        }
    };
    if route.hosts.is_empty() { Some((2, 0)) } else { route.hosts.iter().filter_map(of).min() }
}

fn path_rank(routes: &[RouteConfig], pattern: &PathPattern, path: &str) -> Option<(u8, usize)> {
    match pattern {
        PathPattern::Any => Some((3, 0)),
        PathPattern::Exact(exact) => (**exact == *path).then_some((0, 0)),
        PathPattern::Prefix(prefix) => {
            let prefix = prefix.trim_end_matches('/');
            let matches = prefix.is_empty() || path == prefix || path.starts_with(&format!("{prefix}/"));
            let rank = if prefix.is_empty() { (3, 0) } else { (1, usize::MAX - prefix.len()) };
            matches.then_some(rank)
        }
        PathPattern::Regex(text) => {
            let first = routes.iter().position(|route| route.path == *pattern).unwrap();
            regex_matches(text, path).then_some((2, first))
        }
    }
}

/// Each is compiled once: that takes longer than everything else.
fn regex_matches(text: &str, value: &str) -> bool {
    thread_local!(static KNOWN: RefCell<HashMap<String, regex::Regex>> = RefCell::default());
    KNOWN.with_borrow_mut(|known| {
        let regex = known.entry(text.to_owned()).or_insert_with(|| regex::Regex::new(text).unwrap());
        regex.is_match(value)
    })
}

fn conditions(route: &RouteConfig, asked: &Asked) -> bool {
    let value = |pattern: &ValuePattern, given: &[&str]| match pattern {
        ValuePattern::Present => !given.is_empty(),
        ValuePattern::Absent => given.is_empty(),
        ValuePattern::Exact(exact) => given.contains(&&**exact),
        ValuePattern::Regex(text) => given.iter().any(|value| regex_matches(text, value)),
    };
    let query = asked.target.query().unwrap_or_default();
    let pairs: Vec<(&str, &str)> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    (route.methods.is_empty() || route.methods.contains(&asked.method))
        && (route.client_ip.is_empty()
            || route.client_ip.iter().any(|network| network.contains(&asked.client)))
        && route.headers.iter().all(|condition| {
            let lines = asked.headers.get_all(&condition.name);
            value(&condition.value, &lines.iter().map(|line| line.to_str().unwrap()).collect::<Vec<_>>())
        })
        && route.query.iter().all(|condition| {
            let named = pairs.iter().filter(|(name, _)| *name == &*condition.name);
            value(&condition.value, &named.map(|(_, value)| *value).collect::<Vec<_>>())
        })
}

const PATHS: &[&str] = &[
    "path=/",
    "path=/a",
    "path=/a/",
    "path=/a/b",
    "path=/a/b/c/",
    "path=/ab",
    "path=/b",
    "exact=/",
    "exact=/a",
    "exact=/a/",
    "exact=/a/b",
    "exact=/ab",
    "exact=/b/a",
    "path=/a%2Fb",
    "exact=/@",
    "regex=^/a/",
    "regex=^/a/b",
    "regex=b$",
    "regex=^/ab?",
    "regex=.*",
    "regex=^/",
    "regex=^/[ab]/a",
    "regex=^/b|a$",
    "regex=a",
    "regex=^a",
    "regex=^/a/b/c$",
    "regex=%2F",
];

const HOSTS: &[&str] = &[
    "host=a.test",
    "host=b.a.test",
    "host=*.test",
    "host=*.a.test",
    "host=*.b.a.test",
    "host=a.test host=*.a.test",
];

const CONDITIONS: &[&str] = &[
    "method=GET",
    "method=POST",
    "method=GET method=POST",
    "header=x-a",
    "header=!x-a",
    "header=x-a:1",
    "header=x-a:~[12]",
    "header=x-b:1",
    "query=q",
    "query=!q",
    "query=q:1",
    "query=q:~[12]",
    "client=10.0.0.0/8",
    "client=10.1.0.0/16",
    "listener=other",
    "listener=web listener=other",
];

fn some(of: &'static [&'static str], chance: f64) -> impl Strategy<Value = &'static str> {
    proptest::option::weighted(chance, proptest::sample::select(of)).prop_map(Option::unwrap_or_default)
}

fn a_route() -> impl Strategy<Value = String> {
    (some(HOSTS, 0.6), some(PATHS, 0.9), some(CONDITIONS, 0.3), some(CONDITIONS, 0.1))
        .prop_map(|(host, path, first, second)| format!("{host} {path} {first} {second}"))
}

fn a_request() -> impl Strategy<Value = Asked> {
    let hosts = ["a.test", "b.a.test", "c.b.a.test", "b.test", "test", "xa.test", ""];
    let paths = [
        "/", "/a", "/a/", "/a/b", "/a/b/c", "/a/b/c/d", "/ab", "/ab/", "/abc", "/b", "/b/a", "/b/b", "/c",
        "/a%2Fb", "/a%2Fb/c", "/%40", "/@", "/x%2Fb", "//a", "*",
    ];
    (
        (proptest::sample::select(hosts.to_vec()), proptest::sample::select(paths.to_vec())),
        proptest::sample::select(vec!["", "?q=1", "?q=2", "?q=3&q=2", "?p=1"]),
        proptest::sample::select(vec![Method::GET, Method::POST, Method::PUT]),
        proptest::sample::select(vec![None, Some("1"), Some("2"), Some("3")]),
        any::<bool>(),
        proptest::sample::select(vec!["10.0.0.1", "10.1.0.1", "192.0.2.1", "2001:db8::1"]),
    )
        .prop_map(|((host, path), query, method, value, other, client)| {
            let target = if path == "*" { path.to_owned() } else { format!("{path}{query}") };
            let mut asked = Asked::new(host, &target).method(method).client(client);
            asked.listener = if other { "other".to_owned() } else { "web".to_owned() };
            match value {
                Some(value) if other => asked.header("x-b", value).header("x-a", "2"),
                Some(value) => asked.header("x-a", value),
                None => asked,
            }
        })
}

fn configs(routes: &[String]) -> Vec<RouteConfig> {
    routes.iter().map(|parts| route(parts)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn graph_explanation_and_plain_reading_agree(
        routes in proptest::collection::vec(a_route(), 0..40),
        requests in proptest::collection::vec(a_request(), 1..6),
    ) {
        let routes = configs(&routes);
        let router = Router::compile(&routes).unwrap();
        let unreachable = unreachable(&routes).unwrap();
        for asked in requests {
            let found = router.find(&asked.query()).map(|found| found.route as usize);
            let first = plain(&routes, &asked, asked.target.path());
            let expected = first.filter(|&first| match asked.target.other_reading() {
                Some(other) => format!("{:?}", routes[first].path).contains('%') || plain(&routes, &asked, &other) == Some(first),
                None => true,
            });
            prop_assert_eq!(found, expected, "{:?}", asked);
            let explained = explain(&routes, &asked.query()).unwrap();
            let taken = explained.considered.iter().filter(|one| one.verdict == Verdict::Taken);
            prop_assert_eq!(taken.count(), usize::from(found.is_some()));
            prop_assert_eq!(explained.route, found.map(|found| routes[found].name.to_string()));
            prop_assert!(!unreachable.iter().any(|route| Some(route.route) == found), "{:?}: {:?}", asked, unreachable);
        }
    }
}

/// Why each of the routes can never match, if so.
fn judged(routes: &[&str]) -> Vec<Option<String>> {
    let configs: Vec<RouteConfig> = routes.iter().map(|parts| route(parts)).collect();
    let found = unreachable(&configs).unwrap();
    let why = |index| {
        let one = found.iter().find(|one| one.route == index)?;
        Some(match &one.why {
            Why::Shadowed(by) => by.iter().map(|(name, _)| &**name).collect::<Vec<_>>().join(" | "),
            Why::Contradiction(_) | Why::Unseen(_) => one.to_string(),
        })
    };
    (0..routes.len()).map(why).collect()
}

#[test]
fn a_route_behind_a_wider_one_is_found() {
    let shadowed = |routes: &[&str], by: &str| {
        let judged = judged(routes);
        let (last, others) = judged.split_last().unwrap();
        assert_eq!(last.as_deref(), Some(by), "{routes:?}");
        assert!(others.iter().all(Option::is_none), "{routes:?}: {others:?}");
    };
    shadowed(&["path=/a", "path=/a/"], "path=/a");
    shadowed(&["", "path=/"], "");
    shadowed(&["exact=/a", "exact=/a"], "exact=/a");
    shadowed(&["path=/a/", "regex=^/a/[0-9]+$"], "path=/a/");
    shadowed(&["regex=.*", "regex=^/a"], "regex=.*");
    shadowed(&["regex=^/", "regex=^/a method=GET"], "regex=^/");
    shadowed(&["header=x-a header=x-b", "header=x-a:1 header=x-b:2"], "header=x-a header=x-b");
    shadowed(&["method=GET method=POST", "method=POST"], "method=GET method=POST");
    shadowed(&["client=10.0.0.0/8", "client=10.1.0.0/16"], "client=10.0.0.0/8");
    shadowed(&["header=x-a:~^[0-9]+$", "header=x-a:12"], "header=x-a:~^[0-9]+$");
    shadowed(&["host=a.test", "host=b.test", "host=a.test host=b.test"], "host=a.test | host=b.test");
}

#[test]
fn a_route_that_can_match_is_left_alone() {
    for routes in [
        &["path=/a", "path=/a/b"][..],
        &["path=/", "path=/ method=GET"],
        &["path=/a", "regex=/a/"],
        &["path=/a/b", "regex=^/a/b"],
        &["host=a.test", "host=*.test", ""],
        &["header=x-a:1", "header=x-a"],
        &["header=x-a", "header=x-b"],
        &["listener=a", "listener=b"],
        &["host=a.test", "host=a.test host=b.test"],
        &["regex=^/b|.*", "regex=^/a"],
    ] {
        assert!(judged(routes).iter().all(Option::is_none), "{routes:?}");
    }
}

#[test]
fn a_route_that_contradicts_itself_is_found() {
    for parts in
        ["header=x-a header=!x-a", "query=a:1 query=!a", "regex=^api/", "header=host:a.test", "header=te"]
    {
        assert!(judged(&[parts])[0].is_some(), "{parts}");
    }
}

#[test]
fn an_explanation_names_what_each_route_refused() {
    let routes = configs(&[
        "host=a.test path=/api method=POST".to_owned(),
        "host=a.test path=/api header=x-a:1 query=b".to_owned(),
        "host=a.test exact=/api".to_owned(),
        "host=a.test path=/api".to_owned(),
        "path=/".to_owned(),
        "host=b.test".to_owned(),
    ]);
    let asked = Asked::new("a.test", "/api/x").header("x-a", "2");
    let explained = explain(&routes, &asked.query()).unwrap();
    let said: Vec<(Verdict, &str)> =
        explained.considered.iter().map(|one| (one.verdict, one.why.as_str())).collect();
    assert_eq!(
        said,
        [
            (Verdict::Refused, "the path is /api/x, not /api"),
            (Verdict::Refused, "header x-a is \"2\", not \"1\""),
            (Verdict::Refused, "the method is GET, not POST"),
            (Verdict::Taken, ""),
            (Verdict::Outranked, "another one comes before it"),
        ]
    );
    assert_eq!(explained.elsewhere, 1);
    assert_eq!(explained.action.as_deref(), Some("pool pool"));
}

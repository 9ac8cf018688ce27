//! The router: which route wins.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::query::Query;
use super::router::Router;
use super::target::RequestTarget;
use crate::config::{
    FieldCondition, HelloCondition, HostPattern, MiddlewareConfig, PathPattern, QueryCondition, RouteAction,
    RouteConfig, ValuePattern,
};

/// A route of the listener `web`; its parts are words such as `host=*.example.com`, `path=/api`, `exact=/x`,
/// `regex=^/x`, `method=GET`, `header=x-a:1`, `query=a:1`, `client=10.0.0.0/8`, `listener=other`.
pub(super) fn route(parts: &str) -> RouteConfig {
    let mut route = RouteConfig {
        name: parts.into(),
        listeners: Vec::new(),
        hosts: Vec::new(),
        path: PathPattern::Any,
        methods: Vec::new(),
        headers: Vec::new(),
        query: Vec::new(),
        client_ip: Vec::new(),
        client_hello: HelloCondition::default(),
        passthrough: false,
        action: RouteAction::Pool("pool".into()),
        middleware: MiddlewareConfig::default(),
        request_timeout: None,
        line: 1,
    };
    for part in parts.split_whitespace() {
        let (key, value) = part.split_once('=').unwrap();
        match key {
            "listener" => route.listeners.push(value.into()),
            "host" => route.hosts.push(match value.strip_prefix("*.") {
                Some(suffix) => HostPattern::Wildcard(suffix.into()),
                None => HostPattern::Exact(value.into()),
            }),
            "path" => route.path = PathPattern::Prefix(value.into()),
            "exact" => route.path = PathPattern::Exact(value.into()),
            "regex" => route.path = PathPattern::Regex(value.into()),
            "method" => route.methods.push(value.parse().unwrap()),
            "header" => {
                let (name, value) = condition(value);
                let name: HeaderName = name.parse().unwrap();
                route.headers.push(FieldCondition { name, value });
            }
            "query" => {
                let (name, value) = condition(value);
                route.query.push(QueryCondition { name: name.into(), value });
            }
            "client" => route.client_ip.push(value.parse().unwrap()),
            other => panic!("no part is called {other}"),
        }
    }
    if route.listeners.is_empty() {
        route.listeners.push("web".into());
    }
    route
}

/// `name:value`, `name:~regex`, `name` (present), `!name` (absent).
fn condition(text: &str) -> (&str, ValuePattern) {
    match text.split_once(':') {
        Some((name, value)) => match value.strip_prefix('~') {
            Some(regex) => (name, ValuePattern::Regex(regex.into())),
            None => (name, ValuePattern::Exact(value.into())),
        },
        None => match text.strip_prefix('!') {
            Some(name) => (name, ValuePattern::Absent),
            None => (text, ValuePattern::Present),
        },
    }
}

/// What a client asks.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) listener: String,
    pub(super) host: String,
    pub(super) target: RequestTarget,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) client: IpAddr,
}

impl Asked {
    /// `GET`, from 192.0.2.1, by the listener `web`.
    pub(super) fn new(host: &str, target: &str) -> Self {
        Self {
            listener: "web".to_owned(),
            host: host.to_owned(),
            target: match target {
                "*" => RequestTarget::asterisk(),
                target => RequestTarget::parse(Bytes::copy_from_slice(target.as_bytes())).unwrap(),
            },
            method: Method::GET,
            headers: HeaderMap::new(),
            client: "192.0.2.1".parse().unwrap(),
        }
    }

    pub(super) fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.append(name, HeaderValue::from_static(value));
        self
    }

    pub(super) fn client(mut self, client: &str) -> Self {
        self.client = client.parse().unwrap();
        self
    }

    pub(super) fn query(&self) -> Query<'_> {
        Query {
            listener: &self.listener,
            host: &self.host,
            target: &self.target,
            method: &self.method,
            headers: &self.headers,
            client: self.client,
            hello: None,
        }
    }
}

/// Which of the routes wins.
fn winner<'a>(routes: &[&'a str], asked: &Asked) -> Option<&'a str> {
    let compiled: Vec<RouteConfig> = routes.iter().map(|parts| route(parts)).collect();
    let router = Router::compile(&compiled).unwrap();
    router.find(&asked.query()).map(|found| routes[found.route as usize])
}

/// Asks the same of a host with few routes and of one with many: of the second by a tree.
fn both<'a>(routes: &[&'a str], asked: &Asked) -> Option<&'a str> {
    let hosts = ["host=a.test", "host=*.test", ""];
    let mut many: Vec<String> = routes.iter().map(|&route| route.to_owned()).collect();
    for host in hosts {
        many.extend((0..16).map(|number| format!("{host} exact=/filler/{number} method=FILL")));
    }
    let many: Vec<RouteConfig> = many.iter().map(|parts| route(parts)).collect();
    let found =
        Router::compile(&many).unwrap().find(&asked.query()).map(|found| routes[found.route as usize]);
    assert_eq!(found, winner(routes, asked), "{asked:?}");
    found
}

#[test]
fn an_exact_host_wins_over_wildcards_and_they_over_none() {
    let routes = ["path=/", "host=*.test", "host=*.b.test", "host=a.b.test"];
    let host = |host: &str| both(&routes, &Asked::new(host, "/x"));
    assert_eq!(host("a.b.test"), Some("host=a.b.test"));
    assert_eq!(host("c.b.test"), Some("host=*.b.test"));
    assert_eq!(host("d.c.b.test"), Some("host=*.b.test"));
    assert_eq!(host("b.test"), Some("host=*.test"));
    assert_eq!(host("test"), Some("path=/"));
    assert_eq!(host("xb.test"), Some("host=*.test"));
    assert_eq!(host(""), Some("path=/"));
    assert_eq!(host("2001:db8::1"), Some("path=/"));
}

#[test]
fn a_more_specific_path_wins() {
    let routes = [
        "host=a.test",
        "regex=^/api/[a-z]+$ host=a.test",
        "path=/api host=a.test",
        "path=/api/v1/ host=a.test",
        "exact=/api/v1/x host=a.test",
        "regex=/x$ host=a.test",
    ];
    let path = |path: &str| both(&routes, &Asked::new("a.test", path)).unwrap().split(' ').next().unwrap();
    assert_eq!(path("/api/v1/x"), "exact=/api/v1/x");
    assert_eq!(path("/api/v1/y"), "path=/api/v1/");
    assert_eq!(path("/api/v1"), "path=/api/v1/");
    assert_eq!(path("/api/v1/"), "path=/api/v1/");
    assert_eq!(path("/api/v12"), "path=/api");
    assert_eq!(path("/api"), "path=/api");
    assert_eq!(path("/apix"), "host=a.test");
    assert_eq!(path("/b/x"), "regex=/x$");
    assert_eq!(path("/"), "host=a.test");
}

#[test]
fn a_route_that_refuses_gives_way_to_a_less_specific_one() {
    let routes = ["host=a.test exact=/x method=POST", "host=*.test path=/x", "path=/"];
    assert_eq!(both(&routes, &Asked::new("a.test", "/x").method(Method::POST)), Some(routes[0]));
    assert_eq!(both(&routes, &Asked::new("a.test", "/x")), Some(routes[1]));
    assert_eq!(both(&routes, &Asked::new("a.test", "/y")), Some(routes[2]));
    assert_eq!(both(&routes[..2], &Asked::new("a.test", "/y")), None);
}

#[test]
fn more_conditions_win_and_then_the_first_in_the_file() {
    let routes = ["path=/", "header=x-a", "header=x-a:1 method=GET", "header=x-b", "path=/ header=x-c"];
    let asked = Asked::new("a.test", "/");
    assert_eq!(both(&routes, &asked), Some("path=/"));
    assert_eq!(both(&routes, &asked.clone().header("x-a", "2")), Some("header=x-a"));
    assert_eq!(both(&routes, &asked.clone().header("x-b", "2").header("x-a", "2")), Some("header=x-a"));
    assert_eq!(
        both(&routes, &asked.clone().header("x-b", "2").header("x-a", "1")),
        Some("header=x-a:1 method=GET")
    );
    assert_eq!(both(&routes, &asked.clone().header("x-c", "2").header("x-b", "1")), Some("header=x-b"));
    assert_eq!(both(&routes, &asked.header("x-c", "2")), Some("path=/ header=x-c"));
}

#[test]
fn regular_expressions_stand_in_the_order_of_the_file() {
    let mut routes =
        vec!["regex=^/b", "regex=^/[ab]", "regex=^/a/x method=GET", "regex=x$", "regex=^/b method=GET"];
    let path = |routes: &[&'static str], path: &str| both(routes, &Asked::new("a.test", path));
    for _ in 0..2 {
        assert_eq!(path(&routes, "/a/x"), Some("regex=^/[ab]"));
        assert_eq!(path(&routes, "/b/x"), Some("regex=^/b method=GET"));
        assert_eq!(path(&routes, "/c/x"), Some("regex=x$"));
        assert_eq!(path(&routes, "/c/y"), None);
        // Enough for a set.
        routes.extend(["regex=q0", "regex=q1", "regex=q2", "regex=q3", "regex=q4", "regex=q5"]);
    }
}

#[test]
fn conditions_look_at_lines_parameters_and_clients() {
    let hit = |parts: &str, asked: Asked| both(&[parts], &asked).is_some();
    let asked = || Asked::new("a.test", "/?a=1&b=x%20y&a=2").header("x-a", "1").header("x-a", "2");
    for parts in [
        "header=x-a:2",
        "header=x-a:~^[12]$",
        "header=x-a",
        "header=!x-b",
        "query=a:2",
        "query=a:1",
        "query=b:~x.y",
        "query=a",
        "query=!c",
        "client=192.0.2.0/24",
        "client=10.0.0.0/8 client=192.0.2.1/32",
        "method=POST method=GET",
    ] {
        assert!(hit(parts, asked()), "{parts}");
    }
    for parts in [
        "header=x-a:1,2",
        "header=x-a:~3",
        "header=x-b",
        "header=!x-a",
        "query=a:3",
        "query=!a",
        "query=c",
        "client=10.0.0.0/8",
        "method=POST",
        "client=::/0",
        "listener=other",
    ] {
        assert!(!hit(parts, asked()), "{parts}");
    }
    assert!(hit("client=192.0.2.0/24", asked().client("::ffff:192.0.2.1")));
    assert!(hit("client=2001:db8::/32", asked().client("2001:db8::1")));
}

#[test]
fn a_path_with_two_readings_passes_by_no_rule() {
    let routes = ["path=/", "path=/admin", "exact=/@me"];
    let path = |path: &str| both(&routes, &Asked::new("a.test", path));
    assert_eq!(path("/admin/x"), Some("path=/admin"));
    assert_eq!(path("/admin%2Fx"), None);
    assert_eq!(path("/admin%5Cx"), None);
    assert_eq!(path("/%2Fadmin/x"), None);
    assert_eq!(path("/%40me"), None);
    // Both readings lead to the same place.
    assert_eq!(path("/projects/group%2Fproject"), Some("path=/"));
    assert_eq!(path("/admin/group%2Fproject"), Some("path=/admin"));
    // The route means the escape.
    assert_eq!(
        both(&["path=/", "path=/admin", "path=/admin%2fx"], &Asked::new("", "/admin%2Fx")),
        Some("path=/admin%2fx")
    );
}

#[test]
fn a_pattern_is_compared_in_its_canonical_form() {
    let path = |pattern: &str, path: &str| both(&[pattern], &Asked::new("", path)).is_some();
    assert!(path("exact=/a//b/../c", "/a/c"));
    assert!(path("path=/%61pi/", "/api"));
    assert!(path("path=/a|b", "/a%7Cb/c"));
    assert!(path("path=/", "*"));
    assert!(!path("path=/a", "*"));
    assert!(Router::compile(&[route("path=/../a")]).is_err());
    assert!(Router::compile(&[route("exact=/a?b")]).is_err());
}

#[test]
fn a_regular_expression_that_grows_too_large_is_named() {
    let error = Router::compile(&[route("regex=^/(a{1000}){1000}")]).unwrap_err();
    assert!(error.to_string().contains("path_regex"), "{error}");
}

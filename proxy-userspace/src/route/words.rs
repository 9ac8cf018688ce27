//! Rules of routes, and why they refuse, in words.

use http::{HeaderMap, HeaderName};

use super::condition::Refusal;
use super::hello;
use super::query::{Query, parameters};
use super::rule::PathRule;
use crate::config::{HostPattern, MiddlewareConfig, PathPattern, RouteAction, RouteConfig, ValuePattern};

/// A host pattern, as the file has it.
pub(super) fn host(pattern: Option<&HostPattern>) -> String {
    match pattern {
        None => "any host".to_owned(),
        Some(HostPattern::Exact(name)) => name.to_string(),
        Some(HostPattern::Wildcard(suffix)) => format!("*.{suffix}"),
    }
}

/// A path pattern, as the file has it.
pub(super) fn pattern(pattern: &PathPattern) -> String {
    match pattern {
        PathPattern::Any => "any path".to_owned(),
        PathPattern::Exact(path) => format!("path_exact {path}"),
        PathPattern::Prefix(path) => format!("path {path}"),
        PathPattern::Regex(text) => format!("path_regex {text}"),
    }
}

/// Why a path is not what it must be.
pub(super) fn path(rule: &PathRule, path: &str) -> String {
    match rule {
        PathRule::Any => String::new(),
        PathRule::Exact(exact) => format!("the path is {path}, not {exact}"),
        PathRule::Prefix(prefix) => format!("the path {path} does not begin with {prefix}/"),
        PathRule::Regex(regex) => format!("the path {path} does not match {regex}"),
    }
}

/// Why a condition does not hold.
pub(super) fn refusal(refusal: Refusal, route: &RouteConfig, request: &Query<'_>) -> String {
    match refusal {
        Refusal::Method => format!("the method is {}, not {}", request.method, one_of(&route.methods)),
        Refusal::Client => format!("the client {} is not of {}", request.client, one_of(&route.client_ip)),
        Refusal::Hello(unlike) => match (unlike, request.hello) {
            (Some(unlike), Some(said)) => hello::words(unlike, &route.client_hello, said),
            _ => "there is no ClientHello that could be compared".to_owned(),
        },
        Refusal::Header(index) => route.headers.get(index).map_or_else(String::new, |condition| {
            let name = &condition.name;
            value(&format!("header {name}"), &condition.value, &lines(request.headers.map(), name))
        }),
        Refusal::Query(index) => route.query.get(index).map_or_else(String::new, |condition| {
            let query = request.target.query().unwrap_or_default();
            let named = parameters(query).filter(|(name, _)| **name == *condition.name.as_bytes());
            let given: Vec<String> = named.map(|(_, value)| String::from_utf8_lossy(&value).into()).collect();
            value(&format!("query {}", condition.name), &condition.value, &given)
        }),
    }
}

fn lines(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes()).into()).collect()
}

fn value(what: &str, pattern: &ValuePattern, given: &[String]) -> String {
    let wanted = match pattern {
        ValuePattern::Present => return format!("{what} is not there"),
        ValuePattern::Absent => return format!("{what} is there"),
        ValuePattern::Exact(exact) => format!("not {exact:?}"),
        ValuePattern::Regex(text) => format!("which does not match {text}"),
    };
    match given {
        [] => format!("{what} is not there"),
        given => format!("{what} is {}, {wanted}", quoted(given)),
    }
}

fn quoted(texts: &[String]) -> String {
    texts.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(" and ")
}

fn one_of<T: ToString>(things: &[T]) -> String {
    things.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

/// What a route does.
pub(super) fn action(action: &RouteAction) -> String {
    match action {
        RouteAction::Pool(pool) => format!("pool {pool}"),
        RouteAction::Redirect(redirect) => format!("redirect {}", redirect.status.as_u16()),
        RouteAction::Respond(respond) => format!("respond {}", respond.status.as_u16()),
        RouteAction::Refuse(refuse) => format!("refuse {}", refuse.word()),
    }
}

/// The keys of middleware that a route has, outermost first.
pub(super) fn middleware(middleware: &MiddlewareConfig) -> Vec<String> {
    let MiddlewareConfig {
        allow,
        deny,
        basic_auth,
        max_body,
        request_headers,
        strip_prefix,
        rewrite_path,
        response_headers,
        compress,
        error_pages,
    } = middleware;
    let keys = [
        ("allow", !allow.is_empty()),
        ("deny", !deny.is_empty()),
        ("basic_auth", basic_auth.is_some()),
        ("max_body", max_body.is_some()),
        ("request_headers", !request_headers.is_empty()),
        ("strip_prefix", strip_prefix.is_some()),
        ("rewrite_path", rewrite_path.is_some()),
        ("error_pages", !error_pages.is_empty()),
        ("compress", compress.is_some()),
        ("response_headers", !response_headers.is_empty()),
    ];
    keys.into_iter().filter(|(_, is_there)| *is_there).map(|(key, _)| key.to_owned()).collect()
}

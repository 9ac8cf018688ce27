//! Routes against listeners, pools and each other.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::steer;
use crate::config::diagnostic::Fact;
use crate::config::file::{File, FileListener, FileMiddleware, FileRoute, Parts};
use crate::config::name::ListenerName;
use crate::config::nearest::instead;
use crate::config::report::{At, Report, Reported};
use crate::config::web::{MiddlewareConfig, RouteConfig, WebListenerConfig};

/// Everything about routes.
pub(super) fn check(file: &File, report: &mut Report<'_>) {
    let web: HashSet<&str> = file.web_listeners.iter().map(|listener| &*listener.name.value).collect();
    let known: HashSet<&str> = file.listener_names.iter().map(String::as_str).collect();
    let pools: HashSet<&str> = file.pool_names.iter().map(String::as_str).collect();
    for route in &file.routes {
        for listener in route.listeners.iter().flatten().flatten() {
            if !known.contains(&*listener.value) {
                report.error(
                    &listener.span,
                    &NoSuchListener { name: &listener.value, known: &file.listener_names },
                );
            } else if !web.contains(&*listener.value) && !unread(file, &listener.value) {
                report.error(&listener.span, &NoRequests { name: &listener.value });
            }
        }
        steer::check(file, route, report);
        if let Ok(Some(pool)) = &route.pool
            && !pools.contains(&*pool.value)
        {
            report.error(&pool.span, &NoSuchPool { pool: &pool.value, pools: &file.pool_names });
        }
    }
    check_middleware(file, report);
    check_names(&file.routes, report);
    let all_read = file.listeners.iter().all(|listener| listener.protocol.is_ok());
    if let (true, true, Some(first)) = (web.is_empty(), all_read, file.routes.first()) {
        report.error(&first.span, &NoWebListener);
    }
    steer::check_pools(file, report);
    warn_of_unrouted(file, report);
}

/// What routes use is there, and what is there is used.
fn check_middleware(file: &File, report: &mut Report<'_>) {
    let known: HashSet<&str> = file.middleware_names.iter().map(String::as_str).collect();
    let mut used = HashSet::new();
    for name in file.routes.iter().flat_map(|route| route.uses.iter().flatten()) {
        if !known.contains(&*name.value) {
            report.error(&name.span, &NoSuchMiddleware { name: &name.value, known: &file.middleware_names });
        }
        used.insert(&*name.value);
    }
    for middleware in file.middleware.iter().filter(|middleware| !used.contains(&*middleware.name.value)) {
        report.warn(&middleware.name.span, &UnusedMiddleware { name: &middleware.name.value });
    }
}

/// A listener whose protocol could not be read may be an `http` one.
fn unread(file: &File, name: &str) -> bool {
    let kernel = |listener: &&FileListener| &*listener.name.value == name;
    file.listeners.iter().find(kernel).is_none_or(|listener| listener.protocol.is_err())
}

/// Names of routes are given once, and none is that of a route without one.
fn check_names(routes: &[FileRoute], report: &mut Report<'_>) {
    let mut taken: HashMap<&str, usize> = HashMap::new();
    for (index, route) in routes.iter().enumerate() {
        let Ok(Some(name)) = &route.name else {
            continue;
        };
        if let Some(other) = taken.insert(&name.value, index) {
            report.error(&name.span, &NameTwice { name: &name.value, other });
        } else if let Some(number) = name.value.strip_prefix("route-").and_then(|n| n.parse::<usize>().ok())
            && number.checked_sub(1) != Some(index)
            && number.checked_sub(1).and_then(|at| routes.get(at)).is_some_and(|r| matches!(r.name, Ok(None)))
        {
            report.error(&name.span, &NameTwice { name: &name.value, other: number - 1 });
        }
    }
}

/// A listener without a route answers everything with 404, unless it sends its clients to one by TLS.
fn warn_of_unrouted(file: &File, report: &mut Report<'_>) {
    let routed: HashSet<&str> = file
        .routes
        .iter()
        .flat_map(|route| route.listeners.iter().flatten().flatten())
        .map(|at| &*at.value)
        .collect();
    let unnamed = |route: &&FileRoute| route.listeners.as_ref().is_ok_and(Option::is_none);
    let unnamed: Vec<_> =
        file.routes.iter().filter(unnamed).filter_map(|route| route.rest.as_ref().ok()).collect();
    let unread = file.routes.iter().any(|route| route.rest.is_err());
    for listener in file.web_listeners.iter().filter(|listener| !routed.contains(&*listener.name.value)) {
        let Ok(rest) = &listener.rest else { continue };
        if rest.redirect_https.is_none()
            && !unread
            && !unnamed.iter().any(|route| steer::is_for(route, rest.steer.speaks))
        {
            report.warn(&listener.name.span, &NoRoute { name: &listener.name.value, raw: rest.is_raw() });
        }
    }
}

/// What routes mean, in the order of the file.
pub(super) fn resolve(
    routes: Vec<FileRoute>,
    middleware: Vec<FileMiddleware>,
    web: &[WebListenerConfig],
) -> Result<Vec<RouteConfig>, Reported> {
    let listeners: HashMap<&str, &ListenerName> =
        web.iter().map(|listener| (listener.name.as_str(), &listener.name)).collect();
    let named = middleware.into_iter().map(|FileMiddleware { name, parts }| Ok((name.value, parts?)));
    let named: HashMap<Box<str>, Parts> = named.collect::<Result<_, _>>()?;
    let listener = |At { value, .. }: &At<Box<str>>| {
        listeners.get(&**value).map_or_else(|| ListenerName::from(&**value), |name| (*name).clone())
    };
    let mut resolved = Vec::with_capacity(routes.len());
    for (number, route) in (1..).zip(routes) {
        let name = route.name?.map_or_else(|| format!("route-{number}").into(), |name| name.value);
        let rest = route.rest?;
        let listeners = match &route.listeners? {
            Some(names) => names.iter().map(listener).collect(),
            None => steer::listeners(&rest, web),
        };
        route.pool?;
        // The route's own first, then from the last that it names to the first.
        let own = route.parts?.map(|parts| *parts);
        let used = route.uses?.into_iter().rev().filter_map(|name| named.get(&name.value).cloned());
        let parts = own.into_iter().chain(used).reduce(Parts::over);
        let middleware = parts.map_or_else(MiddlewareConfig::default, MiddlewareConfig::from);
        resolved.push(RouteConfig { name, listeners, middleware, ..*rest });
    }
    Ok(resolved)
}

struct NoSuchListener<'a> {
    name: &'a str,
    known: &'a [String],
}

impl fmt::Display for NoSuchListener<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the route names the listener {:?}, and there is none of that name", self.name)
    }
}

impl Fact for NoSuchListener<'_> {
    fn help(&self) -> Option<String> {
        Some(instead("listener", "listeners are", self.name, self.known))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("listener {name:?} is balanced in the kernel, and has no requests that could be routed")]
struct NoRequests<'a> {
    name: &'a str,
}

impl Fact for NoRequests<'_> {
    fn help(&self) -> Option<String> {
        Some("name an http listener, or give this one protocol = \"http\"".to_owned())
    }
}

struct NoSuchPool<'a> {
    pool: &'a str,
    pools: &'a [String],
}

impl fmt::Display for NoSuchPool<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the route names the pool {:?}, and there is none of that name", self.pool)
    }
}

impl Fact for NoSuchPool<'_> {
    fn help(&self) -> Option<String> {
        Some(instead("pool", "pools are", self.pool, self.pools))
    }
}

struct NoSuchMiddleware<'a> {
    name: &'a str,
    known: &'a [String],
}

impl fmt::Display for NoSuchMiddleware<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the route uses the middleware {:?}, and there is none of that name", self.name)
    }
}

impl Fact for NoSuchMiddleware<'_> {
    fn help(&self) -> Option<String> {
        Some(instead("middleware", "there are", self.name, self.known))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("middleware {name:?} is used by no route")]
struct UnusedMiddleware<'a> {
    name: &'a str,
}

impl Fact for UnusedMiddleware<'_> {
    fn help(&self) -> Option<String> {
        Some(format!("name it in a route: use = {:?}, or remove it", self.name))
    }
}

struct NameTwice<'a> {
    name: &'a str,
    /// Counted from 0.
    other: usize,
}

impl fmt::Display for NameTwice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name {:?} belongs to route {} of the file", self.name, self.other + 1)
    }
}

impl Fact for NameTwice<'_> {
    fn help(&self) -> Option<String> {
        Some(
            "give each route a name of its own; one without a name is called route-N, by its place"
                .to_owned(),
        )
    }
}

#[derive(Debug, thiserror::Error)]
#[error("there is a route, and no http, https or tls listener that it could be for")]
struct NoWebListener;

impl Fact for NoWebListener {
    fn help(&self) -> Option<String> {
        Some("add one: [listener.web] bind = \"0.0.0.0:80\", protocol = \"http\"".to_owned())
    }
}

struct NoRoute<'a> {
    name: &'a str,
    raw: bool,
}

impl fmt::Display for NoRoute<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let then = if self.raw { "connections is refused" } else { "requests is answered 404" };
        write!(f, "listener {:?} has no route: each of its {then}", self.name)
    }
}

impl Fact for NoRoute<'_> {
    fn help(&self) -> Option<String> {
        Some(format!("add a [[route]] with listener = {:?}, or without listener", self.name))
    }
}

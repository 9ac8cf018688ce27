//! Routes of connections against the listeners that they are for.

use std::collections::HashMap;
use std::fmt;

use crate::config::diagnostic::Fact;
use crate::config::file::{File, FileRoute, FileWebListener};
use crate::config::name::ListenerName;
use crate::config::report::Report;
use crate::config::steer::Speaks;
use crate::config::web::{PathPattern, RouteAction, RouteConfig, WebListenerConfig};

/// Whether a route that names no listener is for those that speak so.
pub(super) fn is_for(route: &RouteConfig, speaks: Speaks) -> bool {
    match speaks {
        Speaks::Http => !route.takes_connections() && route.client_hello.is_empty(),
        Speaks::Https => true,
        // A route that says nothing of connections is about requests.
        Speaks::Tls => route.takes_connections(),
    }
}

/// The listeners of a route that names none.
pub(super) fn listeners(route: &RouteConfig, web: &[WebListenerConfig]) -> Vec<ListenerName> {
    let meant = web.iter().filter(|listener| is_for(route, listener.steer.speaks));
    meant.map(|listener| listener.name.clone()).collect()
}

/// A route against each listener that it names, or could be for.
pub(super) fn check(file: &File, route: &FileRoute, report: &mut Report<'_>) {
    let Ok(rest) = &route.rest else { return };
    let Ok(named) = &route.listeners else { return };
    let of_connections = match (rest.passthrough, &rest.action, rest.client_hello.is_empty()) {
        (true, ..) => Some("passthrough"),
        (false, RouteAction::Refuse(_), _) => Some("refuse"),
        (false, _, false) => Some("client_hello"),
        (false, _, true) => None,
    };
    let Some(named) = named else {
        let read = file.web_listeners.iter().all(|listener| listener.rest.is_ok());
        let any =
            file.web_listeners.iter().any(|listener| speaks(listener).is_some_and(|it| is_for(rest, it)));
        if let (Some(key), true, false, false) = (of_connections, read, any, file.web_listeners.is_empty()) {
            report.error(&route.span, &NoHello { key, listener: None });
        }
        return;
    };
    for name in named {
        let listener = file.web_listeners.iter().find(|listener| listener.name.value == name.value);
        match (listener.and_then(speaks), of_connections) {
            (Some(Speaks::Http), Some(key)) => {
                report.error(&name.span, &NoHello { key, listener: Some(&name.value) });
            }
            (Some(Speaks::Tls), _) => {
                let keys = of_requests(route, rest);
                if !keys.is_empty() {
                    report.error(&name.span, &NoRequestsHere { keys: &keys, listener: &name.value });
                }
            }
            _ => {}
        }
    }
}

fn speaks(listener: &FileWebListener) -> Option<Speaks> {
    listener.rest.as_ref().ok().map(|rest| rest.steer.speaks)
}

/// What a route says of requests.
fn of_requests(route: &FileRoute, rest: &RouteConfig) -> Vec<&'static str> {
    let parts = !matches!(route.parts, Ok(None)) || route.uses.as_ref().is_ok_and(|uses| !uses.is_empty());
    [
        (!matches!(rest.path, PathPattern::Any), "path"),
        (!rest.methods.is_empty(), "method"),
        (!rest.headers.is_empty(), "header"),
        (!rest.query.is_empty(), "query"),
        (matches!(rest.action, RouteAction::Redirect(_)), "redirect"),
        (matches!(rest.action, RouteAction::Respond(_)), "respond"),
        (rest.request_timeout.is_some(), "timeout"),
        (parts, "middleware"),
    ]
    .into_iter()
    .filter_map(|(said, key)| said.then_some(key))
    .collect()
}

/// What pools say that is not done for connections that are passed through.
pub(super) fn check_pools(file: &File, report: &mut Report<'_>) {
    let pools: HashMap<&str, _> = file.pools.iter().map(|pool| (&*pool.name.value, pool)).collect();
    for route in &file.routes {
        let (Ok(Some(name)), Ok(rest)) = (&route.pool, &route.rest) else { continue };
        let secure =
            |name| pools.get(name).is_some_and(|pool| pool.web.as_ref().is_ok_and(|web| web.tls.is_some()));
        if rest.passthrough && secure(&*name.value) {
            report.warn(&name.span, &TwiceByTls { pool: &name.value });
        }
    }
}

struct NoHello<'a> {
    key: &'static str,
    listener: Option<&'a str>,
}

impl fmt::Display for NoHello<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.listener {
            Some(name) => {
                write!(f, "{}: listener {name:?} speaks HTTP without TLS: there is no ClientHello", self.key)
            }
            None => write!(f, "{}: there is no https or tls listener that the route could be for", self.key),
        }
    }
}

impl Fact for NoHello<'_> {
    fn help(&self) -> Option<String> {
        Some("give a listener protocol = \"https\" or \"tls\", and name it in the route".to_owned())
    }
}

struct NoRequestsHere<'a> {
    keys: &'a [&'static str],
    listener: &'a str,
}

impl fmt::Display for NoRequestsHere<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { keys, listener } = self;
        write!(
            f,
            "listener {listener:?} relays connections and reads no requests: {} of the route say nothing there",
            keys.join(", ")
        )
    }
}

impl Fact for NoRequestsHere<'_> {
    fn help(&self) -> Option<String> {
        Some("remove them; host (the SNI), client_ip and client_hello are known; or give the listener protocol = \"https\"".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "pool {pool:?} has tls, and connections that are passed through are in TLS already: they get no other"
)]
struct TwiceByTls<'a> {
    pool: &'a str,
}

impl Fact for TwiceByTls<'_> {
    fn help(&self) -> Option<String> {
        Some("make a pool of its own for this route, without tls".to_owned())
    }
}

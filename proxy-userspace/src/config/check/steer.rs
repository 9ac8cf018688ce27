//! Routes of connections against the listeners that they are for.

use std::collections::HashMap;
use std::fmt;

use crate::config::address::Endpoint;
use crate::config::diagnostic::Fact;
use crate::config::file::{File, FileRoute, FileWebListener};
use crate::config::name::ListenerName;
use crate::config::report::Report;
use crate::config::steer::{Refuse, Speaks};
use crate::config::web::{PathPattern, RouteAction, RouteConfig, WebListenerConfig};

/// Whether a route that names no listener is for those that speak so.
pub(super) fn is_for(route: &RouteConfig, speaks: Speaks) -> bool {
    match speaks {
        Speaks::Http => !route.takes_connections() && route.client_hello.is_empty(),
        Speaks::Https => true,
        // A route that says nothing of connections is about requests.
        Speaks::Tls | Speaks::Quic => route.takes_connections(),
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
            (Some(Speaks::Quic), _) if !rest.passthrough && !is_refused(rest) => {
                report.error(&name.span, &NotDecrypted { listener: &name.value });
            }
            (Some(Speaks::Quic), _) if is_told(rest) => {
                report.error(&name.span, &NobodyTold { listener: &name.value });
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

/// Whether connections of the route are refused.
fn is_refused(route: &RouteConfig) -> bool {
    matches!(route.action, RouteAction::Refuse(_))
}

/// Whether they are told.
fn is_told(route: &RouteConfig) -> bool {
    matches!(route.action, RouteAction::Refuse(Refuse::Alert | Refuse::Reset))
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
        let quic = by_quic(file, route, rest).filter(|_| rest.passthrough);
        let Some((pool, listener)) = pools.get(&*name.value).zip(quic) else { continue };
        let introduced = pool.web.as_ref().is_ok_and(|web| web.send_proxy_protocol.is_some());
        let backends = pool.backends.iter().flatten();
        let unix = backends.clone().any(|backend| matches!(backend.address.value, Endpoint::Unix(_)));
        if introduced || unix {
            report.error(&name.span, &NotByQuic { pool: &name.value, listener, introduced });
        }
    }
}

/// A listener of QUIC that a route is for.
fn by_quic<'a>(file: &'a File, route: &FileRoute, rest: &RouteConfig) -> Option<&'a str> {
    let named = route.listeners.as_ref().ok()?;
    let is_meant = |listener: &&FileWebListener| match named {
        Some(names) => names.iter().any(|name| name.value == listener.name.value),
        None => is_for(rest, Speaks::Quic),
    };
    let quic = file.web_listeners.iter().filter(|listener| speaks(listener) == Some(Speaks::Quic));
    quic.filter(is_meant).map(|listener| &*listener.name.value).next()
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
            None => {
                write!(f, "{}: there is no https, tls or quic listener that the route could be for", self.key)
            }
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
    "listener {listener:?} speaks QUIC, which is not decrypted here: the route must pass its connections through"
)]
struct NotDecrypted<'a> {
    listener: &'a str,
}

impl Fact for NotDecrypted<'_> {
    fn help(&self) -> Option<String> {
        Some("add passthrough = true, or refuse = \"drop\"; or name an https listener".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("clients of listener {listener:?} are not told that they are refused: QUIC takes no word from us")]
struct NobodyTold<'a> {
    listener: &'a str,
}

impl Fact for NobodyTold<'_> {
    fn help(&self) -> Option<String> {
        Some("write refuse = \"drop\"".to_owned())
    }
}

struct NotByQuic<'a> {
    pool: &'a str,
    listener: &'a str,
    introduced: bool,
}

impl fmt::Display for NotByQuic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pool, listener, .. } = self;
        let what = if self.introduced { "wants a PROXY protocol header" } else { "has a Unix socket" };
        write!(f, "pool {pool:?} {what}, and datagrams of listener {listener:?} cannot be sent to it so")
    }
}

impl Fact for NotByQuic<'_> {
    fn help(&self) -> Option<String> {
        Some(
            "make a pool of its own for this route; name other listeners in the one that there is".to_owned(),
        )
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

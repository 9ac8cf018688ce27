//! Pools against the listeners that use them.

use std::collections::HashSet;
use std::net::SocketAddr;

use crate::config::address::{BackendAddr, Endpoint};
use crate::config::diagnostic::Fact;
use crate::config::file::{File, FileBackend, FileListener, FilePool, FileWebListener};
use crate::config::model::{BackendConfig, Forward, PoolConfig, Probe, Protocol};
use crate::config::report::{At, Report, Reported};
use crate::config::tls::PoolTlsConfig;
use crate::config::web::WebBind;
use crate::config::web_pool::{Balance, HashKey, WebPoolConfig};

/// Everything about pools.
pub(super) fn check(file: &File, report: &mut Report<'_>) {
    let of_routes = file.routes.iter().flat_map(|route| route.pool.iter().flatten());
    let routed: HashSet<&str> = of_routes.map(|pool| &*pool.value).collect();
    let all_known = file.listeners.iter().all(|listener| listener.pool.is_ok())
        && file.routes.iter().all(|route| route.pool.is_ok());
    for pool in &file.pools {
        let users = Users {
            kernel: file.listeners.iter().filter(|listener| uses(listener, pool)).collect(),
            web: if routed.contains(&*pool.name.value) { &file.web_listeners } else { &[] },
            routes: routed.contains(&*pool.name.value),
        };
        if users.kernel.is_empty() && !users.routes && all_known {
            report.warn(&pool.name.span, &Unused { pool: &pool.name.value });
        }
        check_one(pool, &users, report);
    }
}

/// Who uses a pool.
struct Users<'a> {
    kernel: Vec<&'a FileListener>,
    web: &'a [FileWebListener],
    routes: bool,
}

fn check_one(pool: &FilePool, users: &Users<'_>, report: &mut Report<'_>) {
    check_health(pool, &users.kernel, report);
    check_balance(pool, &users.kernel, report);
    let Ok(backends) = &pool.backends else {
        return;
    };
    refuse_repeats(pool, backends, report);
    if backends.iter().all(|backend| backend.weight == 0 || backend.drain) {
        report.warn(&pool.name.span, &NoNewFlows { pool: &pool.name.value });
    }
    for listener in &users.kernel {
        check_families(pool, backends, listener, report);
        for backend in backends {
            check_for_kernel(backend, listener, report);
        }
    }
    let default = WebPoolConfig::default();
    if !users.routes && !users.kernel.is_empty() && pool.web.as_ref().is_ok_and(|web| *web != default) {
        report.warn(&pool.name.span, &NoRequests { pool: &pool.name.value });
    }
    if users.routes {
        for backend in backends {
            check_for_web(pool, backend, users.web, report);
        }
    } else {
        refuse_unreached(pool, backends, &users.kernel, report);
    }
}

/// What the kernel part needs of a backend.
fn check_for_kernel(backend: &FileBackend, listener: &FileListener, report: &mut Report<'_>) {
    let (at, name) = (&backend.address, &*listener.name.value);
    match at.value.ip() {
        Some(address) if address.ip.is_loopback() => {
            report.error(&at.span, &NoLoopback { backend: address, listener: name });
        }
        Some(address) => {
            let address = At { value: address, span: at.span.clone() };
            check_port(&address, listener, report);
            check_not_itself(&address, listener, report);
        }
        None => {
            report.error(&at.span, &NotAnIp { backend: &at.value, listener: name });
        }
    }
}

/// What requests need of a backend: a port, and that it is somebody else.
fn check_for_web(pool: &FilePool, backend: &FileBackend, web: &[FileWebListener], report: &mut Report<'_>) {
    let at = &backend.address;
    if at.value.ip().is_some_and(|address| address.port.is_none()) {
        report.error(&at.span, &NoPortForWeb { backend: &at.value, pool: &pool.name.value });
    }
    let nameless = |tls: &PoolTlsConfig| tls.verify && tls.sni.is_none();
    if matches!(at.value, Endpoint::Unix(_))
        && pool.web.as_ref().is_ok_and(|web| web.tls.as_ref().is_some_and(nameless))
    {
        report.error(&at.span, &NoNameToVerify { backend: &at.value, pool: &pool.name.value });
    }
    for listener in web {
        if listener.bind.iter().flatten().any(|bind| leads_to(&at.value, &bind.value)) {
            report.error(&at.span, &RequestsInCircles { listener: &listener.name.value, backend: &at.value });
        }
    }
}

/// Whether a connection to the backend ends at what the listener is bound to.
fn leads_to(backend: &Endpoint, bind: &WebBind) -> bool {
    match (backend, bind) {
        (Endpoint::Unix(path), WebBind::Unix(bound)) => path == bound,
        (Endpoint::Ip(BackendAddr { ip, port: Some(port) }), WebBind::Tcp(bound)) => {
            let all = bound.ip().is_unspecified() && ip.is_loopback() && bound.is_ipv6() == ip.is_ipv6();
            *port == bound.port() && (*ip == bound.ip() || all)
        }
        _ => false,
    }
}

/// The kernel part knows one way to choose.
fn check_balance(pool: &FilePool, users: &[&FileListener], report: &mut Report<'_>) {
    let (Ok(Some(balance)), Some(listener)) = (&pool.balance, users.first()) else {
        return;
    };
    if balance.value != Balance::Maglev(HashKey::ClientIp) {
        report.error(&balance.span, &OnlyMaglev { listener: &listener.name.value, pool: &pool.name.value });
    }
}

fn uses(listener: &FileListener, pool: &FilePool) -> bool {
    listener.pool.as_ref().is_ok_and(|name| name.value == pool.name.value)
}

fn refuse_repeats(pool: &FilePool, backends: &[FileBackend], report: &mut Report<'_>) {
    let mut seen = HashSet::new();
    for backend in backends {
        if !seen.insert(&backend.address.value) {
            let fact = Repeated { pool: &pool.name.value, backend: &backend.address.value };
            report.error(&backend.address.span, &fact);
        }
    }
}

/// Each family that the listener is bound to has a backend.
fn check_families(
    pool: &FilePool,
    backends: &[FileBackend],
    listener: &FileListener,
    report: &mut Report<'_>,
) {
    let Ok(bind) = &listener.bind else {
        return;
    };
    for address in bind {
        let v6 = address.value.is_ipv6();
        if backends.iter().all(|backend| is_ipv6(backend) == Some(!v6)) {
            let fact = NoBackendOfFamily {
                listener: &listener.name.value,
                pool: &pool.name.value,
                family: family(v6),
            };
            report.error(&address.span, &fact);
            return;
        }
    }
}

/// Each backend is of a family that a listener is bound to.
fn refuse_unreached(
    pool: &FilePool,
    backends: &[FileBackend],
    users: &[&FileListener],
    report: &mut Report<'_>,
) {
    let mut bound = Vec::new();
    for listener in users {
        let Ok(bind) = &listener.bind else {
            return;
        };
        bound.extend(bind.iter().map(|address| address.value.is_ipv6()));
    }
    if bound.is_empty() {
        return;
    }
    for backend in backends {
        let Some(v6) = is_ipv6(backend) else {
            continue;
        };
        if !bound.contains(&v6) {
            let fact = NoListenerOfFamily {
                backend: &backend.address.value,
                pool: &pool.name.value,
                family: family(v6),
            };
            report.error(&backend.address.span, &fact);
        }
    }
}

/// Whether a backend's address is IPv6; none if it is no address, which is another mistake.
fn is_ipv6(backend: &FileBackend) -> Option<bool> {
    backend.address.value.ip().map(|address| address.ip.is_ipv6())
}

/// `nat` needs the backend's port; `dsr` cannot change it.
fn check_port(backend: &At<BackendAddr>, listener: &FileListener, report: &mut Report<'_>) {
    let (Ok(forward), Ok(bind)) = (listener.forward, &listener.bind) else {
        return;
    };
    let name = &*listener.name.value;
    let address = backend.value;
    let port = bind.first().map_or(0, |address| address.value.port());
    match (forward, address.port) {
        (Forward::Nat, None) => {
            report.error(&backend.span, &NoPort { backend: address, listener: name });
        }
        (Forward::Dsr, Some(own)) if own != port => {
            report.error(&backend.span, &DsrPort { backend: address, listener: name, port });
        }
        _ => {}
    }
}

/// `nat` to an address that the listener is bound to would go in circles.
fn check_not_itself(backend: &At<BackendAddr>, listener: &FileListener, report: &mut Report<'_>) {
    let (Ok(Forward::Nat), Ok(bind), Some(port)) = (listener.forward, &listener.bind, backend.value.port)
    else {
        return;
    };
    let target = SocketAddr::new(backend.value.ip, port);
    if bind.iter().any(|address| address.value == target) {
        report.error(&backend.span, &ItsOwnBackend { listener: &listener.name.value, address: target });
    }
}

/// Every check has a port to ask, and one that speaks what is asked.
fn check_health(pool: &FilePool, users: &[&FileListener], report: &mut Report<'_>) {
    let Ok(Some(health)) = &pool.health else {
        return;
    };
    if health.config.port.is_some() {
        return;
    }
    let name = &*pool.name.value;
    if matches!(health.config.probe, Probe::Http(_)) {
        let udp = users.iter().find(|listener| listener.protocol == Ok(Protocol::Udp));
        if let Some(listener) = udp {
            report.error(&health.span, &HttpOfUdp { pool: name, listener: &listener.name.value });
        }
    }
    let portless = |backend: &BackendAddr| backend.port.is_none();
    let addresses = pool.backends.iter().flatten().filter_map(|backend| backend.address.value.ip());
    if let Some(backend) = addresses.into_iter().find(portless) {
        report.error(&health.span, &NothingToAsk { pool: name, backend });
    }
}

/// What a pool means.
pub(super) fn resolve(pool: FilePool) -> Result<PoolConfig, Reported> {
    let balance = pool.balance?.map_or(Balance::RoundRobin, |balance| balance.value);
    let backend = |backend: FileBackend| BackendConfig {
        endpoint: backend.address.value,
        weight: backend.weight,
        drain: backend.drain,
    };
    Ok(PoolConfig {
        name: (&*pool.name.value).into(),
        backends: pool.backends?.into_iter().map(backend).collect(),
        health: pool.health?.map(|health| health.config),
        web: WebPoolConfig { balance, ..pool.web? },
    })
}

/// The name of a family, after "an".
fn family(v6: bool) -> &'static str {
    if v6 { "IPv6" } else { "IPv4" }
}

#[derive(Debug, thiserror::Error)]
#[error("pool {pool:?} is used by no listener and no route")]
struct Unused<'a> {
    pool: &'a str,
}

impl Fact for Unused<'_> {
    fn help(&self) -> Option<String> {
        Some("name it in a listener or a route, or remove it".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no backend of pool {pool:?} gets new flows: each has weight 0 or drains")]
struct NoNewFlows<'a> {
    pool: &'a str,
}

impl Fact for NoNewFlows<'_> {
    fn help(&self) -> Option<String> {
        Some("give one a weight, or end its drain".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("pool {pool:?} has the backend {backend} twice")]
struct Repeated<'a> {
    pool: &'a str,
    backend: &'a Endpoint,
}

impl Fact for Repeated<'_> {
    fn help(&self) -> Option<String> {
        let Self { backend, .. } = self;
        Some(format!(
            "name it once; for a greater share of flows give it a weight: {{ address = \"{backend}\", weight = 2 }}"
        ))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("listener {listener:?} is bound to an {family} address, and pool {pool:?} has no {family} backend")]
struct NoBackendOfFamily<'a> {
    listener: &'a str,
    pool: &'a str,
    family: &'static str,
}

impl Fact for NoBackendOfFamily<'_> {
    fn help(&self) -> Option<String> {
        let Self { family, .. } = self;
        Some(format!("add an {family} backend to the pool: families are not translated"))
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "backend {backend} of pool {pool:?} is {family}, and no listener of the pool is bound to an {family} address"
)]
struct NoListenerOfFamily<'a> {
    pool: &'a str,
    backend: &'a Endpoint,
    family: &'static str,
}

impl Fact for NoListenerOfFamily<'_> {
    fn help(&self) -> Option<String> {
        let Self { family, .. } = self;
        Some(format!(
            "bind a listener of the pool to an {family} address, or remove the backend: families are not translated"
        ))
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "backend {backend} is a loopback address, and listener {listener:?} balances packets, which cross no loopback"
)]
struct NoLoopback<'a> {
    backend: BackendAddr,
    listener: &'a str,
}

impl Fact for NoLoopback<'_> {
    fn help(&self) -> Option<String> {
        Some("use an address that others can reach".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("backend {backend} is no IP address, and listener {listener:?} is balanced in the kernel")]
struct NotAnIp<'a> {
    backend: &'a Endpoint,
    listener: &'a str,
}

impl Fact for NotAnIp<'_> {
    fn help(&self) -> Option<String> {
        Some("tcp and udp listeners need addresses with ports, such as \"10.0.0.11:8080\"".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("backend {backend} has no port, and listener {listener:?} forwards to it by nat")]
struct NoPort<'a> {
    backend: BackendAddr,
    listener: &'a str,
}

impl Fact for NoPort<'_> {
    fn help(&self) -> Option<String> {
        Some("write the port that the backend answers on".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "backend {backend} has another port than listener {listener:?}, which forwards by dsr to port {port}"
)]
struct DsrPort<'a> {
    backend: BackendAddr,
    listener: &'a str,
    port: u16,
}

impl Fact for DsrPort<'_> {
    fn help(&self) -> Option<String> {
        Some("dsr changes no port: leave the port out, or use forward = \"nat\"".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("backend {address} is what listener {listener:?} is bound to: packets would go in circles")]
struct ItsOwnBackend<'a> {
    listener: &'a str,
    address: SocketAddr,
}

impl Fact for ItsOwnBackend<'_> {
    fn help(&self) -> Option<String> {
        Some("name the address of the machine that answers".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no route uses pool {pool:?}: what it says of requests has no effect")]
struct NoRequests<'a> {
    pool: &'a str,
}

impl Fact for NoRequests<'_> {
    fn help(&self) -> Option<String> {
        Some(
            "packets know backends, balance and health; remove the other keys, or add a [[route]]".to_owned(),
        )
    }
}

#[derive(Debug, thiserror::Error)]
#[error("backend {backend} of pool {pool:?} has no port, and a route sends requests there")]
struct NoPortForWeb<'a> {
    backend: &'a Endpoint,
    pool: &'a str,
}

impl Fact for NoPortForWeb<'_> {
    fn help(&self) -> Option<String> {
        Some("write the port that the backend answers on".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("backend {backend} is where listener {listener:?} waits: requests would go in circles")]
struct RequestsInCircles<'a> {
    listener: &'a str,
    backend: &'a Endpoint,
}

impl Fact for RequestsInCircles<'_> {
    fn help(&self) -> Option<String> {
        Some("name the address of what answers, or bind the listener to others".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("listener {listener:?} balances pool {pool:?} in the kernel, by maglev of the client's address only")]
struct OnlyMaglev<'a> {
    listener: &'a str,
    pool: &'a str,
}

impl Fact for OnlyMaglev<'_> {
    fn help(&self) -> Option<String> {
        Some("write balance = \"maglev\" or leave it out; routes can have a pool of their own".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the http check of pool {pool:?} would ask the port of the udp listener {listener:?}")]
struct HttpOfUdp<'a> {
    pool: &'a str,
    listener: &'a str,
}

impl Fact for HttpOfUdp<'_> {
    fn help(&self) -> Option<String> {
        Some("say which port speaks HTTP: port = 8080".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the check of pool {pool:?} has no port to ask at {backend}")]
struct NothingToAsk<'a> {
    pool: &'a str,
    backend: BackendAddr,
}

impl Fact for NothingToAsk<'_> {
    fn help(&self) -> Option<String> {
        Some("say which: health = { …, port = 80 }".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("backend {backend} of pool {pool:?} is a socket: its certificate could be for any name")]
struct NoNameToVerify<'a> {
    backend: &'a Endpoint,
    pool: &'a str,
}

impl Fact for NoNameToVerify<'_> {
    fn help(&self) -> Option<String> {
        Some("say which: tls = { sni = \"app.internal\" }".to_owned())
    }
}

//! From a configuration to what the kernel part should do. Pure.

use crate::config::{
    Config, LimitConfig, ListenerConfig, Protocol, RouteAction, SynCookies, WebBind, WebListenerConfig,
};
use crate::l4::{Desired, DesiredBackend, DesiredListener, LocalListener};
use crate::upstream::health::CheckKey;

use super::drain::Drained;
use super::health::Findings;

/// What the kernel part should do; none if the configuration has no `[kernel]`.
pub(super) fn compile(config: &Config, findings: &Findings, drained: &Drained) -> Option<Desired> {
    let listener = |listener: &ListenerConfig| DesiredListener {
        name: listener.name.clone(),
        addresses: listener.bind.clone(),
        protocol: listener.protocol,
        forward: listener.forward,
        guard: listener.guard,
        backends: config
            .backends(listener)
            .map(|(address, backend)| {
                let key = CheckKey { pool: listener.pool.clone(), backend: backend.endpoint.clone() };
                DesiredBackend {
                    address,
                    weight: backend.weight,
                    down: !findings.serves(&key),
                    draining: backend.drain,
                    drained_by_hand: drained.has(&key),
                }
            })
            .collect(),
    };
    Some(Desired {
        kernel: config.kernel.clone()?,
        listeners: config.listeners.iter().map(listener).collect(),
        local: config
            .web_listeners
            .iter()
            .filter_map(|listener| local(config, listener, findings, drained))
            .collect(),
        limits: config.limits.clone(),
    })
}

/// A listener of sockets, where the kernel part has something to do for it.
fn local(
    config: &Config,
    listener: &WebListenerConfig,
    findings: &Findings,
    drained: &Drained,
) -> Option<LocalListener> {
    let is_limited = |limit: &LimitConfig| {
        limit.per.is_of_packets() && (limit.listeners.is_empty() || limit.listeners.contains(&listener.name))
    };
    let backends = relayed_to(config, listener, findings, drained);
    let guarded = listener.guard.syn_cookies != SynCookies::Off;
    if !guarded && !config.limits.iter().any(is_limited) && backends.is_empty() {
        return None;
    }
    let tcp = |bind: &WebBind| match bind {
        WebBind::Tcp(address) => Some(*address),
        WebBind::Unix(_) => None,
    };
    let addresses: Vec<_> = listener.bind.iter().filter_map(tcp).collect();
    let (name, protocol, guard) = (listener.name.clone(), Protocol::Tcp, listener.guard);
    (!addresses.is_empty()).then_some(LocalListener {
        name,
        addresses,
        protocol,
        guard,
        tls: false,
        names: Vec::new(),
        handoff: !backends.is_empty(),
        backends,
    })
}

/// Backends that connections of a listener are passed through to, if they may be handed over. What has a name for an
/// address is none of them.
fn relayed_to(
    config: &Config,
    listener: &WebListenerConfig,
    findings: &Findings,
    drained: &Drained,
) -> Vec<DesiredBackend> {
    let mut backends: Vec<DesiredBackend> = Vec::new();
    let routes = config.routes.iter().filter(|route| {
        listener.steer.handoff && route.passthrough && route.listeners.contains(&listener.name)
    });
    for route in routes {
        let RouteAction::Pool(name) = &route.action else { continue };
        for backend in config.pool(name).map_or(&[][..], |pool| &pool.backends) {
            let Some(address) = backend.endpoint.ip().map(|ip| ip.at(0)) else { continue };
            if backends.iter().any(|known| known.address == address) {
                continue;
            }
            let key = CheckKey { pool: name.clone(), backend: backend.endpoint.clone() };
            backends.push(DesiredBackend {
                address,
                weight: backend.weight,
                down: !findings.serves(&key),
                draining: backend.drain,
                drained_by_hand: drained.has(&key),
            });
        }
    }
    backends
}

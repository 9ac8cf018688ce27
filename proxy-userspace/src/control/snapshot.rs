//! From a configuration to what the kernel part should do. Pure.

use crate::config::{Config, LimitConfig, ListenerConfig, Protocol, SynCookies, WebBind, WebListenerConfig};
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
        local: config.web_listeners.iter().filter_map(|listener| local(listener, &config.limits)).collect(),
        limits: config.limits.clone(),
    })
}

/// A listener of sockets, where the kernel part has something to do for it.
fn local(listener: &WebListenerConfig, limits: &[LimitConfig]) -> Option<LocalListener> {
    let is_limited = |limit: &LimitConfig| {
        limit.per.is_of_packets() && (limit.listeners.is_empty() || limit.listeners.contains(&listener.name))
    };
    if listener.guard.syn_cookies == SynCookies::Off && !limits.iter().any(is_limited) {
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
    })
}

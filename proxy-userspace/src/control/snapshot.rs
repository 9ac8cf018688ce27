//! From a configuration to what the kernel part should do. Pure.

use crate::config::{
    AutoBanConfig, AutoBanEvent, Config, LimitConfig, ListenerConfig, Per, Protocol, Refuse, RouteAction,
    SynCookies, WebBind, WebListenerConfig,
};
use crate::l4::{Desired, DesiredBackend, DesiredListener, LocalListener, NameAction, NameRule};
use crate::route::{NamePlan, Steered, Steering};
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
        local: {
            let steering = Steering::compile(config);
            let local = |listener| local(config, listener, &steering, findings, drained);
            config.web_listeners.iter().filter_map(local).collect()
        },
        limits: config.limits.clone(),
    })
}

/// A listener of sockets, where the kernel part has something to do for it.
fn local(
    config: &Config,
    listener: &WebListenerConfig,
    steering: &Steering,
    findings: &Findings,
    drained: &Drained,
) -> Option<LocalListener> {
    let tls = listener.tls.is_some();
    let is_limited = |limit: &LimitConfig| {
        (limit.per.is_of_packets() || tls && limit.per == Per::Sni)
            && (limit.listeners.is_empty() || limit.listeners.contains(&listener.name))
    };
    let backends = relayed_to(config, listener, findings, drained);
    let guarded = listener.guard.syn_cookies != SynCookies::Off;
    let names = names(config, listener, steering);
    let refuses = names.iter().any(|rule| rule.action != NameAction::Pass);
    if !guarded && !config.limits.iter().any(is_limited) && backends.is_empty() && !refuses {
        return None;
    }
    let tcp = |bind: &WebBind| match bind {
        WebBind::Tcp(address) => Some(*address),
        WebBind::Unix(_) => None,
    };
    let addresses: Vec<_> = listener.bind.iter().filter_map(tcp).collect();
    let protocol = if listener.is_quic() { Protocol::Udp } else { Protocol::Tcp };
    let (name, guard) = (listener.name.clone(), listener.guard);
    (!addresses.is_empty()).then_some(LocalListener {
        name,
        addresses,
        protocol,
        guard,
        tls,
        names,
        handoff: !backends.is_empty(),
        backends,
    })
}

/// What hosts decide by themselves. Who is told of a refusal by an alert is told by the worker; and where asking for
/// such a host earns a ban the worker refuses, which knows that whoever asks is there: a packet may be of anybody.
fn names(config: &Config, listener: &WebListenerConfig, steering: &Steering) -> Vec<NameRule> {
    // What a datagram of QUIC names is read by workers alone.
    let Some(names) = steering.of(&listener.name).filter(|_| !listener.is_quic()) else { return Vec::new() };
    let route = |index: u32| config.routes.get(index as usize).map_or("", |route| &*route.name);
    let counts = |rule: &AutoBanConfig| {
        rule.events.contains(&AutoBanEvent::UnknownSni)
            && (rule.listeners.is_empty() || rule.listeners.contains(&listener.name))
    };
    let counted = config.auto_bans.iter().any(counts);
    let rule = |plan: NamePlan| {
        let (route, action) = match plan.steered {
            Some(Steered::Refuse(index, _)) if counted => (route(index), NameAction::Pass),
            Some(Steered::Refuse(index, Refuse::Drop)) => (route(index), NameAction::Drop),
            Some(Steered::Refuse(index, Refuse::Reset)) => (route(index), NameAction::Reset),
            Some(
                Steered::Refuse(index, Refuse::Alert) | Steered::Pass(index) | Steered::Terminate(index),
            ) => (route(index), NameAction::Pass),
            None => ("", NameAction::Pass),
        };
        NameRule { host: plan.host, route: route.into(), action }
    };
    names.plans().into_iter().map(rule).collect()
}

/// Whether clients of a listener are kept out before a socket exists: then there is none before its ClientHello.
pub(super) fn keeps_out(config: &Config, listener: &WebListenerConfig, steering: &Steering) -> bool {
    let speaks_first = listener.steer.starttls.is_none();
    let refused = |rule: &NameRule| rule.action != NameAction::Pass;
    config.kernel.is_some() && speaks_first && names(config, listener, steering).iter().any(refused)
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

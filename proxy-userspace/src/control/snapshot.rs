//! From a configuration to what the kernel part should do. Pure.

use crate::config::{Config, ListenerConfig};
use crate::l4::{Desired, DesiredBackend, DesiredListener};
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
    })
}

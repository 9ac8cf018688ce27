//! The kernel part as it is, behind [`Dataplane`]; and what it says of itself when no daemon runs.

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use proxy_common::plan::LimitCount;

use crate::admin::api::{self, Status};
use crate::admin::limits::LimitedKey;
use crate::config::{Amount, KernelConfig, LimitName, Measure};
use crate::l4::{
    BackendState, BackendStatus, Count, Desired, GuardStatus, HandOffCount, Hear, HelloSeen, InterfaceStatus,
    KeptLimit, Kernel, KernelStatus, ListenerStatus, MapError, NameAction, NameStatus, RefusedKey, Taker,
    View,
};
use crate::l7::relay::hand_off::{HandOff, Kept, Moment, Passed, Reserved};

use super::dataplane::{Dataplane, DataplaneError, Known, LimitCounts, LimitInForce, Observed, Place, Seen};
use crate::limit::{Ids, Table};
use crate::net::handoff;

/// Loads the kernel part, or adopts it if it is loaded.
pub(super) fn open(config: &KernelConfig) -> Result<Box<dyn Dataplane>, DataplaneError> {
    let kernel = Kernel::open(config)?;
    for note in kernel.notes() {
        tracing::warn!("{note}");
    }
    tracing::info!("the kernel part is {}", if kernel.adopted() { "taken over as it was" } else { "loaded" });
    Ok(Box::new(kernel))
}

impl Dataplane for Kernel {
    fn known(&self) -> HashMap<Place, Known> {
        let known = self.known_backends().into_iter().map(|known| {
            let place = Place { listener: known.listener.as_str().into(), address: known.address };
            (place, Known { down: known.down, drained_by_hand: known.drained_by_hand })
        });
        known.collect()
    }

    fn apply(&mut self, desired: &Desired) -> Result<Vec<String>, DataplaneError> {
        let applied = Kernel::apply(self, desired)?;
        Ok(applied.unroutable.iter().map(ToString::to_string).collect())
    }

    fn attach(&mut self, config: &KernelConfig) -> Result<Vec<String>, DataplaneError> {
        let attached = Kernel::attach(self, &config.interfaces, config.attach)?;
        Ok(attached.iter().map(|attachment| format!("attached to {attachment}")).collect())
    }

    fn keep(&mut self) {
        Kernel::keep(self);
    }

    fn follow(&mut self) -> Result<Vec<String>, DataplaneError> {
        Ok(Kernel::follow(self)?.iter().map(ToString::to_string).collect())
    }

    fn collect(&mut self) -> Result<(), DataplaneError> {
        Kernel::collect(self)?;
        Ok(())
    }

    fn observe(&self) -> Result<Observed, DataplaneError> {
        let status = self.status()?;
        let backends = status.listeners.iter().flat_map(|listener| {
            let there = listener.backends.iter().filter(|b| b.state != BackendState::Leaving);
            there.map(|backend| {
                let place = Place { listener: listener.name.as_str().into(), address: backend.address };
                let down = backend.state == BackendState::Down;
                (place, Seen { flows: backend.flows, traffic: traffic(backend), down })
            })
        });
        let backends = backends.collect();
        let api::Kernel { interfaces, flow_tables, guards, drops, notices, .. } = kernel(status);
        let names = self.names()?.into_iter().map(named).collect();
        let handoffs = self.taker().counts().into_iter().map(handoff).collect();
        Ok(Observed { interfaces, flow_tables, guards, drops, notices, handoffs, names, backends })
    }

    fn hand_off(&self) -> Option<Arc<dyn HandOff>> {
        Some(Arc::new(ToKernel(self.taker())))
    }

    fn limit_table(&self) -> Option<(Table, Arc<Ids>)> {
        Some(Kernel::limit_table(self))
    }

    fn limits(&self) -> Vec<LimitInForce> {
        let kept = Kernel::limits(self).unwrap_or_else(|error| {
            tracing::warn!("what the kernel part keeps of limits cannot be told: {error}");
            Vec::new()
        });
        let one = |kept: KeptLimit| {
            let LimitCount { passed, refused, observed, exempt } = kept.counts;
            let counts = LimitCounts { passed, refused, observed, exempt };
            LimitInForce { limit: kept.limit, measure: kept.measure, amount: kept.amount, counts }
        };
        kept.into_iter().map(one).collect()
    }

    fn limit_overrides(&self) -> Vec<(LimitName, Measure, Amount)> {
        Kernel::limit_overrides(self)
    }

    fn set_limit(
        &mut self,
        limit: &LimitName,
        measure: Measure,
        amount: Amount,
    ) -> Result<(), DataplaneError> {
        if Kernel::set_limit(self, limit, measure, amount)? {
            return Ok(());
        }
        Err(format!("the kernel part knows no limit {:?}: reload the configuration", limit.as_str()).into())
    }

    fn reset_limit(&mut self, limit: &LimitName) -> Result<(), DataplaneError> {
        Ok(Kernel::reset_limit(self, limit)?)
    }

    fn limited(&self) -> Result<Vec<LimitedKey>, DataplaneError> {
        let key = |refused: RefusedKey| LimitedKey {
            limit: refused.limit.to_string(),
            measure: refused.measure.name().to_owned(),
            key: refused.key,
            refused: refused.refused,
        };
        Ok(Kernel::limited(self).into_iter().map(key).collect())
    }

    fn reset_limit_key(&mut self, limit: &LimitName, address: IpAddr) -> Result<usize, DataplaneError> {
        Ok(Kernel::reset_limit_key(self, limit, address))
    }

    fn hear(&mut self, hear: Hear) -> Result<(), DataplaneError> {
        Ok(Kernel::hear(self, hear)?)
    }

    fn bans(&self) -> Result<Option<Arc<dyn crate::ban::Place>>, DataplaneError> {
        Ok(Some(Arc::new(Kernel::bans(self)?)))
    }

    fn hellos(
        &mut self,
        name: Option<&str>,
        lasts: Duration,
        most: usize,
    ) -> Result<Vec<(String, HelloSeen)>, DataplaneError> {
        self.look_on(name, lasts)?;
        let named = |seen: HelloSeen| (self.listener_name(seen.listener).unwrap_or_default(), seen);
        Ok(self.hellos_seen(most).into_iter().map(named).collect())
    }

    fn explain(&self, tuple: &str) -> Result<serde_json::Value, DataplaneError> {
        Ok(serde_json::to_value(Kernel::explain(self, &tuple.parse()?)?)?)
    }
}

/// The kernel part, as the relay sees it.
#[derive(Debug)]
struct ToKernel(Arc<Taker>);

fn kept(kept: handoff::Kept) -> Kept {
    Kept { reason: kept.label(), again: !kept.is_final() }
}

fn about(about: &Passed) -> handoff::Passed<'_> {
    handoff::Passed { listener: about.listener.as_str(), backend: about.backend }
}

impl HandOff for ToKernel {
    fn reserve(
        &self,
        backend: BorrowedFd<'_>,
        client: BorrowedFd<'_>,
        of: &Passed,
    ) -> Result<Reserved, Kept> {
        self.0.prepare(client, backend, &about(of)).map_err(kept)?;
        // The port is the socket's as long as that lives, and the flow table's afterwards.
        Ok(Box::new(()))
    }

    fn try_hand_off(
        &self,
        client: BorrowedFd<'_>,
        backend: BorrowedFd<'_>,
        _reserved: &mut Option<Reserved>,
        of: &Passed,
        moment: Moment,
    ) -> Result<(), Kept> {
        let waits = match moment {
            Moment::Quiet => [0; 2],
            Moment::Bulk(waits) => waits,
        };
        self.0.hand_off([client, backend], waits, &about(of)).map_err(kept)
    }

    fn reserve_datagrams(&self, backend: BorrowedFd<'_>, of: &Passed) -> Result<(), Kept> {
        self.0.prepare_datagrams(backend, &about(of)).map_err(kept)
    }

    fn take_datagrams(&self, backend: BorrowedFd<'_>, of: &Passed) -> Result<(), Kept> {
        self.0.hand_off_datagrams(backend, (of.client, of.local), &about(of)).map_err(kept)
    }
}

/// Whoever takes connections over, once there is somebody: routes are made before a reload loads the kernel part.
#[derive(Debug, Default)]
pub(super) struct Late(OnceLock<Arc<dyn HandOff>>);

/// Nobody takes them yet.
const NOBODY: Kept = Kept { reason: handoff::Kept::NoKernel.label(), again: false };

impl Late {
    /// There is somebody.
    pub(super) fn come(&self, hand_off: Arc<dyn HandOff>) {
        // A kernel part comes once in a process, and whoever came first is that one.
        let _ = self.0.set(hand_off);
    }
}

impl HandOff for Late {
    fn reserve(
        &self,
        backend: BorrowedFd<'_>,
        client: BorrowedFd<'_>,
        about: &Passed,
    ) -> Result<Reserved, Kept> {
        self.0.get().ok_or(NOBODY)?.reserve(backend, client, about)
    }

    fn try_hand_off(
        &self,
        client: BorrowedFd<'_>,
        backend: BorrowedFd<'_>,
        reserved: &mut Option<Reserved>,
        about: &Passed,
        moment: Moment,
    ) -> Result<(), Kept> {
        self.0.get().ok_or(NOBODY)?.try_hand_off(client, backend, reserved, about, moment)
    }

    fn reserve_datagrams(&self, backend: BorrowedFd<'_>, about: &Passed) -> Result<(), Kept> {
        self.0.get().ok_or(NOBODY)?.reserve_datagrams(backend, about)
    }

    fn take_datagrams(&self, backend: BorrowedFd<'_>, about: &Passed) -> Result<(), Kept> {
        self.0.get().ok_or(NOBODY)?.take_datagrams(backend, about)
    }
}

/// What the kernel part does by itself, when no daemon runs: a "pool" is what a listener has.
pub fn status_without_daemon(pin_dir: &Path) -> Result<Status, MapError> {
    let Some(view) = View::open(pin_dir)? else { return Ok(Status::default()) };
    let mut status = view.status()?;
    let (listeners, pools) = std::mem::take(&mut status.listeners).into_iter().map(alone).unzip();
    Ok(Status { daemon: None, kernel: Some(kernel(status)), listeners, http: Vec::new(), pools })
}

fn alone(listener: ListenerStatus) -> (api::Listener, api::Pool) {
    let mut sum = api::Use::default();
    let mut backends = Vec::new();
    for backend in &listener.backends {
        let use_ = api::Use { flows: backend.flows, traffic: traffic(backend), rate: api::Rate::default() };
        sum += use_;
        backends.push(api::Backend {
            address: backend.address.to_string(),
            weight: backend.weight,
            state: match backend.state {
                BackendState::Ready => api::State::Ready,
                BackendState::Draining | BackendState::Leaving => api::State::Draining,
                BackendState::Down => api::State::Down,
            },
            drained_by: None,
            health: api::Health { word: "unknown".into(), ..api::Health::default() },
            use_,
            http: None,
        });
    }
    let pool = api::Pool { name: listener.name.clone(), check: None, backends };
    let listener = api::Listener {
        pool: listener.name.clone(),
        name: listener.name,
        protocol: listener.protocol.into(),
        forward: listener.forward.into(),
        bind: listener.addresses,
        use_: sum,
    };
    (listener, pool)
}

fn traffic(backend: &BackendStatus) -> api::Traffic {
    let t = &backend.traffic;
    api::Traffic {
        packets: t.packets,
        bytes: t.bytes,
        return_packets: t.return_packets,
        return_bytes: t.return_bytes,
        new_flows: t.new_flows,
    }
}

fn named(name: NameStatus) -> api::NamedHost {
    api::NamedHost {
        listener: name.listener.to_string(),
        host: name.host.map_or_else(|| "*".to_owned(), |host| host.to_string()),
        route: name.route.into(),
        action: match name.action {
            NameAction::Pass => "pass",
            NameAction::Drop => "drop",
            NameAction::Reset => "reset",
        }
        .into(),
        seen: name.seen,
        refused: name.refused,
        limited: name.limited,
    }
}

fn kernel(status: KernelStatus) -> api::Kernel {
    let interface = |interface: InterfaceStatus| api::Interface {
        name: interface.name,
        mode: interface.mode.map_or_else(|| "detached".to_owned(), |mode| mode.to_string()),
        note: interface.native_refused.map(|why| format!("its driver refused native XDP: {why}")),
    };
    let counter = |count: Count| api::Counter {
        name: count.name.into(),
        meaning: count.meaning.into(),
        count: count.count,
    };
    let table = |table: crate::l4::FlowTableStatus| api::FlowTable {
        family: table.family.into(),
        used: table.used,
        size: table.size,
    };
    let guard = |guard: GuardStatus| api::Guard {
        listener: guard.listener,
        on: guard.on,
        always: guard.always,
        syns: guard.syns,
    };
    api::Kernel {
        interfaces: status.interfaces.into_iter().map(interface).collect(),
        flow_tables: status.flow_tables.into_iter().map(table).collect(),
        guards: status.guards.into_iter().map(guard).collect(),
        drops: status.drops.into_iter().map(counter).collect(),
        notices: status.notices.into_iter().map(counter).collect(),
        handoffs: Vec::new(),
        names: Vec::new(),
    }
}

fn handoff(HandOffCount { word, meaning, count }: HandOffCount) -> api::Counter {
    api::Counter { name: word.into(), meaning: meaning.into(), count }
}

//! What the kernel part does, as its tables say: with the daemon, or from the pins alone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use proxy_common::backend::Backend;
use proxy_common::counters::Traffic;
use proxy_common::drop_reason::{DropReason, Notice};
use proxy_common::flow::FlowKind;
use proxy_common::listener::{Forward, Listener};
use serde::{Serialize, Serializer};

use super::attach::Mode;
use super::clock;
use super::collect::Seen;
use super::follow::mode_of;
use super::guard::{self, GuardStatus};
use super::kernel::Kernel;
use super::maps::{Action, MapError, PerCpu};
use super::object::PROGRAM_CLOCK;
use super::pins::Pins;
use super::reconcile::{self, BackendEntry, Present};
use super::sys;
use super::tables::Tables;
use crate::net::link;
use crate::net::netlink::Socket;

/// What the kernel part does.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct KernelStatus {
    /// Interfaces it is to be attached to.
    pub interfaces: Vec<InterfaceStatus>,
    /// Listeners, by name.
    pub listeners: Vec<ListenerStatus>,
    /// How full the flow tables are.
    pub flow_tables: Vec<FlowTableStatus>,
    /// Listeners that can be guarded from floods.
    pub guards: Vec<GuardStatus>,
    /// Packets that were dropped, and why: all reasons.
    pub drops: Vec<Count>,
    /// What was worth counting though the packet went on: all of it.
    pub notices: Vec<Count>,
}

/// An interface.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// Where the program runs; none: it is not attached, the interface is gone.
    pub mode: Option<Mode>,
    /// Why the driver does not run it, if it was asked to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_refused: Option<String>,
}

/// A listener.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// `nat`, `dsr`, or `handoff`: connections are relayed first.
    pub forward: &'static str,
    /// Where clients connect to.
    pub addresses: Vec<SocketAddr>,
    /// Its backends.
    pub backends: Vec<BackendStatus>,
}

/// A backend of one listener.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct BackendStatus {
    /// Where it is.
    pub address: SocketAddr,
    /// What becomes of new flows.
    pub state: BackendState,
    /// Its share of new flows, relative to the others'; none: it gets none now, or no daemon runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Established flows when they were last counted.
    pub flows: u64,
    /// What passed.
    #[serde(serialize_with = "traffic")]
    pub traffic: Traffic,
}

/// What becomes of new flows to a backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendState {
    /// It gets them.
    Ready,
    /// It gets none; old ones stay.
    Draining,
    /// It does not answer, or there is no way to it.
    Down,
    /// It is not in the configuration any more, and its flows are being forgotten.
    Leaving,
}

/// How full a flow table is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FlowTableStatus {
    /// `v4` or `v6`.
    pub family: &'static str,
    /// Entries in use when they were last counted.
    pub used: u64,
    /// Entries there are.
    pub size: u64,
}

/// A counter.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Count {
    /// Its label.
    pub name: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// How often.
    pub count: u64,
}

fn traffic<S: Serializer>(traffic: &Traffic, to: S) -> Result<S::Ok, S::Error> {
    use serde::ser::SerializeStruct;
    let mut fields = to.serialize_struct("Traffic", 5)?;
    fields.serialize_field("packets", &traffic.packets)?;
    fields.serialize_field("bytes", &traffic.bytes)?;
    fields.serialize_field("return_packets", &traffic.return_packets)?;
    fields.serialize_field("return_bytes", &traffic.return_bytes)?;
    fields.serialize_field("new_flows", &traffic.new_flows)?;
    fields.end()
}

impl Kernel {
    /// What it does.
    pub fn status(&self) -> Result<KernelStatus, MapError> {
        let state = self.lock();
        let interfaces = state.follower.wanted.0.iter().map(|name| {
            let attachment = state.attachments.get(name);
            InterfaceStatus {
                name: name.clone(),
                mode: attachment.map(|a| a.mode),
                native_refused: attachment.and_then(|a| a.native_refused.clone()),
            }
        });
        let none = Seen::default();
        let report = Report {
            tables: &self.tables,
            present: &state.present,
            seen: state.collector.last.as_ref().unwrap_or(&none),
            weights: &state.weights,
            now: self.clock.now().map_err(no_clock)?,
        };
        report.status(interfaces.collect())
    }
}

/// The kernel part's tables, opened by their pins: to look at when no daemon runs.
#[derive(Debug)]
pub struct View {
    pub(super) pins: Pins,
    pub(super) tables: Tables,
    pub(super) present: Present,
}

impl View {
    /// Opens what is pinned under `pin_dir`; none: nothing is.
    pub fn open(pin_dir: &std::path::Path) -> Result<Option<Self>, MapError> {
        let pins = Pins::under(pin_dir);
        if !pins.object(proxy_common::names::SETTINGS).exists() {
            return Ok(None);
        }
        let tables = Tables::open(|name| super::sys::open_pin(&pins.object(name)))?;
        let present = reconcile::recover(&tables)?;
        Ok(Some(Self { pins, tables, present }))
    }

    /// What it does. Counts the flows now, which takes a moment.
    pub fn status(&self) -> Result<KernelStatus, MapError> {
        let mut seen = Seen::default();
        let mut count = |family: usize, kind: u8, backend: u16| {
            seen.entries[family] += 1;
            if FlowKind::of(kind) != FlowKind::NatReturn {
                *seen.flows.entry(backend).or_default() += 1;
            }
        };
        let mut walk = self.tables.v4.flows.walk();
        while walk.step(&self.tables.v4.flows, |_, flow| count(0, flow.rewrite.kind, flow.rewrite.backend))? {
        }
        let mut walk = self.tables.v6.flows.walk();
        while walk.step(&self.tables.v6.flows, |_, flow| count(1, flow.rewrite.kind, flow.rewrite.backend))? {
        }
        let links = Socket::open().and_then(|mut socket| link::all(&mut socket)).unwrap_or_default();
        let interfaces = self.pins.linked_interfaces().into_iter().map(|name| {
            let link = links.iter().find(|link| link.name == name);
            InterfaceStatus { mode: link.and_then(mode_of), name, native_refused: None }
        });
        let clock = sys::open_pin(&self.pins.object(PROGRAM_CLOCK));
        let report = Report {
            tables: &self.tables,
            present: &self.present,
            seen: &seen,
            weights: &BTreeMap::new(),
            now: clock.and_then(|program| clock::ticks(&program)).map_err(no_clock)?,
        };
        report.status(interfaces.collect())
    }
}

struct Report<'a> {
    tables: &'a Tables,
    present: &'a Present,
    seen: &'a Seen,
    weights: &'a BTreeMap<u16, u32>,
    now: u32,
}

fn no_clock(cause: std::io::Error) -> MapError {
    MapError { map: PROGRAM_CLOCK, action: Action::Read, cause }
}

impl Report<'_> {
    fn status(&self, interfaces: Vec<InterfaceStatus>) -> Result<KernelStatus, MapError> {
        let sizes = [self.tables.v4.flows.capacity(), self.tables.v6.flows.capacity()];
        let table = |(family, index): (&'static str, usize)| FlowTableStatus {
            family,
            used: self.seen.entries[index],
            size: u64::from(sizes[index]),
        };
        Ok(KernelStatus {
            interfaces,
            listeners: self.listeners()?,
            flow_tables: [("v4", 0), ("v6", 1)].map(table).into(),
            guards: guard::status(self.tables, self.present, self.now)?,
            drops: DropReason::ALL
                .iter()
                .map(|r| count(&self.tables.drops, r.index(), r.label(), r.describe()))
                .collect::<Result<_, _>>()?,
            notices: Notice::ALL
                .iter()
                .map(|n| count(&self.tables.notices, n.index(), n.label(), n.describe()))
                .collect::<Result<_, _>>()?,
        })
    }

    fn listeners(&self) -> Result<Vec<ListenerStatus>, MapError> {
        let mut by_id: BTreeMap<u16, ListenerStatus> = BTreeMap::new();
        // A listener of sockets has backends here if its connections are handed over to them.
        let with: BTreeSet<u16> = self.present.backends.values().map(|entry| entry.listener).collect();
        let shown =
            |listener: &Listener| listener.forward != Forward::Local as u8 || with.contains(&listener.id);
        for ((address, protocol), listener) in self.present.listeners.iter().filter(|(_, l)| shown(l)) {
            let status = by_id.entry(listener.id).or_insert_with(|| ListenerStatus {
                name: self.present.names.get(&listener.id).cloned().unwrap_or_default(),
                protocol: if *protocol == 6 { "tcp" } else { "udp" },
                forward: match listener.forward {
                    0 => "nat",
                    1 => "dsr",
                    _ => "handoff",
                },
                addresses: Vec::new(),
                backends: Vec::new(),
            });
            status.addresses.push(*address);
        }
        for (id, entry) in &self.present.backends {
            if let Some(listener) = by_id.get_mut(&entry.listener) {
                listener.backends.push(self.backend(*id, entry)?);
            }
        }
        let mut all: Vec<_> = by_id.into_values().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    fn backend(&self, id: u16, entry: &BackendEntry) -> Result<BackendStatus, MapError> {
        let state = if entry.has(Backend::<()>::LEAVING) {
            BackendState::Leaving
        } else if entry.has(Backend::<()>::DOWN) {
            BackendState::Down
        } else if entry.has(Backend::<()>::DRAINING) {
            BackendState::Draining
        } else {
            BackendState::Ready
        };
        let mut sum = Traffic::default();
        for one in self.tables.traffic.get(u32::from(id))? {
            sum.packets += one.packets;
            sum.bytes += one.bytes;
            sum.return_packets += one.return_packets;
            sum.return_bytes += one.return_bytes;
            sum.new_flows += one.new_flows;
        }
        let flows = self.seen.flows.get(&id).copied().unwrap_or(0);
        Ok(BackendStatus {
            address: entry.address,
            state,
            weight: self.weights.get(&id).copied(),
            flows: u64::from(flows),
            traffic: sum,
        })
    }
}

fn count(
    counters: &PerCpu<u64>,
    index: u32,
    name: &'static str,
    meaning: &'static str,
) -> Result<Count, MapError> {
    Ok(Count { name, meaning: meaning.trim(), count: counters.get(index)?.iter().sum() })
}

//! What the tables hold, in memory: read once from the tables at start, kept by every step taken since.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use proxy_common::addr::{Ip4, Ip6};
use proxy_common::backend::Backend;
use proxy_common::guard::GuardRule;
use proxy_common::listener::{DestinationFilter, Listener};
use proxy_common::maglev::Ring;
use proxy_common::settings::Settings;

/// An address that a listener is bound to, and its protocol's number.
pub(crate) type Bind = (SocketAddr, u8);

/// Whether an address is IPv6, and an index: source addresses are numbered per family.
pub(crate) type SourceIndex = (bool, u16);

/// A backend's entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BackendEntry {
    pub(crate) address: SocketAddr,
    pub(crate) listener: u16,
    pub(crate) nat_source: u16,
    pub(crate) flags: u16,
}

impl BackendEntry {
    /// Whether a flag is set.
    pub(crate) const fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// As the IPv4 table holds it.
    pub(crate) fn v4(&self, address: Ip4) -> Backend<Ip4> {
        self.raw(address)
    }

    /// As the IPv6 table holds it.
    pub(crate) fn v6(&self, address: Ip6) -> Backend<Ip6> {
        self.raw(address)
    }

    fn raw<A>(&self, address: A) -> Backend<A> {
        let port = proxy_common::addr::Be16::new(self.address.port());
        Backend { address, port, listener: self.listener, nat_source: self.nat_source, flags: self.flags }
    }
}

/// A source address's entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SourceEntry {
    pub(crate) address: IpAddr,
    pub(crate) port_low: u16,
    pub(crate) port_count: u16,
}

/// A backend's share of a ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Share {
    pub(crate) id: u16,
    pub(crate) weight: u32,
    /// Its place in the ring follows from this alone: the same on every balancer.
    pub(crate) address: SocketAddr,
}

/// What is in a ring.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum RingContent {
    /// Filled from these shares.
    Shares(Vec<Share>),
    /// Found there by a daemon that does not know how it was made.
    Found(Box<FoundRing>),
}

/// A ring as it was found.
#[derive(Clone, Debug)]
pub(crate) struct FoundRing(pub(crate) Ring);

impl PartialEq for FoundRing {
    fn eq(&self, other: &Self) -> bool {
        self.0.slots == other.0.slots
    }
}

/// One change of one entry: what it shall be, or that it shall not be.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Step {
    Settings(Settings),
    Filter(Box<DestinationFilter>),
    Source(SourceIndex, Option<SourceEntry>),
    /// The entry before tells of which family it is when it goes.
    Backend {
        id: u16,
        before: Option<BackendEntry>,
        after: Option<BackendEntry>,
    },
    Name(u16, Option<String>),
    Guard(u16, Option<GuardRule>),
    Ring(u16, Option<RingContent>),
    Listener(Bind, Option<Listener>),
}

/// What the tables hold.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Present {
    pub(crate) settings: Settings,
    pub(crate) filter: Box<DestinationFilter>,
    pub(crate) sources: BTreeMap<SourceIndex, SourceEntry>,
    pub(crate) backends: BTreeMap<u16, BackendEntry>,
    pub(crate) names: BTreeMap<u16, String>,
    pub(crate) guards: BTreeMap<u16, GuardRule>,
    pub(crate) rings: BTreeMap<u16, RingContent>,
    pub(crate) listeners: BTreeMap<Bind, Listener>,
}

impl Default for Present {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            filter: Box::new(DestinationFilter::EMPTY),
            sources: BTreeMap::new(),
            backends: BTreeMap::new(),
            names: BTreeMap::new(),
            guards: BTreeMap::new(),
            rings: BTreeMap::new(),
            listeners: BTreeMap::new(),
        }
    }
}

impl Present {
    /// Plans of limits that backends and listeners refer to, by their numbers; 0 among them: none.
    pub(crate) fn plans(&self) -> BTreeSet<u8> {
        let of_backends = self.backends.values().map(|entry| (entry.flags >> 8) as u8);
        of_backends.chain(self.listeners.values().map(|entry| entry.plan)).collect()
    }

    /// The step that brings back what the entry of `step` is now.
    pub(crate) fn inverse(&self, step: &Step) -> Step {
        match step {
            Step::Settings(_) => Step::Settings(self.settings),
            Step::Filter(_) => Step::Filter(self.filter.clone()),
            Step::Source(index, _) => Step::Source(*index, self.sources.get(index).copied()),
            Step::Backend { id, before, after } => Step::Backend { id: *id, before: *after, after: *before },
            Step::Name(id, _) => Step::Name(*id, self.names.get(id).cloned()),
            Step::Guard(id, _) => Step::Guard(*id, self.guards.get(id).copied()),
            Step::Ring(id, _) => Step::Ring(*id, self.rings.get(id).cloned()),
            Step::Listener(bind, _) => Step::Listener(*bind, self.listeners.get(bind).copied()),
        }
    }

    /// Notes that a step was taken.
    pub(crate) fn note(&mut self, step: &Step) {
        fn put<K: Ord + Clone, V: Clone>(map: &mut BTreeMap<K, V>, key: &K, value: Option<&V>) {
            match value {
                Some(value) => drop(map.insert(key.clone(), value.clone())),
                None => drop(map.remove(key)),
            }
        }
        match step {
            Step::Settings(settings) => self.settings = *settings,
            Step::Filter(filter) => self.filter.clone_from(filter),
            Step::Source(index, source) => put(&mut self.sources, index, source.as_ref()),
            Step::Backend { id, after, .. } => put(&mut self.backends, id, after.as_ref()),
            Step::Name(id, name) => put(&mut self.names, id, name.as_ref()),
            Step::Guard(id, rule) => put(&mut self.guards, id, rule.as_ref()),
            Step::Ring(id, ring) => put(&mut self.rings, id, ring.as_ref()),
            Step::Listener(bind, listener) => put(&mut self.listeners, bind, listener.as_ref()),
        }
    }
}

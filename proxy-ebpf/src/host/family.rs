//! The tables of one address family, on plain memory.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

use proxy_common::{
    addr::{Address, Be16, Ip4, Ip6},
    backend::{Backend, NatSource},
    cell::Cell64,
    flow::{Flow, FlowKey, FragmentKey, SharedFlow},
    hop::SharedHop,
    listener::{DestinationFilter, Forward, Listener, ListenerKey, Ours, filter_bit},
};

use super::given::{NAT_PORTS, Service, Sizes};
use crate::world::Insert;

/// Entries that one packet may enter beyond what it removes.
const SLACK: usize = 8;

#[derive(Debug)]
pub(super) struct FamilyTables<A: Address, S> {
    capacity: usize,
    /// Where each flow lies in `memory`. An entry's memory is given again between packets only: a flow that was looked
    /// up stays valid, as the kernel's does.
    pub(super) flows: RefCell<HashMap<FlowKey<A>, usize>>,
    pub(super) memory: Vec<OnceCell<SharedFlow<A>>>,
    free: RefCell<Vec<usize>>,
    removed: RefCell<Vec<usize>>,
    pub(super) young: Vec<S>,
    pub(super) young_return: Vec<Cell64>,
    pub(super) fragments: RefCell<HashMap<FragmentKey<A>, FlowKey<A>>>,
    pub(super) listeners: HashMap<ListenerKey<A>, Listener>,
    pub(super) backends: HashMap<u16, Backend<A>>,
    pub(super) sources: Vec<NatSource<A>>,
}

impl<A: Address + Hash, S> FamilyTables<A, S> {
    pub(super) fn new(sizes: Sizes, slot: impl Fn() -> S) -> Self {
        let places = sizes.flows + SLACK;
        Self {
            capacity: sizes.flows,
            flows: RefCell::default(),
            memory: (0..places).map(|_| OnceCell::new()).collect(),
            free: RefCell::new((0..places).rev().collect()),
            removed: RefCell::default(),
            young: (0..sizes.young).map(|_| slot()).collect(),
            young_return: (0..sizes.young).map(|_| Cell64::new(0)).collect(),
            fragments: RefCell::default(),
            listeners: HashMap::new(),
            backends: HashMap::new(),
            sources: Vec::new(),
        }
    }

    pub(super) fn insert(&self, key: &FlowKey<A>, flow: &Flow<A>) -> Insert {
        let mut flows = self.flows.borrow_mut();
        if flows.contains_key(key) {
            return Insert::Exists;
        }
        if flows.len() >= self.capacity {
            return Insert::Full;
        }
        let Some(place) = self.free.borrow_mut().pop() else { return Insert::Full };
        self.memory[place].get_or_init(|| SharedFlow {
            rewrite: flow.rewrite,
            born: flow.born,
            activity: Cell64::new(flow.activity),
            hop: SharedHop::default(),
        });
        flows.insert(*key, place);
        Insert::Done
    }

    pub(super) fn remove(&self, key: &FlowKey<A>) {
        let place = self.flows.borrow_mut().remove(key);
        self.removed.borrow_mut().extend(place);
    }

    /// Gives the memory of removed flows again: no packet is on its way.
    pub(super) fn reclaim(&mut self) {
        for place in self.removed.get_mut().drain(..) {
            self.memory[place].take();
            self.free.get_mut().push(place);
        }
    }

    /// Adds a listener whose packets are the host's.
    pub(super) fn listen_locally(&mut self, id: u16, bind: A, port: u16, filter: &mut DestinationFilter) {
        let port = Be16::new(port);
        let key = ListenerKey { address: bind, port, protocol: crate::parsed::TCP, pad: 0 };
        self.listeners.insert(key, Listener { id, forward: Forward::Local as u8, ..Listener::default() });
        for kind in [Ours::Listener, Ours::Local] {
            filter.set(filter_bit(kind, bind, port, crate::parsed::TCP));
        }
        filter.set(filter_bit(Ours::Host, bind, Be16::default(), 0));
    }

    /// Has a listener's clients limited by a plan.
    pub(super) fn plan(&mut self, listener: u16, plan: u8) {
        let bits = u16::from(plan) << Backend::<()>::PLAN;
        for backend in self.backends.values_mut().filter(|backend| backend.listener == listener) {
            backend.flags = backend.flags & 0xff | bits;
        }
        self.listeners.values_mut().filter(|own| own.id == listener).for_each(|own| own.plan = plan);
    }

    /// Adds a listener and its backends, numbered from `first` on.
    pub(super) fn listen(
        &mut self,
        id: u16,
        service: &Service,
        at: &Addresses<A>,
        first: u16,
        filter: &mut DestinationFilter,
    ) {
        let port = Be16::new(service.bind.port());
        let key = ListenerKey { address: at.bind, port, protocol: service.protocol, pad: 0 };
        let forward = if at.source.is_some() { Forward::Nat } else { Forward::Dsr };
        self.listeners.insert(key, Listener { id, forward: forward as u8, ..Listener::default() });
        filter.set(filter_bit(Ours::Listener, at.bind, port, service.protocol));
        filter.set(filter_bit(Ours::Address, at.bind, Be16::default(), 0));
        let nat_source = self.sources.len() as u16;
        if let Some(address) = at.source {
            let port_count = NAT_PORTS.end - NAT_PORTS.start;
            self.sources.push(NatSource { address, port_low: NAT_PORTS.start, port_count });
            filter.set(filter_bit(Ours::NatSource, address, Be16::default(), 0));
            filter.set(filter_bit(Ours::Address, address, Be16::default(), 0));
        }
        for (number, (address, to)) in at.backends.iter().zip(&service.backends).enumerate() {
            let backend = Backend {
                address: *address,
                port: Be16::new(to.port()),
                listener: id,
                nat_source,
                flags: Backend::<A>::IN_USE,
            };
            self.backends.insert(first + number as u16, backend);
        }
    }
}

/// A service's addresses in the words of one family.
pub(super) struct Addresses<A> {
    bind: A,
    source: Option<A>,
    backends: Vec<A>,
}

impl<A> Addresses<A> {
    /// `None`: the service is of the other family.
    pub(super) fn of(service: &Service, convert: fn(IpAddr) -> Option<A>) -> Option<Self> {
        let bind = convert(service.bind.ip())?;
        let backends = service.backends.iter().map(|backend| convert(backend.ip())).collect::<Option<_>>()?;
        Some(Self { bind, source: service.nat_source.and_then(convert), backends })
    }
}

/// An address of IPv4.
pub(super) fn v4(address: IpAddr) -> Option<Ip4> {
    if let IpAddr::V4(v4) = address { Some(v4.into()) } else { None }
}

/// An address of IPv6.
pub(super) fn v6(address: IpAddr) -> Option<Ip6> {
    if let IpAddr::V6(v6) = address { Some(v6.into()) } else { None }
}

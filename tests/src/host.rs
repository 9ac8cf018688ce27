//! The pipeline of the kernel programs on plain memory: the same stages, the tables in place of maps. For the tables
//! of situations and for fuzzing, where no kernel is needed.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};

use proxy_common::addr::{Address, Be16, Ip4, Ip6};
use proxy_common::backend::{Backend, NatSource};
use proxy_common::cell::Cell64;
use proxy_common::counters::Traffic;
use proxy_common::drop_reason::Notice;
use proxy_common::flow::{Flow, FlowKey, FragmentKey, SharedFlow, YoungSlot};
use proxy_common::hop::{HopView, SharedHop};
use proxy_common::listener::{DestinationFilter, Forward, Listener, ListenerKey, Ours, filter_bit};
use proxy_common::maglev::{NO_BACKEND, RING_SLOTS};
use proxy_common::settings::Settings;
use proxy_ebpf::ingress::ingress;
use proxy_ebpf::verdict::Verdict;
use proxy_ebpf::work::{Exit, Work};
use proxy_ebpf::world::{Insert, Packet, Route, RouteQuery, Tables, World};

/// A listener of the host build: its address, its backends, where connections to them leave from (`nat`).
#[derive(Clone, Debug)]
pub struct Service {
    /// `IPPROTO_TCP` or `IPPROTO_UDP`
    pub protocol: u8,
    /// Where it listens.
    pub bind: SocketAddr,
    /// Its backends.
    pub backends: Vec<SocketAddr>,
    /// `None`: `dsr`.
    pub nat_source: Option<IpAddr>,
}

/// A way to a destination.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// The interface.
    pub ifindex: u32,
    /// The neighbour's MAC.
    pub to_mac: [u8; 6],
    /// The interface's MAC.
    pub from_mac: [u8; 6],
    /// The longest IP packet.
    pub mtu: u16,
}

/// Ports that connections to backends leave from.
pub const NAT_PORTS: std::ops::Range<u16> = 1024..32_768;
/// Flows that the host build holds before its table is full.
const FLOWS: usize = 1024;
/// Slots for young flows; a power of two.
const YOUNG: usize = 4096;

/// The pipeline's world on plain memory.
#[derive(Debug)]
pub struct Host {
    frame: Vec<u8>,
    ingress: u32,
    settings: Settings,
    filter: Box<DestinationFilter>,
    /// Backends of each listener; a ring's slots are theirs by turns.
    rings: Vec<Vec<u16>>,
    hops: Vec<SharedHop>,
    ways: HashMap<IpAddr, Way>,
    v4: FamilyTables<Ip4, 4>,
    v6: FamilyTables<Ip6, 7>,
    traffic: RefCell<HashMap<u16, Traffic>>,
    notices: RefCell<HashMap<&'static str, u64>>,
    /// The clock, in jiffies.
    pub now: u32,
}

#[derive(Debug)]
struct FamilyTables<A: Address, const WORDS: usize> {
    /// Where each flow lies in `memory`. An entry's memory is not given again: a flow that was looked up stays valid.
    flows: RefCell<HashMap<FlowKey<A>, usize>>,
    memory: Vec<OnceCell<SharedFlow<A>>>,
    used: Cell<usize>,
    young: Vec<YoungSlot<WORDS, Cell64>>,
    young_return: Vec<Cell64>,
    fragments: RefCell<HashMap<FragmentKey<A>, FlowKey<A>>>,
    listeners: HashMap<ListenerKey<A>, Listener>,
    backends: HashMap<u16, Backend<A>>,
    sources: Vec<NatSource<A>>,
}

impl<A: Address + Hash, const WORDS: usize> FamilyTables<A, WORDS> {
    fn new() -> Self {
        let slot = || YoungSlot { guard: Cell64::new(0), words: std::array::from_fn(|_| Cell64::new(0)) };
        Self {
            flows: RefCell::default(),
            memory: (0..FLOWS).map(|_| OnceCell::new()).collect(),
            used: Cell::new(0),
            young: (0..YOUNG).map(|_| slot()).collect(),
            young_return: (0..YOUNG).map(|_| Cell64::new(0)).collect(),
            fragments: RefCell::default(),
            listeners: HashMap::new(),
            backends: HashMap::new(),
            sources: Vec::new(),
        }
    }

    fn insert(&self, key: &FlowKey<A>, flow: &Flow<A>) -> Insert {
        if self.flows.borrow().contains_key(key) {
            return Insert::Exists;
        }
        let Some(place) = self.memory.get(self.used.get()) else { return Insert::Full };
        place.get_or_init(|| SharedFlow {
            rewrite: flow.rewrite,
            born: flow.born,
            activity: Cell64::new(flow.activity),
            hop: SharedHop::default(),
        });
        self.flows.borrow_mut().insert(*key, self.used.replace(self.used.get() + 1));
        Insert::Done
    }

    fn listen(
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
struct Addresses<A> {
    bind: A,
    source: Option<A>,
    backends: Vec<A>,
}

fn v4(address: IpAddr) -> Option<Ip4> {
    if let IpAddr::V4(v4) = address { Some(v4.into()) } else { None }
}

fn v6(address: IpAddr) -> Option<Ip6> {
    if let IpAddr::V6(v6) = address { Some(v6.into()) } else { None }
}

fn addresses<A>(service: &Service, convert: fn(IpAddr) -> Option<A>) -> Option<Addresses<A>> {
    let bind = convert(service.bind.ip())?;
    let backends = service.backends.iter().map(|backend| convert(backend.ip())).collect::<Option<_>>()?;
    Some(Addresses { bind, source: service.nat_source.and_then(convert), backends })
}

impl Host {
    /// A world with these services and these ways. A ring gives its slots to the backends by turns.
    #[must_use]
    pub fn new(services: &[Service], ways: HashMap<IpAddr, Way>) -> Self {
        let mut host = Self {
            frame: Vec::new(),
            ingress: 0,
            settings: Settings {
                abi_version: proxy_common::ABI_VERSION,
                hop_epoch: 1,
                hash_seed: 42,
                hop_lifetime: 1000,
                young_lifetime: 30_000,
                nat_port_low: NAT_PORTS.start,
                nat_port_count: NAT_PORTS.end - NAT_PORTS.start,
                ..Settings::default()
            },
            filter: Box::new(DestinationFilter::EMPTY),
            rings: Vec::new(),
            hops: Vec::new(),
            ways,
            v4: FamilyTables::new(),
            v6: FamilyTables::new(),
            traffic: RefCell::default(),
            notices: RefCell::default(),
            now: 100_000,
        };
        services.iter().for_each(|service| host.listen(service));
        host
    }

    fn listen(&mut self, service: &Service) {
        let (id, first) = (self.rings.len() as u16, self.hops.len() as u16);
        let ids: Vec<u16> = (first..).take(service.backends.len()).collect();
        self.hops.extend(ids.iter().map(|_| SharedHop::default()));
        self.rings.push(ids);
        if let Some(at) = addresses(service, v4) {
            self.v4.listen(id, service, &at, first, &mut self.filter);
        }
        if let Some(at) = addresses(service, v6) {
            self.v6.listen(id, service, &at, first, &mut self.filter);
        }
    }

    /// A frame's way: the verdict, and the frame as it is then.
    pub fn run(&mut self, ingress_ifindex: u32, frame: &[u8]) -> (Verdict, &[u8]) {
        self.frame.clear();
        self.frame.extend_from_slice(frame);
        self.ingress = ingress_ifindex;
        let verdict = ingress(self, &mut Work::default(), &mut Work::default());
        (verdict, &self.frame)
    }

    /// How often this was noticed.
    #[must_use]
    pub fn noticed(&self, label: &str) -> u64 {
        self.notices.borrow().get(label).copied().unwrap_or(0)
    }

    /// What a backend had to do, by its number.
    #[must_use]
    pub fn traffic(&self, id: u16) -> Traffic {
        self.traffic.borrow().get(&id).copied().unwrap_or_default()
    }
}

impl Packet for Host {
    fn holds(&self, bytes: u32) -> bool {
        self.frame.len() >= bytes as usize
    }

    fn half(&self, at: u32) -> Option<u16> {
        let bytes = self.frame.get(at as usize..)?.first_chunk()?;
        Some(u16::from_ne_bytes(*bytes))
    }

    fn words<const N: usize>(&self, at: u32) -> Option<[u32; N]> {
        let bytes = self.frame.get(at as usize..at as usize + N * 4)?;
        let word = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Some(std::array::from_fn(|number| word(number * 4)))
    }

    fn set_half(&mut self, at: u32, value: u16) -> Option<()> {
        *self.frame.get_mut(at as usize..)?.first_chunk_mut()? = value.to_ne_bytes();
        Some(())
    }

    fn set_words<const N: usize>(&mut self, at: u32, value: [u32; N]) -> Option<()> {
        let bytes = self.frame.get_mut(at as usize..at as usize + N * 4)?;
        for (place, word) in bytes.chunks_exact_mut(4).zip(value) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        Some(())
    }

    fn move_start(&mut self, by: i32) -> Option<()> {
        if by >= 0 {
            (by as usize + 14 <= self.frame.len()).then(|| drop(self.frame.drain(..by as usize)))
        } else {
            self.frame.splice(0..0, vec![0; by.unsigned_abs() as usize]);
            Some(())
        }
    }

    fn ingress(&self) -> u32 {
        self.ingress
    }
}

macro_rules! tables {
    ($family:ty, $tables:ident) => {
        impl Tables<$family> for Host {
            fn flow(&self, key: &FlowKey<$family>) -> Option<&SharedFlow<$family>> {
                let place = *self.$tables.flows.borrow().get(key)?;
                self.$tables.memory[place].get()
            }
            fn insert_flow(&self, key: &FlowKey<$family>, flow: &Flow<$family>) -> Insert {
                self.$tables.insert(key, flow)
            }
            fn remove_flow(&self, key: &FlowKey<$family>) {
                self.$tables.flows.borrow_mut().remove(key);
            }
            fn young(&self, index: u32) -> Option<&<$family as Address>::Slot> {
                self.$tables.young.get(index as usize % YOUNG)
            }
            fn young_return(&self, index: u32) -> Option<&Cell64> {
                self.$tables.young_return.get(index as usize % YOUNG)
            }
            fn fragment(&self, key: &FragmentKey<$family>) -> Option<FlowKey<$family>> {
                self.$tables.fragments.borrow().get(key).copied()
            }
            fn remember_fragment(&self, key: &FragmentKey<$family>, flow: &FlowKey<$family>) {
                self.$tables.fragments.borrow_mut().insert(*key, *flow);
            }
            fn listener(&self, key: &ListenerKey<$family>) -> Option<Listener> {
                self.$tables.listeners.get(key).copied()
            }
            fn backend(&self, id: u16) -> Option<&Backend<$family>> {
                self.$tables.backends.get(&id)
            }
            fn nat_source(&self, index: u16) -> Option<&NatSource<$family>> {
                self.$tables.sources.get(usize::from(index))
            }
            fn route(&self, query: &RouteQuery<$family>, exit: &mut Exit<$family>) -> Route {
                let Some(way) = self.ways.get(&query.destination.into()) else { return Route::None };
                let mac = |m: [u8; 6]| u64::from_be_bytes([0, 0, m[0], m[1], m[2], m[3], m[4], m[5]]);
                let (destination, source) = (mac(way.to_mac), mac(way.from_mac));
                exit.hop = HopView { destination, source, ifindex: way.ifindex, mtu: way.mtu, vlan: 0 };
                exit.neighbour = query.destination;
                Route::Way
            }
            fn defer(&mut self, _ifindex: u32, _neighbour: $family) -> Option<()> {
                Some(())
            }
        }
    };
}

tables!(Ip4, v4);
tables!(Ip6, v6);

impl World for Host {
    fn now(&self) -> u32 {
        self.now
    }
    fn settings(&self) -> Option<&Settings> {
        Some(&self.settings)
    }
    fn filter(&self) -> Option<&DestinationFilter> {
        Some(&self.filter)
    }
    fn ring_slot(&self, listener: u16, slot: u32) -> Option<u16> {
        let ids = self.rings.get(usize::from(listener))?;
        (slot < RING_SLOTS).then(|| ids.get(slot as usize % ids.len().max(1)).copied().unwrap_or(NO_BACKEND))
    }
    fn backend_hop(&self, id: u16) -> Option<&SharedHop> {
        self.hops.get(usize::from(id))
    }
    fn count_traffic(&self, id: u16, bytes: u32, returning: bool, fresh: bool) {
        let mut all = self.traffic.borrow_mut();
        let traffic = all.entry(id).or_default();
        if returning {
            traffic.return_packets += 1;
            traffic.return_bytes += u64::from(bytes);
        } else {
            traffic.packets += 1;
            traffic.bytes += u64::from(bytes);
        }
        traffic.new_flows += u64::from(fresh);
    }
    fn notice(&self, notice: Notice) {
        *self.notices.borrow_mut().entry(notice.label()).or_default() += 1;
    }
}

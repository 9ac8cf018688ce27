//! The pipeline's world on plain memory: the same stages, tables in place of maps, a clock that is set by hand. For
//! tests, for fuzzing, and for whoever wants to know what becomes of a frame without a kernel.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;

use proxy_common::{
    addr::{Address, Ip4, Ip6},
    backend::{Backend, NatSource},
    ban,
    bucket::{self, Place, Right, SharedBucketSet},
    cell::Cell64,
    counters::Traffic,
    drop_reason::{DropReason, Notice},
    flow::{Flow, FlowKey, FragmentKey, SharedFlow, SharedYoungSlot, Slot, YoungSlot},
    guard::{GuardRule, GuardSettings, SharedGuard},
    hop::SharedHop,
    limit_event::Event,
    listener::{DestinationFilter, Listener, ListenerKey},
    maglev::{NO_BACKEND, RING_SLOTS},
    plan::{CountedSet, SharedPlan},
    program::Program,
    room,
    settings::Settings,
    sni::{Counted, NameEntry, NameKey, Note, NoteKey, PeekRule, Told, Trace},
    splice::SharedSplice,
};

use crate::{
    hello::{Names, Peek, Reads, Walks},
    ingress::{ingress, resume},
    keys::{self, Ask, Buckets, Keys},
    parsed::Internet,
    stage::{self, limit},
    verdict::Verdict,
    work::{Exit, Offer, Options, Step, Work},
    world::{Bans, Insert, LimitOutcome, Packet, Route, RouteQuery, Socket, Tables, World},
};
use family::{Addresses, FamilyTables, v4, v6};
use known::Known;

/// The tables of one address family.
mod family;
/// What a world is made from.
mod given;
/// What guards see, on plain memory.
mod guarded;
/// Names.
mod hellos;
/// Flows that are known.
mod known;
/// Limits.
mod limits;
/// Spliced connections.
mod spliced;

pub use given::{Answer, NAT_PORTS, Service, Sizes, Way};
pub use guarded::Guarded;
pub use hellos::Hellos;
pub use limits::{Limits, MORE_HZ, masks};
pub use spliced::Spliced;

/// Programs that a packet's way has, one after the other.
const PROGRAMS: usize = 4;

/// The kernel's reader shows the verifier eleven bits of an offset, and takes no more.
const OFFSETS: u32 = 2048;

/// The pipeline's world on plain memory.
#[derive(Debug)]
pub struct Host {
    frame: Vec<u8>,
    ingress: u32,
    filter: Box<DestinationFilter>,
    known: Known,
    hops: Vec<SharedHop>,
    v4: FamilyTables<Ip4, SharedYoungSlot<3>>,
    v6: FamilyTables<Ip6, SharedYoungSlot<6>>,
    traffic: RefCell<HashMap<u16, Traffic>>,
    notices: RefCell<HashMap<&'static str, u64>>,
    drops: RefCell<HashMap<&'static str, u64>>,
    deferred: Vec<(u32, IpAddr)>,
    bans: [Vec<ban::Line>; ban::TABLES as usize],
    pub(crate) guarded: Guarded,
    /// Spliced connections.
    pub spliced: Spliced,
    /// Limits, and what has become of them.
    pub limits: Limits,
    /// Names, and what has become of those who named them.
    pub hellos: Hellos,
    /// What the daemon set.
    pub settings: Settings,
    /// The routing table.
    pub routes: HashMap<IpAddr, Answer>,
    /// Backends of each listener by their numbers; a ring's slots are theirs by turns.
    pub rings: Vec<Vec<u16>>,
    /// The clock, in jiffies.
    pub now: u32,
    /// Bytes of a frame's first buffer: what lies beyond counts to its length, and cannot be read.
    pub first_buffer: usize,
    /// Bytes in front of a frame: how far it may grow.
    pub headroom: usize,
    /// Whether the driver has room for a note to the TC program.
    pub room_for_notes: bool,
    /// Whether there are programs behind the first one.
    pub programs: bool,
    /// What is left for flows that nobody has proved, of both tables together.
    pub room: Cell64,
}

impl Host {
    /// A world with these services and these ways. A ring gives its slots to the backends by turns.
    #[must_use]
    pub fn new(services: &[Service], ways: HashMap<IpAddr, Way>) -> Self {
        Self::sized(services, ways, Sizes::default())
    }

    /// As [`Host::new`], with tables of other sizes.
    #[must_use]
    pub fn sized(services: &[Service], ways: HashMap<IpAddr, Way>, sizes: Sizes) -> Self {
        let mut host = Self {
            frame: Vec::new(),
            ingress: 0,
            filter: Box::new(DestinationFilter::EMPTY),
            known: Known::new(sizes.young),
            hops: Vec::new(),
            v4: FamilyTables::new(sizes, YoungSlot::default),
            v6: FamilyTables::new(sizes, YoungSlot::default),
            traffic: RefCell::default(),
            notices: RefCell::default(),
            drops: RefCell::default(),
            deferred: Vec::new(),
            bans: Default::default(),
            guarded: Guarded::default(),
            limits: Limits::default(),
            hellos: Hellos::default(),
            spliced: Spliced::default(),
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
            routes: ways.into_iter().map(|(to, way)| (to, way.to(to))).collect(),
            rings: Vec::new(),
            now: 100_000,
            first_buffer: usize::MAX,
            headroom: 256,
            room_for_notes: true,
            programs: true,
            room: Cell64::new(i64::MAX as u64),
        };
        services.iter().for_each(|service| host.listen(service));
        host
    }

    fn listen(&mut self, service: &Service) {
        let (id, first) = (self.rings.len() as u16, self.hops.len() as u16);
        let ids: Vec<u16> = (first..).take(service.backends.len()).collect();
        self.hops.extend(ids.iter().map(|_| SharedHop::default()));
        self.rings.push(ids);
        if let Some(at) = Addresses::of(service, v4) {
            self.v4.listen(id, service, &at, first, &mut self.filter);
        }
        if let Some(at) = Addresses::of(service, v6) {
            self.v6.listen(id, service, &at, first, &mut self.filter);
        }
    }

    /// A frame's way: the verdict, and the frame as it is then.
    pub fn run(&mut self, ingress_ifindex: u32, frame: &[u8]) -> (Verdict, &[u8]) {
        self.run_by(ingress_ifindex, frame, |host| {
            let (mut v4, mut v6) = (Work::default(), Work::default());
            let mut verdict = ingress(host, &mut v4, &mut v6);
            for _ in 0..PROGRAMS {
                let Verdict::GoOn(slot) = verdict else { return verdict };
                verdict = match Program::at(slot) {
                    Some((program, Ip4::FAMILY)) if host.programs => resume(host, &mut v4, program),
                    Some((program, _)) if host.programs => resume(host, &mut v6, program),
                    _ => Verdict::Drop(DropReason::ProgramMissing),
                };
            }
            unreachable!("{verdict:?} after {PROGRAMS} programs")
        })
    }

    /// A frame's way through some stages alone.
    pub fn run_by(
        &mut self,
        ingress_ifindex: u32,
        frame: &[u8],
        stages: impl FnOnce(&mut Self) -> Verdict,
    ) -> (Verdict, &[u8]) {
        self.v4.reclaim();
        self.v6.reclaim();
        self.frame.clear();
        self.frame.extend_from_slice(frame);
        self.ingress = ingress_ifindex;
        let verdict = stages(self);
        if let Verdict::Drop(reason) = verdict {
            self.count_drop(reason);
        }
        (verdict, &self.frame)
    }

    /// How often this was noticed.
    #[must_use]
    pub fn noticed(&self, label: &str) -> u64 {
        self.notices.borrow().get(label).copied().unwrap_or(0)
    }

    /// How many packets were dropped for this reason.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops.borrow().get(reason.label()).copied().unwrap_or(0)
    }

    /// What a backend had to do, by its number.
    #[must_use]
    pub fn traffic(&self, id: u16) -> Traffic {
        self.traffic.borrow().get(&id).copied().unwrap_or_default()
    }

    /// Notes to the TC program: out of which interface, to which neighbour.
    #[must_use]
    pub fn deferred(&self) -> &[(u32, IpAddr)] {
        &self.deferred
    }

    /// Entries of both flow tables.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.v4.flows.borrow().len() + self.v6.flows.borrow().len()
    }

    /// Has a listener's clients limited by a plan.
    pub fn plan(&mut self, listener: u16, plan: u8) {
        self.v4.plan(listener, plan);
        self.v6.plan(listener, plan);
        self.settings.hop_epoch += 1;
    }

    /// Sets a backend's flags beside `IN_USE`.
    pub fn flag(&mut self, id: u16, flags: u16) {
        if let Some(backend) = self.v4.backends.get_mut(&id) {
            backend.flags = Backend::<Ip4>::IN_USE | flags;
        }
        if let Some(backend) = self.v6.backends.get_mut(&id) {
            backend.flags = Backend::<Ip6>::IN_USE | flags;
        }
    }

    /// Leaves this many ports to every source address, from the first on.
    pub fn limit_ports(&mut self, count: u16) {
        self.v4.sources.iter_mut().for_each(|source| source.port_count = count);
        self.v6.sources.iter_mut().for_each(|source| source.port_count = count);
    }

    /// Bans a prefix, or (`allow`) says that it never is, until a moment.
    pub fn ban(&mut self, address: IpAddr, length: u8, until: u32, allow: bool) {
        match address {
            IpAddr::V4(v4) => self.enter(Ip4::from(v4), length, until, allow),
            IpAddr::V6(v6) => self.enter(Ip6::from(v6), length, until, allow),
        }
    }

    fn enter<A: ban::Family>(&mut self, address: A, length: u8, until: u32, allow: bool) {
        let lines = &mut self.bans[ban::table(A::FAMILY, allow) as usize];
        let small = || ban::Shape::of(64, A::SPREAD, 42);
        if lines.is_empty()
            && let Some(shape) = small()
        {
            let line = || [(); ban::LINE_WORDS].map(|()| Cell64::default());
            lines.extend((0..ban::length_of::<A>(shape)).map(|_| line()));
            ban::prepare::<A, _>(lines.as_slice(), shape);
        }
        let entry = ban::Entry { address, length, until, hits: 0, source: 0 };
        assert!(ban::insert(lines.as_slice(), &entry).is_ok(), "the table is full");
    }

    /// A socket of this host waits for connections there.
    pub fn listen_locally(&mut self, bind: std::net::SocketAddr) -> u16 {
        let id = self.rings.len() as u16;
        self.rings.push(Vec::new());
        self.settings.flags |= Settings::LOCAL;
        match bind.ip() {
            IpAddr::V4(ip) => self.v4.listen_locally(id, ip.into(), bind.port(), &mut self.filter),
            IpAddr::V6(ip) => self.v6.listen_locally(id, ip.into(), bind.port(), &mut self.filter),
        }
        id
    }

    fn listeners(&mut self, id: u16) -> impl Iterator<Item = &mut Listener> {
        let (v4, v6) = (self.v4.listeners.values_mut(), self.v6.listeners.values_mut());
        v4.chain(v6).filter(move |own| own.id == id)
    }

    /// Connections of a listener of sockets may be handed over.
    pub fn hands_off(&mut self, listener: u16) {
        self.listeners(listener).for_each(|own| own.flags |= Listener::HANDOFF);
    }

    /// The clients of a listener of sockets begin with a ClientHello.
    pub fn speaks_tls(&mut self, listener: u16) {
        self.listeners(listener).for_each(|own| own.flags |= Listener::TLS);
    }

    /// What guards see.
    pub fn guards(&mut self) -> &mut Guarded {
        &mut self.guarded
    }

    /// The frame's bytes that can be read.
    fn linear(&self) -> &[u8] {
        &self.frame[..self.frame.len().min(self.first_buffer)]
    }

    fn linear_mut(&mut self) -> &mut [u8] {
        let end = self.frame.len().min(self.first_buffer);
        &mut self.frame[..end]
    }

    /// An offset, as the kernel's reader takes it.
    fn place(at: u32) -> usize {
        assert!(at < OFFSETS, "{at}: the kernel's reader would read elsewhere");
        at as usize
    }
}

impl Packet for Host {
    fn holds(&self, bytes: u32) -> bool {
        self.frame.len() >= bytes as usize
    }

    fn half(&self, at: u32) -> Option<u16> {
        let bytes = self.linear().get(Self::place(at)..)?.first_chunk()?;
        Some(u16::from_ne_bytes(*bytes))
    }

    fn words<const N: usize>(&self, at: u32) -> Option<[u32; N]> {
        let bytes = self.linear().get(Self::place(at)..at as usize + N * 4)?;
        let word = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Some(std::array::from_fn(|number| word(number * 4)))
    }

    fn set_half(&mut self, at: u32, value: u16) -> Option<()> {
        *self.linear_mut().get_mut(Self::place(at)..)?.first_chunk_mut()? = value.to_ne_bytes();
        Some(())
    }

    fn set_words<const N: usize>(&mut self, at: u32, value: [u32; N]) -> Option<()> {
        let bytes = self.linear_mut().get_mut(Self::place(at)..at as usize + N * 4)?;
        for (place, word) in bytes.chunks_exact_mut(4).zip(value) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        Some(())
    }

    fn move_start(&mut self, by: i32) -> Option<()> {
        let count = by.unsigned_abs() as usize;
        if by >= 0 {
            return (count + 14 <= self.frame.len()).then(|| drop(self.frame.drain(..count)));
        }
        // What is in front is rubbish, as in a driver's buffer.
        (count <= self.headroom).then(|| drop(self.frame.splice(0..0, vec![0xa5; count])))
    }

    fn truncate(&mut self, length: u32) -> Option<()> {
        (length as usize <= self.frame.len()).then(|| self.frame.truncate(length as usize))
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
            fn take_room(&self, entries: u64) -> bool {
                room::take(&self.room, entries)
            }
            fn remove_flow(&self, key: &FlowKey<$family>) {
                self.$tables.remove(key);
            }
            fn young(&self, index: u32) -> Option<&impl Slot<$family>> {
                self.$tables.young.get(index as usize & (self.$tables.young.len() - 1))
            }
            fn young_return(&self, index: u32) -> Option<&Cell64> {
                self.$tables.young_return.get(index as usize & (self.$tables.young_return.len() - 1))
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
            fn limit(&self, work: &mut Work<$family>, step: Step, number: u8) -> bool {
                limit::run(self, work, step, number)
            }
            fn is_exempt(&self, limit: u16, client: &$family) -> bool {
                self.limits.is_exempt(limit, (*client).into())
            }
            fn route(&self, query: &RouteQuery<$family>, exit: &mut Exit<$family>) -> Route {
                let Some(answer) = self.routes.get(&query.destination.into()) else { return Route::None };
                exit.hop = answer.hop;
                exit.neighbour = $tables(answer.neighbour).unwrap_or(query.destination);
                answer.route
            }
            fn socket(&self, key: &FlowKey<$family>) -> Socket {
                self.guarded.socket(key.source.into(), key.source_port.get())
            }
            fn vouch(&mut self, _ip: &Internet<$family>, offer: &Offer) -> Option<()> {
                self.room_for_notes.then(|| self.guarded.vouched.push(*offer))
            }
            fn defer(&mut self, ifindex: u32, neighbour: $family) -> Option<()> {
                self.room_for_notes.then(|| self.deferred.push((ifindex, neighbour.into())))
            }
        }
    };
}

impl<A: ban::Family> Bans<A> for Host {
    fn has(&self, table: u32, address: &A, _: A::Suspect, now: u32) -> bool {
        let lines = self.bans[table as usize].as_slice();
        ban::find::<A, _>(lines, address, now).inspect(|found| found.hit()).is_some()
    }
}

tables!(Ip4, v4);
tables!(Ip6, v6);

impl Keys for Host {
    fn bucket_set(&self, index: u32) -> Option<&SharedBucketSet> {
        self.limits.buckets.get(index as usize)
    }
    fn sketch(&self, cell: u32) -> Option<&Cell64> {
        self.limits.sketch.get(cell as usize)
    }
    fn claimant(&self) -> u16 {
        1
    }
    fn locate(&self, tag: u64, sets: u32) -> Option<Place> {
        bucket::find_tag(&Buckets { world: self, sets }, tag)
    }
    fn victim(&self, tag: u64, sets: u32, now: u64, right: Right) -> Option<Place> {
        bucket::victim(&Buckets { world: self, sets }, tag, now, right)
    }
    fn is_alone(&self, tag: u64, sets: u32, own: Place) -> bool {
        bucket::is_alone(&Buckets { world: self, sets }, tag, own)
    }
}

impl Reads for Host {}
impl Walks for Host {}

impl Names for Host {
    fn segment(&self, peek: &mut Peek, at: u32, length: u32) -> Option<()> {
        hellos::fill(peek, self.frame.get(at as usize..(at + length) as usize)?)
    }
    fn peek_rule(&self, listener: u16) -> Option<&PeekRule> {
        self.hellos.rules.get(&listener)
    }
    fn may_have_name(&self, bit: u32) -> bool {
        self.hellos.filter().has(bit)
    }
    fn name_entry(&self, key: &NameKey) -> Option<NameEntry> {
        self.hellos.entries.get(key).copied()
    }
    fn count_name(&self, number: u32, counted: Counted) {
        self.hellos.counts.borrow_mut().entry(number).or_default().count(counted);
    }
    fn leave_note(&self, who: &NoteKey, note: &Note) {
        self.hellos.notes.borrow_mut().insert(*who, *note);
    }
    fn trace(&self) -> Option<&Trace> {
        Some(&self.hellos.trace)
    }
    fn tell_hello(&self, told: &Told) {
        self.hellos.told.borrow_mut().push(*told);
    }
}

impl World for Host {
    fn now(&self) -> u32 {
        self.now
    }
    fn ticks(&self) -> u64 {
        1 << 32 | u64::from(self.now)
    }
    fn ban_line(&self, table: u32, index: u32) -> Option<&ban::Line> {
        self.bans.get(table as usize)?.get(index as usize)
    }
    fn settings(&self) -> Option<&Settings> {
        Some(&self.settings)
    }
    fn filter(&self) -> Option<&DestinationFilter> {
        Some(&self.filter)
    }
    fn may_be_known(&self, hash: u64) -> bool {
        self.known.has(hash)
    }
    fn note_known(&self, hash: u64) {
        self.known.note(hash);
    }
    fn young_word(&self, seeded: u64) -> Option<&Cell64> {
        self.known.young(seeded)
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
    fn guard_settings(&self) -> Option<&GuardSettings> {
        Some(&self.guarded.settings)
    }
    fn guard_rule(&self, listener: u16) -> Option<&GuardRule> {
        self.guarded.rules.get(usize::from(listener))
    }
    fn guard(&self, index: u32) -> Option<&SharedGuard> {
        self.guarded.guards.get(index as usize)
    }
    fn gather(&self, index: u32, batch: u32) -> u32 {
        self.guarded.gather(index, batch)
    }
    fn alive(&self, index: u32) -> Option<&Cell64> {
        self.guarded.alive.get(index as usize)
    }
    fn credit(&self, index: u32) -> Option<&Cell64> {
        self.guarded.credit.get(index as usize)
    }
    fn plan(&self, number: u8) -> Option<&SharedPlan> {
        self.limits.plans.get(usize::from(number))
    }
    fn counted(&self, number: u8) -> Option<&CountedSet> {
        self.limits.counted.get(usize::from(number))
    }
    fn answer(&self, _family: u8, ask: &Ask) -> u64 {
        keys::answer(self, ask)
    }
    fn count_limit(&self, limit: u16, measure: u8, outcome: LimitOutcome) {
        self.limits.count(limit, measure, outcome);
    }
    fn splice(&self, number: u32) -> Option<&SharedSplice> {
        self.spliced.entries.get(number as usize)
    }
    fn option_step(&self, _family: u8, number: u32, options: &mut Options) {
        self.splice(number).into_iter().for_each(|splice| stage::splice::step(splice, options));
    }
    fn hold(&self, number: u32) -> bool {
        if !self.spliced.no_room {
            self.spliced.held.borrow_mut().push((number, self.frame.clone()));
        }
        !self.spliced.no_room
    }
    fn tell(&self, event: &Event) {
        self.limits.events.borrow_mut().push(*event);
    }
    fn count_drop(&self, reason: DropReason) {
        *self.drops.borrow_mut().entry(reason.label()).or_default() += 1;
    }
    fn notice(&self, notice: Notice) {
        *self.notices.borrow_mut().entry(notice.label()).or_default() += 1;
    }
}

//! The kernel part, opened: applies what is wanted, attaches, and undoes all that if the start is not finished.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use proxy_common::backend::Backend;
use proxy_common::listener::Forward;
use proxy_common::names;
use proxy_common::plan::LimitRecord;

use super::attach::{self, AttachError, Attacher, Attachment, Done};
use super::bans::{BanMaps, PinnedError};
use super::clock::Clock;
use super::collect::{Collected, Collector, Leaving, YOUNG_LIFETIME};
use super::compile_limits::Of;
use super::desired::{Desired, LocalListener, Surroundings};
use super::events::{Ears, Hear};
use super::follow::{FollowError, Followed, Follower};
use super::further;
use super::guard::{Around, Watch};
use super::handoff::{self, Taker, interfaces};
use super::limits::{KeptLimit, Limits, RefusedKey};
use super::load::{self, OpenError, OpenNote, Programs};
use super::maps::{Action, MapError};
use super::names::Names;
use super::onlooker::Onlooker;
use super::pins::{self, Pins};
use super::reconcile::{self, ApplyError, Constants, Goal, Present, Step, Unroutable};
use super::tables::Tables;
use crate::config::{Amount, AttachMode, KernelConfig, LimitConfig, LimitName, Measure};
use crate::limit::{Ids, Table};
use crate::net::ethtool::Ethtool;
use crate::net::netlink::Socket;
use crate::net::{address, route, sysctl};

/// A hop is looked up anew after this, even when no daemon tells of changes.
const HOP_LIFETIME: Duration = Duration::from_secs(15);

/// The kernel part. Dropped before [`Kernel::keep`], it takes back whatever this start has put in place.
#[derive(Debug)]
pub struct Kernel {
    pub(super) pins: Pins,
    pub(super) programs: Programs,
    pub(super) tables: Tables,
    pub(super) clock: Clock,
    taker: Arc<Taker>,
    pub(super) state: Mutex<State>,
    notes: Vec<OpenNote>,
    adopted: bool,
    _lock: File,
}

/// What changes while it runs.
#[derive(Debug)]
pub(super) struct State {
    pub(super) present: Present,
    pub(super) config: KernelConfig,
    /// What was applied last.
    desired: Option<Desired>,
    sources: Sources,
    pub(super) collector: Collector,
    pub(super) follower: Follower,
    pub(super) attachments: BTreeMap<String, Attachment>,
    pub(super) leaving: Leaving,
    /// A step could neither be taken nor taken back: the tables are read anew.
    suspect: bool,
    /// Weights as the configuration has them, for the status.
    pub(super) weights: BTreeMap<u16, u32>,
    guards: Watch,
    pub(super) limits: Limits,
    ears: Ears,
    pub(super) names: Names,
    pub(super) onlooker: Option<Onlooker>,
    start: Option<Start>,
}

/// What this start did.
#[derive(Debug, Default)]
struct Start {
    made: Vec<PathBuf>,
    done: Vec<Done>,
}

/// What came of [`Kernel::apply`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Applied {
    /// Entries that were changed; 0: everything was as wanted.
    pub steps: usize,
    /// Backends that get nothing until there is a route to them.
    pub unroutable: Vec<Unroutable>,
}

/// A backend that the tables held when they were opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownBackend {
    /// The listener's name.
    pub listener: String,
    /// The backend.
    pub address: SocketAddr,
    /// The operator drained it.
    pub drained_by_hand: bool,
    /// It did not answer.
    pub down: bool,
}

/// What the routing table and the devices said, and how many changes the follower had heard of by then.
#[derive(Debug, Default)]
struct Sources {
    changes: u64,
    towards: HashMap<IpAddr, IpAddr>,
    /// Whether any of these interfaces is a veth.
    veth: Option<(Vec<String>, bool)>,
}

impl Sources {
    fn is_any_veth(&mut self, interfaces: &[String]) -> bool {
        match &self.veth {
            Some((asked, answer)) if asked == interfaces => *answer,
            _ => {
                let answer = is_any_veth(interfaces);
                self.veth = Some((interfaces.to_vec(), answer));
                answer
            }
        }
    }
}

/// The host as it is. What its routing table says is asked once, and again when routes have changed.
struct Host<'a>(RefCell<&'a mut Sources>);

impl Surroundings for Host<'_> {
    fn source_towards(&self, backend: IpAddr) -> io::Result<IpAddr> {
        let Sources { towards, .. } = &mut **self.0.borrow_mut();
        if let Some(known) = towards.get(&backend) {
            return Ok(*known);
        }
        let source = route::source_towards(backend)?;
        towards.insert(backend, source);
        Ok(source)
    }
    fn host_ports(&self) -> io::Result<RangeInclusive<u16>> {
        sysctl::local_ports()
    }
    fn host_addresses(&self) -> io::Result<Vec<IpAddr>> {
        address::reachable(&mut Socket::open()?)
    }
}

impl Kernel {
    /// Checks what is needed, loads the programs, and takes over what an earlier daemon left.
    pub fn open(config: &KernelConfig) -> Result<Self, OpenError> {
        let pins = Pins::under(&config.pin_dir);
        load::check(&pins)?;
        let loaded = load::load(&pins, config.flows, config.limit_keys)?;
        let start = Start { made: loaded.made, done: Vec::new() };
        let senses = || {
            let clock = loaded.programs.clock.try_clone().and_then(Clock::new).map_err(OpenError::Clock)?;
            let kept = loaded.tables.settings.get(&0)?.map_or(0, |settings| settings.hash_seed);
            let seed = config.hash_seed.unwrap_or(if kept == 0 { draw_seed() } else { kept });
            let mut limits = Limits::open(&pins, seed, clock.hz())?;
            let names = Names::open(&pins)?;
            limits.hold(names.plans().clone());
            let taken = handoff::open(&pins, &loaded.programs, clock.hz())?;
            Ok((clock, Follower::new().map_err(OpenError::Netlink)?, limits, names, taken))
        };
        let (clock, follower, limits, names, (taker, splices)) = match senses() {
            Ok(both) => both,
            Err(error) => {
                start.undo(&pins);
                return Err(error);
            }
        };
        let kernel = Self {
            pins,
            programs: loaded.programs,
            tables: loaded.tables,
            clock,
            taker: Arc::new(taker),
            state: Mutex::new(State {
                present: Present::default(),
                config: config.clone(),
                desired: None,
                sources: Sources::default(),
                collector: Collector::beside(splices),
                follower,
                attachments: BTreeMap::new(),
                leaving: BTreeMap::new(),
                suspect: true,
                weights: BTreeMap::new(),
                guards: Watch::default(),
                limits,
                ears: Ears::default(),
                names,
                onlooker: None,
                start: Some(start),
            }),
            notes: loaded.notes,
            adopted: loaded.adopted,
            _lock: loaded.lock,
        };
        let mut state = kernel.lock();
        kernel.refresh(&mut state)?;
        state.limits.set_clock(kernel.clock.now64().map_err(OpenError::Clock)?);
        drop(state);
        kernel.tables.room.begin();
        // Routes may have changed while no daemon ran.
        kernel.raise_epoch()?;
        Ok(kernel)
    }

    /// What an operator should know about how it was opened.
    pub fn notes(&self) -> &[OpenNote] {
        &self.notes
    }

    /// Whether an earlier daemon's tables were taken over.
    pub fn adopted(&self) -> bool {
        self.adopted
    }

    /// Backends in the tables, with what outlives a daemon.
    pub fn known_backends(&self) -> Vec<KnownBackend> {
        let state = self.lock();
        let name = |id: &u16| state.present.names.get(id).cloned();
        state
            .present
            .backends
            .values()
            .filter(|entry| !entry.has(Backend::<()>::LEAVING))
            .filter_map(|entry| {
                Some(KnownBackend {
                    listener: name(&entry.listener)?,
                    address: entry.address,
                    drained_by_hand: entry.has(Backend::<()>::DRAINED_BY_HAND),
                    down: entry.has(Backend::<()>::DOWN),
                })
            })
            .collect()
    }

    /// Puts what is wanted in place: all of it, or on failure nothing.
    pub fn apply(&self, desired: &Desired) -> Result<Applied, ApplyError> {
        let state = &mut *self.lock();
        let applied = self.put_in_place(state, desired)?;
        state.desired = Some(desired.clone());
        state.follower.backends_changed = true;
        Ok(applied)
    }

    fn put_in_place(&self, state: &mut State, desired: &Desired) -> Result<Applied, ApplyError> {
        self.refresh(state)?;
        state.forget_old_sources();
        let constants = Constants {
            hash_seed: state.limits.seed(),
            hop_lifetime: self.clock.ticks(HOP_LIFETIME),
            young_lifetime: self.clock.ticks(YOUNG_LIFETIME),
            redirect: state.sources.is_any_veth(&desired.kernel.interfaces),
        };
        let mut goal =
            reconcile::plan(desired, &state.present, &constants, &Host(RefCell::new(&mut state.sources)))?;
        let before = state.limits.remembered();
        let planned = plan_limits(state, desired, &mut goal);
        let taken = planned.and_then(|replanned| {
            let steps = reconcile::difference(&state.present, &goal);
            let taken = steps.len();
            match reconcile::take_all(&mut &self.tables, &mut state.present, steps) {
                Ok(()) => Ok((taken, replanned.flows, replanned.of_names)),
                Err(failed) => {
                    state.suspect = failed.stuck > 0;
                    Err(failed.into())
                }
            }
        });
        let (taken, replanned, of_names) = match taken {
            Ok(taken) => taken,
            Err(error) => {
                // Rates are written in place, and come first.
                replan_limits(state, before);
                return Err(error);
            }
        };
        state.config = desired.kernel.clone();
        state.names.take(&desired.local, &goal.names, &of_names)?;
        state.limits.hold(state.names.plans().clone());
        if replanned {
            // Flows remember their listener's plan with their hop.
            self.raise(state)?;
        }
        self.look_at_guards(state)?;
        self.tables.room.share([false, true].map(|ipv6| desired.proves(ipv6)));
        state.ears.name(&state.present.names);
        self.taker.learn(handoff::known(&goal));
        state.weights = goal.rings.values().flatten().map(|share| (share.id, share.weight)).collect();
        state.leaving.retain(|id, _| !goal.backends.contains_key(id));
        for id in state.present.backends.keys().filter(|id| !goal.backends.contains_key(id)) {
            state.leaving.entry(*id).or_insert_with(Instant::now);
        }
        Ok(Applied { steps: taken, unroutable: goal.unroutable })
    }

    /// Attaches to these interfaces and no others.
    pub fn attach(&self, interfaces: &[String], mode: AttachMode) -> Result<Vec<Attachment>, AttachError> {
        let state = &mut *self.lock();
        let mut done = Vec::new();
        let mut attacher = Attacher { pins: &self.pins, programs: &self.programs, mode, done: &mut done };
        let result: Result<Vec<_>, _> = interfaces.iter().map(|name| attacher.attach(name)).collect();
        let attached = match result {
            Ok(attached) => attached,
            Err(error) => {
                done.into_iter().rev().for_each(Done::undo);
                return Err(error);
            }
        };
        if let Some(start) = &mut state.start {
            start.done.extend(done);
        }
        for interface in self.pins.linked_interfaces() {
            if !interfaces.contains(&interface) {
                attach::detach(&self.pins, &interface).map_err(|cause| AttachError::Failed {
                    interface,
                    what: "take the programs off it",
                    cause,
                })?;
            }
        }
        state.follower.wanted = (interfaces.to_vec(), mode);
        state.attachments = attached.iter().map(|a| (a.interface.clone(), a.clone())).collect();
        self.see_by(state);
        Ok(attached)
    }

    /// The start is finished: from now on everything stays when this is dropped, or the process ends. Other versions'
    /// tables go.
    pub fn keep(&self) {
        if self.lock().start.take().is_some() {
            further::let_others_go(&self.pins, &self.programs.further);
            for folder in self.pins.other_versions() {
                // What cannot be removed now is removed by `detach`.
                let _ = fs::remove_dir_all(folder);
            }
        }
    }

    /// Does a slice of the collecting: a few milliseconds. To be called ten times a second or so; between two walks it
    /// rests, and does nothing.
    pub fn collect(&self) -> Result<Collected, MapError> {
        let State { collector, config, present, leaving, limits, .. } = &mut *self.lock();
        self.taker.tidy().map_err(|cause| MapError { map: names::HELD, action: Action::Read, cause })?;
        let failed = |cause| MapError { map: "proxy_clock", action: Action::Read, cause };
        limits.set_clock(self.clock.now64().map_err(failed)?);
        collector.collect(&self.tables, &self.clock, config, present, leaving, limits)
    }

    /// Takes connections over that are relayed.
    pub fn taker(&self) -> Arc<Taker> {
        Arc::clone(&self.taker)
    }

    /// Packets of these interfaces, and of VLAN devices on them, are seen by the programs.
    fn see_by(&self, state: &State) {
        let attached = state.attachments.keys();
        self.taker.see_by(interfaces(state.follower.links(), attached));
    }

    /// What it keeps of limits.
    pub fn limits(&self) -> Result<Vec<KeptLimit>, MapError> {
        self.lock().limits.kept()
    }

    /// A measure of a limit lets through so much, from the next packet on. Whether it is kept here.
    pub fn set_limit(&self, limit: &LimitName, measure: Measure, amount: Amount) -> Result<bool, MapError> {
        self.lock().limits.set(limit, measure, amount)
    }

    /// Keys of limits that have been refused.
    pub fn limited(&self) -> Vec<RefusedKey> {
        let state = self.lock();
        state.limits.refused(&state.present.names)
    }

    /// What operators have set of limits, and the file does not say: of what workers count, too.
    pub fn limit_overrides(&self) -> Vec<(LimitName, Measure, Amount)> {
        self.lock().limits.overrides()
    }

    /// What was set of a limit is forgotten.
    pub fn reset_limit(&self, limit: &LimitName) -> Result<(), MapError> {
        self.lock().limits.reset(limit)
    }

    /// What its programs tell is heard from now on, by a thread of its own. Who was told to hear it first, goes on.
    ///
    /// # Errors
    /// There is no thread, or the ring buffer cannot be opened.
    pub fn hear(&self, hear: Hear) -> io::Result<()> {
        let State { ears, limits, .. } = &mut *self.lock();
        ears.open(&self.pins, limits.shared().1, hear)
    }

    /// What an address, masked, has used up of a limit is forgotten. How many keys those were.
    pub fn reset_limit_key(&self, limit: &LimitName, address: IpAddr) -> usize {
        self.lock().limits.reset_key(limit, address)
    }

    /// The table of keys of limits, and the numbers of limits: for workers.
    pub fn limit_table(&self) -> (Table, Arc<Ids>) {
        self.lock().limits.shared()
    }

    /// Takes note of what has changed since the last call. To be called ten times a second or so.
    pub fn follow(&self) -> Result<Vec<Followed>, FollowError> {
        let state = &mut *self.lock();
        state.follower.listen()?;
        let mut notes =
            state.follower.devices(&self.tables, &self.pins, &self.programs, &mut state.attachments)?;
        self.see_by(state);
        if state.follower.epoch_is_over() {
            self.raise(state)?;
            state.follower.epoch_begins();
        }
        if state.follower.routes_are_due() {
            notes.extend(self.reroute(state));
        }
        notes.extend(state.guards.changes(&self.tables, &state.present, &self.clock)?);
        if state.guards.is_due() {
            self.look_at_guards(state)?;
        }
        let backends = || state.present.backends.values().map(|entry| entry.address.ip()).collect();
        state.follower.ways(backends)?;
        Ok(notes)
    }

    /// Sees to the keys of cookies, and to what the host's TCP is like.
    fn look_at_guards(&self, state: &mut State) -> Result<(), MapError> {
        let State { guards, config, follower, .. } = state;
        let (clock, links) = (&self.clock, follower.links());
        guards.look(&self.tables, &Around { clock, config, links, sockets: self.programs.sockets })
    }

    /// Routes have changed: other source addresses may be right, and backends may be reached that were not, or the
    /// reverse.
    fn reroute(&self, state: &mut State) -> Option<Followed> {
        let desired = state.desired.take()?;
        let result = self.put_in_place(state, &desired);
        state.desired = Some(desired);
        match result {
            Ok(Applied { steps: 0, .. }) => None,
            Ok(Applied { steps, unroutable }) => Some(Followed::Rerouted { steps, unroutable }),
            Err(error) => Some(Followed::NotRerouted(error)),
        }
    }

    /// Raises the epoch: every hop is looked up anew.
    pub fn raise_epoch(&self) -> Result<(), MapError> {
        self.raise(&mut self.lock())
    }

    fn raise(&self, state: &mut State) -> Result<(), MapError> {
        let mut settings = state.present.settings;
        settings.hop_epoch = settings.hop_epoch.checked_add(1).unwrap_or(1);
        self.tables.settings.put(&0, &settings)?;
        state.present.note(&Step::Settings(settings));
        Ok(())
    }

    /// The tables of bans.
    ///
    /// # Errors
    /// They cannot be opened.
    pub fn bans(&self) -> Result<BanMaps, PinnedError> {
        BanMaps::open(&self.pins, None)
    }

    /// Reads the tables, if what is known of them may be wrong.
    fn refresh(&self, state: &mut State) -> Result<(), MapError> {
        if state.suspect {
            state.present = reconcile::recover(&self.tables)?;
            state.suspect = false;
        }
        Ok(())
    }

    /// The state. A thread that panicked while it held it left it consistent enough: it is only noted what was done.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets what the routing table said, if it may say something else now.
    fn forget_old_sources(&mut self) {
        let heard = self.follower.listen().is_ok();
        if !heard || self.sources.changes != self.follower.changes {
            self.sources = Sources { changes: self.follower.changes, ..Sources::default() };
        }
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let start = self.lock().start.take();
        if let Some(start) = start {
            start.undo(&self.pins);
        }
    }
}

impl Start {
    /// Takes back what this start has done, last first.
    fn undo(self, pins: &Pins) {
        self.done.into_iter().rev().for_each(Done::undo);
        self.made.iter().for_each(|path| drop(pins::remove(path)));
        pins.remove_empty();
    }
}

/// What became of plans of limits.
struct Planned {
    /// A backend that is there gets another.
    flows: bool,
    /// Plans by the host that a ClientHello names, by the listener's number.
    of_names: Plans,
}

/// Gives each backend, and each listener of sockets, its listener's plan of limits.
fn plan_limits(state: &mut State, desired: &Desired, goal: &mut Goal) -> Result<Planned, ApplyError> {
    let (plans, of_names) = plans(state, &desired.limits, &goal.names, &desired.local)?;
    for entry in goal.listeners.values_mut().filter(|entry| entry.forward == Forward::Local as u8) {
        entry.plan = plans.get(&entry.id).copied().unwrap_or(0);
    }
    let mut flows = false;
    for (id, entry) in &mut goal.backends {
        let plan = plans.get(&entry.listener).copied().unwrap_or(0);
        entry.flags |= u16::from(plan) << 8;
        let before = state.present.backends.get(id).map(|before| before.flags >> 8);
        flows |= before.is_some_and(|before| before != u16::from(plan));
    }
    Ok(Planned { flows, of_names })
}

/// Plans by the number of their listener.
type Plans = BTreeMap<u16, u8>;

/// Plans of listeners in the tables: of packets, and of handshakes by the host that a ClientHello names.
fn plans(
    state: &mut State,
    limits: &[LimitConfig],
    names: &BTreeMap<u16, String>,
    local: &[LocalListener],
) -> Result<(Plans, Plans), ApplyError> {
    state.limits.take(limits)?;
    let mut taken = state.present.plans();
    taken.extend(state.names.plans());
    let tls = |name: &str| local.iter().any(|own| own.tls && own.name.as_str() == name);
    let mut all = |of: Of| -> Result<Plans, ApplyError> {
        let names = names.iter().filter(|(_, name)| of == Of::Packets || tls(name));
        names
            .map(|(id, name)| Ok((*id, state.limits.plan_of(&name.as_str().into(), *id, of, &mut taken)?)))
            .collect()
    };
    Ok((all(Of::Packets)?, all(Of::Names)?))
}

/// The limits that were in force before something failed are in force again. What cannot be done now is done when the
/// configuration is applied next.
fn replan_limits(state: &mut State, before: BTreeMap<u16, LimitRecord>) {
    let (limits, local) = match &state.desired {
        Some(desired) => (desired.limits.clone(), desired.local.clone()),
        None => Default::default(),
    };
    let names = state.present.names.clone();
    let done = state.limits.remember(before).map_err(ApplyError::from);
    if let Err(error) = done.and_then(|()| plans(state, &limits, &names, &local).map(drop)) {
        tracing::warn!("limits are not as they were before: {error}");
        state.suspect = true;
    }
}

/// Whether one of these is a veth, which loses what is transmitted rather than redirected.
fn is_any_veth(interfaces: &[String]) -> bool {
    let Ok(ethtool) = Ethtool::open() else { return false };
    interfaces.iter().any(|interface| ethtool.driver(interface).is_ok_and(|driver| driver == "veth"))
}

/// A seed that nobody can guess. A machine without randomness has one that is not 0, and can be guessed.
fn draw_seed() -> u64 {
    let mut bytes = [0; 8];
    let drawn = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    match drawn {
        Ok(()) => u64::from_ne_bytes(bytes).max(1),
        Err(_) => 0x9e37_79b9_7f4a_7c15,
    }
}

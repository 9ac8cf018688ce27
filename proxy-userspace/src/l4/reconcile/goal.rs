//! What is wanted, with numbers given: those that the tables hold already are kept, so that flows stay with their
//! backends; new ones are taken from what is free.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use proxy_common::backend::Backend;
use proxy_common::guard::GuardRule;
use proxy_common::hash::mix64;
use proxy_common::limits;
use proxy_common::listener::{Forward, Listener};
use proxy_common::settings::Settings;

use super::bound::{Bound, bound};
use super::present::{BackendEntry, Bind, Present, Share, SourceEntry, SourceIndex};
use crate::l4::desired::{Desired, DesiredBackend, Surroundings};
use crate::l4::handoff::split;

/// What the clock and the program decide, not the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Constants {
    /// Seed of the flow hash, unless the tables hold one already or the configuration says one.
    pub(crate) hash_seed: u64,
    /// Jiffies.
    pub(crate) hop_lifetime: u32,
    /// Jiffies.
    pub(crate) young_lifetime: u32,
    /// Whether [`Settings::REDIRECT`] is needed.
    pub(crate) redirect: bool,
}

/// What the tables should hold.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Goal {
    pub(crate) settings: Settings,
    pub(crate) sources: BTreeMap<SourceIndex, SourceEntry>,
    pub(crate) backends: BTreeMap<u16, BackendEntry>,
    pub(crate) names: BTreeMap<u16, String>,
    pub(crate) guards: BTreeMap<u16, GuardRule>,
    pub(crate) rings: BTreeMap<u16, Vec<Share>>,
    pub(crate) listeners: BTreeMap<Bind, Listener>,
    /// Ports that connections leave from that may be handed over.
    pub(crate) handoff_ports: Option<RangeInclusive<u16>>,
    /// Backends that no connection can leave to now.
    pub(crate) unroutable: Vec<Unroutable>,
}

/// There is no route to a backend, so no address that connections to it could leave from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no route to the backend {backend} ({why}): it gets no new flows until there is one")]
pub struct Unroutable {
    /// The backend.
    pub backend: SocketAddr,
    /// What the kernel said.
    pub why: io::ErrorKind,
}

/// What is wanted does not fit the tables.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// All numbers of listeners are taken.
    #[error("there are more than {} listeners", limits::LISTENERS)]
    Listeners,
    /// All numbers of backends are taken.
    #[error(
        "there are more than {} backends, each counted once for each listener that uses it \
         (those removed in the last minute or two count as well)",
        limits::BACKENDS
    )]
    Backends,
    /// All numbers of source addresses are taken.
    #[error("connections to backends would leave from more than {} addresses", limits::NAT_SOURCES)]
    Sources,
    /// More addresses than the table of them holds.
    #[error("the listeners bind more than {} addresses of one family", limits::LISTENER_ADDRESSES)]
    Addresses,
    /// All numbers of plans are taken.
    #[error(
        "limits hold for more than 255 listeners with the kernel part: name the listeners that each shall hold for, \
         or give some of them one listener with several addresses"
    )]
    Limited,
    /// The host's own port range cannot be read.
    #[error(
        "cannot read which ports the host uses itself (net.ipv4.ip_local_port_range): {0}; set nat_ports in [kernel]"
    )]
    HostPorts(#[source] io::Error),
    /// What an unspecified address stands for cannot be found out.
    #[error("cannot read which addresses this host has: {0}")]
    HostAddresses(#[source] io::Error),
    /// The host leaves no ports.
    #[error(
        "net.ipv4.ip_local_port_range leaves no ports for connections to backends: make it smaller, or set nat_ports in [kernel]"
    )]
    NoPorts,
}

/// Gives numbers. `retired` are backends' numbers that flows may still hold.
pub(crate) fn plan(
    desired: &Desired,
    present: &Present,
    constants: &Constants,
    around: &dyn Surroundings,
) -> Result<Goal, PlanError> {
    let ports = match &desired.kernel.nat_ports {
        Some(ports) => ports.clone(),
        None => free_ports(&around.host_ports().map_err(PlanError::HostPorts)?).ok_or(PlanError::NoPorts)?,
    };
    let mut goal = Goal { settings: settings(desired, present, constants, &ports), ..Goal::default() };
    let any = desired.local.iter().any(|listener| listener.handoff);
    let (ports, handoff_ports) = match split(&ports).filter(|_| any) {
        Some((nat, handoff)) => (nat, Some(handoff)),
        None => (ports, None),
    };
    goal.handoff_ports = handoff_ports;
    let bound = bound(desired, around).map_err(PlanError::HostAddresses)?;
    let ids = listener_ids(&bound, present)?;
    let mut numbers = Numbers { desired, present, ports, around, by_host: HashMap::new(), next_backend: 0 };
    let known: HashMap<(u16, SocketAddr), u16> =
        present.backends.iter().map(|(id, b)| ((b.listener, b.address), *id)).collect();
    for (listener, id) in bound.iter().zip(&ids) {
        goal.names.insert(*id, listener.name.to_owned());
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let flags = flag(listener.tls, Listener::TLS) | flag(listener.handoff, Listener::HANDOFF);
        let entry = Listener { id: *id, forward: listener.forward as u8, flags, ..Listener::default() };
        goal.listeners.extend(listener.binds.iter().map(|bind| (*bind, entry)));
        goal.guards.extend(listener.guard.map(|rule| (*id, rule)));
    }
    let (balanced, local) = ids.split_at(desired.listeners.len());
    for (listener, id) in desired.local.iter().zip(local.iter().copied()) {
        for backend in listener.backends.iter().filter(|_| listener.handoff) {
            let number = match known.get(&(id, backend.address)) {
                Some(number) => *number,
                None => numbers.fresh_backend(&goal)?,
            };
            let source = numbers.source(&mut goal, backend, present.backends.get(&number))?;
            goal.backends.insert(number, entry(backend, id, source));
        }
    }
    for (listener, id) in desired.listeners.iter().zip(balanced.iter().copied()) {
        let mut shares = Vec::new();
        for backend in &listener.backends {
            let number = match known.get(&(id, backend.address)) {
                Some(number) => *number,
                None => numbers.fresh_backend(&goal)?,
            };
            let source = match listener.forward {
                Forward::Nat => numbers.source(&mut goal, backend, present.backends.get(&number))?,
                Forward::Dsr | Forward::Local => Some(NO_SOURCE),
            };
            if backend.takes_new_flows() && source.is_some() {
                shares.push(Share { id: number, weight: backend.weight, address: backend.address });
            }
            goal.backends.insert(number, entry(backend, id, source));
        }
        goal.rings.insert(id, shares);
    }
    fits(goal)
}

fn fits(goal: Goal) -> Result<Goal, PlanError> {
    let v6 = goal.listeners.keys().filter(|(address, _)| address.is_ipv6()).count();
    if v6.max(goal.listeners.len() - v6) > limits::LISTENER_ADDRESSES as usize {
        return Err(PlanError::Addresses);
    }
    Ok(goal)
}

/// The index of no source address: `dsr` needs none, and a backend without a route has none.
const NO_SOURCE: u16 = u16::MAX;

fn entry(backend: &DesiredBackend, listener: u16, source: Option<u16>) -> BackendEntry {
    let mut flags = Backend::<()>::IN_USE;
    for (set, flag) in [
        (backend.draining, Backend::<()>::DRAINING),
        (backend.drained_by_hand, Backend::<()>::DRAINED_BY_HAND | Backend::<()>::DRAINING),
        (backend.down || source.is_none(), Backend::<()>::DOWN),
    ] {
        if set {
            flags |= flag;
        }
    }
    BackendEntry { address: backend.address, listener, nat_source: source.unwrap_or(NO_SOURCE), flags }
}

fn settings(
    desired: &Desired,
    present: &Present,
    constants: &Constants,
    ports: &RangeInclusive<u16>,
) -> Settings {
    let was = &present.settings;
    let flag = |set: bool, flag: u16| if set { flag } else { 0 };
    let drawn = if was.hash_seed == 0 { constants.hash_seed } else { was.hash_seed };
    Settings {
        abi_version: proxy_common::ABI_VERSION,
        hop_epoch: was.hop_epoch.max(1),
        flags: Settings::ANSWER_TOO_BIG
            | flag(constants.redirect, Settings::REDIRECT)
            | flag(!desired.local.is_empty(), Settings::LOCAL),
        hash_seed: desired.kernel.hash_seed.unwrap_or(drawn),
        hop_lifetime: constants.hop_lifetime,
        young_lifetime: constants.young_lifetime,
        nat_port_low: *ports.start(),
        nat_port_count: port_count(ports),
        pad: 0,
    }
}

fn port_count(ports: &RangeInclusive<u16>) -> u16 {
    ports.end().saturating_sub(*ports.start()).saturating_add(1)
}

/// The largest range of ports from 1024 up that the host does not give to its own connections.
fn free_ports(host: &RangeInclusive<u16>) -> Option<RangeInclusive<u16>> {
    let below = (*host.start() > 1024).then(|| 1024..=host.start() - 1);
    let above = (*host.end() < u16::MAX).then(|| (host.end() + 1).max(1024)..=u16::MAX);
    [below, above].into_iter().flatten().max_by_key(port_count)
}

/// A listener keeps the number of the first of its addresses that is in the tables; one whose addresses are all new
/// keeps that of its name; the others get one that nothing refers to.
fn listener_ids(listeners: &[Bound<'_>], present: &Present) -> Result<Vec<u16>, PlanError> {
    let mut taken = BTreeSet::new();
    let mut ids: Vec<Option<u16>> = listeners
        .iter()
        .map(|listener| {
            let mut known =
                listener.binds.iter().filter_map(|bind| present.listeners.get(bind).map(|entry| entry.id));
            known.find(|id| taken.insert(*id))
        })
        .collect();
    let families: HashMap<u16, bool> =
        present.listeners.iter().map(|((address, _), entry)| (entry.id, address.is_ipv6())).collect();
    for (id, listener) in ids.iter_mut().zip(listeners).filter(|(id, _)| id.is_none()) {
        let named = |id: &u16| present.names.get(id).is_some_and(|name| name == listener.name);
        *id = families
            .iter()
            .filter(|(_, v6)| **v6 == listener.is_ipv6())
            .map(|(id, _)| *id)
            .find(|id| named(id) && taken.insert(*id));
    }
    let referred: BTreeSet<u16> =
        (present.backends.values().map(|backend| backend.listener)).chain(families.keys().copied()).collect();
    let mut free = (0..limits::LISTENERS as u16).filter(|id| !referred.contains(id));
    ids.into_iter()
        .map(|id| match id {
            Some(id) => Ok(id),
            None => free.find(|id| taken.insert(*id)).ok_or(PlanError::Listeners),
        })
        .collect()
}

/// Gives numbers to backends and source addresses.
struct Numbers<'a> {
    desired: &'a Desired,
    present: &'a Present,
    ports: RangeInclusive<u16>,
    around: &'a dyn Surroundings,
    /// What the routing table said, asked once a host.
    by_host: HashMap<IpAddr, Result<IpAddr, io::ErrorKind>>,
    next_backend: u16,
}

impl Numbers<'_> {
    /// A number that no backend has, nor had so lately that flows may still hold it: those are in the tables until
    /// the sweep has seen that none does.
    fn fresh_backend(&mut self, goal: &Goal) -> Result<u16, PlanError> {
        let free = |id: &u16| !self.present.backends.contains_key(id) && !goal.backends.contains_key(id);
        let id = (self.next_backend..limits::BACKENDS as u16).find(free).ok_or(PlanError::Backends)?;
        self.next_backend = id + 1;
        Ok(id)
    }

    /// The index of the source address of connections to `backend`; none: there is no way to it.
    fn source(
        &mut self,
        goal: &mut Goal,
        backend: &DesiredBackend,
        before: Option<&BackendEntry>,
    ) -> Result<Option<u16>, PlanError> {
        let address = match self.source_address(backend.address, before) {
            Ok(address) => address,
            Err(why) => {
                goal.unroutable.push(Unroutable { backend: backend.address, why });
                return Ok(None);
            }
        };
        let v6 = address.is_ipv6();
        let wanted =
            SourceEntry { address, port_low: *self.ports.start(), port_count: port_count(&self.ports) };
        let of_family = (v6, 0)..=(v6, u16::MAX);
        let known = goal
            .sources
            .range(of_family.clone())
            .chain(self.present.sources.range(of_family))
            .find(|(_, entry)| **entry == wanted)
            .map(|((_, index), _)| *index);
        let index = match known {
            Some(index) => index,
            None => (0..limits::NAT_SOURCES as u16)
                .find(|i| {
                    !goal.sources.contains_key(&(v6, *i)) && !self.present.sources.contains_key(&(v6, *i))
                })
                .ok_or(PlanError::Sources)?,
        };
        goal.sources.insert((v6, index), wanted);
        Ok(Some(index))
    }

    /// One of the configured source addresses, the same for this backend as long as it is among them; without any,
    /// the one that the route prefers. Without a route, the one it had.
    fn source_address(
        &mut self,
        backend: SocketAddr,
        before: Option<&BackendEntry>,
    ) -> Result<IpAddr, io::ErrorKind> {
        let v6 = backend.is_ipv6();
        let present = self.present;
        let had = before.and_then(|entry| present.sources.get(&(v6, entry.nat_source))).map(|s| s.address);
        let configured: Vec<IpAddr> =
            self.desired.kernel.nat_source.iter().copied().filter(|a| a.is_ipv6() == v6).collect();
        if !configured.is_empty() {
            let spread =
                |at: &SocketAddr| configured[(identity_hash(*at) % configured.len() as u64) as usize];
            return Ok(had.filter(|had| configured.contains(had)).unwrap_or_else(|| spread(&backend)));
        }
        let around = self.around;
        let asked = self
            .by_host
            .entry(backend.ip())
            .or_insert_with_key(|host| around.source_towards(*host).map_err(|error| error.kind()));
        asked.or_else(|why| had.ok_or(why))
    }
}

/// A number that depends on the address alone.
fn identity_hash(address: SocketAddr) -> u64 {
    identity(address).chunks(8).fold(0, |hash, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        mix64(hash ^ u64::from_be_bytes(word))
    })
}

/// Who a backend is, in bytes: the same on every balancer.
pub(super) fn identity(address: SocketAddr) -> [u8; 18] {
    let mut bytes = [0; 18];
    let host = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    bytes[..16].copy_from_slice(&host.octets());
    bytes[16..].copy_from_slice(&address.port().to_be_bytes());
    bytes
}

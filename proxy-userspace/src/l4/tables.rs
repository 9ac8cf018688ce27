//! All tables of the kernel part, by name and type. What an entry means is for the modules that use them.

use std::io;
use std::os::fd::OwnedFd;

use proxy_common::addr::{Ip4, Ip6};
use proxy_common::backend::{Backend, NatSource};
use proxy_common::ban;
use proxy_common::bucket::{BucketSet, WAYS};
use proxy_common::counters::Traffic;
use proxy_common::drop_reason::{DropReason, Notice};
use proxy_common::flow::{Flow, FlowKey, FragmentKey, YoungSlot};
use proxy_common::guard::{Guard, GuardRule, GuardSettings, alive};
use proxy_common::hop::{Hop, VlanDevice};
use proxy_common::known;
use proxy_common::limits;
use proxy_common::listener::{DestinationFilter, Listener, ListenerKey, Name};
use proxy_common::names;
use proxy_common::plan::{self, CountedSet, ExemptKey, LimitCount, LimitRecord, Plan};
use proxy_common::pod::Pod;
use proxy_common::room;
use proxy_common::settings::Settings;
use proxy_common::sni::{self, NameCount, NameEntry, NameFilter, NameKey, Note, NoteKey, PeekRule, Trace};
use proxy_common::splice::Splice;

use super::known::KnownFlows;
use super::maps::{Action, MapError, PerCpu, Rings, SharedWords, Table};
use super::room::Room;
use super::sys::{MapInfo, map_type};

/// The shape of a map, as this version of the daemon and its BPF object have it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shape {
    pub(super) name: &'static str,
    map_type: u32,
    key_size: u32,
    value_size: u32,
    pub(super) max_entries: u32,
}

impl Shape {
    const fn of<K: Pod, V: Pod>(name: &'static str, map_type: u32, max_entries: u32) -> Self {
        Self {
            name,
            map_type,
            key_size: size_of::<K>() as u32,
            value_size: size_of::<V>() as u32,
            max_entries,
        }
    }

    const fn array<V: Pod>(name: &'static str, max_entries: u32) -> Self {
        Self::of::<u32, V>(name, map_type::ARRAY, max_entries)
    }

    const fn per_cpu<V: Pod>(name: &'static str, max_entries: u32) -> Self {
        Self::of::<u32, V>(name, map_type::PERCPU_ARRAY, max_entries)
    }

    const fn hash<K: Pod, V: Pod>(name: &'static str, max_entries: u32) -> Self {
        Self::of::<K, V>(name, map_type::HASH, max_entries)
    }

    const fn ring_buffer(name: &'static str, bytes: u32) -> Self {
        Self { name, map_type: map_type::RINGBUF, key_size: 0, value_size: 0, max_entries: bytes }
    }

    const fn trie<K: Pod>(name: &'static str, max_entries: u32) -> Self {
        Self::of::<K, u32>(name, map_type::LPM_TRIE, max_entries)
    }

    const fn lru<K: Pod, V: Pod>(name: &'static str, max_entries: u32) -> Self {
        Self::of::<K, V>(name, map_type::LRU_HASH, max_entries)
    }

    /// Whether the configuration decides how many entries it has.
    pub(super) fn sized_by_configuration(&self) -> bool {
        matches!(self.name, names::FLOWS4 | names::FLOWS6 | names::BUCKETS)
    }

    /// Whether an existing map has this shape, whatever its capacity.
    pub(super) const fn agrees(&self, info: &MapInfo) -> bool {
        self.map_type == info.map_type && self.key_size == info.key_size && self.value_size == info.value_size
    }
}

/// Every table, for a flow table of `flows` entries and a table of `keys` of limits.
pub(super) fn shapes(flows: u32, keys: u32) -> Vec<Shape> {
    use limits::{BACKENDS, CREDITS, FRAGMENTS, GUARDS, LISTENER_ADDRESSES, LISTENERS, NAT_SOURCES, YOUNG};
    vec![
        Shape::array::<Settings>(names::SETTINGS, 1),
        Shape::array::<DestinationFilter>(names::FILTER, 1),
        Shape::hash::<FlowKey<Ip4>, Flow<Ip4>>(names::FLOWS4, flows),
        Shape::hash::<FlowKey<Ip6>, Flow<Ip6>>(names::FLOWS6, flows_v6(flows)),
        Shape::array::<u64>(names::KNOWN, known::ENTRIES),
        Shape::array::<u64>(names::ROOM, room::WORDS),
        Shape::array::<YoungSlot<3>>(names::YOUNG4, YOUNG),
        Shape::array::<YoungSlot<6>>(names::YOUNG6, YOUNG),
        Shape::array::<u64>(names::YOUNG_REVERSE4, YOUNG),
        Shape::array::<u64>(names::YOUNG_REVERSE6, YOUNG),
        Shape::lru::<FragmentKey<Ip4>, FlowKey<Ip4>>(names::FRAGMENTS4, FRAGMENTS),
        Shape::lru::<FragmentKey<Ip6>, FlowKey<Ip6>>(names::FRAGMENTS6, FRAGMENTS),
        Shape::hash::<ListenerKey<Ip4>, Listener>(names::LISTENERS4, LISTENER_ADDRESSES),
        Shape::hash::<ListenerKey<Ip6>, Listener>(names::LISTENERS6, LISTENER_ADDRESSES),
        Shape::array::<u64>(names::LISTENERS_EPOCH, 1),
        Shape::array::<Name>(names::LISTENER_NAMES, LISTENERS),
        Shape::of::<u32, u32>(names::RINGS, map_type::ARRAY_OF_MAPS, LISTENERS),
        Shape::array::<Backend<Ip4>>(names::BACKENDS4, BACKENDS),
        Shape::array::<Backend<Ip6>>(names::BACKENDS6, BACKENDS),
        Shape::array::<NatSource<Ip4>>(names::NAT_SOURCES4, NAT_SOURCES),
        Shape::array::<NatSource<Ip6>>(names::NAT_SOURCES6, NAT_SOURCES),
        Shape::array::<Hop>(names::BACKEND_HOPS, BACKENDS),
        Shape::of::<u32, u32>(names::BANS, map_type::ARRAY_OF_MAPS, ban::TABLES),
        Shape::hash::<ban::NoteKey, ban::Note>(names::BAN_NOTES, limits::BAN_NOTES),
        Shape::array::<ban::ListName>(names::BAN_LISTS, ban::LIST_NAMES),
        Shape::hash::<u32, VlanDevice>(names::VLAN_DEVICES, limits::VLAN_DEVICES),
        Shape::array::<GuardSettings>(names::GUARD_SETTINGS, 1),
        Shape::array::<GuardRule>(names::GUARD_RULES, LISTENERS),
        Shape::array::<Guard>(names::GUARDS, GUARDS),
        Shape::array::<u64>(names::ALIVE, alive::ENTRIES),
        Shape::array::<u64>(names::CREDIT, CREDITS),
        Shape::array::<BucketSet>(names::BUCKETS, bucket_sets(keys)),
        Shape::array::<u64>(names::SKETCH, plan::sketch::CELLS),
        Shape::array::<Plan>(names::PLANS, plan::PLANS),
        Shape::array::<CountedSet>(names::COUNTED, plan::PLANS),
        Shape::trie::<ExemptKey<Ip4>>(names::EXEMPT4, plan::EXEMPTIONS),
        Shape::trie::<ExemptKey<Ip6>>(names::EXEMPT6, plan::EXEMPTIONS),
        Shape::per_cpu::<LimitCount>(names::LIMIT_COUNTS, plan::LIMITS * plan::MEASURES as u32),
        Shape::array::<LimitRecord>(names::LIMIT_RECORDS, plan::LIMITS),
        Shape::ring_buffer(names::EVENTS, limits::EVENTS_BYTES),
        Shape::array::<PeekRule>(names::SNI_RULES, LISTENERS),
        Shape::hash::<NameKey, NameEntry>(names::SNI_NAMES, sni::ENTRIES),
        Shape::array::<NameFilter>(names::SNI_FILTER, 1),
        Shape::per_cpu::<NameCount>(names::SNI_COUNTS, sni::ENTRIES),
        Shape::lru::<NoteKey, Note>(names::SNI_NOTES, sni::NOTES),
        Shape::array::<Trace>(names::SNI_TRACE, 1),
        Shape::ring_buffer(names::SNI_EVENTS, sni::TOLD_BYTES),
        Shape::array::<Splice>(names::SPLICES, limits::SPLICES),
        Shape::ring_buffer(names::HELD, limits::HELD_BYTES),
        Shape::per_cpu::<Traffic>(names::TRAFFIC, BACKENDS),
        Shape::per_cpu::<u64>(names::DROPS, DropReason::COUNT),
        Shape::per_cpu::<u64>(names::NOTICES, Notice::COUNT),
    ]
}

/// Sets of the table of keys: a power of two.
fn bucket_sets(keys: u32) -> u32 {
    (keys / WAYS as u32).max(2).next_power_of_two()
}

/// Entries of the IPv6 flow table beside an IPv4 one of `flows`.
pub(super) fn flows_v6(flows: u32) -> u32 {
    (flows / limits::FLOWS_V6_SHARE).max(*limits::FLOWS_RANGE.start())
}

/// The tables that are of one address family.
#[derive(Debug)]
pub(super) struct FamilyTables<A, Slot> {
    pub(super) flows: Table<FlowKey<A>, Flow<A>>,
    pub(super) young: Table<u32, Slot>,
    pub(super) young_return: Table<u32, u64>,
    pub(super) listeners: Table<ListenerKey<A>, Listener>,
    pub(super) backends: Table<u32, Backend<A>>,
    pub(super) nat_sources: Table<u32, NatSource<A>>,
}

/// The tables that the daemon and the CLI work with.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) settings: Table<u32, Settings>,
    pub(super) filter: Table<u32, DestinationFilter>,
    pub(super) known: KnownFlows,
    pub(super) room: Room,
    pub(super) v4: FamilyTables<Ip4, YoungSlot<3>>,
    pub(super) v6: FamilyTables<Ip6, YoungSlot<6>>,
    pub(super) listeners_epoch: Table<u32, u64>,
    pub(super) listener_names: Table<u32, Name>,
    pub(super) rings: Rings,
    pub(super) vlan_devices: Table<u32, VlanDevice>,
    pub(super) guard_settings: Table<u32, GuardSettings>,
    pub(super) guard_rules: Table<u32, GuardRule>,
    pub(super) guards: Table<u32, Guard>,
    pub(super) traffic: PerCpu<Traffic>,
    pub(super) drops: PerCpu<u64>,
    pub(super) notices: PerCpu<u64>,
}

impl Tables {
    /// Takes the tables over; `open` finds a map by its name.
    pub(super) fn open(mut open: impl FnMut(&'static str) -> io::Result<OwnedFd>) -> Result<Self, MapError> {
        let cpus = aya::util::nr_cpus().map_err(|(_, cause)| failed_to_open(names::TRAFFIC)(cause))?;
        let mut fd = |name| open(name).map_err(failed_to_open(name));
        let v4 = FamilyTables {
            flows: Table::new(names::FLOWS4, fd(names::FLOWS4)?)?,
            young: Table::new(names::YOUNG4, fd(names::YOUNG4)?)?,
            young_return: Table::new(names::YOUNG_REVERSE4, fd(names::YOUNG_REVERSE4)?)?,
            listeners: Table::new(names::LISTENERS4, fd(names::LISTENERS4)?)?,
            backends: Table::new(names::BACKENDS4, fd(names::BACKENDS4)?)?,
            nat_sources: Table::new(names::NAT_SOURCES4, fd(names::NAT_SOURCES4)?)?,
        };
        let v6 = FamilyTables {
            flows: Table::new(names::FLOWS6, fd(names::FLOWS6)?)?,
            young: Table::new(names::YOUNG6, fd(names::YOUNG6)?)?,
            young_return: Table::new(names::YOUNG_REVERSE6, fd(names::YOUNG_REVERSE6)?)?,
            listeners: Table::new(names::LISTENERS6, fd(names::LISTENERS6)?)?,
            backends: Table::new(names::BACKENDS6, fd(names::BACKENDS6)?)?,
            nat_sources: Table::new(names::NAT_SOURCES6, fd(names::NAT_SOURCES6)?)?,
        };
        let entries = [v4.flows.capacity(), v6.flows.capacity()];
        Ok(Self {
            settings: Table::new(names::SETTINGS, fd(names::SETTINGS)?)?,
            filter: Table::new(names::FILTER, fd(names::FILTER)?)?,
            known: KnownFlows::new(SharedWords::new(names::KNOWN, fd(names::KNOWN)?)?),
            room: Room::new(SharedWords::new(names::ROOM, fd(names::ROOM)?)?, entries),
            v4,
            v6,
            listeners_epoch: Table::new(names::LISTENERS_EPOCH, fd(names::LISTENERS_EPOCH)?)?,
            listener_names: Table::new(names::LISTENER_NAMES, fd(names::LISTENER_NAMES)?)?,
            rings: Rings::new(names::RINGS, fd(names::RINGS)?)?,
            vlan_devices: Table::new(names::VLAN_DEVICES, fd(names::VLAN_DEVICES)?)?,
            guard_settings: Table::new(names::GUARD_SETTINGS, fd(names::GUARD_SETTINGS)?)?,
            guard_rules: Table::new(names::GUARD_RULES, fd(names::GUARD_RULES)?)?,
            guards: Table::new(names::GUARDS, fd(names::GUARDS)?)?,
            traffic: PerCpu::new(names::TRAFFIC, fd(names::TRAFFIC)?, cpus)?,
            drops: PerCpu::new(names::DROPS, fd(names::DROPS)?, cpus)?,
            notices: PerCpu::new(names::NOTICES, fd(names::NOTICES)?, cpus)?,
        })
    }
}

fn failed_to_open(map: &'static str) -> impl Fn(io::Error) -> MapError {
    move |cause| MapError { map, action: Action::Open, cause }
}

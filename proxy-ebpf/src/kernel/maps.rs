//! The maps, as the kernel makes them. Names are those of `proxy_common::names`; sizes those of `proxy_common::limits`.

use aya_ebpf::{
    btf_maps::{Array, ArrayOfMaps, HashMap, LpmTrie, LruHashMap, PerCpuArray, ProgramArray, RingBuf},
    macros::btf_map,
};
use proxy_common::{
    addr::{Ip4, Ip6},
    backend::{Backend, NatSource},
    ban,
    bucket::{self, BucketSet},
    counters::Traffic,
    drop_reason::{DropReason, Notice},
    flow::{Flow, FlowKey, FragmentKey, YoungSlot},
    guard::{self, Guard, GuardRule, GuardSettings},
    hop::{Hop, VlanDevice},
    known,
    limit_event::Event,
    limits,
    listener::{self, DestinationFilter, Listener, ListenerKey, Name, Seen},
    maglev::Ring,
    plan::{self, CountedSet, ExemptKey, LimitCount, LimitRecord, Plan},
    program::Program,
    room,
    settings::Settings,
    sni::{self, NameCount, NameEntry, NameFilter, NameKey, Note, NoteKey, PeekRule, Told, Trace},
    splice::{HELD_FRAME, HeldFrame, Splice},
};
use proxy_ebpf::work::Work;

/// BPF_F_MMAPABLE of linux/bpf.h.
const MMAPABLE: usize = 1 << 10;
/// BPF_F_INNER_MAP of linux/bpf.h: arrays of any length may take the place of this one.
const ANY_LENGTH: usize = 1 << 12;
/// BPF_F_NO_PREALLOC of linux/bpf.h.
const NO_PREALLOC: usize = 1;
const FLOWS: usize = limits::FLOWS_DEFAULT as usize;
const FLOWS_V6: usize = (limits::FLOWS_DEFAULT / limits::FLOWS_V6_SHARE) as usize;
const YOUNG: usize = limits::YOUNG as usize;
const FRAGMENTS: usize = limits::FRAGMENTS as usize;
const ADDRESSES: usize = limits::LISTENER_ADDRESSES as usize;
const LISTENERS: usize = limits::LISTENERS as usize;
const BACKENDS: usize = limits::BACKENDS as usize;
const SOURCES: usize = limits::NAT_SOURCES as usize;
const GUARD_CELLS: usize = limits::GUARDS as usize;
const ALIVE_WORDS: usize = guard::alive::ENTRIES as usize;
const CREDIT_PLACES: usize = limits::CREDITS as usize;
const VLANS: usize = limits::VLAN_DEVICES as usize;
const DROP_REASONS: usize = DropReason::COUNT as usize;
const NOTICE_KINDS: usize = Notice::COUNT as usize;
const SETS: usize = bucket::KEYS_DEFAULT as usize / bucket::WAYS;
const EXEMPTIONS: usize = plan::EXEMPTIONS as usize;
const LIMIT_COUNTERS: usize = plan::LIMITS as usize * plan::MEASURES;

/// What follows the length in an [`ExemptKey`].
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Exempt<A> {
    pub(crate) limit: u32,
    pub(crate) address: A,
}

const _: () = assert!(size_of::<Exempt<Ip6>>() + 4 == size_of::<ExemptKey<Ip6>>());

/// Where a packet's way goes on. The daemon gives each object that it loads one of its own, with the object's programs.
#[btf_map]
pub(crate) static PROGRAMS: ProgramArray<{ Program::SLOTS as usize }> = ProgramArray::new();
#[btf_map]
pub(crate) static SETTINGS: Array<Settings, 1> = Array::new();
#[btf_map]
pub(crate) static FILTER: Array<DestinationFilter, 1> = Array::new();
#[btf_map]
pub(crate) static FLOWS4: HashMap<FlowKey<Ip4>, Flow<Ip4>, FLOWS> = HashMap::new();
#[btf_map]
pub(crate) static FLOWS6: HashMap<FlowKey<Ip6>, Flow<Ip6>, FLOWS_V6> = HashMap::new();
#[btf_map]
pub(crate) static KNOWN: Array<u64, { known::ENTRIES as usize }, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static ROOM: Array<u64, { room::WORDS as usize }, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static YOUNG4: Array<YoungSlot<3>, YOUNG> = Array::new();
#[btf_map]
pub(crate) static YOUNG6: Array<YoungSlot<6>, YOUNG> = Array::new();
#[btf_map]
pub(crate) static YOUNG_REVERSE4: Array<u64, YOUNG> = Array::new();
#[btf_map]
pub(crate) static YOUNG_REVERSE6: Array<u64, YOUNG> = Array::new();
#[btf_map]
pub(crate) static FRAGMENTS4: LruHashMap<FragmentKey<Ip4>, FlowKey<Ip4>, FRAGMENTS> = LruHashMap::new();
#[btf_map]
pub(crate) static FRAGMENTS6: LruHashMap<FragmentKey<Ip6>, FlowKey<Ip6>, FRAGMENTS> = LruHashMap::new();
#[btf_map]
pub(crate) static LISTENERS4: HashMap<ListenerKey<Ip4>, Listener, ADDRESSES> = HashMap::new();
#[btf_map]
pub(crate) static LISTENERS6: HashMap<ListenerKey<Ip6>, Listener, ADDRESSES> = HashMap::new();
#[btf_map]
pub(crate) static LISTENERS_EPOCH: Array<u64, 1> = Array::new();
/// Memory of each CPU, as `WORK` is.
#[btf_map]
pub(crate) static SEEN4: PerCpuArray<Seen<Ip4>, { listener::SEEN as usize }> = PerCpuArray::new();
#[btf_map]
pub(crate) static SEEN6: PerCpuArray<Seen<Ip6>, { listener::SEEN as usize }> = PerCpuArray::new();
#[btf_map]
pub(crate) static LISTENER_NAMES: Array<Name, LISTENERS> = Array::new();
#[btf_map]
pub(crate) static RINGS: ArrayOfMaps<Array<Ring, 1>, LISTENERS> = ArrayOfMaps::new();
#[btf_map]
pub(crate) static BACKENDS4: Array<Backend<Ip4>, BACKENDS> = Array::new();
#[btf_map]
pub(crate) static BACKENDS6: Array<Backend<Ip6>, BACKENDS> = Array::new();
#[btf_map]
pub(crate) static NAT_SOURCES4: Array<NatSource<Ip4>, SOURCES> = Array::new();
#[btf_map]
pub(crate) static NAT_SOURCES6: Array<NatSource<Ip6>, SOURCES> = Array::new();
#[btf_map]
pub(crate) static BACKEND_HOPS: Array<Hop, BACKENDS> = Array::new();
#[btf_map]
pub(crate) static BANS: ArrayOfMaps<
    Array<ban::PlainLine, 1, { MMAPABLE | ANY_LENGTH }>,
    { ban::TABLES as usize },
> = ArrayOfMaps::new();
#[btf_map]
pub(crate) static BAN_NOTES: HashMap<ban::NoteKey, ban::Note, { limits::BAN_NOTES as usize }, NO_PREALLOC> =
    HashMap::new();
#[btf_map]
pub(crate) static BAN_LISTS: Array<ban::ListName, { ban::LIST_NAMES as usize }> = Array::new();
#[btf_map]
pub(crate) static VLAN_DEVICES: HashMap<u32, VlanDevice, VLANS> = HashMap::new();
#[btf_map]
pub(crate) static GUARD_SETTINGS: Array<GuardSettings, 1> = Array::new();
#[btf_map]
pub(crate) static GUARD_RULES: Array<GuardRule, LISTENERS> = Array::new();
#[btf_map]
pub(crate) static GUARDS: Array<Guard, GUARD_CELLS> = Array::new();
#[btf_map]
pub(crate) static ALIVE: Array<u64, ALIVE_WORDS> = Array::new();
#[btf_map]
pub(crate) static CREDIT: Array<u64, CREDIT_PLACES> = Array::new();
/// What each CPU counted, and has not told the others; never pinned.
#[btf_map]
pub(crate) static GATHERED: PerCpuArray<u32, GUARD_CELLS> = PerCpuArray::new();
#[btf_map]
pub(crate) static BUCKETS: Array<BucketSet, SETS, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static SKETCH: Array<u64, { plan::sketch::CELLS as usize }, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static PLANS: Array<Plan, { plan::PLANS as usize }, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static COUNTED: Array<CountedSet, { plan::PLANS as usize }> = Array::new();
#[btf_map]
pub(crate) static EXEMPT4: LpmTrie<Exempt<Ip4>, u32, EXEMPTIONS> = LpmTrie::new();
#[btf_map]
pub(crate) static EXEMPT6: LpmTrie<Exempt<Ip6>, u32, EXEMPTIONS> = LpmTrie::new();
#[btf_map]
pub(crate) static LIMIT_COUNTS: PerCpuArray<LimitCount, LIMIT_COUNTERS> = PerCpuArray::new();
#[btf_map]
pub(crate) static LIMIT_RECORDS: Array<LimitRecord, { plan::LIMITS as usize }> = Array::new();
#[btf_map]
pub(crate) static EVENTS: RingBuf<Event, { limits::EVENTS_BYTES as usize }> = RingBuf::new();
#[btf_map]
pub(crate) static SNI_RULES: Array<PeekRule, LISTENERS> = Array::new();
#[btf_map]
pub(crate) static SNI_NAMES: HashMap<NameKey, NameEntry, { sni::ENTRIES as usize }, NO_PREALLOC> =
    HashMap::new();
#[btf_map]
pub(crate) static SNI_FILTER: Array<NameFilter, 1> = Array::new();
#[btf_map]
pub(crate) static SNI_COUNTS: PerCpuArray<NameCount, { sni::ENTRIES as usize }> = PerCpuArray::new();
#[btf_map]
pub(crate) static SNI_NOTES: LruHashMap<NoteKey, Note, { sni::NOTES as usize }> = LruHashMap::new();
#[btf_map]
pub(crate) static SNI_TRACE: Array<Trace, 1> = Array::new();
#[btf_map]
pub(crate) static SNI_EVENTS: RingBuf<Told, { sni::TOLD_BYTES as usize }> = RingBuf::new();
/// Memory of a packet's way; never pinned, its layout is this program's own.
#[btf_map]
pub(crate) static WORK: PerCpuArray<(Work<Ip4>, Work<Ip6>), 1> = PerCpuArray::new();
#[btf_map]
pub(crate) static SPLICES: Array<Splice, { limits::SPLICES as usize }, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static HELD: RingBuf<HeldFrame<HELD_FRAME>, { limits::HELD_BYTES as usize }> = RingBuf::new();
#[btf_map]
pub(crate) static TRAFFIC: PerCpuArray<Traffic, BACKENDS> = PerCpuArray::new();
#[btf_map]
pub(crate) static DROPS: PerCpuArray<u64, DROP_REASONS> = PerCpuArray::new();
#[btf_map]
pub(crate) static NOTICES: PerCpuArray<u64, NOTICE_KINDS> = PerCpuArray::new();

//! Names of maps and programs, as they are pinned under [`PIN_ROOT`]`/v<ABI_VERSION>/`.

/// Where pins live below the bpffs mount (`/sys/fs/bpf`), one folder a layout.
pub const PIN_ROOT: &str = "proxy-now";
/// The XDP program.
pub const PROGRAM_XDP: &str = "proxy_xdp";
/// The TC program behind it: sends what needs its neighbour resolved.
pub const PROGRAM_TC: &str = "proxy_tc";
/// `ProgramArray`, by [`crate::program::Program::slot`]. Each object that is loaded has one of its own, pinned as this name, a
/// dash, and the map's number.
pub const PROGRAMS: &str = "PROGRAMS";
/// `Array<Settings, 1>`
pub const SETTINGS: &str = "SETTINGS";
/// `Array<DestinationFilter, 1>`
pub const FILTER: &str = "FILTER";
/// `HashMap<FlowKey<Ip4>, Flow<Ip4>>`
pub const FLOWS4: &str = "FLOWS4";
/// `HashMap<FlowKey<Ip6>, Flow<Ip6>>`
pub const FLOWS6: &str = "FLOWS6";
/// `Array<u64>`: [`crate::known`]. The daemon maps it into its memory.
pub const KNOWN: &str = "KNOWN";
/// `Array<u64>`: [`crate::room`]. The daemon maps it into its memory.
pub const ROOM: &str = "ROOM";
/// `Array<YoungSlot<3>>`, indexed by the hash of the client's side.
pub const YOUNG4: &str = "YOUNG4";
/// `Array<YoungSlot<6>>`, indexed by the hash of the client's side.
pub const YOUNG6: &str = "YOUNG6";
/// `Array<u64>`: hash of the backend's side to the index in `YOUNG4`.
pub const YOUNG_REVERSE4: &str = "YOUNG_REVERSE4";
/// `Array<u64>`: hash of the backend's side to the index in `YOUNG6`.
pub const YOUNG_REVERSE6: &str = "YOUNG_REVERSE6";
/// `LruHashMap<FragmentKey<Ip4>, FlowKey<Ip4>>`
pub const FRAGMENTS4: &str = "FRAGMENTS4";
/// `LruHashMap<FragmentKey<Ip6>, FlowKey<Ip6>>`
pub const FRAGMENTS6: &str = "FRAGMENTS6";
/// `HashMap<ListenerKey<Ip4>, Listener>`
pub const LISTENERS4: &str = "LISTENERS4";
/// `HashMap<ListenerKey<Ip6>, Listener>`
pub const LISTENERS6: &str = "LISTENERS6";
/// `Array<u64, 1>`: another number after each change of `LISTENERS4` and `LISTENERS6`.
pub const LISTENERS_EPOCH: &str = "LISTENERS_EPOCH";
/// `Array<Name>`, indexed by `ListenerId`: for the CLI when no daemon runs.
pub const LISTENER_NAMES: &str = "LISTENER_NAMES";
/// `ArrayOfMaps<Array<Ring, 1>>`, indexed by `ListenerId`.
pub const RINGS: &str = "RINGS";
/// `Array<Backend<Ip4>>`, indexed by `BackendId`.
pub const BACKENDS4: &str = "BACKENDS4";
/// `Array<Backend<Ip6>>`, indexed by `BackendId`.
pub const BACKENDS6: &str = "BACKENDS6";
/// `Array<NatSource<Ip4>>`
pub const NAT_SOURCES4: &str = "NAT_SOURCES4";
/// `Array<NatSource<Ip6>>`
pub const NAT_SOURCES6: &str = "NAT_SOURCES6";
/// `Array<Hop>`, indexed by `BackendId`: written by the kernel side.
pub const BACKEND_HOPS: &str = "BACKEND_HOPS";
/// `HashMap<u32, VlanDevice>`: by interface index.
pub const VLAN_DEVICES: &str = "VLAN_DEVICES";
/// `ReusePortSockArray`, indexed by CPU: one of its own for each address.
pub const STEER: &str = "STEER";
/// `Array<u64>`: connections by CPU, all of them, and the number of workers.
pub const STEER_COUNT: &str = "STEER_COUNT";
/// `Array<GuardSettings, 1>`: what the daemon says for all guards.
pub const GUARD_SETTINGS: &str = "GUARD_SETTINGS";
/// `Array<GuardRule>`, indexed by `ListenerId`.
pub const GUARD_RULES: &str = "GUARD_RULES";
/// `Array<Guard>`, indexed by `ListenerId`, and one for ICMP: written by the kernel side.
pub const GUARDS: &str = "GUARDS";
/// `Array<u64>`: sources that are known to be alive.
pub const ALIVE: &str = "ALIVE";
/// `Array<u64>`: bytes that may be answered, by the hash of the source.
pub const CREDIT: &str = "CREDIT";
/// `Array<BucketSet>`: [`crate::bucket`]. The daemon maps it into its memory.
pub const BUCKETS: &str = "BUCKETS";
/// `Array<u64>`: [`crate::plan::sketch`].
pub const SKETCH: &str = "SKETCH";
/// `Array<Plan>`, by number. The daemon maps it into its memory.
pub const PLANS: &str = "PLANS";
/// `Array<CountedSet>`, by number.
pub const COUNTED: &str = "COUNTED";
/// `LpmTrie<ExemptKey<Ip4>, u32>`
pub const EXEMPT4: &str = "EXEMPT4";
/// `LpmTrie<ExemptKey<Ip6>, u32>`
pub const EXEMPT6: &str = "EXEMPT6";
/// `PerCpuArray<LimitCount>`: [`crate::plan::count_index`].
pub const LIMIT_COUNTS: &str = "LIMIT_COUNTS";
/// `Array<LimitRecord>`, by the limit's number.
pub const LIMIT_RECORDS: &str = "LIMIT_RECORDS";
/// `RingBuf<Event>`
pub const EVENTS: &str = "EVENTS";
/// `Array<Splice>`: connections that userspace handed over. The daemon maps it into its memory.
pub const SPLICES: &str = "SPLICES";
/// `RingBuf<HeldFrame<_>>`, of two sizes: frames of connections that are just being handed over.
pub const HELD: &str = "HELD";
/// `PerCpuArray<Traffic>`, indexed by `BackendId`.
pub const TRAFFIC: &str = "TRAFFIC";
/// `PerCpuArray<u64>`, indexed by `DropReason`.
pub const DROPS: &str = "DROPS";
/// `PerCpuArray<u64>`, indexed by `Notice`.
pub const NOTICES: &str = "NOTICES";
/// `Array<PeekRule>`, indexed by `ListenerId`.
pub const SNI_RULES: &str = "SNI_RULES";
/// `HashMap<NameKey, NameEntry>`
pub const SNI_NAMES: &str = "SNI_NAMES";
/// `Array<NameFilter, 1>`: which names may be among them.
pub const SNI_FILTER: &str = "SNI_FILTER";
/// `PerCpuArray<NameCount>`, by the entry's number.
pub const SNI_COUNTS: &str = "SNI_COUNTS";
/// `LruHashMap<NoteKey, Note>`: to the workers.
pub const SNI_NOTES: &str = "SNI_NOTES";
/// `Array<Trace, 1>`: who looks on.
pub const SNI_TRACE: &str = "SNI_TRACE";
/// `RingBuf<Told>`
pub const SNI_EVENTS: &str = "SNI_EVENTS";
/// `ArrayOfMaps<Array<PlainLine>>`, indexed by [`crate::ban::table`]. An entry is absent while it would be empty.
pub const BANS: &str = "BANS";
/// `HashMap<NoteKey, Note>`: for the daemon and the CLI alone.
pub const BAN_NOTES: &str = "BAN_NOTES";
/// `Array<ListName>`: for the daemon and the CLI alone.
pub const BAN_LISTS: &str = "BAN_LISTS";

//! Sizes of every table, by name. A table that is full is counted, and the packet still has a way.

/// Listeners (names, each with any number of addresses).
pub const LISTENERS: u32 = 1024;
/// Addresses that listeners are bound to, per family.
pub const LISTENER_ADDRESSES: u32 = 8192;
/// Backends, counted once for each listener that uses them.
pub const BACKENDS: u32 = 16_384;
/// Source addresses that connections to backends leave from, per family.
pub const NAT_SOURCES: u32 = 1024;
/// Entries of the IPv4 flow table unless the configuration says otherwise. A `nat` flow has two, a `dsr` flow one.
pub const FLOWS_DEFAULT: u32 = 1 << 20;
/// The least and the most that the configuration may ask for.
pub const FLOWS_RANGE: core::ops::RangeInclusive<u32> = 1024..=1 << 26;
/// The IPv6 flow table has a fourth of the IPv4 one's entries.
pub const FLOWS_V6_SHARE: u32 = 4;
/// Slots for young flows, per family. A power of two.
pub const YOUNG: u32 = 1 << 18;
/// Datagrams whose fragments are on their way, per family.
pub const FRAGMENTS: u32 = 8192;
/// VLAN devices of the host.
pub const VLAN_DEVICES: u32 = 4096;
/// Candidate ports tried for a new `nat` flow before it is refused as `ports_exhausted`.
pub const PORT_PROBES: u32 = 16;
/// Sources that are known to be alive. A power of two.
pub const ALIVE: u32 = 1 << 18;
/// Places of credit for what is answered to sources that may be spoofed. A power of two.
pub const CREDITS: u32 = 1 << 16;
/// Guards: one for each listener, and one for ICMP.
pub const GUARDS: u32 = LISTENERS + 1;
/// Bits of the filter that tells at once that a packet is not ours. A power of two.
pub const FILTER_BITS: u32 = 1 << 16;
/// IPv6 extension headers that are walked before a packet is dropped.
pub const IPV6_EXTENSION_HEADERS: u32 = 8;
/// Bytes of the events ring buffer. A power of two.
pub const EVENTS_BYTES: u32 = 1 << 18;
/// Connections that userspace handed over. A power of two.
pub const SPLICES: u32 = 1 << 16;
/// Bytes of the ring buffer of frames that are held while a connection is handed over. A power of two.
pub const HELD_BYTES: u32 = 1 << 20;
/// CPUs whose packets can be given to workers of their own.
pub const STEER_CPUS: u32 = 1024;
/// Limits, by number: as many records, each with its counters.
pub const LIMITS: u32 = 256;
/// What limits count of one listener's packets: so many comparisons a packet at most.
pub const PLAN_RULES: u32 = 8;
/// Keys of limits that are remembered at a time, unless the configuration says otherwise. A power of two.
pub const LIMIT_KEYS_DEFAULT: u32 = 1 << 16;
/// The least and the most that the configuration may ask for.
pub const LIMIT_KEYS_RANGE: core::ops::RangeInclusive<u32> = 1024..=1 << 24;
/// Bans of operators and automatic ones. Prefixes of the configuration and of lists are not counted here.
pub const BAN_NOTES: u32 = 65_536;
/// Prefixes of all lists and of the configuration together.
pub const BAN_PREFIXES: u64 = 1 << 22;

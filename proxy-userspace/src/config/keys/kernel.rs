//! `[kernel]` and `[admin]`.

use std::time::Duration;

use proxy_common::limits::{FLOWS_RANGE, LIMIT_KEYS_RANGE};

use crate::config::kind::{
    FileMode, HostAddress, Interface, Lasting, List, Number, Path, PerSecondOrOff, PortRange, SocketPath,
    Word, Words,
};
use crate::config::model::AttachMode;
use crate::config::table::Presence::{Default, Optional, Required};
use crate::config::table::{Key, Section};

const DAY: Duration = Duration::from_secs(86_400);
const SECOND: Duration = Duration::from_secs(1);

pub(in crate::config) static KERNEL: Section = Section {
    title: "[kernel]",
    meaning: "The part that balances packets in the kernel. Without it nothing is attached, and there can be no \
              listeners.",
    keys: &[
        &INTERFACES,
        &ATTACH,
        &FLOWS,
        &LIMIT_KEYS,
        &NAT_PORTS,
        &NAT_SOURCE,
        &HASH_SEED,
        &TCP_IDLE,
        &TCP_CLOSING,
        &UDP_IDLE,
        &ICMP_LIMIT,
        &PIN_DIR,
    ],
    elsewhere: &[],
};

pub(in crate::config) static INTERFACES: Key<List<Interface>> = Key {
    name: "interfaces",
    kind: List { of: Interface, example: "\"eth0\"" },
    presence: Required,
    meaning: "The interfaces that packets of clients and answers of backends arrive on. Packets leave by any interface.",
    example: "[\"eth0\", \"eth1\"]",
};

pub(in crate::config) static ATTACH: Key<Words<AttachMode>> = Key {
    name: "attach",
    kind: Words {
        allowed: &[
            Word("auto", AttachMode::Auto),
            Word("native", AttachMode::Native),
            Word("generic", AttachMode::Generic),
        ],
        elsewhere: (&[], ""),
    },
    presence: Default("\"auto\""),
    meaning: "How the program is attached: `native` in the driver, `generic` behind it (slower, works everywhere), \
              `auto` native where the driver can, else generic with a warning.",
    example: "\"native\"",
};

pub(in crate::config) static FLOWS: Key<Number> = Key {
    name: "flows",
    kind: Number { low: *FLOWS_RANGE.start() as u64, high: *FLOWS_RANGE.end() as u64 },
    presence: Default("1_048_576"),
    meaning: "Entries of the IPv4 flow table; the IPv6 one has a fourth of them. A `nat` flow takes two entries, a \
              `dsr` flow one. When the table is full, packets are still forwarded, by the ring. A changed value \
              takes effect after `proxy-now detach` and a new start.",
    example: "4_194_304",
};

pub(in crate::config) static LIMIT_KEYS: Key<Number> = Key {
    name: "limit_keys",
    kind: Number { low: *LIMIT_KEYS_RANGE.start() as u64, high: *LIMIT_KEYS_RANGE.end() as u64 },
    presence: Default("65_536"),
    meaning: "Clients, subnets and whatever else limits count apart that are remembered at a time, 48 bytes each; \
              rounded up to a power of two. Only those are remembered who proved that they are alive; when there are \
              more, those are forgotten that have all their credit. A changed value takes effect after \
              `proxy-now detach` and a new start.",
    example: "1_048_576",
};

pub(in crate::config) static NAT_PORTS: Key<PortRange> = Key {
    name: "nat_ports",
    kind: PortRange { low: 1024 },
    presence: Optional(
        "the largest range from 1024 on that the host itself does not use (`ip_local_port_range`)",
    ),
    meaning: "The ports that connections to backends leave from.",
    example: "\"1024-32767\"",
};

pub(in crate::config) static NAT_SOURCE: Key<List<HostAddress>> = Key {
    name: "nat_source",
    kind: List { of: HostAddress, example: "\"10.0.0.5\"" },
    presence: Optional("the address that the route to the backend prefers"),
    meaning: "The addresses of this machine that connections to backends leave from. Each gives as many flows to one \
              backend as `nat_ports` has ports.",
    example: "[\"10.0.0.5\", \"10.0.0.6\"]",
};

pub(in crate::config) static HASH_SEED: Key<Number> = Key {
    name: "hash_seed",
    kind: Number { low: 0, high: i64::MAX as u64 },
    presence: Optional("drawn at random once, and kept for as long as the flow table"),
    meaning: "Seed of the hash that picks a backend. Give balancers that share a router the same one, so that a flow \
              that moves between them keeps its backend.",
    example: "0x1d872b41",
};

pub(in crate::config) static TCP_IDLE: Key<Lasting> = Key {
    name: "tcp_idle",
    kind: Lasting { low: SECOND, high: Duration::from_secs(7 * 86_400) },
    presence: Default("\"1h\""),
    meaning: "A TCP flow without packets is forgotten after this.",
    example: "\"2h30m\"",
};

pub(in crate::config) static TCP_CLOSING: Key<Lasting> = Key {
    name: "tcp_closing",
    kind: Lasting { low: SECOND, high: DAY },
    presence: Default("\"60s\""),
    meaning: "A TCP flow that both sides closed, or one reset, is forgotten after this.",
    example: "\"30s\"",
};

pub(in crate::config) static UDP_IDLE: Key<Lasting> = Key {
    name: "udp_idle",
    kind: Lasting { low: SECOND, high: DAY },
    presence: Default("\"2m\""),
    meaning: "A UDP flow without packets is forgotten after this.",
    example: "\"30s\"",
};

pub(in crate::config) static ICMP_LIMIT: Key<PerSecondOrOff> = Key {
    name: "icmp_limit",
    kind: PerSecondOrOff { high: 100_000_000 },
    presence: Default("\"1000/s\""),
    meaning: "ICMP messages a second to addresses of listeners that nobody asked for: pings, mostly. What is more is dropped. \
              Errors and neighbour discovery do not count. `\"off\"`: any number.",
    example: "\"100/s\"",
};

pub(in crate::config) static PIN_DIR: Key<Path> = Key {
    name: "pin_dir",
    kind: Path,
    presence: Default("\"/sys/fs/bpf/proxy-now\""),
    meaning: "Where maps and links are pinned, on a bpffs, so that they outlive the daemon. Two daemons on one \
              machine need two.",
    example: "\"/sys/fs/bpf/edge\"",
};

pub(in crate::config) static ADMIN: Section = Section {
    title: "[admin]",
    meaning: "How the command line reaches the daemon.",
    keys: &[&SOCKET, &MODE, &AUDIT_LOG],
    elsewhere: &[],
};

pub(in crate::config) static SOCKET: Key<SocketPath> = Key {
    name: "socket",
    kind: SocketPath,
    presence: Default("\"/run/proxy-now/admin.sock\""),
    meaning: "The Unix socket (HTTP and JSON). Other commands find it by `--socket` or `PROXY_NOW_SOCKET`.",
    example: "\"/run/edge/admin.sock\"",
};

pub(in crate::config) static MODE: Key<FileMode> = Key {
    name: "mode",
    kind: FileMode,
    presence: Default("\"0660\""),
    meaning: "The socket's permission bits: who may write may reload and drain.",
    example: "\"0600\"",
};

pub(in crate::config) static AUDIT_LOG: Key<Path> = Key {
    name: "audit_log",
    kind: Path,
    presence: Optional("in the log alone"),
    meaning: "A file that says, in a line of JSON each, which limits and bans were changed by whom, when, from what to \
              what.",
    example: "\"/var/log/proxy-now/audit.log\"",
};

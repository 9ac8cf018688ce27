//! Every key of `proxy.toml`, once: name, kind, default, meaning, example.

use std::time::Duration;

use proxy_common::limits::FLOWS_RANGE;

use super::kind::{
    BackendAddress, Bind, FileMode, Flag, HostAddress, HostName, HttpPath, Interface, Lasting, List, Name,
    Number, OneOrMore, Path, Port, PortRange, Share, SocketPath, StatusRange, Word, Words,
};
use super::model::{AttachMode, Forward, Protocol};
use super::nested::{AddressOr, Nested};
use super::table::Presence::{Default, Optional, Required};
use super::table::{Key, Section};

const DAY: Duration = Duration::from_secs(86_400);
const SECOND: Duration = Duration::from_secs(1);

/// The tables of the file, in the order of the reference.
pub(super) static SECTIONS: [&Section; 4] = [&KERNEL, &ADMIN, &LISTENER, &POOL];

/// Tables that later versions have, and this one says so.
pub(super) const SECTIONS_ELSEWHERE: [(&str, &str); 3] = [
    ("route", "routes are for protocol \"https\" and \"http\""),
    ("acme", "certificates are for protocol \"https\""),
    ("limit", "limits are not enforced yet"),
];

const THIS_BUILD: &str = "this build balances tcp and udp in the kernel, and nothing else yet";

pub(super) static KERNEL: Section = Section {
    title: "[kernel]",
    meaning: "The part that balances packets in the kernel. Without it nothing is attached, and there can be no \
              listeners.",
    keys: &[
        &INTERFACES,
        &ATTACH,
        &FLOWS,
        &NAT_PORTS,
        &NAT_SOURCE,
        &HASH_SEED,
        &TCP_IDLE,
        &TCP_CLOSING,
        &UDP_IDLE,
        &PIN_DIR,
    ],
};

pub(super) static INTERFACES: Key<List<Interface>> = Key {
    name: "interfaces",
    kind: List { of: Interface, example: "\"eth0\"" },
    presence: Required,
    meaning: "The interfaces that packets of clients and answers of backends arrive on. Packets leave by any interface.",
    example: "[\"eth0\", \"eth1\"]",
};

pub(super) static ATTACH: Key<Words<AttachMode>> = Key {
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

pub(super) static FLOWS: Key<Number> = Key {
    name: "flows",
    kind: Number { low: *FLOWS_RANGE.start() as u64, high: *FLOWS_RANGE.end() as u64 },
    presence: Default("1_048_576"),
    meaning: "Entries of the IPv4 flow table; the IPv6 one has a fourth of them. A `nat` flow takes two entries, a \
              `dsr` flow one. When the table is full, packets are still forwarded, by the ring. A changed value \
              takes effect after `proxy-now detach` and a new start.",
    example: "4_194_304",
};

pub(super) static NAT_PORTS: Key<PortRange> = Key {
    name: "nat_ports",
    kind: PortRange { low: 1024 },
    presence: Optional(
        "the largest range from 1024 on that the host itself does not use (`ip_local_port_range`)",
    ),
    meaning: "The ports that connections to backends leave from.",
    example: "\"1024-32767\"",
};

pub(super) static NAT_SOURCE: Key<List<HostAddress>> = Key {
    name: "nat_source",
    kind: List { of: HostAddress, example: "\"10.0.0.5\"" },
    presence: Optional("the address that the route to the backend prefers"),
    meaning: "The addresses of this machine that connections to backends leave from. Each gives as many flows to one \
              backend as `nat_ports` has ports.",
    example: "[\"10.0.0.5\", \"10.0.0.6\"]",
};

pub(super) static HASH_SEED: Key<Number> = Key {
    name: "hash_seed",
    kind: Number { low: 0, high: i64::MAX as u64 },
    presence: Optional("drawn at random once, and kept for as long as the flow table"),
    meaning: "Seed of the hash that picks a backend. Give balancers that share a router the same one, so that a flow \
              that moves between them keeps its backend.",
    example: "0x1d872b41",
};

pub(super) static TCP_IDLE: Key<Lasting> = Key {
    name: "tcp_idle",
    kind: Lasting { low: SECOND, high: Duration::from_secs(7 * 86_400) },
    presence: Default("\"1h\""),
    meaning: "A TCP flow without packets is forgotten after this.",
    example: "\"2h30m\"",
};

pub(super) static TCP_CLOSING: Key<Lasting> = Key {
    name: "tcp_closing",
    kind: Lasting { low: SECOND, high: DAY },
    presence: Default("\"60s\""),
    meaning: "A TCP flow that both sides closed, or one reset, is forgotten after this.",
    example: "\"30s\"",
};

pub(super) static UDP_IDLE: Key<Lasting> = Key {
    name: "udp_idle",
    kind: Lasting { low: SECOND, high: DAY },
    presence: Default("\"2m\""),
    meaning: "A UDP flow without packets is forgotten after this.",
    example: "\"30s\"",
};

pub(super) static PIN_DIR: Key<Path> = Key {
    name: "pin_dir",
    kind: Path,
    presence: Default("\"/sys/fs/bpf/proxy-now\""),
    meaning: "Where maps and links are pinned, on a bpffs, so that they outlive the daemon. Two daemons on one \
              machine need two.",
    example: "\"/sys/fs/bpf/edge\"",
};

pub(super) static ADMIN: Section = Section {
    title: "[admin]",
    meaning: "How the command line reaches the daemon.",
    keys: &[&SOCKET, &MODE],
};

pub(super) static SOCKET: Key<SocketPath> = Key {
    name: "socket",
    kind: SocketPath,
    presence: Default("\"/run/proxy-now/admin.sock\""),
    meaning: "The Unix socket (HTTP and JSON). Other commands find it by `--socket` or `PROXY_NOW_SOCKET`.",
    example: "\"/run/edge/admin.sock\"",
};

pub(super) static MODE: Key<FileMode> = Key {
    name: "mode",
    kind: FileMode,
    presence: Default("\"0660\""),
    meaning: "The socket's permission bits: who may write may reload and drain.",
    example: "\"0600\"",
};

pub(super) static LISTENER: Section = Section {
    title: "[listener.NAME]",
    meaning: "What clients connect to. One that is bound to addresses of both families is shown as two, `NAME.v4` and \
              `NAME.v6`: IPv4 clients go to the pool's IPv4 backends, IPv6 clients to its IPv6 backends.",
    keys: &[&BIND, &PROTOCOL, &LISTENER_POOL, &FORWARD],
};

pub(super) static BIND: Key<List<Bind>> = Key {
    name: "bind",
    kind: List { of: Bind, example: "\"203.0.113.10:443\"" },
    presence: Required,
    meaning: "The addresses and ports that clients connect to. No wildcards. They need not be configured on an \
              interface of this machine, but clients' packets must be routed to it. `dsr` wants one and the same port.",
    example: "[\"203.0.113.10:443\", \"[2001:db8::10]:443\"]",
};

pub(super) static PROTOCOL: Key<Words<Protocol>> = Key {
    name: "protocol",
    kind: Words {
        allowed: &[Word("tcp", Protocol::Tcp), Word("udp", Protocol::Udp)],
        elsewhere: (&["tls", "http", "https"], THIS_BUILD),
    },
    presence: Required,
    meaning: "What is balanced: `tcp` connections or `udp` datagrams.",
    example: "\"tcp\"",
};

pub(super) static LISTENER_POOL: Key<Name> = Key {
    name: "pool",
    kind: Name,
    presence: Required,
    meaning: "The pool that answers.",
    example: "\"app\"",
};

pub(super) static FORWARD: Key<Words<Forward>> = Key {
    name: "forward",
    kind: Words {
        allowed: &[Word("nat", Forward::Nat), Word("dsr", Forward::Dsr)],
        elsewhere: (&["ipip", "gue"], "this build forwards by nat and dsr only"),
    },
    presence: Default("\"nat\""),
    meaning: "How packets get to the backend. `nat`: both addresses change, backends can be anywhere, answers come back \
              through the balancer. `dsr`: only link-layer addresses change; backends are on the same layer 2, hold \
              the listener's address themselves and answer clients directly.",
    example: "\"dsr\"",
};

pub(super) static POOL: Section = Section {
    title: "[pool.NAME]",
    meaning: "The backends of a service.",
    keys: &[&BACKENDS, &BALANCE, &HEALTH],
};

pub(super) static BACKENDS: Key<List<AddressOr>> = Key {
    name: "backends",
    kind: List { of: AddressOr(&BACKEND_SECTION), example: "\"10.0.0.11:8080\"" },
    presence: Required,
    meaning: "Each is an address with its port, or a table (below). Behind `dsr` the port is the listener's and can be \
              left out.",
    example: "[\"10.0.0.11:8080\", { address = \"10.0.0.12:8080\", weight = 2 }]",
};

pub(super) static BALANCE: Key<Words<()>> = Key {
    name: "balance",
    kind: Words {
        allowed: &[Word("maglev", ())],
        elsewhere: (
            &["round-robin", "least-connections", "p2c", "random"],
            "tcp and udp listeners are balanced by \"maglev\" only",
        ),
    },
    presence: Default("\"maglev\""),
    meaning: "How a new flow finds its backend. `maglev`: by consistent hashing, so that a backend that comes or goes \
              moves hardly any flow but its own.",
    example: "\"maglev\"",
};

pub(super) static HEALTH: Key<Nested> = Key {
    name: "health",
    kind: Nested(&HEALTH_SECTION),
    presence: Optional("backends are not checked and taken to be well"),
    meaning: "How backends are checked.",
    example: "{ http = \"/healthz\", interval = \"2s\" }",
};

pub(super) static BACKEND_SECTION: Section = Section {
    title: "backends = [{ … }]",
    meaning: "A backend with more to say than its address.",
    keys: &[&ADDRESS, &WEIGHT, &DRAIN],
};

pub(super) static ADDRESS: Key<BackendAddress> = Key {
    name: "address",
    kind: BackendAddress,
    presence: Required,
    meaning: "Address and port.",
    example: "\"10.0.0.12:8080\"",
};

pub(super) static WEIGHT: Key<Number> = Key {
    name: "weight",
    kind: Number { low: 0, high: u16::MAX as u64 },
    presence: Default("1"),
    meaning: "Its share of new flows, relative to the other backends' weights. 0: no new flows.",
    example: "2",
};

pub(super) static DRAIN: Key<Flag> = Key {
    name: "drain",
    kind: Flag,
    presence: Default("false"),
    meaning: "No new flows; flows that it has stay until they end.",
    example: "true",
};

pub(super) static HEALTH_SECTION: Section = Section {
    title: "health = { … }",
    meaning: "A check of every backend, again and again. Exactly one of `tcp`, `http` and `https` says what is asked.",
    keys: &[&TCP, &HTTP, &HTTPS, &HOST, &STATUS, &VERIFY, &PORT, &INTERVAL, &TIMEOUT, &RISE, &FALL, &JITTER],
};

pub(super) static TCP: Key<Flag> = Key {
    name: "tcp",
    kind: Flag,
    presence: Optional("another check"),
    meaning: "Whether the backend takes a TCP connection. Always `true`.",
    example: "true",
};

pub(super) static HTTP: Key<HttpPath> = Key {
    name: "http",
    kind: HttpPath,
    presence: Optional("another check"),
    meaning: "Path of a GET that must be answered with a good status.",
    example: "\"/healthz\"",
};

pub(super) static HTTPS: Key<HttpPath> = Key {
    name: "https",
    kind: HttpPath,
    presence: Optional("another check"),
    meaning: "The same, by TLS.",
    example: "\"/healthz\"",
};

pub(super) static HOST: Key<HostName> = Key {
    name: "host",
    kind: HostName,
    presence: Optional("the backend's address"),
    meaning: "Host header of the request, and with `https` the server name.",
    example: "\"app.example.com\"",
};

pub(super) static STATUS: Key<OneOrMore<StatusRange>> = Key {
    name: "status",
    kind: OneOrMore(List { of: StatusRange, example: "\"200-299\"" }),
    presence: Default("\"200-399\""),
    meaning: "The statuses that are good: a number, a range, or a list of them.",
    example: "[200, 204, \"300-399\"]",
};

pub(super) static VERIFY: Key<Flag> = Key {
    name: "verify",
    kind: Flag,
    presence: Default("true"),
    meaning: "`https` only: whether the backend's certificate must be valid for `host`, by a root this machine trusts.",
    example: "false",
};

pub(super) static PORT: Key<Port> = Key {
    name: "port",
    kind: Port,
    presence: Optional("the backend's port"),
    meaning: "The port that is asked. Needed where backends have none, and for `http` checks of a pool behind a `udp` \
              listener.",
    example: "8081",
};

pub(super) static INTERVAL: Key<Lasting> = Key {
    name: "interval",
    kind: Lasting { low: Duration::from_millis(100), high: DAY },
    presence: Default("\"2s\""),
    meaning: "From one check of a backend to the next.",
    example: "\"500ms\"",
};

pub(super) static TIMEOUT: Key<Lasting> = Key {
    name: "timeout",
    kind: Lasting { low: Duration::from_millis(10), high: DAY },
    presence: Default("\"1s\""),
    meaning: "A check that takes longer has failed. Not longer than `interval`; where `interval` is shorter than the \
              default, it is `interval`.",
    example: "\"250ms\"",
};

pub(super) static RISE: Key<Number> = Key {
    name: "rise",
    kind: Number { low: 1, high: 100 },
    presence: Default("2"),
    meaning: "Good checks in a row before a backend that was down gets new flows again.",
    example: "3",
};

pub(super) static FALL: Key<Number> = Key {
    name: "fall",
    kind: Number { low: 1, high: 100 },
    presence: Default("1"),
    meaning: "Failed checks in a row before a backend gets no more new flows.",
    example: "3",
};

pub(super) static JITTER: Key<Share> = Key {
    name: "jitter",
    kind: Share { most: 0.5 },
    presence: Default("0.1"),
    meaning: "Each interval is longer or shorter by up to this share of itself, so that checks do not come in waves.",
    example: "0.2",
};

//! `[limit.NAME]`.

use ipnet::IpNet;

use crate::config::kind::{
    LISTENER_NAME, List, NETWORK, Name, Number, OneOrMore, PER, Parsed, PlainText, RateOf, Word, Words,
};
use crate::config::limit::{LimitAction, Measure, Per};
use crate::config::table::Presence::{Default, Optional};
use crate::config::table::{Key, Section};

pub(in crate::config) static LIMIT: Section = Section {
    title: "[limit.NAME]",
    meaning: "How much is let through. A limit counts at least one of `packets`, `bytes`, `connections`, `concurrent`, \
              `requests`, `handshakes` and `bandwidth`, each by itself. The first four are kept in the kernel, before \
              anything else is done for a packet, the others by the workers. A rate is `\"COUNT/PERIOD\"`, with \
              `s`, `m`, `h` or `d`, and it may say how much can come at once: `\"100/s burst 200\"`. Without that it is a \
              fiftieth of what a second brings, and at least 1, of bytes at least 64 KiB. `proxy-now limit set` changes \
              a running limit, `proxy-now limit try` tells what it would have refused.",
    keys: &[
        &LISTENERS,
        &ROUTES,
        &PER_IS,
        &PACKETS,
        &BYTES,
        &CONNECTIONS,
        &CONCURRENT,
        &REQUESTS,
        &HANDSHAKES,
        &BANDWIDTH,
        &ACTION,
        &EXEMPT,
    ],
    elsewhere: &[],
};

pub(in crate::config) static LISTENERS: Key<OneOrMore<PlainText>> = Key {
    name: "listener",
    kind: OneOrMore(List { of: LISTENER_NAME, example: "\"web\"" }),
    presence: Optional("all listeners that have what is counted"),
    meaning: "The listeners that it holds for. Of one that is bound to both families, `NAME.v4` and `NAME.v6` are its \
              halves.",
    example: "[\"web\", \"dns.v4\"]",
};

pub(in crate::config) static ROUTES: Key<OneOrMore<Name>> = Key {
    name: "route",
    kind: OneOrMore(List { of: Name, example: "\"api\"" }),
    presence: Optional("all routes"),
    meaning: "`requests`, `bandwidth`: the routes that it holds for, by name.",
    example: "\"api\"",
};

pub(in crate::config) static PER_IS: Key<Parsed<Per>> = Key {
    name: "per",
    kind: PER,
    presence: Default("\"ip\""),
    meaning: "Whose traffic is counted together: each `ip`; `subnet/24` or `subnet/24/56`, addresses with these first \
              bits in common (of IPv6 64 if it is not said); each `listener`; each `backend` of a listener; each name \
              (`sni`) or fingerprint (`ja4`) of TLS clients; each `route`; requests with the same `header.NAME` or \
              `cookie.NAME`; or a text with variables, such as `\"{client_ip} {header.x-user}\"`. Packets and bytes \
              know addresses, listeners and backends only.",
    example: "\"subnet/24/56\"",
};

pub(in crate::config) static PACKETS: Key<RateOf> = Key {
    name: "packets",
    kind: RateOf(Measure::Packets),
    presence: Optional("any number"),
    meaning: "Packets from clients. In the kernel, for all listeners with an address.",
    example: "\"10000/s\"",
};

pub(in crate::config) static BYTES: Key<RateOf> = Key {
    name: "bytes",
    kind: RateOf(Measure::Bytes),
    presence: Optional("any number"),
    meaning: "Bytes of packets from clients, with their headers. In the kernel.",
    example: "\"10MB/s burst 20MB\"",
};

pub(in crate::config) static CONNECTIONS: Key<RateOf> = Key {
    name: "connections",
    kind: RateOf(Measure::Connections),
    presence: Optional("any number"),
    meaning: "New connections and UDP flows. In the kernel where there is one, else when they are accepted.",
    example: "\"50/s burst 100\"",
};

pub(in crate::config) static CONCURRENT: Key<Number> = Key {
    name: "concurrent",
    kind: Number { low: 1, high: i64::MAX as u64 },
    presence: Optional("any number"),
    meaning: "Connections and UDP flows at a time.",
    example: "200",
};

pub(in crate::config) static REQUESTS: Key<RateOf> = Key {
    name: "requests",
    kind: RateOf(Measure::Requests),
    presence: Optional("any number"),
    meaning: "Requests of `http` and `https` listeners.",
    example: "\"100/s burst 200\"",
};

pub(in crate::config) static HANDSHAKES: Key<RateOf> = Key {
    name: "handshakes",
    kind: RateOf(Measure::Handshakes),
    presence: Optional("any number"),
    meaning: "TLS handshakes that clients of `https` listeners begin.",
    example: "\"20/s\"",
};

pub(in crate::config) static BANDWIDTH: Key<RateOf> = Key {
    name: "bandwidth",
    kind: RateOf(Measure::Bandwidth),
    presence: Optional("any number"),
    meaning: "Bytes of bodies of requests and answers, both ways together. They wait; nothing is refused.",
    example: "\"5MB/s burst 10MB\"",
};

pub(in crate::config) static ACTION: Key<Words<LimitAction>> = Key {
    name: "action",
    kind: Words {
        allowed: &[
            Word("auto", LimitAction::Auto),
            Word("drop", LimitAction::Drop),
            Word("reset", LimitAction::Reset),
            Word("close", LimitAction::Close),
            Word("reply", LimitAction::Reply),
            Word("observe", LimitAction::Observe),
        ],
        elsewhere: (&[], ""),
    },
    presence: Default("\"auto\""),
    meaning: "What happens to what is too much: `drop`, without a word; `reset`, with a TCP RST; `close`, the connection \
              is closed; `reply`, 429 with `Retry-After` and `RateLimit`; `observe`, it is counted and let through, to \
              try a limit before it bites. `auto` is `reply` for requests, `close` for handshakes and connections that \
              were accepted, `drop` in the kernel.",
    example: "\"observe\"",
};

pub(in crate::config) static EXEMPT: Key<OneOrMore<Parsed<IpNet>>> = Key {
    name: "exempt",
    kind: OneOrMore(List { of: NETWORK, example: "\"10.0.0.0/8\"" }),
    presence: Optional("nobody"),
    meaning: "Clients that it does not hold for, by address or network.",
    example: "[\"10.0.0.0/8\", \"2001:db8::/32\"]",
};

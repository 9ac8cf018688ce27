//! What a pool does with requests of `http` listeners.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

use crate::config::kind::{
    COOKIE_NAME, FIELD_NAME, FIELD_VALUE, Lasting, List, METHOD, Number, OneOrMore, Parsed, PlainText,
    RetryOn, Share, Size, Word, Words,
};
use crate::config::nested::{Nested, OrFalse, ShortOr};
use crate::config::table::Presence::{Default, Optional, Required};
use crate::config::table::{Key, Section};
use crate::config::web_pool::ProxyProtocolVersion;

const DAY: Duration = Duration::from_secs(86_400);
const TIMEOUT: Lasting = Lasting { low: Duration::from_millis(1), high: DAY };

/// What `balance` can be, in one word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::config) enum BalanceWord {
    RoundRobin,
    LeastConnections,
    P2c,
    Maglev,
    Random,
}

pub(in crate::config) static BALANCE: Key<ShortOr<Words<BalanceWord>>> = Key {
    name: "balance",
    kind: ShortOr(
        Words {
            allowed: &[
                Word("round-robin", BalanceWord::RoundRobin),
                Word("least-connections", BalanceWord::LeastConnections),
                Word("p2c", BalanceWord::P2c),
                Word("maglev", BalanceWord::Maglev),
                Word("random", BalanceWord::Random),
            ],
            elsewhere: (&[], ""),
        },
        &BALANCE_SECTION,
    ),
    presence: Optional("`tcp` and `udp`: `maglev`; `http`: `round-robin`"),
    meaning: "Who gets the next flow or request. `maglev`: by consistent hashing, so that a backend that comes or goes \
              moves hardly any flow but its own; of requests the client's address is hashed, or what the table says. \
              `tcp` and `udp` listeners know only that. `round-robin`: in turn. `least-connections`: the backend with \
              the fewest requests under way. `p2c`: of two at random the one that answers faster and has less to do. \
              `random`. Weights count in each.",
    example: "\"p2c\"",
};

pub(in crate::config) static BALANCE_SECTION: Section = Section {
    title: "balance = { maglev = … }",
    meaning: "The same key gets the same backend.",
    keys: &[&MAGLEV],
    elsewhere: &[],
};

pub(in crate::config) static MAGLEV: Key<ShortOr<Words<HashWord>>> = Key {
    name: "maglev",
    kind: ShortOr(
        Words {
            allowed: &[Word("client_ip", HashWord::ClientIp), Word("uri", HashWord::Uri)],
            elsewhere: (&[], ""),
        },
        &HASH_SECTION,
    ),
    presence: Required,
    meaning: "What is hashed: `client_ip`, `uri` (path and query), or one field or cookie. A request without it is \
              hashed by the client's address.",
    example: "{ cookie = \"session\" }",
};

/// What is hashed, in one word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::config) enum HashWord {
    ClientIp,
    Uri,
}

pub(in crate::config) static HASH_SECTION: Section = Section {
    title: "maglev = { … }",
    meaning: "A field or a cookie that is hashed: one of them.",
    keys: &[&HASH_HEADER, &HASH_COOKIE],
    elsewhere: &[],
};

pub(in crate::config) static HASH_HEADER: Key<Parsed<HeaderName>> = Key {
    name: "header",
    kind: FIELD_NAME,
    presence: Optional("a cookie"),
    meaning: "The field's name.",
    example: "\"x-user\"",
};

pub(in crate::config) static HASH_COOKIE: Key<PlainText> = Key {
    name: "cookie",
    kind: COOKIE_NAME,
    presence: Optional("a field"),
    meaning: "The cookie's name.",
    example: "\"session\"",
};

/// What is spoken with backends, in a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::config) enum ProtocolWord {
    Http1,
    H2c,
    H2,
}

pub(in crate::config) static POOL_PROTOCOL: Key<Words<ProtocolWord>> = Key {
    name: "protocol",
    kind: Words {
        allowed: &[
            Word("http1", ProtocolWord::Http1),
            Word("h2c", ProtocolWord::H2c),
            Word("h2", ProtocolWord::H2),
        ],
        elsewhere: (&["http", "https", "tls"], "TLS to backends is said by tls = true"),
    },
    presence: Optional("`http1`; with `tls`, what the backend chooses"),
    meaning: "What is spoken with backends: `http1`, HTTP/1.1; `h2c`, HTTP/2 with prior knowledge, which gRPC needs. With \
              `tls`, backends choose HTTP/2 or HTTP/1.1 in the handshake (ALPN), unless `http1` or `h2` says which.",
    example: "\"h2c\"",
};

pub(in crate::config) static TIMEOUTS: Key<Nested> = Key {
    name: "timeout",
    kind: Nested(&TIMEOUT_SECTION),
    presence: Optional("each has its default (below)"),
    meaning: "How long the steps of a request may take.",
    example: "{ connect = \"1s\", request = \"30s\" }",
};

pub(in crate::config) static TIMEOUT_SECTION: Section = Section {
    title: "timeout = { … }",
    meaning: "When one has passed, the request is tried again where `retry` says so, else answered 504, or 503 for \
              `queue`.",
    keys: &[&CONNECT, &FIRST_BYTE, &IDLE, &REQUEST, &QUEUE],
    elsewhere: &[],
};

pub(in crate::config) static CONNECT: Key<Lasting> = Key {
    name: "connect",
    kind: TIMEOUT,
    presence: Default("\"5s\""),
    meaning: "Until a connection to the backend is there.",
    example: "\"500ms\"",
};

pub(in crate::config) static FIRST_BYTE: Key<Lasting> = Key {
    name: "first_byte",
    kind: TIMEOUT,
    presence: Default("\"60s\""),
    meaning: "From the request's end to the head of the answer.",
    example: "\"5m\"",
};

pub(in crate::config) static IDLE: Key<Lasting> = Key {
    name: "idle",
    kind: TIMEOUT,
    presence: Default("\"60s\""),
    meaning: "Between two pieces of the answer, or of what goes through a tunnel (WebSocket).",
    example: "\"1h\"",
};

pub(in crate::config) static REQUEST: Key<Lasting> = Key {
    name: "request",
    kind: TIMEOUT,
    presence: Optional("any time"),
    meaning: "The whole exchange, with all tries and the answer's body. A route's `timeout` goes before it.",
    example: "\"30s\"",
};

pub(in crate::config) static QUEUE: Key<Lasting> = Key {
    name: "queue",
    kind: TIMEOUT,
    presence: Default("\"5s\""),
    meaning: "How long a request waits for a connection when `max_connections` are in use.",
    example: "\"1s\"",
};

pub(in crate::config) static MAX_CONNECTIONS: Key<Number> = Key {
    name: "max_connections",
    kind: Number { low: 1, high: u32::MAX as u64 },
    presence: Default("10_000"),
    meaning: "Connections to one backend at a time; with `h2c` requests.",
    example: "200",
};

pub(in crate::config) static MAX_QUEUE: Key<Number> = Key {
    name: "max_queue",
    kind: Number { low: 0, high: u32::MAX as u64 },
    presence: Default("1_000"),
    meaning: "Requests that may wait for a connection; more are answered 503.",
    example: "0",
};

pub(in crate::config) static KEEPALIVE: Key<Lasting> = Key {
    name: "keepalive",
    kind: Lasting { low: Duration::ZERO, high: DAY },
    presence: Default("\"60s\""),
    meaning: "A connection without requests is closed after this. Shorter than what the backend does is best.",
    example: "\"15s\"",
};

pub(in crate::config) static KEEPALIVE_CONNECTIONS: Key<Number> = Key {
    name: "keepalive_connections",
    kind: Number { low: 0, high: 1 << 20 },
    presence: Default("256"),
    meaning: "Connections without requests that each worker keeps for one backend. 0: a new one for every request.",
    example: "32",
};

pub(in crate::config) static SEND_PROXY_PROTOCOL: Key<Words<ProxyProtocolVersion>> = Key {
    name: "send_proxy_protocol",
    kind: Words {
        allowed: &[Word("v1", ProxyProtocolVersion::V1), Word("v2", ProxyProtocolVersion::V2)],
        elsewhere: (&[], ""),
    },
    presence: Optional("none"),
    meaning: "Connections to backends begin with a PROXY protocol header of this version, and serve one request \
              each.",
    example: "\"v2\"",
};

pub(in crate::config) static RETRY: Key<OrFalse<Nested>> = Key {
    name: "retry",
    kind: OrFalse(Nested(&RETRY_SECTION)),
    presence: Optional("what is safe (below)"),
    meaning: "What is tried again, at another backend if there is one. `false`: nothing.",
    example: "{ attempts = 1, on = [\"connect\", 503] }",
};

pub(in crate::config) static RETRY_SECTION: Section = Section {
    title: "retry = { … }",
    meaning: "A request is tried again only while its body can be sent again and nothing of an answer was passed on.",
    keys: &[&ATTEMPTS, &ON, &METHODS, &BUDGET, &BODY_BYTES],
    elsewhere: &[],
};

pub(in crate::config) static ATTEMPTS: Key<Number> = Key {
    name: "attempts",
    kind: Number { low: 0, high: 16 },
    presence: Default("2"),
    meaning: "Tries after the first.",
    example: "1",
};

pub(in crate::config) static ON: Key<OneOrMore<RetryOn>> = Key {
    name: "on",
    kind: OneOrMore(List { of: RetryOn, example: "\"connect\"" }),
    presence: Default("[\"connect\", \"reset\"]"),
    meaning: "`connect`: no connection came about, or an idle one was closed: nothing was processed. `reset`: the \
              connection broke after the request was sent. `timeout`: no answer within `timeout.first_byte`. A \
              status: the backend answered with it. All but `connect` only for `methods`.",
    example: "[\"connect\", \"reset\", \"timeout\", 502, 503]",
};

pub(in crate::config) static METHODS: Key<OneOrMore<Parsed<Method>>> = Key {
    name: "methods",
    kind: OneOrMore(List { of: METHOD, example: "\"GET\"" }),
    presence: Default("[\"GET\", \"HEAD\", \"OPTIONS\", \"TRACE\", \"PUT\", \"DELETE\"]"),
    meaning: "Methods that may be repeated though the first try may have been processed.",
    example: "[\"GET\", \"HEAD\"]",
};

pub(in crate::config) static BUDGET: Key<Share> = Key {
    name: "budget",
    kind: Share { most: 1.0 },
    presence: Default("0.2"),
    meaning: "Retries of the pool are at most this share of its requests under way, or 3 if that is more.",
    example: "0.1",
};

pub(in crate::config) static BODY_BYTES: Key<Size> = Key {
    name: "body_bytes",
    kind: Size { low: 0, high: 16 << 20 },
    presence: Default("\"64KiB\""),
    meaning: "Bytes of a body that are kept so that they can be sent again; a request with more is tried again only \
              before its body was begun.",
    example: "\"16KiB\"",
};

pub(in crate::config) static EJECT: Key<OrFalse<Nested>> = Key {
    name: "eject",
    kind: OrFalse(Nested(&EJECT_SECTION)),
    presence: Optional("as below"),
    meaning: "When a backend that fails gets no requests for a while. `false`: never.",
    example: "{ failures = 10, for = \"30s\" }",
};

pub(in crate::config) static EJECT_SECTION: Section = Section {
    title: "eject = { … }",
    meaning: "A failure is: no connection, a reset, a timeout, or an answer 502, 503 or 504.",
    keys: &[&FAILURES, &FOR, &MAX_SHARE],
    elsewhere: &[],
};

pub(in crate::config) static FAILURES: Key<Number> = Key {
    name: "failures",
    kind: Number { low: 1, high: 10_000 },
    presence: Default("5"),
    meaning: "Failures in a row after which a backend is left alone.",
    example: "3",
};

pub(in crate::config) static FOR: Key<Lasting> = Key {
    name: "for",
    kind: Lasting { low: Duration::from_millis(100), high: Duration::from_secs(300) },
    presence: Default("\"10s\""),
    meaning: "For this long; each time twice as long as before, up to 5 minutes.",
    example: "\"30s\"",
};

pub(in crate::config) static MAX_SHARE: Key<Share> = Key {
    name: "max_share",
    kind: Share { most: 1.0 },
    presence: Default("0.5"),
    meaning: "No more than this share of the pool's backends is left alone at a time.",
    example: "0.3",
};

pub(in crate::config) static POOL_HOST: Key<Parsed<HeaderValue>> = Key {
    name: "host",
    kind: FIELD_VALUE,
    presence: Optional("what the client wrote"),
    meaning: "The Host that backends are sent.",
    example: "\"app.internal\"",
};

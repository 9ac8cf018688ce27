//! `limits = { … }` of a listener.

use std::time::Duration;

use crate::config::kind::{Lasting, Number, Size};
use crate::config::table::Presence::{Default, Optional};
use crate::config::table::{Key, Section};

const RELAYED: Lasting = Lasting { low: Duration::from_millis(10), high: Duration::from_secs(30 * 86_400) };
const TIMEOUT: Lasting = Lasting { low: Duration::from_millis(10), high: Duration::from_secs(86_400) };

pub(in crate::config) static LIMITS: Section = Section {
    title: "[listener.NAME.limits]",
    meaning: "What one client, one connection and one request of an `http`, `https` or `tls` listener may take. The defaults are for \
              the open internet.",
    keys: &[
        &HEADER_BYTES,
        &HEADER_COUNT,
        &URI_BYTES,
        &HEADER_TIMEOUT,
        &IDLE_TIMEOUT,
        &BODY_TIMEOUT,
        &BODY_MIN_RATE,
        &BODY_BYTES,
        &CONNECTIONS,
        &CONNECTIONS_PER_CLIENT,
        &REQUESTS_PER_CONNECTION,
        &RELAY_IDLE,
        &RELAY_TOTAL,
        &H2_STREAMS,
        &H2_RESETS,
        &H2_IDLE_FRAMES,
    ],
    elsewhere: &[],
};

pub(in crate::config) static HEADER_BYTES: Key<Size> = Key {
    name: "header_bytes",
    kind: Size { low: 1 << 10, high: 1 << 20 },
    presence: Default("\"64KiB\""),
    meaning: "Bytes of a request's head, or of an HTTP/2 header list: more is answered 431.",
    example: "\"32KiB\"",
};

pub(in crate::config) static HEADER_COUNT: Key<Number> = Key {
    name: "header_count",
    kind: Number { low: 1, high: 10_000 },
    presence: Default("100"),
    meaning: "Fields of a request's head, or of its trailers: more is answered 431.",
    example: "64",
};

pub(in crate::config) static URI_BYTES: Key<Size> = Key {
    name: "uri_bytes",
    kind: Size { low: 64, high: 1 << 20 },
    presence: Default("\"16KiB\""),
    meaning: "Bytes of a request's target: more is answered 414.",
    example: "\"8KiB\"",
};

pub(in crate::config) static HEADER_TIMEOUT: Key<Lasting> = Key {
    name: "header_timeout",
    kind: TIMEOUT,
    presence: Default("\"5s\""),
    meaning: "From a request's first byte, or the connection's start, to the end of its head. In total: a client that \
              drips gets no longer.",
    example: "\"2s\"",
};

pub(in crate::config) static IDLE_TIMEOUT: Key<Lasting> = Key {
    name: "idle_timeout",
    kind: TIMEOUT,
    presence: Default("\"10s\""),
    meaning: "A connection without a request is closed after this.",
    example: "\"75s\"",
};

pub(in crate::config) static BODY_TIMEOUT: Key<Lasting> = Key {
    name: "body_timeout",
    kind: TIMEOUT,
    presence: Default("\"10s\""),
    meaning: "Longest pause between two pieces of a body, either way.",
    example: "\"30s\"",
};

pub(in crate::config) static BODY_MIN_RATE: Key<Size> = Key {
    name: "body_min_rate",
    kind: Size { low: 0, high: 1 << 30 },
    presence: Default("256"),
    meaning: "Bytes a second that a request's body must make on average, after `body_timeout` has passed: less is \
              answered 408. 0: any.",
    example: "\"1KiB\"",
};

pub(in crate::config) static BODY_BYTES: Key<Size> = Key {
    name: "body_bytes",
    kind: Size { low: 0, high: i64::MAX as u64 },
    presence: Optional("any"),
    meaning: "Bytes of a request's body: more is answered 413.",
    example: "\"10MiB\"",
};

pub(in crate::config) static CONNECTIONS: Key<Number> = Key {
    name: "connections",
    kind: Number { low: 1, high: u32::MAX as u64 },
    presence: Default("65_536"),
    meaning: "Connections of the listener at a time.",
    example: "200_000",
};

pub(in crate::config) static CONNECTIONS_PER_CLIENT: Key<Number> = Key {
    name: "connections_per_client",
    kind: Number { low: 1, high: u32::MAX as u64 },
    presence: Default("16_384"),
    meaning: "Connections of one client at a time: of one address, or of one /64 of IPv6, which is one customer's at the \
              least.",
    example: "256",
};

pub(in crate::config) static REQUESTS_PER_CONNECTION: Key<Number> = Key {
    name: "requests_per_connection",
    kind: Number { low: 1, high: i64::MAX as u64 },
    presence: Default("1_000_000"),
    meaning: "After this many requests a connection is closed in good order.",
    example: "10_000",
};

pub(in crate::config) static RELAY_IDLE: Key<Lasting> = Key {
    name: "relay_idle",
    kind: RELAYED,
    presence: Default("\"10m\""),
    meaning: "`https`, `tls`, `quic` (there: 2 minutes, if nothing is said): a connection that is relayed, and on which nothing moves either way, is closed after this.",
    example: "\"1h\"",
};

pub(in crate::config) static RELAY_TOTAL: Key<Lasting> = Key {
    name: "relay_total",
    kind: RELAYED,
    presence: Optional("none is closed for its age"),
    meaning: "`https`, `tls`, `quic`: a connection that is relayed is closed after this, whatever moves on it.",
    example: "\"1d\"",
};

pub(in crate::config) static H2_STREAMS: Key<Number> = Key {
    name: "h2_streams",
    kind: Number { low: 1, high: 10_000 },
    presence: Default("100"),
    meaning: "Streams of an HTTP/2 connection at a time.",
    example: "250",
};

pub(in crate::config) static H2_RESETS: Key<Number> = Key {
    name: "h2_resets",
    kind: Number { low: 1, high: 1_000_000 },
    presence: Default("100"),
    meaning: "Streams that may be reset within 10 seconds, by the client or because of it: then the connection is \
              closed.",
    example: "1_000",
};

pub(in crate::config) static H2_IDLE_FRAMES: Key<Number> = Key {
    name: "h2_idle_frames",
    kind: Number { low: 1, high: 1_000_000 },
    presence: Default("1_000"),
    meaning: "HTTP/2 frames without progress (SETTINGS, PING, PRIORITY, WINDOW_UPDATE, CONTINUATION, empty DATA) \
              within 10 seconds: then the connection is closed.",
    example: "5_000",
};

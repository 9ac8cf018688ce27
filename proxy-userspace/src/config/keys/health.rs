//! `health = { … }`.

use std::time::Duration;

use crate::config::kind::{
    Flag, HostName, HttpPath, Lasting, List, Number, OneOrMore, Port, Share, StatusRange,
};
use crate::config::table::Presence::{Default, Optional};
use crate::config::table::{Key, Section};

const DAY: Duration = Duration::from_secs(86_400);

pub(in crate::config) static HEALTH_SECTION: Section = Section {
    title: "health = { … }",
    meaning: "A check of every backend, again and again. Exactly one of `tcp`, `http` and `https` says what is asked.",
    keys: &[&TCP, &HTTP, &HTTPS, &HOST, &STATUS, &VERIFY, &PORT, &INTERVAL, &TIMEOUT, &RISE, &FALL, &JITTER],
    elsewhere: &[],
};

pub(in crate::config) static TCP: Key<Flag> = Key {
    name: "tcp",
    kind: Flag,
    presence: Optional("another check"),
    meaning: "Whether the backend takes a TCP connection. Always `true`.",
    example: "true",
};

pub(in crate::config) static HTTP: Key<HttpPath> = Key {
    name: "http",
    kind: HttpPath,
    presence: Optional("another check"),
    meaning: "Path of a GET that must be answered with a good status.",
    example: "\"/healthz\"",
};

pub(in crate::config) static HTTPS: Key<HttpPath> = Key {
    name: "https",
    kind: HttpPath,
    presence: Optional("another check"),
    meaning: "The same, by TLS.",
    example: "\"/healthz\"",
};

pub(in crate::config) static HOST: Key<HostName> = Key {
    name: "host",
    kind: HostName,
    presence: Optional("the backend's address"),
    meaning: "Host header of the request, and with `https` the server name.",
    example: "\"app.example.com\"",
};

pub(in crate::config) static STATUS: Key<OneOrMore<StatusRange>> = Key {
    name: "status",
    kind: OneOrMore(List { of: StatusRange { low: 100 }, example: "\"200-299\"" }),
    presence: Default("\"200-399\""),
    meaning: "The statuses that are good: a number, a range, or a list of them.",
    example: "[200, 204, \"300-399\"]",
};

pub(in crate::config) static VERIFY: Key<Flag> = Key {
    name: "verify",
    kind: Flag,
    presence: Default("true"),
    meaning: "`https` only: whether the backend's certificate must be valid for `host`, by a root this machine trusts.",
    example: "false",
};

pub(in crate::config) static PORT: Key<Port> = Key {
    name: "port",
    kind: Port,
    presence: Optional("the backend's port"),
    meaning: "The port that is asked. Needed where backends have none, and for `http` checks of a pool behind a `udp` \
              listener.",
    example: "8081",
};

pub(in crate::config) static INTERVAL: Key<Lasting> = Key {
    name: "interval",
    kind: Lasting { low: Duration::from_millis(100), high: DAY },
    presence: Default("\"2s\""),
    meaning: "From one check of a backend to the next.",
    example: "\"500ms\"",
};

pub(in crate::config) static TIMEOUT: Key<Lasting> = Key {
    name: "timeout",
    kind: Lasting { low: Duration::from_millis(10), high: DAY },
    presence: Default("\"1s\""),
    meaning: "A check that takes longer has failed. Not longer than `interval`; where `interval` is shorter than the \
              default, it is `interval`.",
    example: "\"250ms\"",
};

pub(in crate::config) static RISE: Key<Number> = Key {
    name: "rise",
    kind: Number { low: 1, high: 100 },
    presence: Default("2"),
    meaning: "Good checks in a row before a backend that was down gets new flows again.",
    example: "3",
};

pub(in crate::config) static FALL: Key<Number> = Key {
    name: "fall",
    kind: Number { low: 1, high: 100 },
    presence: Default("1"),
    meaning: "Failed checks in a row before a backend gets no more new flows.",
    example: "3",
};

pub(in crate::config) static JITTER: Key<Share> = Key {
    name: "jitter",
    kind: Share { most: 0.5 },
    presence: Default("0.1"),
    meaning: "Each interval is longer or shorter by up to this share of itself, so that checks do not come in waves.",
    example: "0.2",
};

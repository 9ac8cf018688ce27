//! `[pool.NAME]`.

use crate::config::kind::{BackendAddress, Flag, List, Number};
use crate::config::nested::{Nested, ShortOr};
use crate::config::table::Presence::{Default, Optional, Required};
use crate::config::table::{Key, Section};

use super::health::HEALTH_SECTION;
use super::pool_tls::POOL_TLS;
use super::pool_web as web;

pub(in crate::config) static POOL: Section = Section {
    title: "[pool.NAME]",
    meaning: "The backends of a service. `backends`, `balance` and `health` are for all listeners, the other keys for \
              requests of `http` listeners.",
    keys: &[
        &BACKENDS,
        &web::BALANCE,
        &HEALTH,
        &web::POOL_PROTOCOL,
        &POOL_TLS,
        &web::TIMEOUTS,
        &web::MAX_CONNECTIONS,
        &web::MAX_QUEUE,
        &web::KEEPALIVE,
        &web::KEEPALIVE_CONNECTIONS,
        &web::SEND_PROXY_PROTOCOL,
        &web::RETRY,
        &web::EJECT,
        &web::POOL_HOST,
    ],
    elsewhere: &[],
};

pub(in crate::config) static BACKENDS: Key<List<ShortOr<BackendAddress>>> = Key {
    name: "backends",
    kind: List { of: ShortOr(BackendAddress, &BACKEND_SECTION), example: "\"10.0.0.11:8080\"" },
    presence: Required,
    meaning: "Each is an address with its port, or a table (below). Behind `dsr` the port is the listener's and can be \
              left out. Behind `http` listeners also a name with a port, which is resolved again as its answers \
              expire, and each of its addresses used; or a Unix socket: `\"unix:/run/app.sock\"`.",
    example: "[\"10.0.0.11:8080\", { address = \"10.0.0.12:8080\", weight = 2 }]",
};

pub(in crate::config) static HEALTH: Key<Nested> = Key {
    name: "health",
    kind: Nested(&HEALTH_SECTION),
    presence: Optional("backends are not checked and taken to be well"),
    meaning: "How backends are checked.",
    example: "{ http = \"/healthz\", interval = \"2s\" }",
};

pub(in crate::config) static BACKEND_SECTION: Section = Section {
    title: "backends = [{ … }]",
    meaning: "A backend with more to say than its address.",
    keys: &[&ADDRESS, &WEIGHT, &DRAIN],
    elsewhere: &[],
};

pub(in crate::config) static ADDRESS: Key<BackendAddress> = Key {
    name: "address",
    kind: BackendAddress,
    presence: Required,
    meaning: "Address and port.",
    example: "\"10.0.0.12:8080\"",
};

pub(in crate::config) static WEIGHT: Key<Number> = Key {
    name: "weight",
    kind: Number { low: 0, high: u16::MAX as u64 },
    presence: Default("1"),
    meaning: "Its share of new flows, relative to the other backends' weights. 0: no new flows.",
    example: "2",
};

pub(in crate::config) static DRAIN: Key<Flag> = Key {
    name: "drain",
    kind: Flag,
    presence: Default("false"),
    meaning: "No new flows; flows that it has stay until they end.",
    example: "true",
};

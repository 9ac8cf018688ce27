//! `[listener.NAME]`.

use super::guard::{AMPLIFICATION, SYN_COOKIES, SYN_THRESHOLD};
use super::limits::LIMITS;
use super::steer::{HANDOFF, STARTTLS};
use super::tls::{HSTS, LISTENER_TLS, REDIRECT_HTTPS};
use crate::config::kind::{Bind, Flag, List, NETWORK, Name, OneOrMore, Parsed, Word, Words};
use crate::config::model::{Forward, Protocol};
use crate::config::nested::Nested;
use crate::config::steer::Speaks;
use crate::config::table::Presence::{Default, Optional, Required};
use crate::config::table::{Key, Section};
use ipnet::IpNet;

/// What `protocol` can be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::config) enum Spoken {
    /// Balanced in the kernel.
    Kernel(Protocol),
    /// Clients come to a socket.
    Web(Speaks),
}

pub(in crate::config) static LISTENER: Section = Section {
    title: "[listener.NAME]",
    meaning: "What clients connect to. `tcp` and `udp` listeners are balanced in the kernel and name their pool; one \
              that is bound to addresses of both families is shown as two, `NAME.v4` and `NAME.v6`: IPv4 clients go \
              to the pool's IPv4 backends, IPv6 clients to its IPv6 backends. Requests of `http` and `https` \
              listeners, and connections of `tls` and `quic` ones, go where a `[[route]]` says.",
    keys: &[
        &BIND,
        &PROTOCOL,
        &LISTENER_POOL,
        &FORWARD,
        &HTTP2,
        &PROXY_PROTOCOL,
        &TRUSTED_PROXIES,
        &LOGGED,
        &LISTENER_LIMITS,
        &LISTENER_TLS,
        &HSTS,
        &REDIRECT_HTTPS,
        &HANDOFF,
        &STARTTLS,
        &SYN_COOKIES,
        &SYN_THRESHOLD,
        &AMPLIFICATION,
    ],
    elsewhere: &[],
};

pub(in crate::config) static BIND: Key<OneOrMore<Bind>> = Key {
    name: "bind",
    kind: OneOrMore(List { of: Bind { packets: false }, example: "\"203.0.113.10:443\"" }),
    presence: Required,
    meaning: "The addresses and ports that clients connect to. `tcp` and `udp`: no wildcards; they need not be \
              configured on an interface of this machine, but clients' packets must be routed to it; `dsr` wants one \
              and the same port. `http`, `https` and `tls`: addresses of this machine, wildcards (`\"0.0.0.0:80\"`, `\"[::]:80\"`, each \
              for its family), and Unix sockets (`\"unix:/run/web.sock\"`). `quic`: addresses of this machine, no wildcards.",
    example: "[\"203.0.113.10:443\", \"[2001:db8::10]:443\"]",
};

/// The same key, of listeners that are balanced in the kernel.
pub(in crate::config) static KERNEL_BIND: Key<OneOrMore<Bind>> =
    Key { kind: OneOrMore(List { of: Bind { packets: true }, example: BIND.kind.0.example }), ..BIND };

pub(in crate::config) static PROTOCOL: Key<Words<Spoken>> = Key {
    name: "protocol",
    kind: Words {
        allowed: &[
            Word("tcp", Spoken::Kernel(Protocol::Tcp)),
            Word("udp", Spoken::Kernel(Protocol::Udp)),
            Word("http", Spoken::Web(Speaks::Http)),
            Word("https", Spoken::Web(Speaks::Https)),
            Word("tls", Spoken::Web(Speaks::Tls)),
            Word("quic", Spoken::Web(Speaks::Quic)),
        ],
        elsewhere: (
            &["http3", "h3"],
            "this build answers no requests by QUIC; protocol = \"quic\" passes them through",
        ),
    },
    presence: Required,
    meaning: "`tcp` connections or `udp` datagrams, balanced in the kernel; or requests: `http`, or `https`, \
              which is the same by TLS; or `tls`: connections of any protocol in TLS, steered by their ClientHello; or \
              `quic`: the same by QUIC (HTTP/3 and others), over UDP, never decrypted.",
    example: "\"http\"",
};

pub(in crate::config) static LISTENER_POOL: Key<Name> = Key {
    name: "pool",
    kind: Name,
    presence: Optional("`tcp` and `udp` need it"),
    meaning: "`tcp` and `udp`: the pool that answers.",
    example: "\"app\"",
};

pub(in crate::config) static FORWARD: Key<Words<Forward>> = Key {
    name: "forward",
    kind: Words {
        allowed: &[Word("nat", Forward::Nat), Word("dsr", Forward::Dsr)],
        elsewhere: (&["ipip", "gue"], "this build forwards by nat and dsr only"),
    },
    presence: Default("\"nat\""),
    meaning: "`tcp` and `udp`: how packets get to the backend. `nat`: both addresses change, backends can be \
              anywhere, answers come back through the balancer. `dsr`: only link-layer addresses change; backends are \
              on the same layer 2, hold the listener's address themselves and answer clients directly.",
    example: "\"dsr\"",
};

pub(in crate::config) static HTTP2: Key<Flag> = Key {
    name: "http2",
    kind: Flag,
    presence: Default("true"),
    meaning: "`http`: HTTP/2 is spoken with clients that begin with its preface (prior knowledge). `https`: with those \
              that choose it in the handshake (ALPN).",
    example: "false",
};

pub(in crate::config) static PROXY_PROTOCOL: Key<Flag> = Key {
    name: "proxy_protocol",
    kind: Flag,
    presence: Default("false"),
    meaning: "`http`, `https`, `tls`: every connection begins with a PROXY protocol header, version 1 or 2, or it is closed. What it \
              says of the client is believed if the peer is in `trusted_proxies`.",
    example: "true",
};

pub(in crate::config) static TRUSTED_PROXIES: Key<OneOrMore<Parsed<IpNet>>> = Key {
    name: "trusted_proxies",
    kind: OneOrMore(List { of: NETWORK, example: "\"10.0.0.0/8\"" }),
    presence: Optional("nobody is believed"),
    meaning: "`http`, `https`, `tls`: proxies before this one, by address or network. What they say of the client, in `Forwarded`, \
              `X-Forwarded-*` and the PROXY protocol, is believed; from others it is removed. Who comes by a Unix socket \
              counts as 127.0.0.1.",
    example: "[\"10.0.0.0/8\", \"2001:db8::1\"]",
};

pub(in crate::config) static LOGGED: Key<Flag> = Key {
    name: "access_log",
    kind: Flag,
    presence: Default("true"),
    meaning: "`http`, `https`, `tls`, `quic`: its requests, or its connections that are relayed, are written down, if there is an `[access_log]`.",
    example: "false",
};

pub(in crate::config) static LISTENER_LIMITS: Key<Nested> = Key {
    name: "limits",
    kind: Nested(&LIMITS),
    presence: Optional("safe ones (below)"),
    meaning: "`http`, `https`, `tls`, `quic`: what a client may ask for.",
    example: "{ header_timeout = \"2s\", body_bytes = \"10MiB\" }",
};

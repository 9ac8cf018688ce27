//! `[ban]` and `[auto-ban.NAME]`.

use std::time::Duration;

use ipnet::IpNet;

use crate::config::ban::{AutoBanEvent, BanListSource};
use crate::config::kind::{
    BAN_LIST, LISTENER_NAME, Lasting, List, NETWORK, Number, OneOrMore, Parsed, Path, PlainText, Share, TEXT,
    Word, Words,
};
use crate::config::table::Presence::{Default, Optional, Required};
use crate::config::table::{Key, Section};

const YEAR: Duration = Duration::from_secs(366 * 86_400);

pub(in crate::config) static BAN: Section = Section {
    title: "[ban]",
    meaning: "Who is kept out of the whole host, with everything that comes in by an interface of `[kernel]`; without \
              `[kernel]`: of the `http` and `https` listeners. `proxy-now ban` adds to it while the daemon runs, and \
              `[auto-ban.NAME]` does by itself.",
    keys: &[&DENY, &ALLOW, &LISTS, &REFRESH, &CA],
    elsewhere: &[],
};

pub(in crate::config) static DENY: Key<OneOrMore<Parsed<IpNet>>> = Key {
    name: "deny",
    kind: OneOrMore(List { of: NETWORK, example: "\"192.0.2.0/24\"" }),
    presence: Optional("nobody"),
    meaning: "Addresses and networks that are never let in.",
    example: "[\"192.0.2.0/24\", \"2001:db8:bad::/48\"]",
};

pub(in crate::config) static ALLOW: Key<OneOrMore<Parsed<IpNet>>> = Key {
    name: "allow",
    kind: OneOrMore(List { of: NETWORK, example: "\"10.0.0.0/8\"" }),
    presence: Optional("backends, gateways and the host's own addresses"),
    meaning: "Addresses and networks that are never kept out, whatever a list, an operator or an automatic ban says. \
              Backends, gateways and the host's own addresses are never, without being named.",
    example: "[\"10.0.0.0/8\", \"198.51.100.7\"]",
};

pub(in crate::config) static LISTS: Key<OneOrMore<Parsed<BanListSource>>> = Key {
    name: "lists",
    kind: OneOrMore(List { of: BAN_LIST, example: "\"/etc/proxy-now/bad.txt\"" }),
    presence: Optional("none"),
    meaning: "Files, and addresses of documents, with an address or a network a line; what is behind it, or behind `#` \
              or `;`, is a note. A file is read again when it changes. Lines that are broken are told, the others count.",
    example: "[\"/etc/proxy-now/bad.txt\", \"https://lists.example.com/drop.txt\"]",
};

pub(in crate::config) static REFRESH: Key<Lasting> = Key {
    name: "refresh",
    kind: Lasting { low: Duration::from_secs(1), high: YEAR },
    presence: Default("\"1h\""),
    meaning: "How often documents of `lists` are asked for. Of one that does not come the old one stays in force.",
    example: "\"15m\"",
};

pub(in crate::config) static CA: Key<Path> = Key {
    name: "ca",
    kind: Path,
    presence: Optional("the system's"),
    meaning: "More roots to trust for `https://` lists, in PEM.",
    example: "\"/etc/proxy-now/lists-ca.pem\"",
};

pub(in crate::config) static AUTO_BAN: Section = Section {
    title: "[auto-ban.NAME]",
    meaning: "Who does so much of something within so long is banned for so long, in the kernel from the next packet on. \
              Of IPv6 clients the /64 is banned. Nobody is whom `[ban] allow` names, or whom the configuration needs.",
    keys: &[&LISTENER, &EVENTS, &COUNT, &WITHIN, &SHARE, &FOR, &GROWTH, &LONGEST, &JA4],
    elsewhere: &[],
};

pub(in crate::config) static LISTENER: Key<OneOrMore<PlainText>> = Key {
    name: "listener",
    kind: OneOrMore(List { of: LISTENER_NAME, example: "\"web\"" }),
    presence: Optional("all listeners"),
    meaning: "The listeners whose clients are watched.",
    example: "\"web\"",
};

pub(in crate::config) static EVENTS: Key<OneOrMore<Words<AutoBanEvent>>> = Key {
    name: "events",
    kind: OneOrMore(List {
        of: Words {
            allowed: &[
                Word("limit", AutoBanEvent::Limit),
                Word("401", AutoBanEvent::Unauthorized),
                Word("403", AutoBanEvent::Forbidden),
                Word("404", AutoBanEvent::NotFound),
                Word("handshake", AutoBanEvent::Handshake),
                Word("unknown-sni", AutoBanEvent::UnknownSni),
                Word("h2-attack", AutoBanEvent::H2Attack),
                Word("malformed", AutoBanEvent::Malformed),
                Word("ja4", AutoBanEvent::Ja4),
            ],
            elsewhere: (&[], ""),
        },
        example: "\"401\"",
    }),
    presence: Required,
    meaning: "What is counted: `limit`, a limit refused something; `401`, `403`, `404`, an answer with this status; \
              `handshake`, a TLS handshake that failed; `unknown-sni`, one for a name that nothing is served for; \
              `h2-attack`, an HTTP/2 connection that was ended for what it did; `malformed`, a request that is none; \
              `ja4`, a TLS client with a fingerprint of `ja4`.",
    example: "[\"401\", \"403\"]",
};

pub(in crate::config) static COUNT: Key<Number> = Key {
    name: "count",
    kind: Number { low: 1, high: 1_000_000 },
    presence: Default("20"),
    meaning: "How many of them, of all kinds together,",
    example: "5",
};

pub(in crate::config) static WITHIN: Key<Lasting> = Key {
    name: "within",
    kind: Lasting { low: Duration::from_millis(100), high: Duration::from_secs(86_400) },
    presence: Default("\"10s\""),
    meaning: "within how long.",
    example: "\"1m\"",
};

pub(in crate::config) static SHARE: Key<Share> = Key {
    name: "share",
    kind: Share { most: 1.0 },
    presence: Default("0.0"),
    meaning: "`401`, `403`, `404`: only if they are at least this share of what the client was answered within that time.",
    example: "0.5",
};

pub(in crate::config) static FOR: Key<Lasting> = Key {
    name: "for",
    kind: Lasting { low: Duration::from_secs(1), high: YEAR },
    presence: Default("\"10m\""),
    meaning: "How long the first ban lasts.",
    example: "\"1h\"",
};

pub(in crate::config) static GROWTH: Key<Number> = Key {
    name: "growth",
    kind: Number { low: 1, high: 100 },
    presence: Default("2"),
    meaning: "Each further ban of a client lasts this many times as long as the one before.",
    example: "4",
};

pub(in crate::config) static LONGEST: Key<Lasting> = Key {
    name: "longest",
    kind: Lasting { low: Duration::from_secs(1), high: YEAR },
    presence: Default("\"1d\""),
    meaning: "No ban lasts longer.",
    example: "\"7d\"",
};

pub(in crate::config) static JA4: Key<OneOrMore<PlainText>> = Key {
    name: "ja4",
    kind: OneOrMore(List { of: TEXT, example: "\"t13d1516h2_8daaf6152771_02713d6af862\"" }),
    presence: Optional("none"),
    meaning: "`ja4`: the fingerprints.",
    example: "\"t13d1516h2_8daaf6152771_02713d6af862\"",
};

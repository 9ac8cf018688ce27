//! What a listener says of floods.

use crate::config::kind::{Number, PerSecond, Word, Words};
use crate::config::limit::SynCookies;
use crate::config::table::Key;
use crate::config::table::Presence::{Default, Optional};

/// SYNs a second of clients that are not known, to a listener that is balanced with `nat`: above it ports towards a single
/// backend run out.
pub(in crate::config) const SYN_THRESHOLD_KNOWN: u32 = 1_000;
/// SYNs a second that sockets of a small host take, and backends with `dsr`.
pub(in crate::config) const SYN_THRESHOLD_UNKNOWN: u32 = 10_000;

pub(in crate::config) static SYN_COOKIES: Key<Words<SynCookies>> = Key {
    name: "syn_cookies",
    kind: Words {
        allowed: &[
            Word("auto", SynCookies::Auto),
            Word("always", SynCookies::Always),
            Word("off", SynCookies::Off),
        ],
        elsewhere: (&[], ""),
    },
    presence: Default("\"auto\""),
    meaning: "`tcp`, `http`, `https`: when SYNs are answered by the kernel part itself, which remembers nothing of them: \
              `auto` above `syn_threshold`, and until 10 seconds after it was last exceeded. `http` and `https`: with SYN \
              cookies, so that the host only sees clients that answered; it needs `[kernel]`. `tcp`: clients that are not \
              known show once, by a reset, that they are there, which costs them one retransmission of their SYN; who \
              had a connection in the last ten minutes does not notice.",
    example: "\"off\"",
};

pub(in crate::config) static SYN_THRESHOLD: Key<PerSecond> = Key {
    name: "syn_threshold",
    kind: PerSecond { high: 100_000_000 },
    presence: Optional("`\"1000/s\"` for `tcp` with `nat`, else `\"10000/s\"`"),
    meaning: "`tcp`, `http`, `https`: so many SYNs a second are no flood. `tcp`: of clients that are not known, which \
              with `dsr` are all until a flood has made them show that they are there.",
    example: "\"5000/s\"",
};

pub(in crate::config) static AMPLIFICATION: Key<Number> = Key {
    name: "amplification",
    kind: Number { low: 1, high: 1_000 },
    presence: Optional("any"),
    meaning: "`udp` with `nat`: bytes that are sent to a client for each byte that came from it. What is more is dropped: who \
              forges the address of somebody else cannot have him flooded. For questions and answers: a long download by \
              datagrams is bounded as well, and `concurrent` does not count such flows.",
    example: "3",
};

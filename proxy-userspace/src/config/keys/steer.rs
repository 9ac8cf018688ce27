//! What listeners and routes say of connections that are steered by their ClientHello.

use crate::config::kind::{ALPN, CIPHER, Flag, GROUP, JA4, List, OneOrMore, Parsed, PlainText, Word, Words};
use crate::config::nested::Nested;
use crate::config::steer::{Refuse, StartTls};
use crate::config::table::Presence::{Default, Optional};
use crate::config::table::{Key, Section};

pub(in crate::config) static HANDOFF: Key<Flag> = Key {
    name: "handoff",
    kind: Flag,
    presence: Default("true"),
    meaning: "`https`, `tls`, `quic`: connections that are passed through leave this process where that is safe: the kernel \
              part forwards their packets from then on.",
    example: "false",
};

pub(in crate::config) static STARTTLS: Key<Words<StartTls>> = Key {
    name: "starttls",
    kind: Words {
        allowed: &[Word("postgres", StartTls::Postgres), Word("smtp", StartTls::Smtp)],
        elsewhere: (
            &["imap", "ldap", "mysql", "pop3"],
            "this build knows how PostgreSQL and SMTP ask for TLS",
        ),
    },
    presence: Optional("clients begin with TLS"),
    meaning: "`tls`: how clients ask for TLS before they begin with it. `postgres`: by an SSLRequest, or not at all. \
              `smtp`: by STARTTLS, after a greeting. Backends are asked in the same way.",
    example: "\"postgres\"",
};

pub(in crate::config) static PASSTHROUGH: Key<Flag> = Key {
    name: "passthrough",
    kind: Flag,
    presence: Default("false"),
    meaning: "`https`, `tls`, `quic`: connections go to the pool as they are, never decrypted. Conditions are `host`, which the \
              client names in its ClientHello (SNI), `client_ip` and `client_hello`.",
    example: "true",
};

pub(in crate::config) static REFUSE: Key<Words<Refuse>> = Key {
    name: "refuse",
    kind: Words {
        allowed: &[Word("alert", Refuse::Alert), Word("reset", Refuse::Reset), Word("drop", Refuse::Drop)],
        elsewhere: (&[], ""),
    },
    presence: Optional("`pool`, `redirect` or `respond`"),
    meaning: "`https`, `tls`, `quic`: connections are refused: by an `alert` of TLS (access_denied), by a `reset`, or without a \
              word (`drop`). Clients of `quic` are never told.",
    example: "\"reset\"",
};

pub(in crate::config) static CLIENT_HELLO: Key<Nested> = Key {
    name: "client_hello",
    kind: Nested(&CLIENT_HELLO_SECTION),
    presence: Optional("every client"),
    meaning: "`https`, `tls`, `quic`: what the client's ClientHello says, all of it.",
    example: "{ max_version = \"1.2\" }",
};

pub(in crate::config) static CLIENT_HELLO_SECTION: Section = Section {
    title: "client_hello = { … }",
    meaning: "What a ClientHello says. Of a list, one must be in it.",
    keys: &[&HELLO_ALPN, &MIN_VERSION, &MAX_VERSION, &HELLO_CIPHER, &HELLO_GROUP, &HELLO_JA4],
    elsewhere: &[],
};

pub(in crate::config) static HELLO_ALPN: Key<OneOrMore<PlainText>> = Key {
    name: "alpn",
    kind: OneOrMore(List { of: ALPN, example: "\"h2\"" }),
    presence: Optional("any"),
    meaning: "The client offers one of these protocols (ALPN).",
    example: "[\"h2\", \"http/1.1\"]",
};

const VERSION: Words<u16> = Words {
    allowed: &[Word("1.0", 0x0301), Word("1.1", 0x0302), Word("1.2", 0x0303), Word("1.3", 0x0304)],
    elsewhere: (&[], ""),
};

pub(in crate::config) static MIN_VERSION: Key<Words<u16>> = Key {
    name: "min_version",
    kind: VERSION,
    presence: Optional("any"),
    meaning: "The highest version of TLS that the client speaks is this one or a later one.",
    example: "\"1.3\"",
};

pub(in crate::config) static MAX_VERSION: Key<Words<u16>> = Key {
    name: "max_version",
    kind: VERSION,
    presence: Optional("any"),
    meaning: "The highest version of TLS that the client speaks is this one or an earlier one.",
    example: "\"1.2\"",
};

pub(in crate::config) static HELLO_CIPHER: Key<OneOrMore<Parsed<u16>>> = Key {
    name: "cipher",
    kind: OneOrMore(List { of: CIPHER, example: "\"TLS_RSA_WITH_AES_128_CBC_SHA\"" }),
    presence: Optional("any"),
    meaning: "The client offers one of these cipher suites, by their IANA names or numbers.",
    example: "[\"TLS_RSA_WITH_3DES_EDE_CBC_SHA\", \"0x002f\"]",
};

pub(in crate::config) static HELLO_GROUP: Key<OneOrMore<Parsed<u16>>> = Key {
    name: "group",
    kind: OneOrMore(List { of: GROUP, example: "\"x25519\"" }),
    presence: Optional("any"),
    meaning: "The client offers one of these groups for the exchange of keys, by their IANA names or numbers.",
    example: "[\"X25519MLKEM768\", \"0x6399\"]",
};

pub(in crate::config) static HELLO_JA4: Key<OneOrMore<PlainText>> = Key {
    name: "ja4",
    kind: OneOrMore(List { of: JA4, example: "\"t13d1516h2_8daaf6152771_e5627efa2ab1\"" }),
    presence: Optional("any"),
    meaning: "The client has one of these fingerprints.",
    example: "\"t13d1516h2_8daaf6152771_e5627efa2ab1\"",
};

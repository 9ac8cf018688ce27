//! What a pool says of TLS to its backends.

use crate::config::kind::{Flag, ONE_HOST, Path, PlainText};
use crate::config::nested::ShortOr;
use crate::config::table::Presence::{Default, Optional};
use crate::config::table::{Key, Section};

pub(in crate::config) static POOL_TLS: Key<ShortOr<Flag>> = Key {
    name: "tls",
    kind: ShortOr(Flag, &POOL_TLS_SECTION),
    presence: Default("false"),
    meaning: "TLS to its backends. `true`: their certificates are verified by the system's roots; or a table.",
    example: "{ ca = \"/etc/proxy-now/backends.pem\", sni = \"app.internal\" }",
};

pub(in crate::config) static POOL_TLS_SECTION: Section = Section {
    title: "[pool.NAME.tls]",
    meaning: "TLS to backends. A connection whose certificate is not right carries no request: the answer is 502, and \
              the log says why.",
    keys: &[&VERIFY, &CA, &SNI, &CLIENT_CERT, &CLIENT_KEY],
    elsewhere: &[],
};

pub(in crate::config) static VERIFY: Key<Flag> = Key {
    name: "verify",
    kind: Flag,
    presence: Default("true"),
    meaning: "Certificates must be valid, from a trusted root, and for the name. `false`: anything goes, and whoever \
              is in between can read and change everything.",
    example: "false",
};

pub(in crate::config) static CA: Key<Path> = Key {
    name: "ca",
    kind: Path,
    presence: Optional("the system's roots"),
    meaning: "Roots that are trusted instead, PEM.",
    example: "\"/etc/proxy-now/backends.pem\"",
};

pub(in crate::config) static SNI: Key<PlainText> = Key {
    name: "sni",
    kind: ONE_HOST,
    presence: Optional("the backend's name or address"),
    meaning: "The name that backends are asked for, and that their certificates must be for.",
    example: "\"app.internal\"",
};

pub(in crate::config) static CLIENT_CERT: Key<Path> = Key {
    name: "client_cert",
    kind: Path,
    presence: Optional("backends are shown none"),
    meaning: "The certificate that backends are shown, with those that lead to its root, PEM.",
    example: "\"/etc/proxy-now/edge.crt\"",
};

pub(in crate::config) static CLIENT_KEY: Key<Path> = Key {
    name: "client_key",
    kind: Path,
    presence: Optional("it stands in the file of `client_cert`"),
    meaning: "Its key, PEM, not encrypted.",
    example: "\"/etc/proxy-now/edge.key\"",
};

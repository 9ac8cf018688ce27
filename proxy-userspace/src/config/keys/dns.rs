//! `[acme.dns]`.

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::kind::{
    Lasting, List, NAME_SERVER, OneOrMore, Parsed, Path, PlainText, Secret, TEXT, WEB_ADDRESS, Word, Words,
};
use crate::config::table::Presence::{Default, Optional, Required};
use crate::config::table::{Key, Section};

/// Who holds a zone, in a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::config) enum ProviderWord {
    Rfc2136,
    Cloudflare,
    Route53,
    Exec,
}

impl ProviderWord {
    /// As the file says it.
    pub(in crate::config) const fn word(self) -> &'static str {
        match self {
            Self::Rfc2136 => "rfc2136",
            Self::Cloudflare => "cloudflare",
            Self::Route53 => "route53",
            Self::Exec => "exec",
        }
    }
}

pub(in crate::config) static DNS_SECTION: Section = Section {
    title: "[acme.dns]",
    meaning: "Who puts records for `dns-01` into the zone: `_acme-challenge.NAME`, or where a CNAME of that name leads. \
              A secret stands in the file, in a file of its own (the same key with `_file`), or, where it says so, in \
              an environment variable of the daemon.",
    keys: &[
        &PROVIDER,
        &SERVER,
        &KEY_NAME,
        &ALGORITHM,
        &SECRET,
        &SECRET_FILE,
        &TOKEN,
        &TOKEN_FILE,
        &ACCESS_KEY,
        &SECRET_KEY,
        &SECRET_KEY_FILE,
        &SESSION_TOKEN,
        &ENDPOINT,
        &COMMAND,
        &RESOLVERS,
        &PROPAGATION,
        &TTL,
    ],
    elsewhere: &[],
};

pub(in crate::config) static PROVIDER: Key<Words<ProviderWord>> = Key {
    name: "provider",
    kind: Words {
        allowed: &[
            Word("rfc2136", ProviderWord::Rfc2136),
            Word("cloudflare", ProviderWord::Cloudflare),
            Word("route53", ProviderWord::Route53),
            Word("exec", ProviderWord::Exec),
        ],
        elsewhere: (&[], ""),
    },
    presence: Required,
    meaning: "`rfc2136`: a name server that takes updates (BIND, Knot, PowerDNS, Windows). `cloudflare`, `route53`: \
              their APIs. `exec`: a program, for everything else.",
    example: "\"rfc2136\"",
};

pub(in crate::config) static SERVER: Key<Parsed<SocketAddr>> = Key {
    name: "server",
    kind: NAME_SERVER,
    presence: Optional("`rfc2136` needs it"),
    meaning: "`rfc2136`: the zone's primary server. Port 53 unless it is said.",
    example: "\"10.0.0.53\"",
};

pub(in crate::config) static KEY_NAME: Key<PlainText> = Key {
    name: "key_name",
    kind: TEXT,
    presence: Optional("updates are not signed"),
    meaning: "`rfc2136`: the name of the TSIG key.",
    example: "\"acme-key.\"",
};

pub(in crate::config) static ALGORITHM: Key<Words<&'static str>> = Key {
    name: "algorithm",
    kind: Words {
        allowed: &[
            Word("hmac-sha256", "hmac-sha256"),
            Word("hmac-sha384", "hmac-sha384"),
            Word("hmac-sha512", "hmac-sha512"),
        ],
        elsewhere: (&["hmac-md5", "hmac-sha1"], "it is broken"),
    },
    presence: Default("\"hmac-sha256\""),
    meaning: "`rfc2136`: how updates are signed.",
    example: "\"hmac-sha512\"",
};

pub(in crate::config) static SECRET: Key<Secret> = Key {
    name: "secret",
    kind: Secret,
    presence: Optional("`secret_file`"),
    meaning: "`rfc2136`: the TSIG key, base64.",
    example: "\"8w1kDkLbyZ1nHFoqbSFJmgqPqvU6Ff3pLxiK6jZ6VJ8=\"",
};

pub(in crate::config) static SECRET_FILE: Key<Path> = Key {
    name: "secret_file",
    kind: Path,
    presence: Optional("`secret`"),
    meaning: "`rfc2136`: a file that holds the TSIG key.",
    example: "\"/etc/proxy-now/tsig.key\"",
};

pub(in crate::config) static TOKEN: Key<Secret> = Key {
    name: "token",
    kind: Secret,
    presence: Optional("`token_file`, or the environment's `CLOUDFLARE_API_TOKEN`"),
    meaning: "`cloudflare`: an API token with the permissions Zone.Zone:Read and Zone.DNS:Edit.",
    example: "\"v1.0-4a5b\"",
};

pub(in crate::config) static TOKEN_FILE: Key<Path> = Key {
    name: "token_file",
    kind: Path,
    presence: Optional("`token`"),
    meaning: "`cloudflare`: a file that holds the token.",
    example: "\"/etc/proxy-now/cloudflare.token\"",
};

pub(in crate::config) static ACCESS_KEY: Key<Secret> = Key {
    name: "access_key",
    kind: Secret,
    presence: Optional("the environment's `AWS_ACCESS_KEY_ID`"),
    meaning: "`route53`: the access key's id.",
    example: "\"AKIAIOSFODNN7EXAMPLE\"",
};

pub(in crate::config) static SECRET_KEY: Key<Secret> = Key {
    name: "secret_key",
    kind: Secret,
    presence: Optional("`secret_key_file`, or the environment's `AWS_SECRET_ACCESS_KEY`"),
    meaning: "`route53`: its secret.",
    example: "\"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\"",
};

pub(in crate::config) static SECRET_KEY_FILE: Key<Path> = Key {
    name: "secret_key_file",
    kind: Path,
    presence: Optional("`secret_key`"),
    meaning: "`route53`: a file that holds the secret.",
    example: "\"/etc/proxy-now/aws.key\"",
};

pub(in crate::config) static SESSION_TOKEN: Key<Secret> = Key {
    name: "session_token",
    kind: Secret,
    presence: Optional("the environment's `AWS_SESSION_TOKEN`, or none"),
    meaning: "`route53`: the token of a temporary key.",
    example: "\"AQoDYXdz\"",
};

pub(in crate::config) static ENDPOINT: Key<PlainText> = Key {
    name: "endpoint",
    kind: WEB_ADDRESS,
    presence: Optional("the provider's own"),
    meaning: "`cloudflare`, `route53`: another address of the API.",
    example: "\"https://route53.example.com\"",
};

pub(in crate::config) static COMMAND: Key<OneOrMore<PlainText>> = Key {
    name: "command",
    kind: OneOrMore(List { of: TEXT, example: "\"/etc/proxy-now/dns\"" }),
    presence: Optional("`exec` needs it"),
    meaning: "`exec`: the program and its first arguments. It is called with three more: `present` or `cleanup`, the \
              record's name, and its value; it has done it when it ends with 0.",
    example: "[\"/etc/proxy-now/dns\", \"--zone\", \"example.com\"]",
};

pub(in crate::config) static RESOLVERS: Key<OneOrMore<Parsed<SocketAddr>>> = Key {
    name: "resolvers",
    kind: OneOrMore(List { of: NAME_SERVER, example: "\"9.9.9.9\"" }),
    presence: Optional("the zone's own servers"),
    meaning: "Who is asked whether a record is there, before the CA is told to look.",
    example: "[\"9.9.9.9\", \"1.1.1.1:53\"]",
};

pub(in crate::config) static PROPAGATION: Key<Lasting> = Key {
    name: "propagation",
    kind: Lasting { low: Duration::ZERO, high: Duration::from_secs(3600) },
    presence: Default("\"2m\""),
    meaning: "How long a record may take to be there. `\"0s\"`: it is not looked for.",
    example: "\"5m\"",
};

pub(in crate::config) static TTL: Key<Lasting> = Key {
    name: "ttl",
    kind: Lasting { low: Duration::from_secs(1), high: Duration::from_secs(86_400) },
    presence: Default("\"60s\""),
    meaning: "The record's time to live.",
    example: "\"120s\"",
};

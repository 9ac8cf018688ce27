//! `[acme]`.

use std::time::Duration;

use super::dns::DNS_SECTION;
use crate::config::acme::{ChallengeType, IssuerConfig, KeyType};
use crate::config::host_pattern::HostPattern;
use crate::config::kind::{
    EMAIL, HOST_PATTERN, ISSUER, Lasting, List, Number, ONE_HOST, OneOrMore, Parsed, Path, PlainText,
    SOCKET_ADDRESS, Secret, TEXT, WEB_ADDRESS, Word, Words,
};
use crate::config::nested::{Nested, OrFalse};
use crate::config::table::Presence::{Default, Optional, Required};
use crate::config::table::{Key, Section};
use std::net::SocketAddr;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

pub(in crate::config) static ACME: Section = Section {
    title: "[acme]",
    meaning: "Certificates that come by themselves, and are renewed before they end: for every host of a route of an \
              `https` listener that no file covers. The table is not needed; it says who is asked, and how names are \
              proved.",
    keys: &[
        &EMAIL_IS,
        &DIRECTORY,
        &DIRECTORY_CA,
        &STAGING,
        &EAB,
        &PROFILE,
        &ISSUERS,
        &STORAGE,
        &CHALLENGES,
        &KEY_TYPE,
        &DNS,
        &ON_DEMAND,
        &INTERNAL,
    ],
    elsewhere: &[],
};

pub(in crate::config) static EMAIL_IS: Key<PlainText> = Key {
    name: "email",
    kind: EMAIL,
    presence: Optional("CAs have nobody to write to"),
    meaning: "Whom CAs write to when something is wrong with certificates.",
    example: "\"ops@example.com\"",
};

pub(in crate::config) static DIRECTORY: Key<Parsed<IssuerConfig>> = Key {
    name: "directory",
    kind: ISSUER,
    presence: Default("\"letsencrypt\""),
    meaning: "The CA, by name or by the address of its ACME directory. With it belong `directory_ca`, `staging`, \
              `eab` and `profile`; where several CAs are asked, each has a `[[acme.issuer]]` instead.",
    example: "\"https://ca.example.com/acme/directory\"",
};

pub(in crate::config) static DIRECTORY_CA: Key<Path> = Key {
    name: "directory_ca",
    kind: Path,
    presence: Optional("the system's roots"),
    meaning: "A root, PEM, that the directory's own certificate is trusted by, beside the system's.",
    example: "\"/etc/proxy-now/ca-root.pem\"",
};

pub(in crate::config) static STAGING: Key<OrFalse<Parsed<IssuerConfig>>> = Key {
    name: "staging",
    kind: OrFalse(ISSUER),
    presence: Optional("`letsencrypt-staging` for `letsencrypt`, else none"),
    meaning: "The directory that is tried first after a failure, until it succeeds: failures there count against no \
              limit. `false`: none.",
    example: "\"letsencrypt-staging\"",
};

pub(in crate::config) static EAB: Key<Nested> = Key {
    name: "eab",
    kind: Nested(&EAB_SECTION),
    presence: Optional("the CA asks for none"),
    meaning: "The account that the CA knows already (external account binding). ZeroSSL wants it.",
    example: "{ key_id = \"…\", hmac_key = \"…\" }",
};

pub(in crate::config) static EAB_SECTION: Section = Section {
    title: "eab = { … }",
    meaning: "External account binding (RFC 8555 §7.3.4): the CA gives both.",
    keys: &[&KEY_ID, &HMAC_KEY, &HMAC_KEY_FILE],
    elsewhere: &[],
};

pub(in crate::config) static KEY_ID: Key<PlainText> =
    Key { name: "key_id", kind: TEXT, presence: Required, meaning: "Which account.", example: "\"kid-1\"" };

pub(in crate::config) static HMAC_KEY: Key<Secret> = Key {
    name: "hmac_key",
    kind: Secret,
    presence: Optional("`hmac_key_file`"),
    meaning: "Its key, base64url.",
    example: "\"zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W\"",
};

pub(in crate::config) static HMAC_KEY_FILE: Key<Path> = Key {
    name: "hmac_key_file",
    kind: Path,
    presence: Optional("`hmac_key`"),
    meaning: "A file that holds the key.",
    example: "\"/etc/proxy-now/eab.key\"",
};

pub(in crate::config) static PROFILE: Key<PlainText> = Key {
    name: "profile",
    kind: TEXT,
    presence: Optional("the CA's default"),
    meaning: "The profile of certificates that is asked for, where the CA has profiles: Let's Encrypt's \
              `shortlived` is good for 6 days, and also for IP addresses.",
    example: "\"shortlived\"",
};

pub(in crate::config) static ISSUERS: Key<List<Nested>> = Key {
    name: "issuer",
    kind: List { of: Nested(&ISSUER_SECTION), example: "{ directory = \"letsencrypt\" }" },
    presence: Optional("one: `directory`"),
    meaning: "CAs that are asked in this order, the next one where one fails: `[[acme.issuer]]`.",
    example: "[{ directory = \"letsencrypt\" }, { directory = \"https://ca.example.com/acme/directory\" }]",
};

pub(in crate::config) static ISSUER_SECTION: Section = Section {
    title: "[[acme.issuer]]",
    meaning: "One of several CAs. The keys are those of `[acme]`.",
    keys: &[&ISSUER_DIRECTORY, &DIRECTORY_CA, &STAGING, &EAB, &PROFILE],
    elsewhere: &[],
};

pub(in crate::config) static ISSUER_DIRECTORY: Key<Parsed<IssuerConfig>> = Key {
    kind: ISSUER,
    presence: Required,
    meaning: "The CA, by name or by the address of its ACME directory.",
    ..DIRECTORY
};

pub(in crate::config) static STORAGE: Key<Path> = Key {
    name: "storage",
    kind: Path,
    presence: Default("\"/var/lib/proxy-now\""),
    meaning: "The folder of keys, certificates, accounts and orders under way. Machines that serve the same hosts can \
              share it. Nobody else may read it.",
    example: "\"/srv/proxy-now\"",
};

pub(in crate::config) static CHALLENGES: Key<OneOrMore<Words<ChallengeType>>> = Key {
    name: "challenges",
    kind: OneOrMore(List {
        of: Words {
            allowed: &[
                Word("http-01", ChallengeType::Http01),
                Word("tls-alpn-01", ChallengeType::TlsAlpn01),
                Word("dns-01", ChallengeType::Dns01),
            ],
            elsewhere: (&[], ""),
        },
        example: "\"http-01\"",
    }),
    presence: Default("[\"tls-alpn-01\", \"http-01\", \"dns-01\"]"),
    meaning: "How names are proved, in the order of preference: `tls-alpn-01` on port 443, `http-01` on port 80 (the \
              listeners answer by themselves, before redirects and everything else), `dns-01` by `[acme.dns]`, the \
              only one for wildcards. What has worked for a host comes first, and where one fails the next is tried.",
    example: "[\"http-01\"]",
};

pub(in crate::config) static KEY_TYPE: Key<Words<KeyType>> = Key {
    name: "key_type",
    kind: Words {
        allowed: &[
            Word("p256", KeyType::P256),
            Word("p384", KeyType::P384),
            Word("rsa2048", KeyType::Rsa2048),
            Word("rsa4096", KeyType::Rsa4096),
        ],
        elsewhere: (&[], ""),
    },
    presence: Default("\"p256\""),
    meaning: "The kind of certificates' keys. Each certificate has a new one.",
    example: "\"rsa2048\"",
};

pub(in crate::config) static DNS: Key<Nested> = Key {
    name: "dns",
    kind: Nested(&DNS_SECTION),
    presence: Optional("`dns-01` is not possible, and so no wildcards"),
    meaning: "Who puts records for `dns-01` into the zone.",
    example: "{ provider = \"exec\", command = [\"/etc/proxy-now/dns\"] }",
};

pub(in crate::config) static ON_DEMAND: Key<Nested> = Key {
    name: "on_demand",
    kind: Nested(&ON_DEMAND_SECTION),
    presence: Optional("no certificate is made on demand"),
    meaning: "Certificates at the first handshake, for routes with `tls = \"on-demand\"`.",
    example: "{ ask = \"http://127.0.0.1:9000/may-have\" }",
};

pub(in crate::config) static ON_DEMAND_SECTION: Section = Section {
    title: "[acme.on_demand]",
    meaning: "Who may have a certificate at its first handshake, and how many there may be.",
    keys: &[&ASK, &PER_MINUTE, &REMEMBER_REFUSED, &REMEMBER_MOST, &WAIT],
    elsewhere: &[],
};

pub(in crate::config) static ASK: Key<PlainText> = Key {
    name: "ask",
    kind: WEB_ADDRESS,
    presence: Required,
    meaning: "Asked by GET with `?domain=NAME&client=ADDRESS`: an answer 200 permits the name, everything else does \
              not. Nothing is ordered without permission.",
    example: "\"http://127.0.0.1:9000/may-have\"",
};

pub(in crate::config) static PER_MINUTE: Key<Number> = Key {
    name: "per_minute",
    kind: Number { low: 1, high: 10_000 },
    presence: Default("10"),
    meaning: "New names a minute, whoever asks for them.",
    example: "60",
};

pub(in crate::config) static REMEMBER_REFUSED: Key<Lasting> = Key {
    name: "remember_refused",
    kind: Lasting { low: Duration::ZERO, high: DAY },
    presence: Default("\"5m\""),
    meaning: "A name that was refused is not asked for again within this.",
    example: "\"1h\"",
};

pub(in crate::config) static REMEMBER_MOST: Key<Number> = Key {
    name: "remember_most",
    kind: Number { low: 1, high: 1_000_000 },
    presence: Default("10_000"),
    meaning: "No more than so many refused names are remembered.",
    example: "100_000",
};

pub(in crate::config) static WAIT: Key<Lasting> = Key {
    name: "wait",
    kind: Lasting { low: SECOND, high: Duration::from_secs(300) },
    presence: Default("\"30s\""),
    meaning: "A handshake waits no longer than this for its certificate.",
    example: "\"10s\"",
};

pub(in crate::config) static INTERNAL: Key<Nested> = Key {
    name: "internal",
    kind: Nested(&INTERNAL_SECTION),
    presence: Optional("our own CA, for this machine alone"),
    meaning: "Our own CA, for names that no public CA vouches for.",
    example: "{ name = \"Example internal\" }",
};

pub(in crate::config) static INTERNAL_SECTION: Section = Section {
    title: "[acme.internal]",
    meaning: "Our own CA. Its root and intermediate are made once and kept in `storage`; `proxy-now certs trust` makes \
              this machine trust it.",
    keys: &[&CA_NAME, &LIFETIME, &SERVE],
    elsewhere: &[],
};

pub(in crate::config) static CA_NAME: Key<PlainText> = Key {
    name: "name",
    kind: TEXT,
    presence: Default("\"proxy-now\""),
    meaning: "The name of its root, for people.",
    example: "\"Example internal\"",
};

pub(in crate::config) static LIFETIME: Key<Lasting> = Key {
    name: "lifetime",
    kind: Lasting { low: Duration::from_secs(60), high: Duration::from_secs(365 * 86_400) },
    presence: Default("\"7d\""),
    meaning: "How long a certificate is valid. It is renewed after two thirds of that.",
    example: "\"1d\"",
};

pub(in crate::config) static SERVE: Key<Nested> = Key {
    name: "serve",
    kind: Nested(&SERVE_SECTION),
    presence: Optional("it serves nobody else"),
    meaning: "Other machines of the network get certificates from it, by ACME.",
    example: "{ bind = \"10.0.0.1:9443\", host = \"ca.internal\", names = [\"*.internal\"] }",
};

pub(in crate::config) static SERVE_SECTION: Section = Section {
    title: "serve = { … }",
    meaning: "An ACME server (RFC 8555) with http-01 and tls-alpn-01; its directory is \
              `https://HOST:PORT/directory`.",
    keys: &[&SERVE_BIND, &SERVE_HOST, &SERVE_NAMES],
    elsewhere: &[],
};

pub(in crate::config) static SERVE_BIND: Key<Parsed<SocketAddr>> = Key {
    name: "bind",
    kind: SOCKET_ADDRESS,
    presence: Required,
    meaning: "Where it waits.",
    example: "\"10.0.0.1:9443\"",
};

pub(in crate::config) static SERVE_HOST: Key<PlainText> = Key {
    name: "host",
    kind: ONE_HOST,
    presence: Required,
    meaning: "Its own name, which it has a certificate for.",
    example: "\"ca.internal\"",
};

pub(in crate::config) static SERVE_NAMES: Key<OneOrMore<Parsed<HostPattern>>> = Key {
    name: "names",
    kind: OneOrMore(List { of: HOST_PATTERN, example: "\"*.internal\"" }),
    presence: Required,
    meaning: "Names that may be asked for.",
    example: "[\"*.internal\", \"10.0.0.7\"]",
};

//! `[tls]`, and what listeners, routes and pools say of TLS.

use std::time::Duration;

use crate::config::host_pattern::HostPattern;
use crate::config::kind::{
    Flag, HOST_PATTERN, Lasting, List, Ocsp, OneOrMore, Parsed, Path, PortOrFlag, Word, Words,
};
use crate::config::nested::{Nested, ShortOr};
use crate::config::table::Presence::{Default, Optional, Required};
use crate::config::table::{Key, Section};
use crate::config::tls::{CertificateFrom, TlsPolicy};

const YEAR: Duration = Duration::from_secs(365 * 86_400);

pub(in crate::config) static TLS: Section = Section {
    title: "[tls]",
    meaning: "Certificates of `https` listeners that are files, and session tickets. Files are read at the start, on a \
              reload, and when they change; a broken or mismatched pair keeps the one before it, and the log says so. \
              Hosts that no file covers get their certificate by themselves: see `tls` of `[[route]]`.",
    keys: &[&CERTIFICATE, &DIRECTORY, &TICKETS],
    elsewhere: &[],
};

pub(in crate::config) static CERTIFICATE: Key<List<Nested>> = Key {
    name: "certificate",
    kind: List {
        of: Nested(&CERTIFICATE_SECTION),
        example: "{ cert = \"/etc/proxy-now/app.crt\", key = \"/etc/proxy-now/app.key\" }",
    },
    presence: Optional("none"),
    meaning: "A certificate and its key, each in a file: `[[tls.certificate]]`, as often as there are. Served to \
              clients that name a host it is for.",
    example: "[{ cert = \"/etc/proxy-now/app.crt\", key = \"/etc/proxy-now/app.key\" }]",
};

pub(in crate::config) static CERTIFICATE_SECTION: Section = Section {
    title: "[[tls.certificate]]",
    meaning: "A certificate and its key.",
    keys: &[&CERT, &KEY, &OCSP],
    elsewhere: &[],
};

pub(in crate::config) static CERT: Key<Path> = Key {
    name: "cert",
    kind: Path,
    presence: Required,
    meaning: "The certificate and those of the CAs that lead to its root, leaf first, PEM.",
    example: "\"/etc/proxy-now/app.crt\"",
};

pub(in crate::config) static KEY: Key<Path> = Key {
    name: "key",
    kind: Path,
    presence: Optional("it stands in the file of `cert`"),
    meaning: "Its key, PEM, not encrypted.",
    example: "\"/etc/proxy-now/app.key\"",
};

pub(in crate::config) static OCSP: Key<Ocsp> = Key {
    name: "ocsp",
    kind: Ocsp,
    presence: Optional("no answer is stapled"),
    meaning: "`true`: the responder that the certificate names is asked, and its answer stapled. Or the `http://` \
              address of another.",
    example: "\"http://ocsp.example.com\"",
};

pub(in crate::config) static DIRECTORY: Key<OneOrMore<Path>> = Key {
    name: "directory",
    kind: OneOrMore(List { of: Path, example: "\"/etc/proxy-now/certs\"" }),
    presence: Optional("none"),
    meaning: "Folders of certificates: `NAME.crt` or `NAME.pem` with `NAME.key` beside it, or with the key in the \
              same file.",
    example: "[\"/etc/proxy-now/certs\", \"/etc/ssl/edge\"]",
};

pub(in crate::config) static TICKETS: Key<Nested> = Key {
    name: "tickets",
    kind: Nested(&TICKETS_SECTION),
    presence: Optional("keys drawn at random, new every 12 hours"),
    meaning: "Session tickets: clients that come again need no full handshake.",
    example: "{ rotate = \"6h\", key_file = \"/etc/proxy-now/tickets.key\" }",
};

pub(in crate::config) static TICKETS_SECTION: Section = Section {
    title: "tickets = { … }",
    meaning: "Keys of session tickets.",
    keys: &[&ROTATE, &KEY_FILE],
    elsewhere: &[],
};

pub(in crate::config) static ROTATE: Key<Lasting> = Key {
    name: "rotate",
    kind: Lasting { low: Duration::from_secs(60), high: Duration::from_secs(7 * 86_400) },
    presence: Default("\"12h\""),
    meaning: "How long a key makes new tickets. It reads them for twice as long, 7 days at most.",
    example: "\"6h\"",
};

pub(in crate::config) static KEY_FILE: Key<Path> = Key {
    name: "key_file",
    kind: Path,
    presence: Optional("drawn at random, and kept in memory only"),
    meaning: "A secret of at least 32 bytes that keys are derived from: machines that share it read each other's \
              tickets. Make it by `openssl rand -out FILE 48`.",
    example: "\"/etc/proxy-now/tickets.key\"",
};

pub(in crate::config) static LISTENER_TLS: Key<Nested> = Key {
    name: "tls",
    kind: Nested(&LISTENER_TLS_SECTION),
    presence: Optional("safe for every client of the last ten years (below)"),
    meaning: "`https`: what TLS is like.",
    example: "{ policy = \"modern\", strict_sni = true }",
};

pub(in crate::config) static LISTENER_TLS_SECTION: Section = Section {
    title: "[listener.NAME.tls]",
    meaning: "What TLS is like at an `https` listener.",
    keys: &[&POLICY, &STRICT_SNI, &DEFAULT, &CLIENT_AUTH],
    elsewhere: &[],
};

pub(in crate::config) static POLICY: Key<Words<TlsPolicy>> = Key {
    name: "policy",
    kind: Words {
        allowed: &[Word("modern", TlsPolicy::Modern), Word("intermediate", TlsPolicy::Intermediate)],
        elsewhere: (&["old"], "TLS before 1.2 is not spoken"),
    },
    presence: Default("\"intermediate\""),
    meaning: "Versions, ciphers and key exchange, by Mozilla's names. `modern`: TLS 1.3. `intermediate`: also TLS 1.2 \
              with forward secrecy and AEAD.",
    example: "\"modern\"",
};

pub(in crate::config) static STRICT_SNI: Key<Flag> = Key {
    name: "strict_sni",
    kind: Flag,
    presence: Default("false"),
    meaning: "Clients that name no host, or one that no certificate is for, are refused; otherwise they are shown \
              the default certificate.",
    example: "true",
};

pub(in crate::config) static DEFAULT: Key<Parsed<HostPattern>> = Key {
    name: "default",
    kind: HOST_PATTERN,
    presence: Optional("the first there is"),
    meaning: "The default certificate: that of this name.",
    example: "\"www.example.com\"",
};

pub(in crate::config) static CLIENT_AUTH: Key<Nested> = Key {
    name: "client_auth",
    kind: Nested(&CLIENT_AUTH_SECTION),
    presence: Optional("clients are not asked for certificates"),
    meaning: "Clients show certificates.",
    example: "{ ca = \"/etc/proxy-now/clients.pem\" }",
};

pub(in crate::config) static CLIENT_AUTH_SECTION: Section = Section {
    title: "client_auth = { … }",
    meaning: "Which certificates clients must show. The files are read again when they change.",
    keys: &[&CLIENT_CA, &AUTH_MODE, &CRL, &HEADERS],
    elsewhere: &[],
};

pub(in crate::config) static CLIENT_CA: Key<Path> = Key {
    name: "ca",
    kind: Path,
    presence: Required,
    meaning: "Certificates of CAs, PEM: clients' certificates must be issued by one of them.",
    example: "\"/etc/proxy-now/clients.pem\"",
};

/// Whether a client must show a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::config) enum AuthMode {
    Required,
    Optional,
}

pub(in crate::config) static AUTH_MODE: Key<Words<AuthMode>> = Key {
    name: "mode",
    kind: Words {
        allowed: &[Word("required", AuthMode::Required), Word("optional", AuthMode::Optional)],
        elsewhere: (&[], ""),
    },
    presence: Default("\"required\""),
    meaning: "`optional`: clients without a certificate are served too. One with a bad certificate never is.",
    example: "\"optional\"",
};

pub(in crate::config) static CRL: Key<Path> = Key {
    name: "crl",
    kind: Path,
    presence: Optional("revocation is not looked at"),
    meaning: "Certificates that were revoked, PEM or DER.",
    example: "\"/etc/proxy-now/clients.crl\"",
};

pub(in crate::config) static HEADERS: Key<Flag> = Key {
    name: "headers",
    kind: Flag,
    presence: Default("true"),
    meaning: "Backends are told who the client is: `X-Client-Cert-Subject`, `X-Client-Cert-Issuer`, \
              `X-Client-Cert-Serial`, `X-Client-Cert-Fingerprint` (SHA-256), and the certificate in `Client-Cert` \
              (RFC 9440). Fields of these names that a client sends are always removed.",
    example: "false",
};

pub(in crate::config) static HSTS: Key<ShortOr<Flag>> = Key {
    name: "hsts",
    kind: ShortOr(Flag, &HSTS_SECTION),
    presence: Default("false"),
    meaning: "`https`: answers tell browsers to come by TLS only from now on (Strict-Transport-Security, RFC 6797). \
              `true`, or a table.",
    example: "true",
};

pub(in crate::config) static HSTS_SECTION: Section = Section {
    title: "hsts = { … }",
    meaning: "What browsers are told of TLS. They remember it: begin with a short `max_age`.",
    keys: &[&MAX_AGE, &INCLUDE_SUBDOMAINS, &PRELOAD],
    elsewhere: &[],
};

pub(in crate::config) static MAX_AGE: Key<Lasting> = Key {
    name: "max_age",
    kind: Lasting { low: Duration::ZERO, high: Duration::from_secs(10 * YEAR.as_secs()) },
    presence: Default("\"365d\""),
    meaning: "For how long. `\"0s\"` makes browsers forget.",
    example: "\"1d\"",
};

pub(in crate::config) static INCLUDE_SUBDOMAINS: Key<Flag> = Key {
    name: "include_subdomains",
    kind: Flag,
    presence: Default("false"),
    meaning: "For the names below the host, too.",
    example: "true",
};

pub(in crate::config) static PRELOAD: Key<Flag> = Key {
    name: "preload",
    kind: Flag,
    presence: Default("false"),
    meaning: "The host may stand in the lists that browsers come with. That is hard to undo.",
    example: "true",
};

pub(in crate::config) static REDIRECT_HTTPS: Key<PortOrFlag> = Key {
    name: "redirect_https",
    kind: PortOrFlag,
    presence: Optional("true if an `https` listener has the same addresses"),
    meaning: "`http`: requests that a route of the `https` listener with the same addresses takes are redirected there \
              (308), but for those of routes that name this listener alone. \
              Challenges of ACME are answered before that. A port: the one that clients see, where it is not the one \
              that the listener is bound to.",
    example: "false",
};

pub(in crate::config) static ROUTE_TLS: Key<ShortOr<Words<CertificateFrom>>> = Key {
    name: "tls",
    kind: ShortOr(CERTIFICATE_FROM, &ROUTE_TLS_SECTION),
    presence: Optional("`auto`"),
    meaning: "`https`: where the certificates of its hosts come from. `auto`: files if one covers the host, else a \
              public CA by ACME, else, for names that no public CA vouches for (`localhost`, `*.internal`, private \
              addresses), our own CA. `acme`, `internal` and `files`: only from there. `on-demand`: by ACME, at the \
              first handshake that asks for the name, if `[acme.on_demand]` permits it: for wildcards, and for routes \
              without a host. Routes of one host say the same, or one of them for all. Or a table.",
    example: "\"internal\"",
};

pub(in crate::config) static ROUTE_TLS_SECTION: Section = Section {
    title: "tls = { … }",
    meaning: "TLS of the route's hosts.",
    keys: &[&FROM, &HOST_CLIENT_AUTH],
    elsewhere: &[],
};

pub(in crate::config) static FROM: Key<Words<CertificateFrom>> = Key {
    name: "from",
    kind: CERTIFICATE_FROM,
    presence: Optional("`auto`"),
    meaning: "Where their certificates come from.",
    example: "\"acme\"",
};

const CERTIFICATE_FROM: Words<CertificateFrom> = Words {
    allowed: &[
        Word("auto", CertificateFrom::Auto),
        Word("acme", CertificateFrom::Acme),
        Word("internal", CertificateFrom::Internal),
        Word("files", CertificateFrom::Files),
        Word("on-demand", CertificateFrom::OnDemand),
    ],
    elsewhere: (&[], ""),
};

pub(in crate::config) static HOST_CLIENT_AUTH: Key<Nested> = Key {
    kind: Nested(&CLIENT_AUTH_SECTION),
    presence: Optional("as the listener says"),
    meaning: "Clients of these hosts show certificates, whatever path they ask for.",
    ..CLIENT_AUTH
};

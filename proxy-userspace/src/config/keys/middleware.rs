//! `[middleware.NAME]`, whose keys a route can have too.

use http::HeaderName;
use ipnet::IpNet;

use crate::config::kind::{
    BCRYPT, FIELD_NAME, FIELD_TEMPLATE, List, MEDIA_TYPE, Map, NETWORK, Name, OneOrMore, PATH, PATH_TEMPLATE,
    Parsed, Path, PlainText, REALM, REGEX, Size, StatusRange, TEXT, USER, Word, Words,
};
use crate::config::nested::{Nested, ShortOr};
use crate::config::table::Presence::{Default, Optional, Required};
use crate::config::table::{Key, Section};
use crate::config::web::{Encoding, Template};

pub(in crate::config) static MIDDLEWARE: Section = Section {
    title: "[middleware.NAME]",
    meaning: "What happens to requests and answers on their way, for routes that name it in `use`. A route can have \
              the same keys itself; its own go before named ones, and of two named ones that have the same key the \
              later. Whatever the order in the file, a request meets `deny`, `allow`, `basic_auth`, `max_body`, \
              `request_headers`, `strip_prefix`, `rewrite_path`, and its answer `error_pages`, `compress`, \
              `response_headers`. A route without any of them pays for none.",
    keys: &[
        &ALLOW,
        &DENY,
        &BASIC_AUTH,
        &MAX_BODY,
        &REQUEST_HEADERS,
        &STRIP_PREFIX,
        &REWRITE_PATH,
        &RESPONSE_HEADERS,
        &COMPRESS,
        &ERROR_PAGES,
    ],
    elsewhere: &[],
};

pub(in crate::config) static ALLOW: Key<OneOrMore<Parsed<IpNet>>> = Key {
    name: "allow",
    kind: OneOrMore(List { of: NETWORK, example: "\"10.0.0.0/8\"" }),
    presence: Optional("every client"),
    meaning: "Only these clients, by address or network; others are answered 403.",
    example: "[\"10.0.0.0/8\", \"2001:db8::1\"]",
};

pub(in crate::config) static DENY: Key<OneOrMore<Parsed<IpNet>>> = Key {
    name: "deny",
    kind: OneOrMore(List { of: NETWORK, example: "\"192.0.2.0/24\"" }),
    presence: Optional("nobody"),
    meaning: "Not these clients: they are answered 403, `allow` or not.",
    example: "\"192.0.2.0/24\"",
};

pub(in crate::config) static BASIC_AUTH: Key<Nested> = Key {
    name: "basic_auth",
    kind: Nested(&BASIC_AUTH_SECTION),
    presence: Optional("everybody may ask"),
    meaning: "Who may ask: others are answered 401.",
    example: "{ file = \"/etc/proxy-now/htpasswd\" }",
};

pub(in crate::config) static BASIC_AUTH_SECTION: Section = Section {
    title: "basic_auth = { … }",
    meaning: "Users and bcrypt hashes of their passwords (`htpasswd -B`), here, or in a file, or both.",
    keys: &[&USERS, &FILE, &REALM_IS, &USER_HEADER],
    elsewhere: &[],
};

pub(in crate::config) static USERS: Key<Map<PlainText, PlainText>> = Key {
    name: "users",
    kind: Map { name: USER, value: BCRYPT, example: "{ alice = \"$2y$10$…\" }" },
    presence: Optional("those of `file`"),
    meaning: "Users, each with a bcrypt hash.",
    example: "{ alice = \"$2y$10$zVmz3EoGRGvTRGm8cMFCT.vH1mB7RHwk2aNh3LtDJBFAm5VhqJ9gW\" }",
};

pub(in crate::config) static FILE: Key<Path> = Key {
    name: "file",
    kind: Path,
    presence: Optional("those of `users`"),
    meaning: "A file with a line `user:hash` for each. Read when the configuration is: a changed file needs \
              `proxy-now reload`.",
    example: "\"/etc/proxy-now/htpasswd\"",
};

pub(in crate::config) static REALM_IS: Key<PlainText> = Key {
    name: "realm",
    kind: REALM,
    presence: Default("\"restricted\""),
    meaning: "What people are shown when they are asked for their password.",
    example: "\"staff only\"",
};

pub(in crate::config) static USER_HEADER: Key<Parsed<HeaderName>> = Key {
    name: "user_header",
    kind: FIELD_NAME,
    presence: Optional("none"),
    meaning: "The field that tells the backend who asks; what the client sent there is replaced.",
    example: "\"x-user\"",
};

pub(in crate::config) static MAX_BODY: Key<Size> = Key {
    name: "max_body",
    kind: Size { low: 0, high: i64::MAX as u64 },
    presence: Optional("the listener's `limits.body_bytes`"),
    meaning: "Bytes of a request's body: more is answered 413.",
    example: "\"100MiB\"",
};

pub(in crate::config) static REQUEST_HEADERS: Key<Nested> = Key {
    name: "request_headers",
    kind: Nested(&EDITS_SECTION),
    presence: Optional("as the client sent them"),
    meaning: "Changes to the fields that the backend gets.",
    example: "{ set = { x-client = \"{client_ip}\" }, remove = [\"cookie\"] }",
};

pub(in crate::config) static RESPONSE_HEADERS: Key<Nested> = Key {
    name: "response_headers",
    kind: Nested(&EDITS_SECTION),
    presence: Optional("as the backend sent them"),
    meaning: "Changes to the fields that the client gets.",
    example: "{ set = { strict-transport-security = \"max-age=31536000\" }, remove = \"server\" }",
};

pub(in crate::config) static EDITS_SECTION: Section = Section {
    title: "request_headers = { … }",
    meaning: "Changes to fields, and the same for `response_headers`: first `remove`, then `set`, then `add`. Values \
              can have variables: `{client_ip}`, `{client_port}`, `{scheme}`, `{host}`, `{port}`, `{method}`, \
              `{path}`, `{query}`, `{uri}`, `{request_id}`, `{listener}`, `{route}`, `{sni}`, `{ja4}`, \
              `{header.NAME}`, `{cookie.NAME}`; a brace itself is doubled. Fields that belong to a connection or frame a message \
              cannot be changed, nor Host: see the pool's `host`.",
    keys: &[&SET, &ADD, &REMOVE],
    elsewhere: &[],
};

pub(in crate::config) static SET: Key<Map<Parsed<HeaderName>, Parsed<Template>>> = Key {
    name: "set",
    kind: Map { name: FIELD_NAME, value: FIELD_TEMPLATE, example: "{ x-client = \"{client_ip}\" }" },
    presence: Optional("none"),
    meaning: "Fields that get this value, whatever they had.",
    example: "{ x-client = \"{client_ip}\" }",
};

pub(in crate::config) static ADD: Key<Map<Parsed<HeaderName>, OneOrMore<Parsed<Template>>>> = Key {
    name: "add",
    kind: Map {
        name: FIELD_NAME,
        value: OneOrMore(List { of: FIELD_TEMPLATE, example: "\"{client_ip}\"" }),
        example: "{ x-client = \"{client_ip}\" }",
    },
    presence: Optional("none"),
    meaning: "Lines that are added to what is there.",
    example: "{ x-trace = [\"{request_id}\", \"edge\"] }",
};

pub(in crate::config) static REMOVE: Key<OneOrMore<Parsed<HeaderName>>> = Key {
    name: "remove",
    kind: OneOrMore(List { of: FIELD_NAME, example: "\"server\"" }),
    presence: Optional("none"),
    meaning: "Fields that go.",
    example: "[\"server\", \"x-powered-by\"]",
};

pub(in crate::config) static STRIP_PREFIX: Key<PlainText> = Key {
    name: "strip_prefix",
    kind: PATH,
    presence: Optional("the path as it is"),
    meaning: "Removed from the beginning of the path, in whole segments: `/api` makes `/x` of `/api/x`.",
    example: "\"/api\"",
};

pub(in crate::config) static REWRITE_PATH: Key<ShortOr<Parsed<Template>>> = Key {
    name: "rewrite_path",
    kind: ShortOr(PATH_TEMPLATE, &REWRITE_SECTION),
    presence: Optional("the path as it is"),
    meaning: "The path becomes this; `{path}` is what `strip_prefix` left of it. In a route with `path_regex`, `$1` \
              and `${name}` are its groups. Or a table.",
    example: "\"/v2{path}\"",
};

pub(in crate::config) static REWRITE_SECTION: Section = Section {
    title: "rewrite_path = { … }",
    meaning: "The first match of an expression is replaced; a path without one stays.",
    keys: &[&REWRITE_REGEX, &REWRITE_TO],
    elsewhere: &[],
};

pub(in crate::config) static REWRITE_REGEX: Key<PlainText> = Key {
    name: "regex",
    kind: REGEX,
    presence: Required,
    meaning: "What is replaced.",
    example: "'^/v([0-9]+)/'",
};

pub(in crate::config) static REWRITE_TO: Key<PlainText> = Key {
    name: "to",
    kind: TEXT,
    presence: Required,
    meaning: "By what, with `$1` and `${name}` for groups.",
    example: "\"/api/$1/\"",
};

pub(in crate::config) static COMPRESS: Key<ShortOr<OneOrMore<Words<Encoding>>>> = Key {
    name: "compress",
    kind: ShortOr(ENCODINGS, &COMPRESS_SECTION),
    presence: Optional("answers as the backend sent them"),
    meaning: "How bodies of answers are compressed, the best first, if the client takes it and the backend has not \
              done it: `zstd`, `br`, `gzip`. Or a table.",
    example: "[\"zstd\", \"br\", \"gzip\"]",
};

const ENCODINGS: OneOrMore<Words<Encoding>> = OneOrMore(List {
    of: Words {
        allowed: &[Word("zstd", Encoding::Zstd), Word("br", Encoding::Brotli), Word("gzip", Encoding::Gzip)],
        elsewhere: (&[], ""),
    },
    example: "\"gzip\"",
});

pub(in crate::config) static COMPRESS_SECTION: Section = Section {
    title: "compress = { … }",
    meaning: "Compression with more to say.",
    keys: &[&ENCODINGS_ARE, &MIN_BYTES, &TYPES],
    elsewhere: &[],
};

pub(in crate::config) static ENCODINGS_ARE: Key<OneOrMore<Words<Encoding>>> = Key {
    name: "encodings",
    kind: ENCODINGS,
    presence: Default("[\"zstd\", \"br\", \"gzip\"]"),
    meaning: "The best first.",
    example: "[\"br\", \"gzip\"]",
};

pub(in crate::config) static MIN_BYTES: Key<Size> = Key {
    name: "min_bytes",
    kind: Size { low: 0, high: 1 << 40 },
    presence: Default("\"1KiB\""),
    meaning: "Bodies known to be shorter stay as they are.",
    example: "256",
};

pub(in crate::config) static TYPES: Key<OneOrMore<PlainText>> = Key {
    name: "types",
    kind: OneOrMore(List { of: MEDIA_TYPE, example: "\"text/*\"" }),
    presence: Default(
        "[\"text/*\", \"application/javascript\", \"application/json\", \"application/manifest+json\", \
         \"application/wasm\", \"application/xhtml+xml\", \"application/xml\", \"application/atom+xml\", \
         \"application/rss+xml\", \"application/ld+json\", \"application/problem+json\", \"image/svg+xml\", \
         \"font/otf\", \"font/ttf\"]",
    ),
    meaning: "Media types that are compressed; `text/*` means all of them.",
    example: "[\"text/*\", \"application/json\"]",
};

pub(in crate::config) static ERROR_PAGES: Key<Map<StatusRange, Path>> = Key {
    name: "error_pages",
    kind: Map {
        name: StatusRange { low: 400 },
        value: Path,
        example: "{ 404 = \"/etc/proxy-now/404.html\" }",
    },
    presence: Optional("the backend's, or a line of text"),
    meaning: "Files that stand in for answers with these statuses, the backend's and the proxy's own; of several the \
              one with the narrowest range. Read when the configuration is. What they are is said by their ending: \
              `.html`, `.json`, `.xml`, else text.",
    example: "{ 404 = \"/etc/proxy-now/404.html\", \"500-599\" = \"/etc/proxy-now/sorry.html\" }",
};

pub(in crate::config) static USE: Key<OneOrMore<Name>> = Key {
    name: "use",
    kind: OneOrMore(List { of: Name, example: "\"staff\"" }),
    presence: Optional("none"),
    meaning: "Names of `[middleware.NAME]`: what happens on the way.",
    example: "[\"staff\", \"compressed\"]",
};

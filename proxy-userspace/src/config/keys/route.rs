//! `[[route]]`.

use std::time::Duration;

use http::{HeaderName, Method};
use ipnet::IpNet;

use super::{middleware, steer, tls};
use crate::config::host_pattern::HostPattern;
use crate::config::kind::{
    FIELD_NAME, HOST_PATTERN, LOCATION, Lasting, List, METHOD, Map, NETWORK, Name, Number, OneOrMore, PATH,
    Parsed, PlainText, REGEX, Status, TEXT, TextOrFlag,
};
use crate::config::nested::ShortOr;
use crate::config::table::Presence::{Default, Optional, Required};
use crate::config::table::{Key, Section};
use crate::config::web::Template;

pub(in crate::config) static ROUTE: Section = Section {
    title: "[[route]]",
    meaning: "Which requests of `http` and `https` listeners, and connections of `https` and `tls` listeners, go where. All conditions of a route must hold. Of the routes that \
              match, the most specific one is taken: an exact host before a wildcard of more labels, before one of \
              fewer, before none; then an exact path before a longer prefix, before a shorter one, before a regular \
              expression, before none; then more further conditions before fewer; then the one that stands first in \
              the file. A request that no route matches is answered 404. A route names exactly one of `pool`, \
              `redirect`, `respond` and `refuse`. Before a connection is decrypted, its ClientHello decides: of all \
              routes, by `host` (SNI), `client_ip` and `client_hello` alone, the most specific one; if that is one with \
              `passthrough` or `refuse`, there will be no requests.",
    keys: &[
        &NAME,
        &LISTENERS,
        &HOST,
        &PATH_PREFIX,
        &PATH_EXACT,
        &PATH_REGEX,
        &METHOD_IS,
        &HEADER,
        &QUERY,
        &CLIENT_IP,
        &steer::CLIENT_HELLO,
        &steer::PASSTHROUGH,
        &POOL,
        &REDIRECT,
        &RESPOND,
        &steer::REFUSE,
        &TIMEOUT,
        &tls::ROUTE_TLS,
        &middleware::USE,
        &middleware::ALLOW,
        &middleware::DENY,
        &middleware::BASIC_AUTH,
        &middleware::MAX_BODY,
        &middleware::REQUEST_HEADERS,
        &middleware::STRIP_PREFIX,
        &middleware::REWRITE_PATH,
        &middleware::RESPONSE_HEADERS,
        &middleware::COMPRESS,
        &middleware::ERROR_PAGES,
    ],
    elsewhere: &[],
};

pub(in crate::config) static NAME: Key<Name> = Key {
    name: "name",
    kind: Name,
    presence: Optional("`route-1`, `route-2`, … in the order of the file"),
    meaning: "What it is called in the log, in metrics and by `explain`.",
    example: "\"app-api\"",
};

pub(in crate::config) static LISTENERS: Key<OneOrMore<Name>> = Key {
    name: "listener",
    kind: OneOrMore(List { of: Name, example: "\"web\"" }),
    presence: Optional("every listener that it can be for"),
    meaning: "The listeners whose requests or connections it is for. If nothing is said, routes with `passthrough` or `refuse` \
              are for every `https` and `tls` listener, others with `client_hello` for every `https` one, and the rest for every `http` and \
              `https` one.",
    example: "[\"web\", \"internal\"]",
};

pub(in crate::config) static HOST: Key<OneOrMore<Parsed<HostPattern>>> = Key {
    name: "host",
    kind: OneOrMore(List { of: HOST_PATTERN, example: "\"app.example.com\"" }),
    presence: Optional("every host"),
    meaning: "The host that the client names, without its port: one of these. `*.example.com` stands for one or more \
              labels before `example.com`, not for `example.com` itself.",
    example: "[\"app.example.com\", \"*.dev.example.com\"]",
};

pub(in crate::config) static PATH_PREFIX: Key<PlainText> = Key {
    name: "path",
    kind: PATH,
    presence: Optional("every path"),
    meaning: "What the path begins with, in whole segments: `/api` matches `/api` and `/api/x`, not `/apix`; `/api/` \
              also matches `/api`. Paths are compared in one canonical form: without dot segments and doubled \
              slashes, nothing encoded that need not be.",
    example: "\"/api/\"",
};

pub(in crate::config) static PATH_EXACT: Key<PlainText> = Key {
    name: "path_exact",
    kind: PATH,
    presence: Optional("every path"),
    meaning: "The whole path.",
    example: "\"/favicon.ico\"",
};

pub(in crate::config) static PATH_REGEX: Key<PlainText> = Key {
    name: "path_regex",
    kind: REGEX,
    presence: Optional("every path"),
    meaning: "A regular expression that the path matches, anywhere unless it is anchored. `path`, `path_exact` and \
              `path_regex` exclude each other.",
    example: "'^/users/[0-9]+$'",
};

pub(in crate::config) static METHOD_IS: Key<OneOrMore<Parsed<Method>>> = Key {
    name: "method",
    kind: OneOrMore(List { of: METHOD, example: "\"GET\"" }),
    presence: Optional("every method"),
    meaning: "The method: one of these.",
    example: "[\"GET\", \"HEAD\"]",
};

pub(in crate::config) static HEADER: Key<Map<Parsed<HeaderName>, ShortOr<TextOrFlag>>> = Key {
    name: "header",
    kind: Map {
        name: FIELD_NAME,
        value: ShortOr(TextOrFlag, &PATTERN_SECTION),
        example: "{ x-env = \"dev\" }",
    },
    presence: Optional("any fields"),
    meaning: "Fields that the request has, all of them: a line's whole value, `{ regex = '…' }` for a line that \
              matches, `true` for a field that is there, `false` for one that is not.",
    example: "{ x-env = \"dev\", x-debug = false, accept = { regex = '^application/json' } }",
};

pub(in crate::config) static QUERY: Key<Map<PlainText, ShortOr<TextOrFlag>>> = Key {
    name: "query",
    kind: Map { name: TEXT, value: ShortOr(TextOrFlag, &PATTERN_SECTION), example: "{ version = \"2\" }" },
    presence: Optional("any query"),
    meaning: "Parameters of the query, all of them, in the same way. Names and values are compared as decoded.",
    example: "{ version = \"2\", preview = true }",
};

pub(in crate::config) static PATTERN_SECTION: Section = Section {
    title: "header = { NAME = { … } }",
    meaning: "A value that is more than a text. The same for `query`.",
    keys: &[&REGEX_IS],
    elsewhere: &[],
};

pub(in crate::config) static REGEX_IS: Key<PlainText> = Key {
    name: "regex",
    kind: REGEX,
    presence: Required,
    meaning: "A regular expression that the value matches, anywhere unless it is anchored.",
    example: "'^application/json'",
};

pub(in crate::config) static CLIENT_IP: Key<OneOrMore<Parsed<IpNet>>> = Key {
    name: "client_ip",
    kind: OneOrMore(List { of: NETWORK, example: "\"10.0.0.0/8\"" }),
    presence: Optional("every client"),
    meaning: "The client's address or its network: one of these. Behind `trusted_proxies`, what they say it is.",
    example: "[\"10.0.0.0/8\", \"2001:db8::/32\"]",
};

pub(in crate::config) static POOL: Key<Name> = Key {
    name: "pool",
    kind: Name,
    presence: Optional("`redirect` or `respond`"),
    meaning: "The pool that answers.",
    example: "\"app\"",
};

pub(in crate::config) static REDIRECT: Key<ShortOr<Parsed<Template>>> = Key {
    name: "redirect",
    kind: ShortOr(LOCATION, &REDIRECT_SECTION),
    presence: Optional("`pool` or `respond`"),
    meaning: "The answer is a redirect to this address, with variables; or a table.",
    example: "\"https://{host}{uri}\"",
};

pub(in crate::config) static REDIRECT_SECTION: Section = Section {
    title: "redirect = { … }",
    meaning: "A redirect with more to say than its address.",
    keys: &[&REDIRECT_TO, &REDIRECT_STATUS],
    elsewhere: &[],
};

pub(in crate::config) static REDIRECT_TO: Key<Parsed<Template>> = Key {
    name: "to",
    kind: LOCATION,
    presence: Required,
    meaning: "The address, with variables.",
    example: "\"https://{host}{uri}\"",
};

pub(in crate::config) static REDIRECT_STATUS: Key<Status> = Key {
    name: "status",
    kind: Status { allowed: &[301, 302, 303, 307, 308] },
    presence: Default("308"),
    meaning: "301 and 308 are for ever, 302 and 307 for now; 303 asks for a GET.",
    example: "302",
};

pub(in crate::config) static RESPOND: Key<ShortOr<Number>> = Key {
    name: "respond",
    kind: ShortOr(ANSWER, &RESPOND_SECTION),
    presence: Optional("`pool` or `redirect`"),
    meaning: "The answer has this status; or a table.",
    example: "{ status = 404, body = \"not here\\n\" }",
};

const ANSWER: Number = Number { low: 200, high: 599 };

pub(in crate::config) static RESPOND_SECTION: Section = Section {
    title: "respond = { … }",
    meaning: "An answer with more to say than its status.",
    keys: &[&RESPOND_STATUS, &RESPOND_BODY],
    elsewhere: &[],
};

pub(in crate::config) static RESPOND_STATUS: Key<Number> =
    Key { name: "status", kind: ANSWER, presence: Default("200"), meaning: "The status.", example: "404" };

pub(in crate::config) static RESPOND_BODY: Key<PlainText> = Key {
    name: "body",
    kind: TEXT,
    presence: Default("\"\""),
    meaning: "The body, as `text/plain; charset=utf-8`. None with 204, 205 and 304.",
    example: "\"not here\\n\"",
};

pub(in crate::config) static TIMEOUT: Key<Lasting> = Key {
    name: "timeout",
    kind: Lasting { low: Duration::from_millis(1), high: Duration::from_secs(86_400) },
    presence: Optional("the pool's `timeout.request`"),
    meaning: "The whole exchange, with all tries and the answer's body.",
    example: "\"5m\"",
};

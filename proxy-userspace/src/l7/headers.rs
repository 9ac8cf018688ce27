//! Fields that say who a request is from and which way it came. For `service` and `forward`:
//!
//! 1. [`arrive`], before anything looks at the request: the client and scheme as trusted proxies say; what others
//!    say of it is removed. Gives the request its id. Refuses what goes round in circles.
//! 2. [`present`], before the route's middleware, for requests that go to a pool: Forwarded, X-Forwarded-*, Via and
//!    X-Request-Id. A route's `request_headers` come after it, so they have the last word.
//! 3. [`pass_on`], on a backend's answer, before the route's middleware: Via.
//! 4. [`date`] and [`secure`], on every answer before its client gets it: Date, and what browsers are told of TLS.
//!
//! What a client names in Connection is gone before 1, so it never removes what 2 adds.

/// How a client is presented to backends.
mod presented;

use std::net::IpAddr;

use http::header::{self, DATE, Entry, FORWARDED, STRICT_TRANSPORT_SECURITY, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use ipnet::IpNet;

use super::cause::Cause;
use super::date;
use super::forwarded::{self, Said};
use super::id::Id;
use super::request::{Connection, Request, Response};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Fields that say whose certificate a client has shown (RFC 9440, and what others use).
const CLIENT_CERTIFICATE: [HeaderName; 6] = [
    HeaderName::from_static("client-cert"),
    HeaderName::from_static("client-cert-chain"),
    HeaderName::from_static("x-client-cert-subject"),
    HeaderName::from_static("x-client-cert-issuer"),
    HeaderName::from_static("x-client-cert-serial"),
    HeaderName::from_static("x-client-cert-fingerprint"),
];
/// How we are called in Via (RFC 9110 §7.6.3).
const PSEUDONYM: &str = "proxy-now";
/// A request that has been here, or at our like, this often goes round in circles.
const ROUNDS: usize = 10;

/// Takes in what the head says of the request's way, or removes it if it is not to be believed.
///
/// # Errors
/// The request has been here too often.
pub fn arrive(request: &mut Request) -> Result<(), Cause> {
    let trusted = request.connection.trusted;
    let record = &request.record;
    record.https.set(request.connection.tls.is_some());
    if !trusted && request.headers.says_no_way() {
        *record.id.borrow_mut() = Some(Id::make());
        return Ok(());
    }
    if trusted {
        let said = said(&request.headers, &request.connection.listener.trusted_proxies);
        record.client.set(said.client);
        if let Some(https) = said.https {
            record.https.set(https);
        }
        if request.headers.contains_key(FOR) {
            // Of two stories one is believed: a proxy that writes the one may pass the other on as it came.
            request.headers.remove(FORWARDED);
        }
    }
    remove_what_poses(&mut request.headers, trusted);
    // Of others it is gone by now.
    let id = if trusted { request.headers.remove(REQUEST_ID).and_then(Id::given) } else { None };
    *record.id.borrow_mut() = Some(id.unwrap_or_else(Id::make));
    if rounds(&request.headers) >= ROUNDS { Err(Cause::Loop) } else { Ok(()) }
}

/// Says who the request is from and which way it came, for a backend. With `as_text` nothing will look at the fields
/// before they are written by HTTP/1.1: then they are not made, but kept in the record as lines, if there are none that
/// they would be added to.
pub fn present(request: &mut Request, as_text: bool) {
    let (client, https) = (request.connection.client.ip(), request.record.https.get());
    let host = &request.authority.written;
    let port = request.authority.port.unwrap_or(if https { 443 } else { 80 });
    let headers = &mut request.headers;
    if let Some(tls) = &request.connection.tls
        && tls.served.client_headers
    {
        // Ours alone: what somebody before us says of its client is not true of this one.
        CLIENT_CERTIFICATE.iter().for_each(|name| drop(headers.remove(name)));
        if let Some(certificate) = &tls.client {
            certificate.present(headers);
        }
    }
    if as_text && !request.connection.trusted && !headers.has_via() {
        // Set once: a request is presented once.
        let _ = request.record.presented.set(presented::lines(client, https, host, port, request.version));
        return;
    }
    let (peer, element) = presented::values(client, https, host);
    append(headers, FOR, peer);
    append(headers, FORWARDED, element);
    // What a trusted proxy said of these stays.
    let proto = HeaderValue::from_static(if https { "https" } else { "http" });
    headers.entry(PROTO).or_insert(proto);
    if !host.is_empty() {
        headers.entry(HOST).or_insert_with(|| host.clone());
    }
    headers.entry(PORT).or_insert_with(|| HeaderValue::from(port));
    append(headers, VIA, via(request.version));
    if let Some(id) = &*request.record.id.borrow() {
        headers.insert(REQUEST_ID, id.value());
    }
}

/// Completes the answer of a backend, whose version it has.
pub fn pass_on(response: &mut Response) {
    let version = response.version();
    if !response.headers_mut().say_via(presented::via(version)) {
        append(response.headers_mut(), VIA, via(version));
    }
}

/// RFC 9110 §6.6.1: what has no date gets ours.
pub fn date(response: &mut Response) {
    if !response.headers().has_date() {
        response.headers_mut().insert(DATE, date::now());
    }
}

/// Completes every answer of a connection by TLS: Strict-Transport-Security, if there is none.
pub fn secure(response: &mut Response, connection: &Connection) {
    if let Some(value) = connection.tls.as_ref().and_then(|tls| tls.listener.hsts.as_ref()) {
        response.headers_mut().entry(STRICT_TRANSPORT_SECURITY).or_insert_with(|| value.clone());
    }
}

/// Fields of one connection (RFC 9110 §7.6.1), but for those that Connection names.
const HOP_BY_HOP: [HeaderName; 7] = [
    http::header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    http::header::TE,
    http::header::TRANSFER_ENCODING,
    http::header::UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// Removes what belongs to one connection only: these fields, and those that Connection names.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(http::header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// What trusted proxies say of the client.
fn said(headers: &HeaderMap, trusted: &[IpNet]) -> Said {
    let is_trusted = |ip: IpAddr| trusted.iter().any(|net| net.contains(&ip));
    let mut said = if headers.contains_key(FOR) {
        Said { client: forwarded::client_of_list(lines(headers, &FOR), is_trusted), https: None }
    } else {
        forwarded::read(lines(headers, &FORWARDED), is_trusted)
    };
    if let Some(proto) = headers.get(PROTO) {
        // The nearest proxy writes last.
        let last = proto.as_bytes().rsplit(|&byte| byte == b',').next().unwrap_or_default();
        said.https = Some(last.trim_ascii().eq_ignore_ascii_case(b"https"));
    }
    said
}

/// The lines of a field, the last first.
fn lines<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(name).iter().rev().map(HeaderValue::as_bytes)
}

/// Removes fields that only proxies write, if none that is trusted has; and always those that a backend might take
/// for one of them, because `_` and `-` are the same to many (CGI and what follows it).
fn remove_what_poses(headers: &mut HeaderMap, trusted: bool) {
    let poses = |name: &HeaderName| {
        let name = name.as_str().as_bytes();
        proxies_write(name) && (!trusted || name.contains(&b'_'))
    };
    if headers.keys().any(poses) {
        let names: Vec<_> = headers.keys().filter(|&name| poses(name)).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }
}

/// Whether only proxies write this field, or one that a backend might take for it.
fn proxies_write(name: &[u8]) -> bool {
    match name.len() {
        9 => name == b"forwarded" || same(name, b"x-real-ip"),
        11 => same(name, b"client-cert"),
        12 => same(name, b"x-request-id"),
        17 if same(name, b"client-cert-chain") => true,
        13.. => same(&name[..12], b"x-forwarded-") || same_start(name, b"x-client-cert-"),
        _ => false,
    }
}

/// Whether a field may come after a body: it changes neither how the message is read or routed, nor whom it is believed to
/// be from (RFC 9110 §6.5.1). There are backends that take trailers for fields.
pub(super) fn may_trail(name: &HeaderName) -> bool {
    const NEVER: &[HeaderName] = &[
        header::AUTHORIZATION,
        header::CACHE_CONTROL,
        header::CONTENT_ENCODING,
        header::CONTENT_RANGE,
        header::CONTENT_TYPE,
        header::COOKIE,
        header::EXPECT,
        header::LOCATION,
        header::PROXY_AUTHORIZATION,
        header::RANGE,
        header::SET_COOKIE,
        header::TRAILER,
        header::VIA,
    ];
    !NEVER.contains(name) && !proxies_write(name.as_str().as_bytes())
}

/// Equal, if `_` is the same as `-`.
fn same(name: &[u8], expected: &[u8]) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte };
    name.len() == expected.len() && name.iter().zip(expected).all(|(&a, &b)| plain(a) == b)
}

fn same_start(name: &[u8], expected: &[u8]) -> bool {
    name.get(..expected.len()).is_some_and(|start| same(start, expected))
}

/// How often the request has been at one of our like.
fn rounds(headers: &HeaderMap) -> usize {
    let values = headers.get_all(VIA).iter().map(HeaderValue::as_bytes);
    let elements = values.flat_map(|value| value.split(|&byte| byte == b','));
    elements.filter(|element| element.trim_ascii().ends_with(PSEUDONYM.as_bytes())).count()
}

fn via(version: Version) -> HeaderValue {
    HeaderValue::from_static(presented::via(version))
}

/// One more element of a list, at its end, in one line.
fn append(headers: &mut HeaderMap, name: HeaderName, element: HeaderValue) {
    match headers.entry(name) {
        Entry::Vacant(entry) => {
            entry.insert(element);
        }
        Entry::Occupied(mut entry) => {
            let mut whole = Vec::new();
            for value in entry.iter().filter(|value| !value.is_empty()) {
                whole.extend_from_slice(value.as_bytes());
                whole.extend_from_slice(b", ");
            }
            whole.extend_from_slice(element.as_bytes());
            // Made of values, so it is one.
            entry.insert(HeaderValue::from_bytes(&whole).unwrap_or(element));
        }
    }
}

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;

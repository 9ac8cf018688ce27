//! Addresses of requests: from HTTP to typed requests.

use hyper::header::{HOST, HeaderMap, ORIGIN};
use hyper::{Method, Uri};

use serde::de::DeserializeOwned;

use super::api::{Refusal, RefusalKind, Request};
use super::bans::BansRequest;
use super::certificates::CertsRequest;
use super::limits::LimitsRequest;

/// What a request asks for. `body` is whole.
pub(super) fn route(method: &Method, uri: &Uri, body: &[u8]) -> Result<Request, Refusal> {
    match (method, uri.path()) {
        (&Method::GET, "/status") => Ok(Request::Status),
        (&Method::GET, "/metrics") => Ok(Request::Metrics),
        (&Method::GET, "/health") => Ok(Request::Health),
        (&Method::GET, "/explain") => tuple(uri.query().unwrap_or_default()).map(Request::Explain),
        (&Method::POST, "/explain") => parsed(body).map(Request::ExplainRequest),
        (&Method::POST, "/explain/hello") => parsed(body).map(Request::ExplainHello),
        (&Method::POST, "/reload") => Ok(Request::Reload),
        (&Method::POST, "/upgrade") => Ok(Request::Upgrade),
        (&Method::POST, "/drain") => parsed(body).map(Request::Drain),
        (&Method::POST, "/undrain") => parsed(body).map(Request::Undrain),
        (&Method::GET, "/certs") => Ok(Request::Certs(CertsRequest::List)),
        (&Method::GET, "/certs/root") => Ok(Request::Certs(CertsRequest::Root)),
        (&Method::POST, "/certs/renew") => parsed(body).map(CertsRequest::Renew).map(Request::Certs),
        (&Method::POST, "/certs/revoke") => parsed(body).map(CertsRequest::Revoke).map(Request::Certs),
        (&Method::POST, "/certs/export") => parsed(body).map(CertsRequest::Export).map(Request::Certs),
        (&Method::GET, "/limits") => Ok(Request::Limits(LimitsRequest::List)),
        (&Method::GET, "/limits/top") => Ok(Request::Limits(LimitsRequest::Top)),
        (&Method::POST, "/limits/set") => parsed(body).map(LimitsRequest::Set).map(Request::Limits),
        (&Method::POST, "/limits/reset") => parsed(body).map(LimitsRequest::Reset).map(Request::Limits),
        (&Method::POST, "/trace") => parsed(body).map(Request::Trace),
        (&Method::GET, "/bans") => {
            Ok(Request::Bans(BansRequest::List { all: uri.query() == Some("all=true") }))
        }
        (&Method::POST, "/bans/add") => parsed(body).map(BansRequest::Add).map(Request::Bans),
        (&Method::POST, "/bans/remove") => parsed(body).map(BansRequest::Remove).map(Request::Bans),
        (method, path) => Err(Refusal::new(
            RefusalKind::NotFound,
            format!(
                "no {method} {path}: there are GET /status, /metrics, /health, /explain, /certs, /certs/root, /limits, /limits/top, /bans and POST /reload, /upgrade, /drain, /undrain, /explain, /certs/renew, /certs/revoke, /certs/export, /limits/set, /limits/reset, /trace, /bans/add, /bans/remove"
            ),
        )),
    }
}

/// A browser that somebody points here sends an Origin, or the name it was lured by.
pub(super) fn is_foreign(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    headers.contains_key(ORIGIN) || !matches!(name, "localhost" | "127.0.0.1" | "[::1]" | "proxy-now")
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        Refusal::new(RefusalKind::BadRequest, format!("the body is not understood: {error}"))
    })
}

fn tuple(query: &str) -> Result<String, Refusal> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("tuple="));
    value.and_then(percent_decode).ok_or_else(|| {
        Refusal::new(RefusalKind::BadRequest, "explain wants ?tuple=, percent-encoded: the tuple to explain")
    })
}

/// None if it is not UTF-8, or ends within an escape.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => (hex(bytes.next()?)? << 4) | hex(bytes.next()?)?,
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|d| d as u8)
}

/// So that [`percent_decode`] gives it back.
pub(super) fn percent_encode(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            other => write!(encoded, "%{other:02X}").expect("writing to a string cannot fail"),
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_comes_back() {
        for text in ["tcp 10.0.0.1:80 -> [2001:db8::1]:443", "", "ä +%&="] {
            assert_eq!(percent_decode(&percent_encode(text)).as_deref(), Some(text));
        }
        assert_eq!(percent_decode("%4"), None);
        assert_eq!(percent_decode("%ff"), None);
    }

    #[test]
    fn a_request_from_a_web_page_is_foreign() {
        let of = |pairs: &[(hyper::header::HeaderName, &'static str)]| {
            is_foreign(&pairs.iter().map(|(n, v)| (n.clone(), v.parse().unwrap())).collect())
        };
        assert!(!of(&[(HOST, "localhost")]));
        for own in ["localhost:9108", "127.0.0.1:9108", "127.0.0.1", "[::1]:80", "[::1]"] {
            assert!(!of(&[(HOST, own)]), "{own}");
        }
        for other in ["evil.example", "localhost.evil.example", "localhost:evil", ""] {
            assert!(of(&[(HOST, other)]), "{other}");
        }
        assert!(of(&[(HOST, "localhost"), (ORIGIN, "null")]));
        assert!(of(&[]));
    }
}

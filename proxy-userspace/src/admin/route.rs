//! Addresses of requests: from HTTP to typed requests.

use hyper::header::{HOST, HeaderMap, ORIGIN};
use hyper::{Method, Uri};

use crate::route::Question;

use super::api::{Drain, Refusal, RefusalKind, Request};

/// What a request asks for. `body` is whole.
pub(super) fn route(method: &Method, uri: &Uri, body: &[u8]) -> Result<Request, Refusal> {
    match (method, uri.path()) {
        (&Method::GET, "/status") => Ok(Request::Status),
        (&Method::GET, "/metrics") => Ok(Request::Metrics),
        (&Method::GET, "/health") => Ok(Request::Health),
        (&Method::GET, "/explain") => tuple(uri.query().unwrap_or_default()).map(Request::Explain),
        (&Method::POST, "/explain") => question(body).map(Request::ExplainRequest),
        (&Method::POST, "/reload") => Ok(Request::Reload),
        (&Method::POST, "/upgrade") => Ok(Request::Upgrade),
        (&Method::POST, "/drain") => drain(body).map(Request::Drain),
        (&Method::POST, "/undrain") => drain(body).map(Request::Undrain),
        (method, path) => Err(Refusal::new(
            RefusalKind::NotFound,
            format!(
                "no {method} {path}: there are GET /status, /metrics, /health, /explain and POST /reload, /upgrade, /drain, /undrain, /explain"
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

fn drain(body: &[u8]) -> Result<Drain, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        Refusal::new(RefusalKind::BadRequest, format!("the body is not understood: {error}"))
    })
}

fn question(body: &[u8]) -> Result<Question, Refusal> {
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

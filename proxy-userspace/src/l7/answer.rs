//! Routes that are answered here: redirects and fixed answers.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, LOCATION};
use http::{HeaderValue, Method, StatusCode};

use super::body::Body;
use super::request::{Request, Response};
use super::respond;
use super::template::{Text, Values};
use crate::config::RouteAction;

/// What a route answers by itself.
#[derive(Clone, Debug)]
pub struct Answer(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Redirect { to: Text, status: StatusCode },
    Respond { body: Bytes, status: StatusCode },
}

impl Answer {
    /// Of a route's action; none: it goes to a pool.
    pub fn of(action: &RouteAction) -> Option<Self> {
        match action {
            RouteAction::Pool(_) => None,
            // It takes no requests: whatever came here all the same is told no more than that.
            RouteAction::Refuse(_) => {
                Some(Self(Kind::Respond { body: Bytes::new(), status: StatusCode::MISDIRECTED_REQUEST }))
            }
            RouteAction::Redirect(it) => {
                Some(Self(Kind::Redirect { to: Text::new(&it.to), status: it.status }))
            }
            RouteAction::Respond(it) => {
                let body = Bytes::from(it.body.clone().into_string());
                Some(Self(Kind::Respond { body, status: it.status }))
            }
        }
    }

    /// The answer to a request of the route of this name.
    pub fn to(&self, request: &Request, route: &str) -> Response {
        match &self.0 {
            Kind::Redirect { to, status } => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = *status;
                response.headers_mut().insert(LOCATION, location(&to.bytes(Values { request, route })));
                if request.method == Method::HEAD {
                    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
                }
                response
            }
            // No body may come with these (RFC 9110 §15.3.5, §15.4.5).
            Kind::Respond { status, .. } if *status == 204 || *status == 304 => {
                respond::text(false, *status, Bytes::new())
            }
            Kind::Respond { body, status } => {
                respond::text(request.method == Method::HEAD, *status, body.clone())
            }
        }
    }
}

/// A reference as RFC 3986 has it. Browsers take `\` for `/`, so that `/\elsewhere` would lead to another host: it is
/// encoded, as is what is no ASCII.
pub(super) fn location(text: &[u8]) -> HeaderValue {
    let mut encoded = Vec::with_capacity(text.len());
    for &byte in text {
        if matches!(byte, b'!'..=b'~')
            && !matches!(byte, b'\\' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}')
        {
            encoded.push(byte);
        } else {
            encoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    HeaderValue::from_bytes(&encoded).unwrap_or(HeaderValue::from_static("/"))
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;

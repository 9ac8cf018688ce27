//! The head of a request as HTTP/2 has it.

use h2::ext::Protocol;
use http::header::{CONTENT_LENGTH, EXPECT, SEC_WEBSOCKET_KEY, TE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Uri, Version};
use http_body::Body as _;

use crate::l7::body::Body;
use crate::l7::request::Request;

/// What the head depends on, beside the request.
#[derive(Debug)]
pub(super) struct Way<'a> {
    /// The host that is sent; none: the client's.
    pub(super) host: Option<&'a HeaderValue>,
    pub(super) scheme: Scheme,
    /// A tunnel is asked for.
    pub(super) tunnel: bool,
    /// The body waits for a 100.
    pub(super) held: bool,
}

/// The head of a request with this body. None: it has no form in HTTP/2.
pub(super) fn head(request: &Request, body: &Body, way: Way<'_>) -> Option<http::Request<()>> {
    let authority = way.host.unwrap_or(&request.authority.written);
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(way.scheme);
    // Of HTTP/1.0 there may be none; a URI wants one.
    let authority = if authority.is_empty() { b"localhost" } else { authority.as_bytes() };
    uri.authority = Some(Authority::try_from(authority).ok()?);
    uri.path_and_query = Some(PathAndQuery::from_maybe_shared(request.target.as_bytes().clone()).ok()?);
    let mut head = http::Request::new(());
    *head.uri_mut() = Uri::from_parts(uri).ok()?;
    *head.version_mut() = Version::HTTP_2;
    *head.headers_mut() = http::HeaderMap::clone(&request.headers);
    if way.tunnel {
        // RFC 8441 §4, §5: what HTTP/1.1 says by GET, Upgrade and a key.
        *head.method_mut() = Method::CONNECT;
        head.headers_mut().remove(SEC_WEBSOCKET_KEY);
        head.extensions_mut().insert(Protocol::from(request.upgrade.as_deref()?));
        return Some(head);
    }
    *head.method_mut() = request.method.clone();
    if request.trailers {
        head.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
    }
    if way.held {
        head.headers_mut().insert(EXPECT, HeaderValue::from_static("100-continue"));
    }
    // A method that has a body says so even if it is empty (RFC 9110 §8.6).
    let says_so = || matches!(request.method, Method::POST | Method::PUT | Method::PATCH);
    if let Some(length) = body.size_hint().exact().filter(|&length| length > 0 || says_so()) {
        head.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Some(head)
}

//! From the head that the wire has to the request that everything else sees.

use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Version};

use crate::l7::body::Body;
use crate::l7::cause::Cause;
use crate::l7::request::{Authority, Connection, Interim, Record, Request};
use crate::route::{Host, RequestTarget};

use super::fields::Head;

/// Chosen by a client of HTTP/1.1 for its handshake (RFC 6455 §4.1); HTTP/2 has none (RFC 8441 §5.1).
const SEC_WEBSOCKET_KEY: HeaderName = HeaderName::from_static("sec-websocket-key");

/// What a request belongs to.
#[derive(Debug)]
pub(super) struct Around {
    /// The connection it came on.
    pub(super) connection: Rc<Connection>,
    /// What becomes of it.
    pub(super) record: Rc<Record>,
    /// Where 1xx answers go.
    pub(super) interim: Rc<Interim>,
}

/// The request of a head. An extended CONNECT (RFC 8441) is in the form that HTTP/1.1 has for it: GET with Upgrade; it
/// has no body, since what follows belongs to the tunnel.
///
/// # Errors
/// It can only be refused.
pub(super) fn request(mut head: Head, body: Body, around: &Around) -> Result<Request, Cause> {
    let host = Host::parse(head.authority.as_bytes()).map_err(|_| Cause::BadHost)?;
    let target = match head.path.as_ref().map(HeaderValue::as_bytes) {
        // CONNECT is no upgrade.
        None => return Err(Cause::NoTunnels),
        Some(b"*") => RequestTarget::asterisk(),
        Some(b"/") => RequestTarget::parse(Bytes::from_static(b"/")).map_err(|_| Cause::BadTarget)?,
        Some(path) => RequestTarget::parse(Bytes::copy_from_slice(path)).map_err(|_| Cause::BadTarget)?,
    };
    let scheme = head.scheme.as_ref().map(HeaderValue::as_bytes).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return Err(Cause::BadRequest);
    }
    let upgrade = head.protocol.take().map(|protocol| protocol.as_bytes().to_ascii_lowercase());
    let upgrade = upgrade.and_then(|protocol| String::from_utf8(protocol).ok()).map(String::into_boxed_str);
    match upgrade.as_deref() {
        Some("h2c") => return Err(Cause::BadRequest),
        Some("websocket") => {
            head.fields.insert(SEC_WEBSOCKET_KEY, websocket_key());
        }
        _ => {}
    }
    Ok(Request {
        method: if upgrade.is_some() { Method::GET } else { head.method },
        authority: Authority { written: head.authority, host: host.name, port: host.port },
        target,
        version: Version::HTTP_2,
        headers: head.fields.into(),
        body: if upgrade.is_some() { Body::empty() } else { body },
        trailers: head.trailers,
        expects_continue: head.expects_continue,
        upgrade,
        interim: Some(Rc::clone(&around.interim)),
        connection: Rc::clone(&around.connection),
        record: Rc::clone(&around.record),
    })
}

/// Sixteen bytes that nobody can have foreseen matters little: it tells an answer from one to something else.
fn websocket_key() -> HeaderValue {
    let key = STANDARD.encode(fastrand::u128(..).to_ne_bytes());
    // Base64 is a value.
    HeaderValue::try_from(key).unwrap_or(HeaderValue::from_static("AAAAAAAAAAAAAAAAAAAAAA=="))
}

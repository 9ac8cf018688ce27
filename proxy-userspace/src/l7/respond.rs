//! Answers of the proxy itself. For `service` and `forward`:
//!
//! - [`Form::of`] before the request is given away: what kind of answer its client understands.
//! - [`refuse`]: the answer for a [`Cause`], which is noted in the request's record. Text; gRPC clients get a
//!   `grpc-status` (with 200); 503 says when to come back; HEAD gets no body.
//! - [`bare`]: the same where there is no request yet.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::body::Body;
use super::cause::Cause;
use super::request::{Record, Request, Response};

/// What kind of answer a client understands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Form {
    /// It asked for a head only.
    pub head: bool,
    /// It speaks gRPC.
    pub grpc: bool,
}

impl Form {
    /// Of a request's client.
    pub fn of(request: &Request) -> Self {
        // gRPC knows POST only: of others nothing is looked up.
        let grpc = request.method == Method::POST && is_grpc(&request.headers);
        Self { head: request.method == Method::HEAD, grpc }
    }
}

/// Whether a head is one of gRPC. Not of gRPC-Web: its clients are browsers, which read HTTP's status.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(media_type) = headers.get(CONTENT_TYPE) else { return false };
    let rest = media_type.as_bytes().strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// The answer for this cause. The record remembers the cause.
pub fn refuse(form: Form, record: &Record, cause: Cause) -> Response {
    record.cause.set(Some(cause.word()));
    if form.grpc { grpc(cause) } else { plain(form.head, cause) }
}

/// The answer for this cause to a client of which nothing is known.
pub fn bare(cause: Cause) -> Response {
    plain(false, cause)
}

/// Short text as a whole body; its length alone for HEAD.
pub fn text(head: bool, status: StatusCode, text: impl Into<Bytes>) -> Response {
    let text = text.into();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if !text.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    }
    if head {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    } else {
        *response.body_mut() = Body::full(text);
    }
    response
}

fn plain(head: bool, cause: Cause) -> Response {
    let mut response = text(head, cause.status(), line(cause.status()));
    if cause.passes() {
        response.headers_mut().insert(RETRY_AFTER, AFTER);
    }
    if cause == Cause::NoTunnels {
        // RFC 9110 §15.5.6: a 405 says what is allowed.
        let methods = HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH");
        response.headers_mut().insert(ALLOW, methods);
    }
    response
}

/// Seconds. What passes, passes soon: a queue, a burst, a restart.
const AFTER: HeaderValue = HeaderValue::from_static("1");

/// An answer of trailers only (gRPC over HTTP/2, "Responses"): the status of HTTP is 200.
fn grpc(cause: Cause) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from_static(grpc_status(cause)));
    // Words and underscores need no percent-encoding.
    headers.insert("grpc-message", HeaderValue::from_static(cause.word()));
    response
}

/// As gRPC maps statuses of HTTP (http-grpc-status-mapping), but for a time of our own that is over, and for limits,
/// which gRPC has words for.
fn grpc_status(cause: Cause) -> &'static str {
    match cause {
        Cause::RequestTimeout => "4",
        Cause::BodyTooLong | Cause::HeadTooLong | Cause::UriTooLong | Cause::Limited => "8",
        _ => match cause.status() {
            StatusCode::BAD_REQUEST => "13",
            StatusCode::UNAUTHORIZED => "16",
            StatusCode::FORBIDDEN => "7",
            StatusCode::NOT_FOUND => "12",
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => "14",
            _ => "2",
        },
    }
}

/// What people see.
fn line(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "400 Bad Request\n",
        401 => "401 Unauthorized\n",
        403 => "403 Forbidden\n",
        404 => "404 Not Found\n",
        405 => "405 Method Not Allowed\n",
        408 => "408 Request Timeout\n",
        413 => "413 Content Too Large\n",
        414 => "414 URI Too Long\n",
        421 => "421 Misdirected Request\n",
        429 => "429 Too Many Requests\n",
        431 => "431 Request Header Fields Too Large\n",
        500 => "500 Internal Server Error\n",
        502 => "502 Bad Gateway\n",
        503 => "503 Service Unavailable\n",
        504 => "504 Gateway Timeout\n",
        508 => "508 Loop Detected\n",
        _ => "",
    }
}

#[cfg(test)]
#[path = "respond_tests.rs"]
mod tests;

//! An exchange with a backend by HTTP/2: a stream of a connection that many requests share.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, StatusCode, Uri, Version};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use super::connect::Offer;
use super::origins::Origins;
use super::streams::Stream;
use super::unconnected::Unconnected;
use super::upload::{Upload, Watch};
use crate::config::WebPoolConfig;
use crate::l7::body::Body;
use crate::l7::cut::BodyError;
use crate::l7::headers::remove_hop_by_hop;
use crate::l7::request::{Parts, Request, Response};
use crate::net::deadline::Deadline;
use crate::upstream::{Permit, Spoken};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(in crate::l7) enum Unanswered {
    /// There is no connection.
    #[error(transparent)]
    Unconnected(#[from] Unconnected),
    /// The backend said, or it is certain, that it has not looked at the request (RFC 9113 §8.7).
    #[error("the request was not processed")]
    Unprocessed,
    /// The stream or its connection broke.
    #[error("the stream was reset")]
    Broken,
    /// No answer in time.
    #[error("no answer in time")]
    Late,
    /// The request cannot be written in HTTP/2: its authority or path are not what URIs are made of.
    #[error("the request has no form in HTTP/2")]
    Request,
    /// The request's body was cut.
    #[error("the request was cut: {0}")]
    Cut(BodyError),
}

impl Origins {
    /// Sends a request by HTTP/2, and waits for the answer's head. The permit is held until the answer's end.
    pub(in crate::l7) async fn exchange_h2(
        &self,
        permit: Permit,
        web: &WebPoolConfig,
        request: &Request,
        body: Body,
    ) -> Result<Response, Unanswered> {
        let (upload, watch) = Upload::new(body);
        let scheme = if permit.backend().tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        let outgoing = outgoing(request, web.host.as_ref(), scheme, upload).ok_or(Unanswered::Request)?;
        let stream = self.stream(&permit, web, request).await?;
        let sent = stream.sender().try_send_request(outgoing);
        let answer = in_time(sent, &watch, web.first_byte_timeout).await;
        let answer = match answer {
            None => {
                stream.suspect();
                return Err(Unanswered::Late);
            }
            Some(Err(mut error)) => {
                let unsent = error.take_message().is_some();
                return Err(reason(error.error(), unsent, &watch));
            }
            Some(Ok(answer)) => answer,
        };
        Ok(incoming(answer, &request.method, web.idle_timeout, (stream, permit), watch))
    }

    /// A stream of a connection that has room, or of a new one.
    async fn stream(
        &self,
        permit: &Permit,
        web: &WebPoolConfig,
        request: &Request,
    ) -> Result<Stream, Unconnected> {
        let backend = permit.backend();
        let streams = self.streams(backend);
        // What is said of one client at a connection's begin is not true of another.
        let shared = web.send_proxy_protocol.is_none();
        loop {
            if shared && let Some(stream) = streams.free() {
                return Ok(stream);
            }
            let opening = streams.opening.lock().await;
            if shared && let Some(stream) = streams.free() {
                return Ok(stream);
            }
            // Each worker needs one: connections of HTTP/2 cannot be lent.
            if let Some(slot) = backend.slot(web.max_connections, streams.is_empty()) {
                let made = async {
                    let stream = self.open(backend, web, &request.connection, Offer::All).await?;
                    if backend.tls.is_some() && stream.spoken() != Spoken::Http2 {
                        return Err(Unconnected::NoHttp2);
                    }
                    streams.add(stream, slot, web.keepalive).await
                };
                let made = tokio::time::timeout(web.connect_timeout, made).await;
                made.unwrap_or(Err(Unconnected::TooSlow))?;
                if !shared {
                    return streams.last().ok_or(Unconnected::NoHttp2);
                }
                continue;
            }
            drop(opening);
            let freed = tokio::time::timeout(web.queue_timeout, streams.freed.notified()).await;
            freed.map_err(|_| Unconnected::TooSlow)?;
        }
    }
}

/// The request as hyper takes it.
fn outgoing(
    request: &Request,
    host: Option<&HeaderValue>,
    scheme: Scheme,
    upload: Upload,
) -> Option<http::Request<Upload>> {
    let authority = host.unwrap_or(&request.authority.written);
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(scheme);
    // Of HTTP/1.0 there may be none; a URI wants one.
    let authority = if authority.is_empty() { b"localhost" } else { authority.as_bytes() };
    uri.authority = Some(Authority::try_from(authority).ok()?);
    uri.path_and_query = Some(PathAndQuery::from_maybe_shared(request.target.as_bytes().clone()).ok()?);
    let mut outgoing = http::Request::new(upload);
    *outgoing.method_mut() = request.method.clone();
    *outgoing.uri_mut() = Uri::from_parts(uri).ok()?;
    *outgoing.version_mut() = Version::HTTP_2;
    *outgoing.headers_mut() = http::HeaderMap::clone(&request.headers);
    if request.trailers {
        outgoing.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
    }
    Some(outgoing)
}

/// The answer's head, unless it takes longer than this after the request's end.
async fn in_time<T>(answer: impl Future<Output = T>, watch: &Watch, limit: Duration) -> Option<T> {
    let mut answer = pin!(answer);
    let (mut deadline, mut since) = (Deadline::default(), None);
    poll_fn(|context| {
        if let Poll::Ready(answer) = answer.as_mut().poll(context) {
            return Poll::Ready(Some(answer));
        }
        if !watch.is_over(context) {
            return Poll::Pending;
        }
        deadline.set(*since.get_or_insert_with(Instant::now) + limit);
        deadline.poll(context).map(|()| None)
    })
    .await
}

/// What an error of hyper's means.
fn reason(error: &hyper::Error, unsent: bool, watch: &Watch) -> Unanswered {
    if let Some(cut) = watch.cut() {
        return Unanswered::Cut(cut);
    }
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<h2::Error>());
    // A stream above the last that a GOAWAY names, or refused: neither was looked at (RFC 9113 §6.8, §8.7).
    let refused = cause.is_some_and(|cause| {
        cause.is_remote() && (cause.is_go_away() || cause.reason() == Some(h2::Reason::REFUSED_STREAM))
    });
    if unsent || refused { Unanswered::Unprocessed } else { Unanswered::Broken }
}

/// The answer as everybody else sees it. `held` until its end.
fn incoming(
    answer: http::Response<Incoming>,
    method: &Method,
    idle: Duration,
    held: (Stream, Permit),
    watch: Rc<Watch>,
) -> Response {
    let (mut head, body) = answer.into_parts();
    let body = if body.is_end_stream() {
        Body::empty()
    } else {
        Body::stream(Answer {
            body,
            held: Some(held),
            watch,
            idle,
            deadline: Deadline::default(),
            since: None,
        })
    };
    // RFC 9113 §8.2.2: none of them is allowed; nobody is told of them.
    remove_hop_by_hop(&mut head.headers);
    // Of these the field says what the body would be; of others the body itself does.
    if *method != Method::HEAD && head.status != StatusCode::NOT_MODIFIED {
        head.headers.remove(CONTENT_LENGTH);
    }
    let parts = Parts { status: head.status, version: head.version, headers: head.headers.into() };
    Response::from_parts(parts, body)
}

/// The body of an answer.
struct Answer {
    body: Incoming,
    held: Option<(Stream, Permit)>,
    /// The request's body may still be on its way.
    watch: Rc<Watch>,
    /// Nothing may move either way for so long.
    idle: Duration,
    deadline: Deadline,
    since: Option<Instant>,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let frame = match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                if this.watch.has_moved() {
                    this.since = None;
                }
                this.deadline.set(*this.since.get_or_insert_with(Instant::now) + this.idle);
                ready!(this.deadline.poll(context));
                return Poll::Ready(Some(Err(BodyError::TooSlow)));
            }
        };
        this.since = None;
        if !matches!(frame, Some(Ok(_))) || this.body.is_end_stream() {
            this.held = None;
        }
        // hyper has compared its length with what was said.
        Poll::Ready(frame.map(|frame| frame.map_err(|_| BodyError::Gone)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
#[path = "h2_tests.rs"]
mod tests;

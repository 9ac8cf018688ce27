//! An exchange with a backend: a request out, its answer in. It runs in the task of who asks.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use http::{HeaderValue, Method, StatusCode};
use http_body::{Body as _, Frame};

use super::answer_body::AnswerBody;
use super::answer_head::{AnswerHead, AnswerLength};
use super::far_end::FarEnd;
use super::fault::Fault;
use super::link::Link;
use super::outgoing::Outgoing;
use super::reading::Reading;
use super::scan::{HeadLimits, Scan};
use super::send_error::SendError;
use super::write::{self, Framing};
use crate::l7::body::Body;
use crate::l7::request::{Interim, Request, Response};
use crate::net::buffers;
use crate::net::stream::Stream;

/// What an answer's head, and its trailers, may be.
const LIMITS: HeadLimits = HeadLimits { bytes: 128 << 10, fields: 256, target: 128 << 10 };
/// A backend that does not answer 100 is sent the body all the same after this (RFC 9110 §10.1.1).
const CONTINUE_TIMEOUT: Duration = Duration::from_secs(1);

/// How a backend is spoken to.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The Host that is sent; none: the client's.
    pub host: Option<HeaderValue>,
    /// From the request's end to the answer's head.
    pub first_byte_timeout: Duration,
    /// Between two pieces of a request or an answer, and in a tunnel between any two.
    pub idle_timeout: Duration,
}

/// Sends `request` and waits for the answer's head. The answer's body goes on with what is left of the request's, which
/// is taken from it as it is sent: who wants to send it again keeps what goes through. When the answer is over,
/// `keep` gets the connection if it can be used again; it may be at once, before this returns.
///
/// # Errors
/// There is no answer; the connection is closed.
pub async fn exchange<S: Stream, K: FnOnce(Link<S>) + 'static>(
    link: Link<S>,
    request: &mut Request,
    terms: &Terms,
    keep: K,
) -> Result<Response, SendError> {
    let mut exchange = Exchange::new(link, request, terms);
    let head = poll_fn(|context| exchange.poll(request, terms, context)).await?;
    exchange.answer(head, request, terms, keep)
}

/// An exchange until the answer's head.
struct Exchange<S> {
    link: Link<S>,
    message: Outgoing,
    /// The body waits for a 100.
    held: bool,
    /// Something of the request was taken.
    begun: bool,
    /// The backend takes no more of the request; it may have answered all the same.
    refused: Option<io::Error>,
    buffer: BytesMut,
    scan: Scan,
}

impl<S: Stream> Exchange<S> {
    fn new(mut link: Link<S>, request: &mut Request, terms: &Terms) -> Self {
        link.moved();
        let framing = framing(request);
        let held = request.expects_continue && request.body.as_full().is_none();
        let mut head = buffers::take();
        let host = terms.host.as_ref().unwrap_or(&request.authority.written);
        write::request(&mut head, request, host.as_bytes(), framing, held);
        let body = std::mem::replace(&mut request.body, Body::empty());
        Self {
            link,
            message: Outgoing::new(head, body, framing, true),
            held,
            begun: false,
            refused: None,
            buffer: BytesMut::new(),
            scan: Scan::default(),
        }
    }

    fn poll(
        &mut self,
        request: &Request,
        terms: &Terms,
        context: &mut Context<'_>,
    ) -> Poll<Result<AnswerHead, SendError>> {
        loop {
            if !self.message.is_done() {
                self.send(context)?;
            }
            let Poll::Ready(head) = self.poll_head(&request.method, context)? else { break };
            if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Poll::Ready(Ok(head));
            }
            self.held &= head.status != StatusCode::CONTINUE;
            interim(request.interim.as_ref(), head);
        }
        self.poll_timers(terms, context)
    }

    /// Sends as much of the request as can be sent.
    fn send(&mut self, context: &mut Context<'_>) -> Result<(), SendError> {
        while !self.message.is_done() {
            let written = self.message.poll_write(&mut self.link.stream, context);
            if self.message.take_progress() > 0 {
                self.begun = true;
                self.link.moved();
            }
            match written {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(())) if self.held => return Ok(()),
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) if !self.begun => return Err(SendError::Unsent(error)),
                Poll::Ready(Err(error)) => {
                    self.message.stop();
                    self.refused = Some(error);
                    return Ok(());
                }
            }
            match self.message.poll_body(context) {
                Poll::Pending => return Ok(()),
                Poll::Ready(result) => result.map_err(SendError::Request)?,
            }
        }
        Ok(())
    }

    fn poll_head(
        &mut self,
        method: &Method,
        context: &mut Context<'_>,
    ) -> Poll<Result<AnswerHead, SendError>> {
        loop {
            if let Some(end) = self.scan.end(&self.buffer, LIMITS).map_err(SendError::Answer)? {
                self.scan = Scan::default();
                let head = self.buffer.split_to(end);
                return Poll::Ready(AnswerHead::parse(head, method).map_err(SendError::Answer));
            }
            match ready!(self.link.poll_fill(&mut self.buffer, false, context)) {
                Ok(0) => {
                    let error = self.refused.take().unwrap_or(io::ErrorKind::UnexpectedEof.into());
                    return Poll::Ready(Err(SendError::Broken(error)));
                }
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(SendError::Broken(error))),
            }
        }
    }

    fn poll_timers<T>(&mut self, terms: &Terms, context: &mut Context<'_>) -> Poll<Result<T, SendError>> {
        if self.held {
            ready!(self.link.poll_still(CONTINUE_TIMEOUT, context));
            self.held = false;
            self.link.moved();
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.message.is_done() {
            return self.link.poll_still(terms.first_byte_timeout, context).map(|()| Err(SendError::Late));
        }
        if self.message.has_bytes() {
            return self.link.poll_still(terms.idle_timeout, context).map(|()| Err(SendError::Late));
        }
        // The client is waited for: what serves it has its own timers.
        self.link.moved();
        Poll::Pending
    }

    /// Makes the answer.
    fn answer<K: FnOnce(Link<S>) + 'static>(
        mut self,
        head: AnswerHead,
        request: &Request,
        terms: &Terms,
        keep: K,
    ) -> Result<Response, SendError> {
        let body = if head.status == StatusCode::SWITCHING_PROTOCOLS {
            let asked = request.upgrade.as_deref().unwrap_or_default().as_bytes();
            let given = head.upgrade.as_ref().map_or(&b""[..], HeaderValue::as_bytes);
            if asked.is_empty() || !asked.eq_ignore_ascii_case(given) || !self.message.is_done() {
                return Err(SendError::Answer(Fault::Switched));
            }
            Body::tunnel(Box::new(FarEnd::new(self.link, self.buffer, terms.idle_timeout, keep)))
        } else {
            if self.held {
                // The backend wants no body, and waits for it all the same: whether it comes is not known (RFC 9110
                // §10.1.1). To ask the client for it now would be a 100 in the midst of the answer.
                self.message.stop();
            }
            let (length, keep_alive) = (head.length, head.keep_alive && self.refused.is_none() && !self.held);
            self.body(length, keep_alive, terms, keep)?
        };
        let mut answer = Response::new(body);
        *answer.status_mut() = head.status;
        *answer.headers_mut() = head.headers;
        Ok(answer)
    }

    /// Makes the answer's body; as a whole if it is all there.
    fn body<K: FnOnce(Link<S>) + 'static>(
        self,
        length: AnswerLength,
        keep_alive: bool,
        terms: &Terms,
        keep: K,
    ) -> Result<Body, SendError> {
        let mut body = AnswerBody {
            link: Some(self.link),
            buffer: self.buffer,
            reading: match length {
                AnswerLength::Known(0) => Reading::Done,
                AnswerLength::Known(length) => Reading::Length(length),
                AnswerLength::Chunked => Reading::chunked(LIMITS),
                AnswerLength::UntilClose => Reading::UntilClose,
            },
            first: None,
            request: self.message,
            keep_alive,
            keep: Some(keep),
            idle: terms.idle_timeout,
        };
        let first = body.reading.next(&mut body.buffer).map_err(|_| SendError::Answer(Fault::Chunks))?;
        if !body.reading.is_done() {
            body.first = first;
            return Ok(Body::stream(body));
        }
        match first.map(Frame::into_data) {
            Some(Err(trailers)) => {
                body.first = Some(trailers);
                Ok(Body::stream(body))
            }
            whole => {
                body.finish();
                Ok(whole.and_then(Result::ok).map_or_else(Body::empty, Body::full))
            }
        }
    }
}

/// RFC 9112 §6.3. A method that has a body says so even if it is empty (RFC 9110 §8.6).
fn framing(request: &Request) -> Framing {
    match request.body.size_hint().exact() {
        Some(0) if matches!(request.method, Method::POST | Method::PUT | Method::PATCH) => Framing::Length(0),
        Some(0) => Framing::None,
        Some(length) => Framing::Length(length),
        None => Framing::Chunked,
    }
}

fn interim(to: Option<&Rc<Interim>>, head: AnswerHead) {
    if let Some(to) = to {
        to.send(head.status, head.headers.into_map());
    }
}

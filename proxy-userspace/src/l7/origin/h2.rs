//! An exchange with a backend by HTTP/2: a stream of a connection that many requests share.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::StatusCode;
use http::uri::Scheme;

use super::connect::Offer;
use super::far_stream;
use super::incoming;
use super::origins::Origins;
use super::outgoing::{self, Way};
use super::streams::Stream;
use super::unanswered::Unanswered;
use super::unconnected::Unconnected;
use super::upload::{Going, Upload, Watch};
use crate::config::WebPoolConfig;
use crate::l7::body::Body;
use crate::l7::cut::BodyError;
use crate::l7::headers::remove_hop_by_hop;
use crate::l7::request::{Request, Response};
use crate::l7::respond::is_grpc;
use crate::net::deadline::Deadline;
use crate::upstream::{Permit, Spoken};

/// A backend that does not answer 100 is sent the body all the same after this (RFC 9110 §10.1.1).
const CONTINUE_TIMEOUT: Duration = Duration::from_secs(1);
/// The client of a call of gRPC talks when it has something to say: until it is answered it may say nothing for this many
/// times as long as a backend may. One that never does must not hold its place for ever.
const SILENCE: u32 = 10;

impl Origins {
    /// Sends a request by HTTP/2, and waits for the answer's head. The permit is held until the answer's end.
    pub(in crate::l7) async fn exchange_h2(
        &self,
        permit: Permit,
        web: &WebPoolConfig,
        request: &Request,
        body: Body,
    ) -> Result<Response, Unanswered> {
        let stream = self.stream(&permit, web, request).await?;
        request.record.talks.set(is_grpc(&request.headers));
        // A backend that knows no tunnels is asked without: it may ignore an Upgrade (RFC 9110 §7.8).
        let tunnel = request.upgrade.is_some() && stream.has_tunnels();
        let held = request.expects_continue && body.as_full().is_none();
        let scheme = if permit.backend().tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        let way = Way { host: web.host.as_ref(), scheme, tunnel, held };
        let head = outgoing::head(request, &body, way).ok_or(Unanswered::Request)?;
        let ended = !tunnel && http_body::Body::is_end_stream(&body);
        let (answer, to) = stream.send(head, ended)?;
        let watch = Watch::new(ended || tunnel);
        let sending = match (tunnel, ended) {
            (true, _) => Sending::Tunnel(to),
            (_, true) => Sending::Nothing,
            (_, false) => Sending::Held(Box::new(Upload::new(body, to, web.idle_timeout, &watch))),
        };
        let (deadline, since, silent) = (Deadline::default(), None, None);
        let mut exchange = Exchange { answer, sending, held, watch, deadline, since, silent };
        let silence = request.record.talks.get().then(|| web.idle_timeout * SILENCE);
        let limits = Limits { answer: web.first_byte_timeout, silence };
        let answer = match poll_fn(|context| exchange.poll(request, limits, context)).await {
            Err(Unanswered::Late) => {
                stream.suspect();
                return Err(Unanswered::Late);
            }
            answer => answer?,
        };
        let idle = web.idle_timeout;
        Ok(match exchange.sending {
            Sending::Tunnel(to) if answer.status().is_success() => {
                far_stream::switched(request, answer, to, idle, (stream, permit))
            }
            sending => {
                let held = (stream, permit, sending.going());
                incoming::answer(answer, &request.method, idle, held, exchange.watch)
            }
        })
    }

    /// Whether tunnels to the permit's backend can go by HTTP/2. If there is no connection, one is made.
    pub(in crate::l7) async fn has_tunnels(
        &self,
        permit: &Permit,
        web: &WebPoolConfig,
        request: &Request,
    ) -> Result<bool, Unconnected> {
        // Who introduces clients needs a connection for each, and so asks none that is not for it.
        Ok(web.send_proxy_protocol.is_none() && self.stream(permit, web, request).await?.has_tunnels())
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

/// An exchange until the answer's head.
struct Exchange {
    answer: ResponseFuture,
    sending: Sending,
    /// The body waits for a 100.
    held: bool,
    watch: Rc<Watch>,
    deadline: Deadline,
    /// Since when the answer is waited for.
    since: Option<Instant>,
    /// Since when the rest of the request is.
    silent: Option<Instant>,
}

/// How long is waited.
#[derive(Clone, Copy)]
struct Limits {
    /// For the answer, once all of the request has gone.
    answer: Duration,
    /// For the next piece of the request; none: the client is waited for elsewhere.
    silence: Option<Duration>,
}

/// What follows the request's head.
enum Sending {
    Nothing,
    /// A body, which has not begun.
    Held(Box<Upload>),
    /// The rest of it, if there is one.
    Going(Option<Going>),
    /// Bytes, if the answer is a 2xx.
    Tunnel(SendStream<Bytes>),
}

impl Sending {
    fn begin(&mut self, context: &mut Context<'_>) {
        if let Self::Held(_) = self
            && let Self::Held(upload) = std::mem::replace(self, Self::Going(None))
        {
            *self = Self::Going(upload.begin(context));
        }
    }

    /// What goes on beside an answer.
    fn going(self) -> Option<Going> {
        match self {
            Self::Going(going) => going,
            Self::Tunnel(mut to) => {
                // A tunnel that is refused: its answer is one as any other. An error: the stream is over already.
                drop(to.send_data(Bytes::new(), true));
                None
            }
            // An answer to a body that waits: it is not wanted.
            Self::Held(_) | Self::Nothing => None,
        }
    }
}

impl Exchange {
    fn poll(
        &mut self,
        request: &Request,
        limits: Limits,
        context: &mut Context<'_>,
    ) -> Poll<Result<http::Response<RecvStream>, Unanswered>> {
        if !self.held {
            self.sending.begin(context);
        }
        while let Poll::Ready(Some(interim)) = self.answer.poll_informational(context) {
            let (head, ()) = interim.map_err(|error| self.reason(&error))?.into_parts();
            // RFC 9113 §8.6: there is no 101.
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Poll::Ready(Err(Unanswered::Answer));
            }
            if head.status == StatusCode::CONTINUE && std::mem::take(&mut self.held) {
                self.sending.begin(context);
            }
            pass_on(request, head);
        }
        if let Poll::Ready(answer) = Pin::new(&mut self.answer).poll(context) {
            self.watch.answered();
            return Poll::Ready(answer.map_err(|error| self.reason(&error)));
        }
        self.poll_timers(limits, context).map(Err)
    }

    fn poll_timers(&mut self, limits: Limits, context: &mut Context<'_>) -> Poll<Unanswered> {
        if self.held {
            self.deadline.set(*self.since.get_or_insert_with(Instant::now) + CONTINUE_TIMEOUT);
            ready!(self.deadline.poll(context));
            (self.held, self.since) = (false, None);
            self.sending.begin(context);
        }
        if !self.watch.is_over(context) {
            // Most clients, and all backends, are waited for by timers of their own.
            let Some(silence) = limits.silence else { return Poll::Pending };
            if self.watch.has_moved() {
                self.silent = None;
            }
            self.deadline.set(*self.silent.get_or_insert_with(Instant::now) + silence);
            return self.deadline.poll(context).map(|()| Unanswered::Cut(BodyError::TooSlow));
        }
        if self.watch.is_stuck() {
            return Poll::Ready(Unanswered::Late);
        }
        self.deadline.set(*self.since.get_or_insert_with(Instant::now) + limits.answer);
        self.deadline.poll(context).map(|()| Unanswered::Late)
    }

    /// What an error of the library's means.
    fn reason(&self, error: &h2::Error) -> Unanswered {
        if let Some(cut) = self.watch.cut() {
            return Unanswered::Cut(cut);
        }
        if self.watch.is_stuck() {
            return Unanswered::Late;
        }
        // A stream above the last that a GOAWAY names, or refused: neither was looked at (RFC 9113 §6.8, §8.7).
        let refused = error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM);
        if error.is_remote() && refused { Unanswered::Unprocessed } else { Unanswered::Broken }
    }
}

/// Passes a 1xx on to who takes them.
fn pass_on(request: &Request, mut head: http::response::Parts) {
    if let Some(interim) = &request.interim {
        remove_hop_by_hop(&mut head.headers);
        interim.send(head.status, head.headers);
    }
}

#[cfg(test)]
#[path = "h2_tests.rs"]
mod tests;

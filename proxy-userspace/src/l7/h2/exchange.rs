//! One exchange: a request is answered, and the answer goes out as the client takes it.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderName, StatusCode};
use http_body::Body as _;

use crate::l7::body::Body;
use crate::l7::cause::Cause;
use crate::l7::cut::BodyError;
use crate::l7::hang_up::HangUp;
use crate::l7::request::{Interim, Record, Response};

use super::error::ErrorCode;
use super::inbound::Inbound;
use super::machine::Machine;
use super::relay::Relay;
use super::turn::Turn;

/// No more of one answer goes out before others have their turn.
const TURN: usize = 32 << 10;
/// Belongs to the handshake of HTTP/1.1 (RFC 8441 §5.1).
const SEC_WEBSOCKET_ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");

/// A place for a future that is used again.
pub(super) type Place<F> = Pin<Box<Option<F>>>;

/// One exchange.
#[derive(Debug)]
pub(super) struct Exchange<F> {
    stage: Stage<F>,
    /// What becomes of it.
    pub(super) record: Rc<Record>,
    interim: Option<Rc<Interim>>,
    /// The request's body.
    pub(super) inbound: Option<Rc<Inbound>>,
    /// HEAD.
    head_only: bool,
    /// An extended CONNECT.
    connect: bool,
}

#[derive(Debug)]
enum Stage<F> {
    Asking(Place<F>),
    Answering { body: Body, pending: Bytes },
    Relaying(Box<Relay>),
    Over,
}

impl<F: Future<Output = Response>> Exchange<F> {
    /// A request that is being answered.
    pub(super) fn asking(
        place: Place<F>,
        record: Rc<Record>,
        interim: Rc<Interim>,
        inbound: Option<Rc<Inbound>>,
    ) -> Self {
        Self {
            stage: Stage::Asking(place),
            record,
            interim: Some(interim),
            inbound,
            head_only: false,
            connect: false,
        }
    }

    /// A request that is answered before it is one.
    pub(super) fn refused(record: Rc<Record>) -> Self {
        Self { stage: Stage::Over, record, interim: None, inbound: None, head_only: false, connect: false }
    }

    /// Whether nothing more is to be done.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// Whether it has not been answered.
    pub(super) fn is_asking(&self) -> bool {
        matches!(self.stage, Stage::Asking(_))
    }

    /// Its method is HEAD.
    pub(super) fn head_only(mut self, yes: bool) -> Self {
        self.head_only = yes;
        self
    }

    /// It wants a tunnel.
    pub(super) fn connect(mut self, yes: bool) -> Self {
        self.connect = yes;
        self
    }

    /// Goes on with it. `spare` takes the place of its future, once that has answered.
    pub(super) fn poll(
        &mut self,
        machine: &mut Machine,
        key: usize,
        spare: &mut Vec<Place<F>>,
        context: &mut Context<'_>,
    ) -> Turn {
        if let Stage::Asking(place) = &mut self.stage {
            let answered = match place.as_mut().as_pin_mut() {
                Some(future) => future.poll(context),
                None => return Turn::Over,
            };
            send_interim(self.interim.as_deref(), self.inbound.as_deref(), machine, key, context);
            match answered {
                Poll::Ready(response) => {
                    place.set(None);
                    if let Stage::Asking(place) = std::mem::replace(&mut self.stage, Stage::Over) {
                        spare.push(place);
                    }
                    self.answer(response, machine, key);
                }
                Poll::Pending => {
                    if self.record.talks.get() {
                        machine.let_talk(key);
                    }
                    return Turn::Waits;
                }
            }
        }
        match &mut self.stage {
            Stage::Answering { body, pending } => {
                send_body(body, pending, &self.record, machine, key, context)
            }
            Stage::Relaying(relay) => {
                relay.poll(&self.record, self.inbound.as_deref(), machine, key, context)
            }
            Stage::Asking(_) => Turn::Waits,
            Stage::Over => Turn::Over,
        }
    }

    /// Sends the head of the answer, and what there is of its body.
    pub(super) fn answer(&mut self, response: Response, machine: &mut Machine, key: usize) {
        match self.record.hang_up.get() {
            None => {}
            // The whole connection goes.
            Some(HangUp::Reset) => return,
            Some(HangUp::Drop | HangUp::Close) => {
                // The client costs more than it is let (RFC 9113 §7): a code that does not ask it to try again.
                machine.reset(key, ErrorCode::EnhanceYourCalm, BodyError::Gone);
                return;
            }
        }
        let (mut head, body) = response.into_parts();
        self.interim = None;
        let body = match body.into_tunnel() {
            Ok(tunnel) if self.connect => {
                // RFC 8441 §5: there is no 101 in HTTP/2.
                head.headers.remove(SEC_WEBSOCKET_ACCEPT);
                self.record.status.set(StatusCode::OK.as_u16());
                machine.make_tunnel(key);
                machine.send_head(key, StatusCode::OK, None, &head.headers, false);
                self.stage = Stage::Relaying(Box::new(Relay::new(tunnel)));
                return;
            }
            Ok(_) => return self.broken_answer(machine, key),
            Err(body) => body,
        };
        // A 2xx would open a tunnel that is not there.
        if head.status.is_informational() || (self.connect && head.status.is_success()) {
            return self.broken_answer(machine, key);
        }
        let status = head.status;
        self.record.status.set(status.as_u16());
        let bodiless = self.head_only || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let length = if bodiless { None } else { body.size_hint().exact() };
        let ended = bodiless || body.is_end_stream();
        machine.send_head(key, status, length, &head.headers, ended);
        self.stage = if ended { Stage::Over } else { Stage::Answering { body, pending: Bytes::new() } };
    }

    /// An answer that no request can have.
    fn broken_answer(&mut self, machine: &mut Machine, key: usize) {
        self.record.status.set(StatusCode::BAD_GATEWAY.as_u16());
        self.record.cause.set(Some(Cause::BackendProtocol.word()));
        machine.send_head(key, StatusCode::BAD_GATEWAY, Some(0), &http::HeaderMap::new(), true);
        self.stage = Stage::Over;
    }
}

/// 1xx that have come meanwhile. A 100 is for who waits for one (RFC 9110 §10.1.1).
fn send_interim(
    interim: Option<&Interim>,
    inbound: Option<&Inbound>,
    machine: &mut Machine,
    key: usize,
    context: &mut Context<'_>,
) {
    let Some(interim) = interim else { return };
    for (status, headers) in interim.take(context.waker()) {
        let wanted = match status {
            StatusCode::CONTINUE => inbound.is_some_and(Inbound::take_continue),
            StatusCode::SWITCHING_PROTOCOLS => false,
            status => status.is_informational(),
        };
        if wanted {
            machine.send_head(key, status, None, &headers, false);
        }
    }
}

fn send_body(
    body: &mut Body,
    pending: &mut Bytes,
    record: &Record,
    machine: &mut Machine,
    key: usize,
    context: &mut Context<'_>,
) -> Turn {
    let mut sent = 0;
    loop {
        if pending.is_empty() {
            match Pin::new(&mut *body).poll_frame(context) {
                Poll::Pending => return Turn::Waits,
                Poll::Ready(None) => {
                    machine.send_data(key, Bytes::new(), true);
                    return Turn::Over;
                }
                Poll::Ready(Some(Err(error))) => {
                    if record.cause.get().is_none() {
                        record.cause.set(Some(Cause::BackendReset.word()));
                    }
                    machine.reset(key, ErrorCode::Internal, error);
                    return Turn::Over;
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => *pending = data,
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        machine.send_trailers(key, &trailers);
                        return Turn::Over;
                    }
                },
            }
        }
        let last = body.is_end_stream();
        if pending.is_empty() && !last {
            continue;
        }
        let room = machine.room(key).min(pending.len());
        if room == 0 && !pending.is_empty() {
            return machine.wait(key);
        }
        if sent >= TURN {
            return Turn::Again;
        }
        let piece = pending.split_to(room);
        sent += room;
        record.sent.set(record.sent.get() + room as u64);
        let ended = last && pending.is_empty();
        machine.send_data(key, piece, ended);
        if ended {
            return Turn::Over;
        }
    }
}

/// Of a stream that its client has left.
pub(super) fn abandoned(record: &Record) {
    if record.cause.get().is_none() {
        record.cause.set(Some(Cause::from(BodyError::Gone).word()));
    }
}

//! An answer on its way to the client.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, Version, header};
use http_body::Body as _;

use super::fault::Fault;
use super::outgoing::Outgoing;
use super::pace::Pace;
use super::turn::Turn;
use super::wire::Wire;
use super::write::{self, Framing, Persistence};
use crate::l7::body::Body;
use crate::l7::request::Response;
use crate::net::buffers;
use crate::net::stream::Stream;

/// How an answer went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sent {
    /// As a whole.
    Whole,
    /// It was cut: the connection must end, and at once.
    Cut,
}

/// Sends an answer that is no tunnel.
pub(super) async fn send<S: Stream>(
    wire: &Rc<RefCell<Wire<S>>>,
    turn: &Turn,
    answer: Response,
    persists: bool,
) -> Sent {
    let (parts, body) = answer.into_parts();
    turn.record.status.set(parts.status.as_u16());
    let framing = framing(turn, parts.status, &body);
    let persistence = match (persists && framing != Framing::UntilClose, turn.version) {
        (false, _) => Persistence::Close,
        (true, Version::HTTP_10) => Persistence::KeepAlive,
        (true, _) => Persistence::Stays,
    };
    let mut head = buffers::take();
    head.extend_from_slice(&std::mem::take(&mut wire.borrow_mut().interim));
    write::answer(&mut head, parts.status, &parts.headers, framing, persistence);
    let mut message = Outgoing::new(head, body, framing, turn.trailers);
    let mut pace = Pace::default();
    let result = poll_fn(|context| poll_send(wire, &mut message, &mut pace, context)).await;
    turn.record.sent.set(message.sent);
    match result {
        Ok(()) => Sent::Whole,
        Err(cause) => {
            turn.record.cause.set(Some(cause));
            Sent::Cut
        }
    }
}

/// RFC 9112 §6.3.
fn framing(turn: &Turn, status: StatusCode, body: &Body) -> Framing {
    match status {
        _ if turn.head_only => Framing::None,
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => Framing::None,
        StatusCode::RESET_CONTENT => Framing::Length(0),
        _ => write::framing_for(turn.version, body.size_hint().exact()),
    }
}

fn poll_send<S: Stream>(
    wire: &Rc<RefCell<Wire<S>>>,
    message: &mut Outgoing,
    pace: &mut Pace,
    context: &mut Context<'_>,
) -> Poll<Result<(), &'static str>> {
    loop {
        ready!(poll_write(&mut wire.borrow_mut(), message, pace, context))?;
        if message.is_done() {
            return Poll::Ready(Ok(()));
        }
        match message.poll_body(context) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(Err("answer_cut")),
            Poll::Pending => {
                let gone = wire.borrow_mut().poll_gone(context);
                return gone.map(|_| Err("client_gone"));
            }
        }
    }
}

/// Writes what is there. The client must take it in time.
fn poll_write<S: Stream>(
    wire: &mut Wire<S>,
    message: &mut Outgoing,
    pace: &mut Pace,
    context: &mut Context<'_>,
) -> Poll<Result<(), &'static str>> {
    let result = message.poll_write(&mut wire.stream, context);
    pace.moved(message.take_progress());
    if result.is_pending() {
        let due = pace.due(wire.limits());
        wire.write_by.set(due);
        return wire.write_by.poll(context).map(|()| Err("client_too_slow"));
    }
    result.map_err(|_| "client_gone")
}

/// The answer to what is no request.
pub(super) fn refusal(fault: Fault) -> Response {
    let mut answer = Response::new(Body::full(Bytes::from(format!("{fault}\n"))));
    *answer.status_mut() = fault.status();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, plain);
    answer
}

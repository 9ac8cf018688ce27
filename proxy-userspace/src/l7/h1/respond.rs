//! An answer on its way to the client.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http::{StatusCode, Version};
use http_body::Body as _;

use super::fault::Fault;
use super::outgoing::Outgoing;
use super::pace::Pace;
use super::turn::Turn;
use super::wire::Wire;
use super::write::{self, Framing, Persistence};
use crate::l7::body::Body;
use crate::l7::cause::Cause;
use crate::l7::cut::BodyError;
use crate::l7::request::Response;
use crate::l7::respond;
use crate::net::buffers;
use crate::net::stream::Stream;

/// How an answer went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sent {
    /// As a whole.
    Whole,
    /// As a whole, and its end is the connection's.
    Last,
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
        Ok(()) if framing == Framing::UntilClose => Sent::Last,
        Ok(()) => Sent::Whole,
        Err(cause) => {
            turn.record.cause.set(Some(cause.word()));
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
) -> Poll<Result<(), Cause>> {
    loop {
        ready!(poll_write(&mut wire.borrow_mut(), message, pace, context))?;
        if message.is_done() {
            return Poll::Ready(Ok(()));
        }
        match message.poll_body(context) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(cut(error))),
            Poll::Pending => {
                let gone = wire.borrow_mut().poll_gone(context);
                return gone.map(|_| Err(Cause::ClientGone));
            }
        }
    }
}

/// Why an answer's body ended before its end.
fn cut(error: BodyError) -> Cause {
    match error {
        BodyError::TooSlow => Cause::IdleTimeout,
        BodyError::Gone => Cause::BackendReset,
        _ => Cause::BackendProtocol,
    }
}

/// Writes what is there. The client must take it in time.
fn poll_write<S: Stream>(
    wire: &mut Wire<S>,
    message: &mut Outgoing,
    pace: &mut Pace,
    context: &mut Context<'_>,
) -> Poll<Result<(), Cause>> {
    let result = message.poll_write(&mut wire.stream, context);
    pace.moved(message.take_progress());
    if result.is_pending() {
        let due = pace.due(wire.limits());
        wire.write_by.set(due);
        return wire.write_by.poll(context).map(|()| Err(Cause::SlowBody));
    }
    result.map_err(|_| Cause::ClientGone)
}

/// The answer to what is no request.
pub(super) fn refusal(fault: Fault) -> Response {
    let cause = fault.cause();
    if fault.status() == cause.status() {
        respond::bare(cause)
    } else {
        respond::text(false, fault.status(), format!("{fault}\n"))
    }
}

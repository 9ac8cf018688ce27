//! A client's connection: requests in, answers out, one after the other (RFC 9112 §9.3).

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::BytesMut;
use http::StatusCode;

use super::await_head::{AwaitHead, Next};
use super::fault::Fault;
use super::linger::{drain, linger};
use super::relay::relay;
use super::respond::{Sent, refusal, send};
use super::turn::{Turn, begin};
use super::wire::Wire;
use super::write;
use crate::l7::cause::Cause;
use crate::l7::handler::Handler;
use crate::l7::hang_up::HangUp;
use crate::l7::headers;
use crate::l7::leave::Leave;
use crate::l7::request::{Connection, Response};
use crate::l7::tunnel::Tunnel;
use crate::net::buffers;
use crate::net::stream::Stream;

/// A body of which no more than this is left is read to its end, so that the connection can be used again.
const DRAINED: u64 = 64 << 10;

/// Serves a connection to its end. It came at `since`, and `read` is
/// what was read of it. Everything that a request needs, its exchange
/// with a backend too, runs in the task that polls this.
pub async fn serve<S: Stream, H: Handler>(
    stream: S,
    read: BytesMut,
    since: Instant,
    connection: Rc<Connection>,
    handler: H,
    leave: &Rc<Leave>,
) {
    let wire = Rc::new(RefCell::new(Wire::new(stream, read, Rc::clone(&connection))));
    let watch = poll_fn(|context| Poll::Ready(leave.watch(context.waker().clone()))).await;
    let mut wait = AwaitHead::new(since, connection.listener.limits.header_timeout);
    let mut served = 0;
    let end = loop {
        let next = poll_fn(|context| wait.poll(&mut wire.borrow_mut(), &watch, context)).await;
        let (head, started) = match next {
            Next::Head(head, started) => (head, started),
            Next::Closed => break End::Now,
            Next::Fault(fault) => break refuse(&wire, &handler, fault).await,
        };
        let (request, turn) = match begin(&wire, head, started) {
            Ok(begun) => begun,
            Err(fault) => break refuse(&wire, &handler, fault).await,
        };
        // Beside the connection's own state, so that connections without a request are small.
        let mut exchange = Box::pin(handler.handle(request));
        let answer = poll_fn(|context| poll_answer(&wire, &turn, exchange.as_mut(), context)).await;
        drop(exchange);
        served += 1;
        let end = match answer {
            Some(_) if let Some(how) = turn.record.hang_up.get() => Some(hang_up(&wire, how)),
            Some(answer) => {
                let most = connection.listener.limits.requests_per_connection;
                give(&wire, &turn, answer, || !watch.is_leaving() && served < most).await
            }
            None => {
                turn.record.cause.set(Some(Cause::ClientGone.word()));
                Some(End::Now)
            }
        };
        handler.finished(&connection, &turn.record);
        if let Some(end) = end {
            break end;
        }
        buffers::give_if_empty(&mut wire.borrow_mut().buffer);
        wait = AwaitHead::new(Instant::now(), connection.listener.limits.idle_timeout);
    };
    match end {
        End::Lingering if !wire.borrow().ended => linger(&wire).await,
        End::Lingering | End::Now => {
            // As far as it can be said now: nobody waits for who is going.
            let said = poll_fn(|context| Poll::Ready(wire.borrow_mut().stream.poll_farewell(context))).await;
            drop(said);
        }
        End::Cut => {}
    }
}

/// How a connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// Nothing is on its way.
    Now,
    /// What was on its way was cut: the client must not take it for the whole.
    Cut,
    /// The client may still be sending.
    Lingering,
}

/// Waits for the answer. None: the client has gone.
fn poll_answer<S: Stream, F: Future<Output = Response>>(
    wire: &Rc<RefCell<Wire<S>>>,
    turn: &Turn,
    exchange: Pin<&mut F>,
    context: &mut Context<'_>,
) -> Poll<Option<Response>> {
    let answer = exchange.poll(context);
    let wire = &mut *wire.borrow_mut();
    // Also those that have come together with the answer: it goes behind them.
    if let Some(interim) = &turn.interim {
        for (status, headers) in interim.take(context.waker()) {
            // One 100 is enough, and is only for who waits for it.
            if status != StatusCode::CONTINUE || std::mem::take(&mut wire.owes_continue) {
                write::interim(&mut wire.interim, status, &headers);
            }
        }
    }
    if let Poll::Ready(answer) = answer {
        return Poll::Ready(Some(answer));
    }
    if let Poll::Ready(Err(_)) = wire.poll_interim(context) {
        return Poll::Ready(None);
    }
    wire.poll_gone(context).map(|_| None)
}

/// Gives the client its answer. None: the connection stays.
async fn give<S: Stream>(
    wire: &Rc<RefCell<Wire<S>>>,
    turn: &Turn,
    answer: Response,
    stays: impl Fn() -> bool,
) -> Option<End> {
    let (parts, body) = answer.into_parts();
    let body = match body.into_tunnel() {
        Ok(tunnel) => return Some(switch(wire, turn, &parts.headers, tunnel).await),
        Err(body) => body,
    };
    let follows = can_follow(&wire.borrow());
    // Behind the head of an answer no reader of the body may ask for it.
    wire.borrow_mut().owes_continue = false;
    let persists = turn.keep_alive && stays() && follows && !turn.record.is_stranded();
    let persists = match send(wire, turn, Response::from_parts(parts, body), persists).await {
        Sent::Whole => persists,
        Sent::Last => false,
        Sent::Cut => return Some(End::Cut),
    };
    if !wire.borrow().reading.is_done() {
        // RFC 9112 §9.3: the rest of a body is never read as a request.
        return if persists && drain(wire).await { None } else { Some(End::Lingering) };
    }
    match persists {
        true => None,
        false if wire.borrow().buffer.is_empty() => Some(End::Now),
        false => Some(End::Lingering),
    }
}

/// Ends the connection without an answer.
fn hang_up<S: Stream>(wire: &Rc<RefCell<Wire<S>>>, how: HangUp) -> End {
    match how {
        HangUp::Close => End::Now,
        HangUp::Drop => End::Cut,
        HangUp::Reset => {
            wire.borrow_mut().stream.reset_at_end();
            End::Cut
        }
    }
}

/// Whether the next request can follow this one's body: it is over, or its rest is short, or somebody still reads it.
fn can_follow<S: Stream>(wire: &Wire<S>) -> bool {
    if wire.has_failed() {
        return false;
    }
    if wire.reading.is_done() {
        return true;
    }
    // RFC 9110 §10.1.1: a client that was not told to go on may or may not send the body.
    !wire.owes_continue && (!wire.unread || wire.reading.left().is_some_and(|left| left <= DRAINED))
}

/// Becomes a tunnel, if the client has asked for one.
async fn switch<S: Stream>(
    wire: &Rc<RefCell<Wire<S>>>,
    turn: &Turn,
    headers: &http::HeaderMap,
    tunnel: Box<dyn Tunnel>,
) -> End {
    let Some(protocol) = turn.upgrade.as_deref().filter(|_| wire.borrow().reading.is_done()) else {
        turn.record.cause.set(Some(Cause::BackendProtocol.word()));
        return End::Now;
    };
    turn.record.status.set(StatusCode::SWITCHING_PROTOCOLS.as_u16());
    let mut head = std::mem::take(&mut wire.borrow_mut().interim);
    write::switched(&mut head, headers, protocol);
    let (sent, received) = relay(wire, head, tunnel).await;
    turn.record.sent.set(sent);
    turn.record.received.set(received);
    End::Now
}

/// Answers what is no request; the connection ends, since nobody knows where the next one would begin.
async fn refuse<S: Stream, H: Handler>(wire: &Rc<RefCell<Wire<S>>>, handler: &H, fault: Fault) -> End {
    let turn = Turn::refused(Instant::now());
    turn.record.cause.set(Some(fault.cause().word()));
    let mut answer = refusal(fault);
    headers::date(&mut answer);
    let sent = send(wire, &turn, answer, false).await;
    let connection = Rc::clone(&wire.borrow().connection);
    handler.finished(&connection, &turn.record);
    if sent == Sent::Cut { End::Cut } else { End::Lingering }
}

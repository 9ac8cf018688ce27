//! The end of a connection whose client may still be sending: its answer must not be lost by a reset.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use super::wire::Wire;
use crate::net::stream::Stream;

/// A client that is still sending is listened to for so long,
const TIME: Duration = Duration::from_secs(1);
/// and for so many bytes.
const BYTES: usize = 256 << 10;

/// Ends our side, and lets the client end its own.
pub(super) async fn linger<S: Stream>(wire: &Rc<RefCell<Wire<S>>>) {
    let due = Instant::now() + TIME;
    let mut dropped = 0;
    poll_fn(|context| {
        let wire = &mut *wire.borrow_mut();
        wire.buffer.clear();
        if ready!(wire.stream.poll_shutdown(context)).is_err() {
            return Poll::Ready(());
        }
        while let Poll::Ready(result) = wire.poll_fill(context) {
            dropped += wire.buffer.len();
            wire.buffer.clear();
            if matches!(result, Ok(0) | Err(_)) || dropped > BYTES {
                return Poll::Ready(());
            }
        }
        wire.poll_due(due, context)
    })
    .await;
}

/// Reads what is left of the body of the request in hand. Whether the next request can follow.
pub(super) async fn drain<S: Stream>(wire: &Rc<RefCell<Wire<S>>>) -> bool {
    let due = Instant::now() + TIME;
    let mut dropped = 0;
    poll_fn(|context| {
        let wire = &mut *wire.borrow_mut();
        loop {
            match wire.poll_body(wire.turn, context) {
                Poll::Ready(None) => return Poll::Ready(true),
                Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                Poll::Ready(Some(Ok(piece))) => {
                    dropped += piece.data_ref().map_or(0, bytes::Bytes::len);
                    if dropped > BYTES {
                        return Poll::Ready(false);
                    }
                }
                Poll::Pending => return wire.poll_due(due, context).map(|()| false),
            }
        }
    })
    .await
}

//! The body of a request, read from its connection as somebody asks for it.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::wire::Wire;
use crate::l7::cut::BodyError;
use crate::l7::request::Record;
use crate::net::stream::Stream;

/// The body of a request.
#[derive(Debug)]
pub(super) struct Incoming<S> {
    wire: Rc<RefCell<Wire<S>>>,
    turn: u64,
    left: Option<u64>,
    over: bool,
    record: Rc<Record>,
}

impl<S: Stream> Incoming<S> {
    /// The body of the request that `wire` has in hand; `length` if it is known.
    pub(super) fn new(wire: &Rc<RefCell<Wire<S>>>, length: Option<u64>, record: &Rc<Record>) -> Self {
        let turn = wire.borrow().turn;
        Self { wire: Rc::clone(wire), turn, left: length, over: false, record: Rc::clone(record) }
    }
}

impl<S: Stream> http_body::Body for Incoming<S> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let frame = ready!(self.wire.borrow_mut().poll_body(self.turn, context));
        match &frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                self.record.received.set(self.record.received.get() + bytes);
                self.left = self.left.map(|left| left - bytes);
                self.over = frame.is_trailers() || self.left == Some(0);
            }
            Some(Err(_)) | None => self.over = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.over
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl<S> Drop for Incoming<S> {
    fn drop(&mut self) {
        // It may be dropped by what it is read through; then that knows by itself.
        if let Ok(mut wire) = self.wire.try_borrow_mut()
            && wire.turn == self.turn
        {
            wire.unread = true;
        }
    }
}

//! A request's body on its way into an HTTP/2 stream, watched by who waits for the answer.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::l7::body::Body;
use crate::l7::cut::BodyError;

/// A body on its way.
pub(super) struct Upload {
    body: Body,
    watch: Rc<Watch>,
}

/// How far it is.
#[derive(Debug, Default)]
pub(super) struct Watch {
    over: Cell<bool>,
    cut: Cell<Option<BodyError>>,
    moved: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Upload {
    /// The body, and what tells of it.
    pub(super) fn new(body: Body) -> (Self, Rc<Watch>) {
        let watch = Rc::new(Watch::default());
        watch.over.set(http_body::Body::is_end_stream(&body));
        (Self { body, watch: Rc::clone(&watch) }, watch)
    }
}

impl Watch {
    /// Whether nothing more of it is to come. If there is, `context` is woken when there is not.
    pub(super) fn is_over(&self, context: &mut Context<'_>) -> bool {
        if !self.over.get() {
            *self.waker.borrow_mut() = Some(context.waker().clone());
        }
        self.over.get()
    }

    /// Why it was cut, if it was.
    pub(super) fn cut(&self) -> Option<BodyError> {
        self.cut.get()
    }

    /// Whether a piece of it has gone since this was asked last.
    pub(super) fn has_moved(&self) -> bool {
        self.moved.take()
    }

    fn end(&self) {
        self.over.set(true);
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.watch.moved.set(true);
        if let Some(Err(error)) = &frame {
            self.watch.cut.set(Some(*error));
        }
        if !matches!(frame, Some(Ok(_))) || self.body.is_end_stream() {
            self.watch.end();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.watch.end();
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.body.fmt(f)
    }
}

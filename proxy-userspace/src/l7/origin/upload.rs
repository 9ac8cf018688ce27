//! A request's body on its way into an HTTP/2 stream, watched by who waits for the answer.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body as _;
use tokio::task::AbortHandle;

use crate::l7::body::Body;
use crate::l7::cut::BodyError;
use crate::net::deadline::Deadline;

/// No more goes to the library at once: what a stream holds that its backend does not take stays near the limit of it.
const PIECE: usize = 16 << 10;

/// A body on its way.
pub(super) struct Upload {
    body: Body,
    to: SendStream<Bytes>,
    /// What has come of the body, and not gone.
    piece: Bytes,
    /// The body ends with that.
    last: bool,
    /// The backend takes nothing for so long: it will not answer.
    idle: Duration,
    deadline: Deadline,
    watch: Rc<Watch>,
}

/// How far it is.
#[derive(Debug, Default)]
pub(super) struct Watch {
    over: Cell<bool>,
    cut: Cell<Option<BodyError>>,
    stuck: Cell<bool>,
    answered: Cell<bool>,
    moved: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// Why the rest of a body stays behind.
enum Stop {
    /// It was cut.
    Cut(BodyError),
    /// The backend takes no more of it, or is gone: whoever waits for the answer learns which.
    Refused,
    /// The backend has taken nothing for too long.
    Stuck,
}

/// A body on its way by itself: until this is dropped.
#[derive(Debug)]
pub(super) struct Going(AbortHandle);

impl Upload {
    /// This body, into this stream.
    pub(super) fn new(body: Body, to: SendStream<Bytes>, idle: Duration, watch: &Rc<Watch>) -> Self {
        let (piece, deadline, watch) = (Bytes::new(), Deadline::default(), Rc::clone(watch));
        Self { body, to, piece, last: false, idle, deadline, watch }
    }

    /// Sends what can be sent at once, and lets the rest go by itself.
    pub(super) fn begin(mut self, context: &mut Context<'_>) -> Option<Going> {
        if self.poll(context).is_ready() {
            return None;
        }
        // Not beside the answer: a client that does not take it may go on sending.
        let going = tokio::task::spawn_local(async move { poll_fn(|context| self.poll(context)).await });
        Some(Going(going.abort_handle()))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Err(stop) = ready!(self.poll_send(context)) {
            match stop {
                Stop::Cut(error) => self.watch.cut.set(Some(error)),
                Stop::Stuck => self.watch.stuck.set(true),
                Stop::Refused => {}
            }
            self.to.send_reset(Reason::CANCEL);
        }
        self.watch.end();
        Poll::Ready(())
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        loop {
            // Asked for first, so that a reset is heard of while the body is waited for.
            if self.to.poll_reset(context).is_ready() {
                return Poll::Ready(Err(Stop::Refused));
            }
            if !self.piece.is_empty() {
                ready!(self.poll_room(context))?;
                let piece = self.piece.split_to(self.piece.len().min(PIECE));
                let last = self.last && self.piece.is_empty();
                self.give(piece, last)?;
                if last {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Err(Stop::Cut(error))),
                None => return Poll::Ready(self.give(Bytes::new(), true)),
            };
            match frame.into_data() {
                Ok(data) => {
                    self.last = self.body.is_end_stream();
                    if data.is_empty() && self.last {
                        return Poll::Ready(self.give(data, true));
                    }
                    self.piece = data;
                }
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    return Poll::Ready(self.to.send_trailers(trailers).map_err(|_| Stop::Refused));
                }
            }
        }
    }

    /// Waits until the stream takes something.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        // Only with something in hand: what is reserved is not there for other streams.
        self.to.reserve_capacity(1);
        while self.to.capacity() == 0 {
            match self.to.poll_capacity(context) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(_) => return Poll::Ready(Err(Stop::Refused)),
                // An answer that goes on without the rest of its request has a timer of its own.
                Poll::Pending if self.watch.answered.get() => return Poll::Pending,
                Poll::Pending => {
                    if self.deadline.due().is_none() {
                        self.deadline.set(Instant::now() + self.idle);
                    }
                    ready!(self.deadline.poll(context));
                    return Poll::Ready(Err(Stop::Stuck));
                }
            }
        }
        self.deadline.clear();
        Poll::Ready(Ok(()))
    }

    fn give(&mut self, piece: Bytes, last: bool) -> Result<(), Stop> {
        self.watch.moved.set(true);
        self.to.send_data(piece, last).map_err(|_| Stop::Refused)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.watch.end();
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Watch {
    /// Of a body that is there to be sent, or of none.
    pub(super) fn new(over: bool) -> Rc<Self> {
        let watch = Self::default();
        watch.over.set(over);
        Rc::new(watch)
    }

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

    /// Whether the backend has taken nothing of it for too long.
    pub(super) fn is_stuck(&self) -> bool {
        self.stuck.get()
    }

    /// The answer's head is there.
    pub(super) fn answered(&self) {
        self.answered.set(true);
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

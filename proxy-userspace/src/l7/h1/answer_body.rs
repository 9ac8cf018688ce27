//! The body of an answer, read from its backend as the client takes it.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};

use super::link::Link;
use super::outgoing::Outgoing;
use super::reading::Reading;
use crate::l7::cut::BodyError;
use crate::net::buffers;
use crate::net::stream::Stream;

/// The body of an answer. It also sends what is left of the request.
pub(super) struct AnswerBody<S, K> {
    /// None: over.
    pub(super) link: Option<Link<S>>,
    pub(super) buffer: BytesMut,
    pub(super) reading: Reading,
    /// What came with the head.
    pub(super) first: Option<Frame<Bytes>>,
    /// What is left of the request.
    pub(super) request: Outgoing,
    /// The connection may be used again.
    pub(super) keep_alive: bool,
    /// Who gets it then.
    pub(super) keep: Option<K>,
    /// The backend may say nothing for so long.
    pub(super) idle: Duration,
}

impl<S: Stream, K: FnOnce(Link<S>)> AnswerBody<S, K> {
    /// The answer is over: its connection is used again if it is clean.
    pub(super) fn finish(&mut self) {
        let clean = self.keep_alive && self.buffer.is_empty() && self.request.is_done();
        buffers::give_if_empty(&mut self.buffer);
        if let (Some(mut link), Some(keep), true) = (self.link.take(), self.keep.take(), clean) {
            link.moved();
            keep(link);
        }
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, BodyError>> {
        loop {
            let piece = match self.first.take() {
                Some(piece) => Some(piece),
                None => self.reading.next(&mut self.buffer)?,
            };
            if self.reading.is_done() {
                self.finish();
            }
            if piece.is_some() || self.reading.is_done() {
                return Poll::Ready(Ok(piece));
            }
            self.send(context);
            let Some(link) = &mut self.link else { return Poll::Ready(Ok(None)) };
            let large = self.reading.left().is_none_or(|left| left > buffers::SIZE as u64);
            match link.poll_fill(&mut self.buffer, large, context) {
                Poll::Ready(Ok(0)) => self.reading.closed()?,
                Poll::Ready(Ok(_)) => link.moved(),
                Poll::Ready(Err(_)) => return Poll::Ready(Err(BodyError::Gone)),
                Poll::Pending => {
                    ready!(link.poll_still(self.idle, context));
                    return Poll::Ready(Err(BodyError::TooSlow));
                }
            }
        }
    }

    /// Goes on with the request. When it cannot, the answer still counts; the connection does not.
    fn send(&mut self, context: &mut Context<'_>) {
        let Some(link) = &mut self.link else { return };
        while !self.request.is_done() {
            match self.request.poll_write(&mut link.stream, context) {
                Poll::Pending => return,
                Poll::Ready(Err(_)) => break,
                Poll::Ready(Ok(())) if self.request.take_progress() > 0 => link.moved(),
                Poll::Ready(Ok(())) => {}
            }
            match self.request.poll_body(context) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => break,
            }
        }
        if !self.request.is_done() {
            self.request.stop();
            self.keep_alive = false;
        }
    }
}

/// Nothing in it is pinned.
impl<S, K> Unpin for AnswerBody<S, K> {}

impl<S: Stream, K: FnOnce(Link<S>)> http_body::Body for AnswerBody<S, K> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let result = ready!(this.poll_piece(context));
        if result.is_err() {
            // Not clean: it is closed. What it would still say belongs to nobody.
            this.link = None;
            this.reading = Reading::Done;
        }
        Poll::Ready(result.transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.reading.is_done() && self.first.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().and_then(|piece| piece.data_ref()).map_or(0, Bytes::len) as u64;
        self.reading.left().map_or_else(SizeHint::default, |left| SizeHint::with_exact(left + first))
    }
}

impl<S, K> fmt::Debug for AnswerBody<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerBody").field("reading", &self.reading).finish_non_exhaustive()
    }
}

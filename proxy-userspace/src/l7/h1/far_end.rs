//! A connection to a backend after its 101: bytes both ways.

use std::fmt;
use std::io::IoSlice;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};

use super::link::Link;
use crate::l7::cut::BodyError;
use crate::l7::tunnel::Tunnel;
use crate::net::stream::Stream;

/// A connection to a backend after its 101.
pub(super) struct FarEnd<S, K> {
    link: Link<S>,
    /// What was read with the 101.
    buffer: BytesMut,
    idle: Duration,
    /// What would have got the connection for other requests: it knows by its end that there is none.
    _keep: K,
}

impl<S: Stream, K> FarEnd<S, K> {
    /// `buffer` was read already; the tunnel ends when nothing moves either way for `idle`.
    pub(super) fn new(mut link: Link<S>, buffer: BytesMut, idle: Duration, keep: K) -> Self {
        link.moved();
        Self { link, buffer, idle, _keep: keep }
    }
}

impl<S: fmt::Debug, K> fmt::Debug for FarEnd<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FarEnd").field("link", &self.link).finish_non_exhaustive()
    }
}

impl<S: Stream, K> Tunnel for FarEnd<S, K> {
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if self.buffer.is_empty() {
            match self.link.poll_fill(&mut self.buffer, false, context) {
                Poll::Ready(Ok(0)) => return Poll::Ready(None),
                Poll::Ready(Ok(_)) => self.link.moved(),
                Poll::Ready(Err(_)) => return Poll::Ready(Some(Err(BodyError::Gone))),
                Poll::Pending => {
                    ready!(self.link.poll_still(self.idle, context));
                    return Poll::Ready(Some(Err(BodyError::TooSlow)));
                }
            }
        }
        let bytes = self.buffer.split().freeze();
        crate::net::buffers::give_if_empty(&mut self.buffer);
        Poll::Ready(Some(Ok(bytes)))
    }

    fn poll_send(&mut self, context: &mut Context<'_>, bytes: &mut Bytes) -> Poll<Result<(), BodyError>> {
        while !bytes.is_empty() {
            let count = ready!(self.link.stream.poll_write(context, &[IoSlice::new(bytes)]))
                .map_err(|_| BodyError::Gone)?;
            bytes.advance(count);
            self.link.moved();
        }
        self.link.stream.poll_flush(context).map_err(|_| BodyError::Gone)
    }

    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        self.link.stream.poll_shutdown(context).map_err(|_| BodyError::Gone)
    }

    fn poll_still(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.link.poll_still(self.idle, context)
    }
}

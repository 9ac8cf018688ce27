//! A connection to a backend after its 101: bytes both ways.

use std::io::IoSlice;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};

use super::link::Link;
use crate::l7::cut::BodyError;
use crate::l7::tunnel::Tunnel;
use crate::net::stream::Stream;

/// A connection to a backend after its 101.
#[derive(Debug)]
pub(super) struct FarEnd<S> {
    link: Link<S>,
    /// What was read with the 101.
    buffer: BytesMut,
    idle: Duration,
}

impl<S: Stream> FarEnd<S> {
    /// `buffer` was read already; the tunnel ends when nothing moves either way for `idle`.
    pub(super) fn new(mut link: Link<S>, buffer: BytesMut, idle: Duration) -> Self {
        link.moved();
        Self { link, buffer, idle }
    }
}

impl<S: Stream> Tunnel for FarEnd<S> {
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
}

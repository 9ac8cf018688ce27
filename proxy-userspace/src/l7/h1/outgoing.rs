//! A message on its way out: its head, and what its body gives.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http_body::Body as _;

use super::write::{self, Framing};
use crate::l7::body::Body;
use crate::l7::cut::BodyError;
use crate::net::buffers;
use crate::net::stream::Stream;

/// Data that is smaller is copied behind what stands before it: one buffer is written faster than two.
const COPIED: usize = 4 << 10;
/// What ends a chunk, and what ends the last one with it.
const CHUNK_END: &[u8] = b"\r\n";
const BODY_END: &[u8] = b"\r\n0\r\n\r\n";

/// A message on its way out.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Written first,
    head: BytesMut,
    /// then this,
    data: Bytes,
    /// then this,
    tail: &'static [u8],
    /// then what this gives.
    body: Option<Body>,
    framing: Framing,
    trailers: bool,
    /// Bytes of the body that were given so far.
    pub(super) sent: u64,
    /// Bytes that were written since somebody asked.
    progress: u64,
}

impl Outgoing {
    /// `head`, and behind it `body`. What is there of it is put with the head.
    pub(super) fn new(head: BytesMut, body: Body, framing: Framing, trailers: bool) -> Self {
        let mut message =
            Self { head, data: Bytes::new(), tail: b"", body: None, framing, trailers, sent: 0, progress: 0 };
        match (body.into_full(), framing) {
            (_, Framing::None | Framing::Length(0)) => {}
            (Ok(bytes), _) => {
                if !bytes.is_empty() {
                    message.put(bytes);
                }
                message.end(None);
            }
            (Err(body), _) => message.body = Some(body),
        }
        message
    }

    /// Whether there is something to write.
    pub(super) fn has_bytes(&self) -> bool {
        !self.head.is_empty() || !self.data.is_empty() || !self.tail.is_empty()
    }

    /// Whether it has gone as a whole.
    pub(super) fn is_done(&self) -> bool {
        self.body.is_none() && !self.has_bytes()
    }

    /// Gives up what has not gone.
    pub(super) fn stop(&mut self) {
        *self = Self::new(BytesMut::new(), Body::empty(), Framing::None, false);
    }

    /// Writes all that is there.
    pub(super) fn poll_write(
        &mut self,
        stream: &mut impl Stream,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), io::Error>> {
        while self.has_bytes() {
            let parts = [IoSlice::new(&self.head), IoSlice::new(&self.data), IoSlice::new(self.tail)];
            let from = match (self.data.is_empty(), self.tail.is_empty(), self.head.is_empty()) {
                (true, true, _) => &parts[..1],
                (false, true, true) => &parts[1..2],
                _ => &parts[..],
            };
            let count = ready!(stream.poll_write(context, from))?;
            self.progress += count as u64;
            self.advance(count);
        }
        if self.head.capacity() > 0 {
            buffers::give(std::mem::take(&mut self.head));
        }
        stream.poll_flush(context)
    }

    /// Bytes that were written since this was last asked.
    pub(super) fn take_progress(&mut self) -> u64 {
        std::mem::take(&mut self.progress)
    }

    fn advance(&mut self, count: usize) {
        let rest = match count.checked_sub(self.head.len()) {
            None => return self.head.advance(count),
            Some(rest) => rest,
        };
        // Not advanced: the whole of it can be used again.
        self.head.clear();
        let data = rest.min(self.data.len());
        self.data.advance(data);
        self.tail = &self.tail[rest - data..];
    }

    /// Asks the body for more, when all that was there has been written.
    pub(super) fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        let Some(body) = &mut self.body else { return Poll::Ready(Ok(())) };
        let frame = ready!(Pin::new(&mut *body).poll_frame(context)).transpose()?;
        let over = body.is_end_stream();
        match frame.map(http_body::Frame::into_data) {
            Some(Ok(data)) if data.is_empty() => {}
            Some(Ok(data)) => {
                self.give(data)?;
                if over {
                    self.end(None);
                    self.complete()?;
                }
            }
            Some(Err(frame)) => {
                self.end(frame.into_trailers().ok().as_ref());
                self.complete()?;
            }
            None => {
                self.end(None);
                self.complete()?;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn give(&mut self, data: Bytes) -> Result<(), BodyError> {
        if let Framing::Length(length) = self.framing
            && data.len() as u64 > length - self.sent
        {
            return Err(BodyError::Framing);
        }
        self.put(data);
        if self.framing == Framing::Length(self.sent) {
            self.body = None;
        }
        Ok(())
    }

    fn put(&mut self, data: Bytes) {
        self.sent += data.len() as u64;
        let chunked = self.framing == Framing::Chunked;
        if chunked {
            buffers::room(&mut self.head);
            write::chunk(&mut self.head, data.len());
        }
        if data.len() <= COPIED && !self.head.is_empty() {
            self.head.extend_from_slice(&data);
            if chunked {
                self.head.extend_from_slice(CHUNK_END);
            }
        } else {
            self.data = data;
            self.tail = if chunked { CHUNK_END } else { b"" };
        }
    }

    /// The body is over.
    fn end(&mut self, trailers: Option<&http::HeaderMap>) {
        self.body = None;
        if self.framing != Framing::Chunked {
            return;
        }
        if self.tail == CHUNK_END {
            // Trailers never come with data.
            self.tail = BODY_END;
        } else {
            buffers::room(&mut self.head);
            write::last_chunk(&mut self.head, trailers.filter(|_| self.trailers));
        }
    }

    fn complete(&self) -> Result<(), BodyError> {
        match self.framing {
            Framing::Length(length) if length != self.sent => Err(BodyError::Framing),
            _ => Ok(()),
        }
    }
}

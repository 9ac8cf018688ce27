//! A connection to a backend as tokio has them: for HTTP/2, which is spoken by a library.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::buffers;
use crate::net::stream::Stream;
use crate::upstream::BackendStream;

/// A connection to a backend.
#[derive(Debug)]
pub(super) struct TokioStream {
    stream: BackendStream,
    /// Read, and not taken yet.
    buffer: BytesMut,
}

impl TokioStream {
    pub(super) fn new(stream: BackendStream) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }
}

impl AsyncRead for TokioStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, buffer } = &mut *self;
        if buffer.is_empty() {
            buffers::room(buffer);
            let Poll::Ready(result) = stream.poll_read(context, buffer) else {
                buffers::give_if_empty(buffer);
                return Poll::Pending;
            };
            result?;
        }
        let count = buffer.len().min(into.remaining());
        into.put_slice(&buffer[..count]);
        buffer.advance(count);
        buffers::give_if_empty(buffer);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TokioStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_write(context, &[IoSlice::new(from)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_write(context, from)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.stream.poll_flush(context))?;
        self.stream.poll_shutdown(context)
    }
}

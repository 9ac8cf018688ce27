//! Bytes one way: copied while they are few, by a pipe when they are many. Nothing is read before all that was read has
//! been sent, so that a receiver that is slow slows the sender.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};

use crate::net::buffers;
use crate::net::pipe::{self, Pipe};
use crate::net::stream::Stream;

/// So many buffers that were filled one after another are bulk: what follows goes by a pipe.
const FULL: u32 = 4;
/// So many small pieces one after another are none any more.
const SMALL: u32 = 8;
/// Pieces of a connection that are moved before others have their turn.
const TURNS: u32 = 8;

/// One way of a connection.
#[derive(Debug, Default)]
pub(super) struct Way {
    buffer: BytesMut,
    pipe: Option<Pipe>,
    /// Bytes go by a pipe.
    bulk: bool,
    /// Pieces in a row that speak for the other kind.
    row: u32,
    /// The sender has ended its side.
    ended: bool,
    /// The receiver was told.
    closed: bool,
    /// There was nothing to read, when that was last tried.
    waits: bool,
    /// The other way is over: the receiver is told by the end of the connection.
    pub(super) last: bool,
    /// Bytes that were sent on.
    pub(super) moved: u64,
}

/// Which end has gone.
#[derive(Debug)]
pub(super) enum Gone {
    /// Who sends.
    Sender(io::Error),
    /// Who receives.
    Receiver(io::Error),
}

impl Way {
    /// A way on which `first` is to be sent before all else.
    pub(super) fn beginning(first: BytesMut) -> Self {
        Self { buffer: first, ..Self::default() }
    }

    /// Sends this as well, which was read otherwise. Nothing is on it.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        debug_assert!(self.is_empty(), "bytes keep their order");
        buffers::give_if_empty(&mut self.buffer);
        self.buffer.extend_from_slice(bytes);
    }

    /// Nothing is on it.
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.pipe.as_ref().is_none_or(Pipe::is_empty)
    }

    /// Nothing is on it, and nothing comes just now.
    pub(super) fn is_quiet(&self) -> bool {
        self.waits && self.is_empty()
    }

    /// The sender has ended its side.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// The receiver has got all there ever was.
    pub(super) fn is_over(&self) -> bool {
        self.closed
    }

    /// Moves what can be moved; ready when the way is over. With `only_send` nothing more is read: ready when nothing is
    /// on it.
    pub(super) fn poll<A: Stream, B: Stream>(
        &mut self,
        (from, to): (&mut A, &mut B),
        only_send: bool,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Gone>> {
        if self.closed {
            return Poll::Ready(Ok(()));
        }
        for _ in 0..TURNS {
            ready!(self.poll_send(to, context)).map_err(Gone::Receiver)?;
            if self.ended {
                let told = if self.last { to.poll_farewell(context) } else { to.poll_shutdown(context) };
                ready!(told).map_err(Gone::Receiver)?;
                self.closed = true;
                return Poll::Ready(Ok(()));
            }
            if only_send {
                return Poll::Ready(Ok(()));
            }
            let received = self.poll_receive(from, to, context);
            self.waits = received.is_pending();
            ready!(received).map_err(Gone::Sender)?;
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Sends all that is on the way.
    fn poll_send<B: Stream>(&mut self, to: &mut B, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.buffer.is_empty() {
            let count = ready!(to.poll_write(context, &[IoSlice::new(&self.buffer)]))?;
            self.buffer.advance(count);
            self.moved += count as u64;
        }
        buffers::give_if_empty(&mut self.buffer);
        while let Some(pipe) = self.pipe.as_mut().filter(|pipe| !pipe.is_empty()) {
            self.moved += ready!(to.poll_drain(context, pipe))? as u64;
        }
        to.poll_flush(context)
    }

    fn poll_receive<A: Stream, B: Stream>(
        &mut self,
        from: &mut A,
        to: &B,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.bulk && from.can_splice() && to.can_splice() {
            self.poll_fill(from, context)
        } else {
            self.poll_read(from, context)
        }
    }

    fn poll_fill<A: Stream>(&mut self, from: &mut A, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let pipe = match &mut self.pipe {
            Some(pipe) => pipe,
            None => match Pipe::take() {
                Ok(pipe) => self.pipe.insert(pipe),
                // Too many files: copying needs none.
                Err(_) => {
                    self.bulk = false;
                    return self.poll_read(from, context);
                }
            },
        };
        match from.poll_fill(context, pipe) {
            Poll::Pending => {
                self.pipe.take().into_iter().for_each(Pipe::give);
                Poll::Pending
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(count)) => {
                self.ended = count == 0;
                self.learn(count < buffers::SIZE, SMALL);
                Poll::Ready(Ok(()))
            }
        }
    }

    fn poll_read<A: Stream>(&mut self, from: &mut A, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe.take().into_iter().for_each(Pipe::give);
        // A buffer only for who has something to say.
        ready!(from.poll_readable(context))?;
        buffers::room(&mut self.buffer);
        let room = self.buffer.capacity();
        let Poll::Ready(result) = from.poll_read(context, &mut self.buffer) else {
            buffers::give_if_empty(&mut self.buffer);
            return Poll::Pending;
        };
        let count = result?;
        self.ended = count == 0;
        buffers::give_if_empty(&mut self.buffer);
        self.learn(count >= room, FULL);
        Poll::Ready(Ok(()))
    }

    /// Changes its kind after so many pieces in a row that speak for that.
    fn learn(&mut self, other: bool, after: u32) {
        self.row = if other { self.row + 1 } else { 0 };
        if self.row >= after {
            (self.bulk, self.row) = (!self.bulk, 0);
        }
    }

    /// The most that it ever holds.
    pub(super) const MOST: usize = pipe::SIZE + 2 * buffers::SIZE;
}

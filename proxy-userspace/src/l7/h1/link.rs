//! A connection to a backend, between and in exchanges.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::BytesMut;

use crate::net::buffers;
use crate::net::deadline::Deadline;
use crate::net::stream::Stream;

/// A connection to a backend. It keeps its timer, which is put off from exchange to exchange.
#[derive(Debug)]
pub struct Link<S> {
    pub(super) stream: S,
    deadline: Deadline,
    since: Option<Instant>,
}

impl<S: Stream> Link<S> {
    /// A connection that nothing was said on, or only what comes before HTTP.
    pub fn new(stream: S) -> Self {
        Self { stream, deadline: Deadline::default(), since: None }
    }

    /// Whether a connection that nobody uses may be used, as far as is known without a system call.
    pub fn is_quiet(&mut self) -> bool {
        self.stream.is_quiet()
    }

    /// A connection that was idle, and the timer that it had.
    pub fn from_parts(stream: S, deadline: Deadline) -> Self {
        Self { stream, deadline, since: None }
    }

    /// The connection and its timer, for the time until it is used again.
    pub fn into_parts(mut self) -> (S, Deadline) {
        self.deadline.clear();
        (self.stream, self.deadline)
    }

    /// Reads. Takes a buffer only when there is something, of which `large` is a lot.
    pub(super) fn poll_fill(
        &mut self,
        buffer: &mut BytesMut,
        large: bool,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if buffer.capacity() == 0 {
            ready!(self.stream.poll_readable(context))?;
            *buffer = buffers::take();
        }
        if large && buffer.is_empty() {
            buffer.reserve(4 * buffers::SIZE);
        } else {
            buffers::room(buffer);
        }
        let result = self.stream.poll_read(context, buffer);
        if result.is_pending() {
            buffers::give_if_empty(buffer);
        }
        result
    }

    /// Something has happened: what is waited for next is waited for anew.
    pub(super) fn moved(&mut self) {
        self.since = None;
    }

    /// Ready when nothing has happened for so long.
    pub(super) fn poll_still(&mut self, time: Duration, context: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        self.deadline.set(since + time);
        self.deadline.poll(context)
    }
}

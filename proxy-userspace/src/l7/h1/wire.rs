//! A client's connection, shared between what answers on it and the body that is read from it. One task uses both.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use http_body::Frame;

use super::pace::Pace;
use super::reading::Reading;
use crate::config::WebLimits;
use crate::l7::cut::BodyError;
use crate::l7::request::Connection;
use crate::net::buffers;
use crate::net::deadline::Deadline;
use crate::net::stream::Stream;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// Bytes that are read ahead of the request in hand.
const AHEAD: usize = 8 << 10;

/// A client's connection.
#[derive(Debug)]
pub(super) struct Wire<S> {
    pub(super) stream: S,
    /// Read, and not used yet.
    pub(super) buffer: BytesMut,
    /// The client has ended its side.
    pub(super) ended: bool,
    /// By when the client must have sent something.
    pub(super) read_by: Deadline,
    /// By when the client must have taken something.
    pub(super) write_by: Deadline,
    /// 1xx answers that have not been written yet.
    pub(super) interim: BytesMut,
    /// The connection, and with it the listener's limits.
    pub(super) connection: Rc<Connection>,
    /// The request in hand, counted.
    pub(super) turn: u64,
    /// How far its body is.
    pub(super) reading: Reading,
    /// A first piece of it that was read with the head.
    pub(super) first: Option<Frame<Bytes>>,
    /// The client waits for a 100.
    pub(super) owes_continue: bool,
    /// Its body is read by nobody any more.
    pub(super) unread: bool,
    pace: Pace,
    failed: Option<BodyError>,
}

impl<S: Stream> Wire<S> {
    pub(super) fn new(stream: S, buffer: BytesMut, connection: Rc<Connection>) -> Self {
        Self {
            stream,
            buffer,
            ended: false,
            read_by: Deadline::default(),
            write_by: Deadline::default(),
            interim: BytesMut::new(),
            connection,
            turn: 0,
            reading: Reading::Done,
            first: None,
            owes_continue: false,
            unread: true,
            pace: Pace::default(),
            failed: None,
        }
    }

    pub(super) fn limits(&self) -> &WebLimits {
        &self.connection.listener.limits
    }

    /// Begins with the next request's body.
    pub(super) fn begin(&mut self, reading: Reading, owes_continue: bool) {
        self.turn += 1;
        self.unread = reading.is_done();
        self.reading = reading;
        self.owes_continue = owes_continue;
        self.pace = Pace::default();
        self.failed = None;
    }

    /// Reads. 0: the client has ended its side.
    pub(super) fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        if self.buffer.capacity() == 0 {
            // No buffer before there is something to read.
            ready!(self.stream.poll_readable(context))?;
        }
        buffers::room(&mut self.buffer);
        let Poll::Ready(result) = self.stream.poll_read(context, &mut self.buffer) else {
            buffers::give_if_empty(&mut self.buffer);
            return Poll::Pending;
        };
        if matches!(result, Ok(0)) {
            self.ended = true;
            buffers::give_if_empty(&mut self.buffer);
        }
        Poll::Ready(result)
    }

    /// While a request is answered: whether the client is still there. Reads ahead a little.
    pub(super) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        while !self.ended && self.reading.is_done() && self.buffer.len() < AHEAD {
            if let Err(error) = ready!(self.poll_fill(context)) {
                return Poll::Ready(error);
            }
        }
        Poll::Pending
    }

    /// Writes 1xx answers.
    pub(super) fn poll_interim(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.interim.is_empty() {
            let count = ready!(self.stream.poll_write(context, &[io::IoSlice::new(&self.interim)]))?;
            self.interim.advance(count);
        }
        Poll::Ready(Ok(()))
    }

    /// The next piece of the body of request `turn`.
    pub(super) fn poll_body(
        &mut self,
        turn: u64,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if turn != self.turn {
            return Poll::Ready(Some(Err(BodyError::Gone)));
        }
        if let Some(error) = self.failed {
            return Poll::Ready(Some(Err(error)));
        }
        let result = ready!(self.poll_piece(context));
        if let Err(error) = &result {
            self.failed = Some(*error);
        }
        Poll::Ready(result.transpose())
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, BodyError>> {
        loop {
            let piece = match self.first.take() {
                Some(piece) => Some(piece),
                None => self.reading.next(&mut self.buffer)?,
            };
            if let Some(piece) = piece {
                return Poll::Ready(Ok(Some(piece)));
            }
            if self.reading.is_done() {
                buffers::give_if_empty(&mut self.buffer);
                return Poll::Ready(Ok(None));
            }
            if std::mem::take(&mut self.owes_continue) && self.buffer.is_empty() {
                self.interim.extend_from_slice(CONTINUE);
            }
            if let Poll::Ready(Err(_)) = self.poll_interim(context) {
                return Poll::Ready(Err(BodyError::Gone));
            }
            match self.poll_fill(context) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(BodyError::Gone)),
                Poll::Ready(Ok(count)) => self.pace.moved(count as u64),
                Poll::Pending => {
                    let due = self.pace.due(&self.connection.listener.limits);
                    self.read_by.set(due);
                    ready!(self.read_by.poll(context));
                    return Poll::Ready(Err(BodyError::TooSlow));
                }
            }
        }
    }

    /// Whether the body of the request in hand was cut.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Waits until the head of the next request must be there, or whatever `due` is for.
    pub(super) fn poll_due(&mut self, due: Instant, context: &mut Context<'_>) -> Poll<()> {
        self.read_by.set(due);
        self.read_by.poll(context)
    }
}

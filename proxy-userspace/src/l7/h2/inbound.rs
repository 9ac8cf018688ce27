//! The body of a request between the frames that carry it and who reads it.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use crate::l7::cut::BodyError;

/// What readers of a connection's streams have done: windows may open, and clients that wait for a 100 get one.
#[derive(Debug)]
pub struct Reads {
    streams: RefCell<Vec<u32>>,
    continues: RefCell<Vec<u32>>,
    driver: Waker,
}

/// What is known of a body before it comes.
#[derive(Clone, Copy, Default, Debug)]
pub struct Terms {
    /// Its length, if that is declared.
    pub length: Option<u64>,
    /// The client waits for a 100 before it sends it.
    pub awaits_continue: bool,
}

impl Reads {
    /// `driver` is woken by each.
    pub fn new(driver: Waker) -> Rc<Self> {
        Rc::new(Self { streams: RefCell::default(), continues: RefCell::default(), driver })
    }

    /// Takes the number of a stream from which something was read.
    pub fn take_read(&self) -> Option<u32> {
        self.streams.borrow_mut().pop()
    }

    /// Takes the number of a stream whose client is to send its body.
    pub fn take_continue(&self) -> Option<u32> {
        self.continues.borrow_mut().pop()
    }
}

/// What has come and was not read yet. Holds no more than the stream's window.
#[derive(Debug)]
pub struct Inbound {
    state: RefCell<State>,
    stream: u32,
    reads: Rc<Reads>,
}

#[derive(Debug)]
struct State {
    buffer: BytesMut,
    /// Bytes until the end, as declared.
    left: Option<u64>,
    end: End,
    reader: Option<Waker>,
    /// Bytes that have come.
    total: u64,
    awaits_continue: bool,
    /// Bytes that were read, and that the window does not know of.
    read: usize,
    gone: bool,
}

#[derive(Debug)]
enum End {
    Open,
    Trailers(HeaderMap),
    Ended,
    Failed(BodyError),
}

impl Inbound {
    /// Of a stream.
    pub fn new(stream: u32, terms: Terms, reads: &Rc<Reads>) -> Rc<Self> {
        let state = State {
            buffer: BytesMut::new(),
            left: terms.length,
            end: End::Open,
            reader: None,
            total: 0,
            awaits_continue: terms.awaits_continue,
            read: 0,
            gone: false,
        };
        Rc::new(Self { state: RefCell::new(state), stream, reads: Rc::clone(reads) })
    }

    /// What reads it.
    pub fn body(self: &Rc<Self>) -> InboundBody {
        InboundBody(Rc::clone(self))
    }

    /// Data has come. Gives the bytes that nobody will read.
    pub fn push(&self, data: &[u8]) -> usize {
        let mut state = self.state.borrow_mut();
        state.total += data.len() as u64;
        state.awaits_continue = false;
        if state.gone || matches!(state.end, End::Failed(_)) {
            return data.len();
        }
        state.buffer.extend_from_slice(data);
        state.wake();
        0
    }

    /// The body is whole.
    pub fn finish(&self, trailers: Option<HeaderMap>) {
        self.close(trailers.map_or(End::Ended, End::Trailers));
    }

    /// The body will not be whole.
    pub fn fail(&self, error: BodyError) {
        self.close(End::Failed(error));
    }

    /// Takes the number of bytes that were read since.
    pub fn take_read(&self) -> usize {
        std::mem::take(&mut self.state.borrow_mut().read)
    }

    /// All of it, if it has come as a whole and without trailers.
    pub fn take_whole(&self) -> Option<Bytes> {
        let mut state = self.state.borrow_mut();
        if !matches!(state.end, End::Ended) {
            return None;
        }
        let whole = std::mem::take(&mut state.buffer).freeze();
        self.note(&mut state, whole.len());
        Some(whole)
    }

    /// Whether the client still waits for a 100; it is told now.
    pub fn take_continue(&self) -> bool {
        std::mem::take(&mut self.state.borrow_mut().awaits_continue)
    }

    /// Bytes that have come.
    pub fn total(&self) -> u64 {
        self.state.borrow().total
    }

    /// Whether its reader waits for the peer.
    pub fn is_awaited(&self) -> bool {
        let state = self.state.borrow();
        !state.gone && state.buffer.is_empty() && matches!(state.end, End::Open) && state.reader.is_some()
    }

    fn close(&self, end: End) {
        let mut state = self.state.borrow_mut();
        if matches!(state.end, End::Open) {
            state.end = end;
            state.wake();
        }
    }

    /// The next of it; none: it is whole.
    pub fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut state = self.state.borrow_mut();
        if let End::Failed(error) = state.end {
            return Poll::Ready(Some(Err(error)));
        }
        if !state.buffer.is_empty() {
            let data = std::mem::take(&mut state.buffer).freeze();
            state.left = state.left.map(|left| left.saturating_sub(data.len() as u64));
            self.note(&mut state, data.len());
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match std::mem::replace(&mut state.end, End::Ended) {
            End::Trailers(trailers) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            End::Open => {
                state.end = End::Open;
                if std::mem::take(&mut state.awaits_continue) {
                    self.reads.continues.borrow_mut().push(self.stream);
                    self.reads.driver.wake_by_ref();
                }
                if !state.reader.as_ref().is_some_and(|reader| reader.will_wake(context.waker())) {
                    state.reader = Some(context.waker().clone());
                }
                Poll::Pending
            }
            End::Ended | End::Failed(_) => Poll::Ready(None),
        }
    }
}

impl Inbound {
    /// These bytes take no more room.
    fn note(&self, state: &mut State, bytes: usize) {
        if bytes > 0 {
            if state.read == 0 {
                self.reads.streams.borrow_mut().push(self.stream);
            }
            state.read += bytes;
            self.reads.driver.wake_by_ref();
        }
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// The reading end.
#[derive(Debug)]
pub struct InboundBody(Rc<Inbound>);

impl http_body::Body for InboundBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.poll_next(context)
    }

    fn is_end_stream(&self) -> bool {
        let state = self.0.state.borrow();
        state.buffer.is_empty() && matches!(state.end, End::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        let state = self.0.state.borrow();
        match (state.left, &state.end) {
            (Some(left), _) => SizeHint::with_exact(left),
            (None, End::Ended | End::Trailers(_)) => SizeHint::with_exact(state.buffer.len() as u64),
            _ => SizeHint::default(),
        }
    }
}

impl Drop for InboundBody {
    fn drop(&mut self) {
        let mut state = self.0.state.borrow_mut();
        state.gone = true;
        let unread = std::mem::take(&mut state.buffer).len();
        self.0.note(&mut state, unread);
    }
}

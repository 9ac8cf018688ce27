//! A request's body, kept as far as it may have to be sent again.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};

use super::body::Body;
use super::cut::BodyError;

/// A request's body.
#[derive(Debug)]
pub(super) enum Replay {
    /// All of it is there.
    Whole(Bytes),
    /// It comes piece by piece, and pieces are kept.
    Kept(Rc<RefCell<Kept>>),
}

/// A body, and what has come of it so far.
#[derive(Debug)]
pub(super) struct Kept {
    body: Body,
    pieces: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    ended: bool,
    /// Bytes that may still be kept; none: there were more, and they are gone.
    room: Option<usize>,
}

impl Replay {
    /// This body, of which up to `most` bytes are kept.
    pub(super) fn new(body: Body, most: usize) -> Self {
        match body.into_full() {
            Ok(bytes) => Self::Whole(bytes),
            Err(body) => {
                // No need to begin with what cannot be kept to its end.
                let room = if body.size_hint().lower() > most as u64 { 0 } else { most };
                let (pieces, room) = (Vec::new(), Some(room));
                Self::Kept(Rc::new(RefCell::new(Kept { body, pieces, trailers: None, ended: false, room })))
            }
        }
    }

    /// Whether it can be sent, for the first time or again.
    pub(super) fn is_there(&self) -> bool {
        match self {
            Self::Whole(_) => true,
            Self::Kept(kept) => kept.borrow().room.is_some(),
        }
    }

    /// The body to be sent.
    pub(super) fn body(&self) -> Body {
        match self {
            Self::Whole(bytes) => Body::full(bytes.clone()),
            Self::Kept(kept) => {
                let kept = Rc::clone(kept);
                let hint = kept.borrow().hint();
                Body::stream(Upload { kept, hint, next: 0, trailed: false })
            }
        }
    }
}

/// A body on its way to a backend.
struct Upload {
    kept: Rc<RefCell<Kept>>,
    /// What is left.
    hint: SizeHint,
    /// How many of the kept pieces were given.
    next: usize,
    /// Its trailers were given.
    trailed: bool,
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let frame = ready!(this.kept.borrow_mut().poll_frame(&mut this.next, &mut this.trailed, context));
        if let (Some(left), Some(Ok(frame))) = (this.hint.exact(), &frame) {
            let given = frame.data_ref().map_or(0, Bytes::len) as u64;
            this.hint = SizeHint::with_exact(left.saturating_sub(given));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let kept = self.kept.borrow();
        let over = kept.ended && (self.trailed || kept.trailers.is_none());
        self.next >= kept.pieces.len() && (over || kept.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

impl Kept {
    /// Of the body as a whole.
    fn hint(&self) -> SizeHint {
        let kept: usize = self.pieces.iter().map(Bytes::len).sum();
        let rest = self.body.size_hint();
        match rest.exact() {
            Some(rest) => SizeHint::with_exact(kept as u64 + rest),
            None => SizeHint::default(),
        }
    }

    fn poll_frame(
        &mut self,
        next: &mut usize,
        trailed: &mut bool,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(piece) = self.pieces.get(*next) {
            *next += 1;
            return Poll::Ready(Some(Ok(Frame::data(piece.clone()))));
        }
        if self.ended {
            let trailers = self.trailers.as_ref().filter(|_| !std::mem::replace(trailed, true));
            return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers.clone()))));
        }
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                // Cut once, cut for ever.
                self.forget();
                return Poll::Ready(Some(Err(error)));
            }
            None => {
                self.ended = true;
                return Poll::Ready(None);
            }
        };
        match frame.into_data() {
            Ok(data) => {
                self.keep(&data);
                *next = self.pieces.len();
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Err(frame) => {
                (self.ended, *trailed) = (true, true);
                self.trailers = frame.trailers_ref().cloned();
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn keep(&mut self, data: &Bytes) {
        match self.room.and_then(|room| room.checked_sub(data.len())) {
            Some(room) => {
                self.room = Some(room);
                self.pieces.push(data.clone());
            }
            None => self.forget(),
        }
    }

    fn forget(&mut self) {
        self.room = None;
        self.pieces = Vec::new();
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;

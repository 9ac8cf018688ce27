//! A body that is compressed on its way.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame};

use super::encoder::Encoder;
use super::place::Place;
use crate::l7::body::Body;
use crate::l7::cut::BodyError;

/// Sends on what its encoder has made of a body. When the body waits, everything taken so far is sent on, so that
/// events and long polls arrive when they are sent.
pub(super) struct Encoded {
    body: Body,
    /// None when it is done.
    encoder: Option<Encoder>,
    /// The encoder holds bytes that are not ready.
    holds: bool,
    /// What comes behind the last data.
    trailers: Option<Frame<Bytes>>,
    /// Among those that hold an encoder.
    _place: Place,
}

/// What a body gives when it is polled.
type Given = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

/// This much is sent on at once.
const PIECE: usize = 16 << 10;
/// No more than this is compressed before others on the thread have their turn.
const TURN: usize = 256 << 10;

impl Encoded {
    pub(super) fn new(body: Body, encoder: Encoder, place: Place) -> Self {
        Self { body, encoder: Some(encoder), holds: false, trailers: None, _place: place }
    }

    /// What is done with the next frame, if anything can be sent on then.
    fn turn(&mut self, context: &mut Context<'_>) -> io::Result<Given> {
        let mut taken = 0;
        loop {
            let Some(encoder) = &mut self.encoder else {
                return Ok(Poll::Ready(self.trailers.take().map(Ok)));
            };
            if encoder.ready() >= PIECE {
                return Ok(Poll::Ready(Some(Ok(Frame::data(encoder.take())))));
            }
            if taken >= TURN {
                context.waker().wake_by_ref();
                return Ok(Poll::Pending);
            }
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Pending => {
                    if std::mem::take(&mut self.holds) {
                        encoder.flush()?;
                    }
                    return Ok(match encoder.ready() {
                        0 => Poll::Pending,
                        _ => Poll::Ready(Some(Ok(Frame::data(encoder.take())))),
                    });
                }
                Poll::Ready(Some(Err(error))) => return Ok(Poll::Ready(Some(Err(error)))),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        taken += data.len();
                        self.holds |= !data.is_empty();
                        encoder.write(&data)?;
                    }
                    Err(trailers) => {
                        self.trailers = Some(trailers);
                        return self.last();
                    }
                },
                Poll::Ready(None) => return self.last(),
            }
        }
    }

    fn last(&mut self) -> io::Result<Given> {
        let rest = self.encoder.take().map_or(Ok(Bytes::new()), Encoder::finish)?;
        Ok(Poll::Ready(Some(Ok(Frame::data(rest)))))
    }
}

impl http_body::Body for Encoded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Given {
        self.turn(context).unwrap_or(Poll::Ready(Some(Err(BodyError::Convert))))
    }

    fn is_end_stream(&self) -> bool {
        self.encoder.is_none() && self.trailers.is_none()
    }
}

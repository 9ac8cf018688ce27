//! A body on its way: of a request towards a backend, of an answer towards a client.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::cut::BodyError;
use super::tunnel::Tunnel;

/// A body. Polled by the task that uses it, never by another: it may stand directly on a connection.
pub struct Body(Kind);

enum Kind {
    Empty,
    Full(Bytes),
    Stream(Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError>>>),
    Tunnel(Box<dyn Tunnel>),
}

impl Body {
    /// Nothing.
    pub fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// These bytes.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() { Self::empty() } else { Self(Kind::Full(bytes)) }
    }

    /// What `body` gives.
    pub fn stream(body: impl http_body::Body<Data = Bytes, Error = BodyError> + 'static) -> Self {
        Self(Kind::Stream(Box::pin(body)))
    }

    /// The other end of a tunnel: with a 101, or with the 2xx of an extended CONNECT (RFC 8441). What serves the
    /// client sends the head and then moves bytes both ways.
    pub fn tunnel(tunnel: Box<dyn Tunnel>) -> Self {
        Self(Kind::Tunnel(tunnel))
    }

    /// The tunnel, if it is one; else the body.
    pub fn into_tunnel(self) -> Result<Box<dyn Tunnel>, Self> {
        match self.0 {
            Kind::Tunnel(tunnel) => Ok(tunnel),
            kind => Err(Self(kind)),
        }
    }

    /// Whether it is a tunnel.
    pub fn is_tunnel(&self) -> bool {
        matches!(self.0, Kind::Tunnel(_))
    }

    /// All of it, if it is there as a whole: an empty one too.
    pub fn as_full(&self) -> Option<&[u8]> {
        match &self.0 {
            Kind::Empty => Some(&[]),
            Kind::Full(bytes) => Some(bytes),
            Kind::Stream(_) | Kind::Tunnel(_) => None,
        }
    }

    /// All of it, if it is there as a whole; else the body.
    pub fn into_full(self) -> Result<Bytes, Self> {
        match self.0 {
            Kind::Empty => Ok(Bytes::new()),
            Kind::Full(bytes) => Ok(bytes),
            kind => Err(Self(kind)),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Kind::Empty | Kind::Tunnel(_) => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Stream(body) => body.as_mut().poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Full(_) | Kind::Tunnel(_) => false,
            Kind::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Stream(body) => body.size_hint(),
            Kind::Tunnel(_) => SizeHint::default(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Empty => f.write_str("Body(empty)"),
            Kind::Full(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            Kind::Stream(_) => f.write_str("Body(stream)"),
            Kind::Tunnel(_) => f.write_str("Body(tunnel)"),
        }
    }
}

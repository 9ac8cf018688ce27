//! One end of a tunnel: bytes both ways, without HTTP.

use std::fmt;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::cut::BodyError;

/// The far end, as the side that serves the client sees it: a connection after its 101, or an HTTP/2 stream.
pub trait Tunnel: fmt::Debug {
    /// The next bytes from the far end; none: it has ended its side.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>>;

    /// Takes bytes towards the far end: what it has not taken stays in `bytes`.
    fn poll_send(&mut self, context: &mut Context<'_>, bytes: &mut Bytes) -> Poll<Result<(), BodyError>>;

    /// Ends our side towards the far end.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BodyError>>;

    /// Ready when nothing has moved either way for as long as that may be. For who does not receive any more: who does
    /// is told so by [`Tunnel::poll_receive`].
    fn poll_still(&mut self, context: &mut Context<'_>) -> Poll<()>;
}

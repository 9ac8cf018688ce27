//! Why a body ended before its end.

/// Why a body ended before its end. Whoever sends it on must let its receiver know (no last chunk, a reset).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection it comes from has ended or was reset.
    #[error("the sender has gone")]
    Gone,
    /// Its framing is wrong: chunks, or a length that is not kept.
    #[error("the body is not framed as the protocol wants")]
    Framing,
    /// It is longer than allowed.
    #[error("the body is longer than allowed")]
    TooLong,
    /// It came too slowly.
    #[error("the body comes too slowly")]
    TooSlow,
    /// Its trailers are too many or too long.
    #[error("the trailers are longer than allowed")]
    Trailers,
    /// It cannot be converted (compressed).
    #[error("the body cannot be converted")]
    Convert,
}

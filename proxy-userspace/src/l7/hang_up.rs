//! The end of a request that gets no answer.

/// What happens instead of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HangUp {
    /// No word. A connection of HTTP/1.1 ends, since nothing else can follow there; of HTTP/2 the stream does.
    Drop,
    /// The connection ends in good order. Of HTTP/2, what else is under way on it is answered before.
    Close,
    /// The connection is reset.
    Reset,
}

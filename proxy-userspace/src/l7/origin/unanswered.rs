//! Why there is no answer by HTTP/2.

use super::unconnected::Unconnected;
use crate::l7::cut::BodyError;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(in crate::l7) enum Unanswered {
    /// There is no connection.
    #[error(transparent)]
    Unconnected(#[from] Unconnected),
    /// The backend said, or it is certain, that it has not looked at the request (RFC 9113 §8.7).
    #[error("the request was not processed")]
    Unprocessed,
    /// The stream or its connection broke.
    #[error("the stream was reset")]
    Broken,
    /// No answer in time.
    #[error("no answer in time")]
    Late,
    /// What came cannot be an answer.
    #[error("the answer is none of HTTP/2")]
    Answer,
    /// The request cannot be written in HTTP/2: its authority or path are not what URIs are made of.
    #[error("the request has no form in HTTP/2")]
    Request,
    /// The request's body was cut.
    #[error("the request was cut: {0}")]
    Cut(BodyError),
}

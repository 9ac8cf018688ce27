//! Why a backend gave no answer.

use std::io;

use super::fault::Fault;
use crate::l7::cut::BodyError;

/// Why a backend gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The connection had ended before anything of the request was taken: it can be sent elsewhere, whatever it is.
    #[error("the connection had ended before the request was sent")]
    Unsent(#[source] io::Error),
    /// The connection ended after something of the request was taken, and before an answer: it may have been
    /// processed.
    #[error("the connection ended before the answer")]
    Broken(#[source] io::Error),
    /// No answer in time: it may have been processed.
    #[error("no answer in time")]
    Late,
    /// The answer is none: the request was processed.
    #[error("the answer is malformed: {0}")]
    Answer(Fault),
    /// The request's own body was cut: the client's fault.
    #[error("the request was cut: {0}")]
    Request(BodyError),
}

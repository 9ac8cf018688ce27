//! Why there is no connection to a backend.

use std::io;

/// Why there is no connection. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub(in crate::l7) enum Unconnected {
    /// The backend, or the way to it, refuses.
    #[error("no connection: {0}")]
    Refused(#[from] io::Error),
    /// It took too long.
    #[error("no connection in time")]
    TooSlow,
    /// What is there does not speak HTTP/2.
    #[error("the backend does not speak HTTP/2")]
    NoHttp2,
}

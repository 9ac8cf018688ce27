//! Why a handshake did not come to its end.

use std::io;

/// Why a handshake did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The peer has gone, without a word of TLS.
    #[error("the connection was closed")]
    Closed,
    /// The connection has broken.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What the peer says, or shows, cannot be agreed to.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Closed => io::ErrorKind::UnexpectedEof.into(),
            Fault::Io(error) => error,
            Fault::Tls(error) => Self::new(io::ErrorKind::InvalidData, error),
        }
    }
}

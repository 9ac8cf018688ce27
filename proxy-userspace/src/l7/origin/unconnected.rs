//! Why there is no connection to a backend.

use std::io;

use crate::net::tls::Fault;

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
    /// It is not who it should be.
    #[error("the backend's certificate is not to be trusted: {0}")]
    Stranger(rustls::CertificateError),
    /// TLS came to nothing.
    #[error("no connection by TLS: {0}")]
    NoTls(Fault),
}

impl From<Fault> for Unconnected {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Tls(rustls::Error::InvalidCertificate(error)) => Self::Stranger(error),
            fault => Self::NoTls(fault),
        }
    }
}

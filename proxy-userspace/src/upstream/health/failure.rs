//! What went wrong with a check.

use std::io;
use std::time::Duration;

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No connection came about.
    #[error("no connection: {0}")]
    Connect(#[source] io::Error),
    /// It took too long.
    #[error("no answer within {}", millis(.0))]
    Timeout(Duration),
    /// The TLS handshake failed.
    #[error("TLS: {0}")]
    Tls(#[source] io::Error),
    /// The host is no name that a certificate could be for.
    #[error("TLS: the host is neither a DNS name nor an address")]
    ServerName,
    /// The path or the host cannot be put into a request.
    #[error("no request can be made of this path and host: {0}")]
    Request(#[source] hyper::http::Error),
    /// This machine trusts no root at all, so no certificate can be verified.
    #[error(
        "TLS: this machine has no trusted root certificates (install ca-certificates, or set `verify = false`)"
    )]
    NoRoots,
    /// What came back is no HTTP/1 answer.
    #[error("no HTTP answer: {}", root(.0))]
    Http(#[source] hyper::Error),
    /// The status is not one of those that mean well.
    #[error("status {0}")]
    Status(u16),
    /// It was down when the daemon started, and no check has ended since.
    #[error("was down before the daemon started")]
    Before,
}

impl Failure {
    /// Whether this machine is to blame, not the backend: such a result says nothing about the backend.
    pub fn is_local(&self) -> bool {
        let Self::Connect(error) = self else { return false };
        let local =
            [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS, libc::EADDRNOTAVAIL, libc::EAGAIN];
        error.raw_os_error().is_some_and(|errno| local.contains(&errno))
    }
}

/// hyper's own words say where it failed; the cause below says what.
fn root(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => cause.to_string(),
        None => error.to_string(),
    }
}

fn millis(time: &Duration) -> String {
    format!("{} ms", time.as_millis())
}

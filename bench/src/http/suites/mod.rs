//! Suites: data.

/// Requests in the clear.
mod http;
/// Handshakes, and requests by TLS.
mod tls;

pub(crate) use http::HTTP;
pub(crate) use tls::TLS;

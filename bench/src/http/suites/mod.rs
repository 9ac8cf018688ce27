//! Suites: data.

/// Requests in the clear.
mod http;
/// Requests that are counted, and requests that are not.
mod metrics;
/// Handshakes, and requests by TLS.
mod tls;

pub(crate) use http::HTTP;
pub(crate) use metrics::METRICS;
pub(crate) use tls::TLS;

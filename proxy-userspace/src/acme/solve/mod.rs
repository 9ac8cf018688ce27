//! How names are proved to CAs.

/// What is said where nothing more fits.
mod full;
/// An answer by HTTP.
mod http01;
/// A certificate by TLS.
mod tls_alpn01;

pub use http01::Http01;
pub use tls_alpn01::TlsAlpn01;

/// What tests of solvers begin with.
#[cfg(test)]
pub(super) mod testing;

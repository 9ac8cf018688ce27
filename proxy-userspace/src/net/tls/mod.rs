//! Connections by TLS, as streams: with clients, and with backends. Knows no certificate and no policy.

/// Why a handshake did not come to its end.
mod fault;
/// A connection by TLS, as a stream of plain bytes.
pub mod stream;
/// Both ends of connections, for tests.
#[cfg(test)]
pub(crate) mod testing;

pub use fault::Fault;
pub use stream::TlsStream;

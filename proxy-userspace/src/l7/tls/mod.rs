//! TLS with clients: from a ClientHello to a connection that HTTP can be spoken on. Which certificate a client is
//! shown, and what is asked of it, is decided by `crate::tls`.

/// Certificates that clients have shown.
mod client_certificate;
/// Why there is no handshake.
mod failed;
/// From a ClientHello to a connection.
pub(super) mod handshake;
/// What a client says first.
mod hello;
/// Strict Transport Security.
mod hsts;
/// What is known of a client's TLS.
pub mod info;
/// What an `https` listener goes by.
pub mod listener;
/// Requests that came without TLS, and should not have.
pub(super) mod redirect;

pub use client_certificate::ClientCertificate;
pub use info::TlsInfo;
pub use listener::TlsListener;

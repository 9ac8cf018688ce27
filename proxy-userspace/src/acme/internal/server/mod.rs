//! The CA as an ACME server (RFC 8555) for other machines: HTTP-01 and TLS-ALPN-01, for the names that the configuration
//! permits. Everything that a client can make it remember is bounded; accounts outlive a restart, orders do not.
//!
//! There is no list of revoked certificates: they live for days, and a revoked one is not issued again.

/// Accounts.
mod accounts;
/// State, and who may ask.
mod core;
/// Keys of accounts.
mod jwk;
/// Signed requests.
mod jws;
/// Sockets.
mod listen;
/// Nonces.
mod nonces;
/// Orders and their certificates.
mod orders;
/// Why a request is refused.
mod problem;
/// Proofs that are asked for.
mod proofs;
/// Looking whether a name is proved.
mod prove;
/// What is answered.
mod reply;
/// Revocation.
mod revoke;
/// Which request goes where.
mod routes;
/// What is remembered.
mod tables;
/// Random words.
mod token;

pub use listen::{AcmeServer, ServeCaError};
pub use prove::Ports;

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;

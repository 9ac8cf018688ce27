//! How names are proved to CAs: what is shown by which way, and which way is for which name.

/// Whoever holds the zones.
mod dns;
/// A record.
mod dns01;
/// What is said where nothing more fits.
mod full;
/// What has become of the ways to prove a name.
mod history;
/// An answer by HTTP.
mod http01;
/// All ways that a configuration gives.
mod solvers;
/// A certificate by TLS.
mod tls_alpn01;

pub use history::{History, name};
pub use solvers::Solvers;
pub(super) use tls_alpn01::asked_name;

/// What tests of solvers begin with.
#[cfg(test)]
pub(super) mod testing;
/// A small HTTP server.
#[cfg(test)]
#[path = "web_server_tests.rs"]
pub(super) mod web_server;

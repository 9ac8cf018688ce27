//! Certificates that come by themselves, from a real ACME server: Pebble, with a proxy before it that makes trouble.

/// A CA of the harness: for what must be trusted before any certificate came.
mod authority;
/// What may be chosen.
pub(super) mod choices;
/// A daemon that is killed.
pub(super) mod crash;
/// A proxy before the ACME server.
mod fault;
/// Who permits certificates at the first handshake.
mod gate;
/// The harness itself.
pub(super) mod harness;
/// First certificates.
pub(super) mod issue;
/// HTTP/1, as far as both sides of the proxy and its clients need it.
mod message;
/// Certificates at the first handshake.
pub(super) mod on_demand;
/// The ACME server and its DNS.
mod pebble;
/// Certificates that take the place of others.
pub(super) mod renew;
/// Daemons that share a storage.
pub(super) mod sharing;
/// A world with all of it.
mod stand;
/// What a fault proxy counts: the steps of an order.
mod step;
/// Storage that fails.
pub(super) mod storage;
/// What is wrong is said.
pub(super) mod trouble;
/// A client of HTTPS that says which certificate it was shown.
mod visit;

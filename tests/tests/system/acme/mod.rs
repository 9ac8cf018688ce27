//! Certificates that come by themselves, from a real ACME server: Pebble, with a proxy before it that makes trouble.

/// A CA of the harness: for what must be trusted before any certificate came.
mod authority;
/// A proxy before the ACME server.
mod fault;
/// The harness itself.
pub(super) mod harness;
/// HTTP/1, as far as both sides of the proxy and its clients need it.
mod message;
/// The ACME server and its DNS.
mod pebble;
/// What a fault proxy counts: the steps of an order.
mod step;
/// A client of HTTPS that says which certificate it was shown.
mod visit;

//! Connections that are relayed: bytes both ways between a client and a backend, whatever they mean.

/// Bytes both ways.
pub(super) mod both;
/// A pause that is made.
mod closing;
/// A connection to a backend for a client's.
pub(super) mod connect;
/// A client's first flight.
pub(super) mod flight;
/// Where a connection may leave this process.
pub mod hand_off;
/// A connection from its backend to its end.
pub(super) mod pass;
/// Flows of QUIC.
pub(super) mod quic;
/// How backends are asked for TLS that do not begin with it.
pub(super) mod starttls;
/// What becomes of a connection, by its ClientHello.
pub(super) mod steer;
/// Bytes one way.
mod way;

/// Bytes both ways, over real sockets.
#[cfg(test)]
mod relay_tests;

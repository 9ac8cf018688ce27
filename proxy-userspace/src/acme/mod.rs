//! Certificates that come by themselves (RFC 8555).

/// Our own CA.
pub mod internal;
/// How names are proved to CAs.
pub mod solve;
/// What the ways to prove a name have in common.
pub mod solver;

//! Certificates that come by themselves (RFC 8555).

/// How names are proved to CAs.
pub mod solve;
/// What the ways to prove a name have in common.
pub mod solver;

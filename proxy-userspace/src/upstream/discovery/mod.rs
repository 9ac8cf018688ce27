//! The addresses behind names. One task a name asks as often as the answers' TTL says, and reports what has changed; the
//! reports are all that leaves this module.

/// What runs: one task a name.
mod lookups;
/// One question.
mod resolve;

pub use lookups::{Lookups, Resolved};

#[cfg(test)]
#[path = "discovery_tests.rs"]
mod tests;

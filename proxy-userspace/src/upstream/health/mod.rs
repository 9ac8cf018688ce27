//! Whether backends answer. One task a (pool, backend) asks at its own pace and reports what it found; the reports
//! are all that leaves this module. What a finding means for a ring is decided elsewhere.
//!
//! A backend is taken to be well until its first check has ended: a start never begins with nobody to serve.

/// A check that is wanted.
mod check;
/// What runs: one task a check.
mod checkers;
/// What went wrong with a check.
mod failure;
/// One check: TCP, HTTP or HTTPS.
mod probe;
/// TLS for checks.
mod tls;
/// What a row of results amounts to.
mod tracker;

pub use check::{Check, CheckKey};
pub use checkers::{Checkers, Report};
pub use failure::Failure;
pub use tracker::{Health, Tracker};

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;

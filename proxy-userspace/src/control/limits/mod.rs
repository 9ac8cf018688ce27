//! Limits: what is in force, and what operators change of it, with a daemon and without.

/// Without a daemon.
mod alone;
/// Whether what is asked makes sense.
mod asked;
/// Those who keep limits.
mod keepers;

pub use alone::{LimitsAloneError, limits_without_daemon};

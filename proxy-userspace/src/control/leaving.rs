//! That the daemon is about to end: who said so, and how long those who are in have.

use std::time::{Duration, Instant};

/// How often it is looked whether the last one has gone.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The daemon is about to end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaving {
    /// Who said so.
    pub(super) who: &'static str,
    pub(super) since: Instant,
    pub(super) until: Instant,
}

//! How often a CA is asked how far it is.

use std::time::Duration;

use tokio::time::Instant;

use super::failure::{Failure, FailureKind};
use super::tap::Tap;

/// At first.
const FIRST: Duration = Duration::from_millis(250);
/// And no more seldom than this, unless the CA says so.
const SLOWEST: Duration = Duration::from_secs(5);

/// Pauses that grow, until some moment.
pub(crate) struct Pace {
    next: Duration,
    until: Instant,
}

impl Pace {
    pub(crate) fn new(until: Instant) -> Self {
        Self { next: FIRST, until }
    }

    /// Waits as long as the CA said with its last answer, or a little longer than last time.
    pub(crate) async fn pause(&mut self, tap: &Tap) -> Result<(), Failure> {
        let wait = tap.seen().retry_after.unwrap_or(self.next).max(FIRST);
        self.next = (self.next * 2).min(SLOWEST);
        if Instant::now() + wait > self.until {
            let late = Failure::new(FailureKind::Unreachable, "the CA takes too long");
            return Err(Failure { retry_after: Some(wait), ..late });
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

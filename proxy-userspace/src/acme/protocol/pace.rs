//! How often a CA is asked how far it is.

use std::time::Duration;

use tokio::time::Instant;

use super::failure::{Failure, FailureKind};
use super::tap::Tap;

/// At first.
const FIRST: Duration = Duration::from_millis(250);
/// And no more seldom than this, unless the CA says so.
const SLOWEST: Duration = Duration::from_secs(5);

/// Tries, where a CA could not be asked.
const PASSES: u32 = 4;
/// Who says to come back later than this is not waited for.
const SHORT: Duration = Duration::from_secs(60);

/// How long until the same is tried again, if it is now: the CA could not be asked, and does not say to come back much
/// later. `pass`: which try has failed, from 1.
pub(crate) fn soon(failure: &Failure, pass: u32) -> Option<Duration> {
    let wait = failure.retry_after.unwrap_or(Duration::from_secs(1 << pass.min(PASSES)));
    (failure.kind.keeps_order() && pass < PASSES && wait <= SHORT).then_some(wait)
}

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

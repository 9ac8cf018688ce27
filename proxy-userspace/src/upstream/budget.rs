//! How many retries a pool may have under way: a share of its requests in flight, so that they do not double the load
//! of backends that fail because of it.

use std::sync::atomic::{AtomicU32, Ordering};

/// That many are always allowed: a pool with one request in flight has retries too.
const ALWAYS: u32 = 3;

/// Retries under way.
#[derive(Debug, Default)]
pub(super) struct Budget(AtomicU32);

impl Budget {
    /// Takes one, if it is within this share of the requests in flight.
    pub(super) fn take(&self, share: f64, in_flight: u32) -> bool {
        let most = ((f64::from(in_flight) * share) as u32).max(ALWAYS);
        let more = |taken| (taken < most).then_some(taken + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Gives one back.
    pub(super) fn give(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_share_of_the_requests_in_flight_and_at_least_three() {
        let budget = Budget::default();
        let taken = |in_flight| (0..100).filter(|_| budget.take(0.2, in_flight)).count();
        assert_eq!(taken(1), 3);
        assert_eq!(taken(10), 0);
        assert_eq!(taken(50), 7);
        budget.give();
        assert_eq!(taken(50), 1);
    }
}

//! Backends that fail again and again are left alone for a while: the state machine of one of them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::EjectConfig;

/// What is known of a backend by what became of requests.
#[derive(Debug, Default)]
pub(super) struct Ejection {
    /// Failures since the last success.
    failures: AtomicU32,
    last: Mutex<Option<Last>>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    until: Instant,
    length: Duration,
}

impl Ejection {
    /// A request was answered well.
    pub(super) fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// A request failed. Gives the failures in a row.
    pub(super) fn failed(&self) -> u32 {
        self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Until when the backend is left alone, if it is now.
    pub(super) fn until(&self, now: Instant) -> Option<Instant> {
        self.last().map(|last| last.until).filter(|&until| now < until)
    }

    /// Leaves it alone: twice as long as the last time, unless it was well for as long as it was left alone. Failures
    /// are not forgotten: if the first request thereafter fails too, it begins anew.
    pub(super) fn begin(&self, now: Instant, config: &EjectConfig) -> Duration {
        let mut slot = self.last();
        let length = match *slot {
            Some(last) if now < last.until + last.length => last.length * 2,
            _ => config.duration,
        };
        let length = length.clamp(config.duration, config.duration.max(EjectConfig::MAX_FOR));
        *slot = Some(Last { until: now + length, length });
        length
    }

    fn last(&self) -> MutexGuard<'_, Option<Last>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_time_is_twice_as_long_up_to_five_minutes_until_it_was_well_for_long() {
        let config = EjectConfig { failures: 5, duration: 10 * SECOND, max_share: 0.5 };
        let ejection = Ejection::default();
        let mut now = Instant::now();
        let mut lengths = Vec::new();
        for _ in 0..7 {
            let length = ejection.begin(now, &config);
            assert_eq!(ejection.until(now), Some(now + length));
            assert_eq!(ejection.until(now + length), None);
            lengths.push(length.as_secs());
            now += length + SECOND;
        }
        assert_eq!(lengths, [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(ejection.begin(now + 300 * SECOND, &config), 10 * SECOND);
    }

    #[test]
    fn a_success_ends_the_row_of_failures() {
        let ejection = Ejection::default();
        assert_eq!((ejection.failed(), ejection.failed()), (1, 2));
        ejection.succeeded();
        assert_eq!(ejection.failed(), 1);
    }
}

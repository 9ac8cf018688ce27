//! How fast a body moves. Only time in which we waited for the other end counts.

use std::time::{Duration, Instant};

use crate::config::WebLimits;

/// How fast a body moves.
#[derive(Default, Debug)]
pub(super) struct Pace {
    bytes: u64,
    waited: Duration,
    since: Option<Instant>,
}

impl Pace {
    /// Bytes came, or went. Looks at the clock only if they were waited for.
    pub(super) fn moved(&mut self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        self.bytes += bytes;
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
    }

    /// Nothing moves now: by when something must. A drip does not put it off for ever.
    pub(super) fn due(&mut self, limits: &WebLimits) -> Instant {
        let since = *self.since.get_or_insert_with(Instant::now);
        let earned = match limits.body_min_rate {
            0 => Duration::MAX,
            rate => Duration::from_secs(self.bytes / rate),
        };
        let left = earned.max(limits.body_timeout).saturating_sub(self.waited);
        since + left.min(limits.body_timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_slow_gets_the_grace_and_what_was_earned() {
        let limits =
            WebLimits { body_timeout: Duration::from_secs(10), body_min_rate: 100, ..Default::default() };
        let now = Instant::now();
        let left = |bytes, waited| {
            let mut pace = Pace { bytes, waited: Duration::from_secs(waited), since: Some(now) };
            (pace.due(&limits) - now).as_secs()
        };
        assert_eq!(left(0, 0), 10);
        assert_eq!(left(20, 9), 1);
        assert_eq!(left(20, 11), 0);
        assert_eq!(left(2_000, 11), 9);
        assert_eq!(left(100_000, 11), 10);
    }
}

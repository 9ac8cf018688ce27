//! How fast new names are ordered, of all clients.

use std::num::NonZeroU32;
use std::time::Instant;

/// So many a minute; as many at once after a minute of quiet.
#[derive(Debug)]
pub(super) struct Rate {
    per_minute: f64,
    left: f64,
    at: Instant,
}

impl Rate {
    pub(super) fn new(per_minute: NonZeroU32, now: Instant) -> Self {
        let per_minute = f64::from(per_minute.get());
        Self { per_minute, left: per_minute, at: now }
    }

    /// Another rate. What was used stays used.
    pub(super) fn set(&mut self, per_minute: NonZeroU32) {
        let used = self.per_minute - self.left;
        self.per_minute = f64::from(per_minute.get());
        self.left = (self.per_minute - used).max(0.0);
    }

    /// One more. False: not now.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let minutes = now.saturating_duration_since(self.at).as_secs_f64() / 60.0;
        self.left = (self.left + minutes * self.per_minute).min(self.per_minute);
        self.at = now;
        let there = self.left >= 1.0;
        if there {
            self.left -= 1.0;
        }
        there
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_minutes_worth_at_once_then_one_at_a_time() {
        let start = Instant::now();
        let mut rate = Rate::new(NonZeroU32::new(6).unwrap(), start);
        let taken =
            |rate: &mut Rate, at| (0..100).filter(|_| rate.take(start + Duration::from_secs(at))).count();
        assert_eq!(taken(&mut rate, 0), 6);
        assert_eq!(taken(&mut rate, 9), 0);
        assert_eq!(taken(&mut rate, 11), 1);
        assert_eq!(taken(&mut rate, 1000), 6);
        rate.set(NonZeroU32::new(12).unwrap());
        assert_eq!(taken(&mut rate, 1000), 6);
        rate.set(NonZeroU32::new(1).unwrap());
        assert_eq!(taken(&mut rate, 1000), 0);
    }
}

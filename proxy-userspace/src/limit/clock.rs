//! The clock that states are compared with: the kernel's 64-bit jiffies, told from the monotonic clock, so that a worker
//! charges by the time that XDP charges by.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use proxy_common::gcra::{FRACTION, fractions};
use rustix::time::{ClockId, clock_gettime};

/// Ticks a second where no kernel part is.
const HZ: u32 = 1000;
/// Where the ticks begin then: far from 0, which is the state of an unused key, as the kernel's do.
const FIRST: i64 = 1 << 32;
const SECOND: i128 = 1_000_000_000;

/// Ticks since the kernel's beginning of time, read without a call to it.
#[derive(Debug)]
pub struct Clock {
    hz: AtomicU32,
    /// Ticks at the monotonic clock's zero.
    offset: AtomicI64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { hz: AtomicU32::new(HZ), offset: AtomicI64::new(FIRST) }
    }
}

impl Clock {
    /// Goes by the kernel's clock, which reads `ticks` now. To be called again from time to time: clocks drift.
    pub fn set(&self, hz: u32, ticks: u64) {
        self.hz.store(hz, Relaxed);
        self.offset.store(ticks as i64 - since_zero(hz), Relaxed);
    }

    /// Ticks a second.
    pub fn hz(&self) -> u32 {
        self.hz.load(Relaxed)
    }

    /// Now, in ticks.
    pub fn ticks(&self) -> u64 {
        (self.offset.load(Relaxed) + since_zero(self.hz())) as u64
    }

    /// Now, as states have it.
    pub fn now(&self) -> u64 {
        fractions(self.ticks())
    }

    /// How long fractions of a tick take.
    pub fn time(&self, fractions: u64) -> Duration {
        let nanoseconds = (u128::from(fractions) * SECOND as u128 / u128::from(self.hz())) >> FRACTION;
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

/// Ticks that the monotonic clock has counted.
fn since_zero(hz: u32) -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    let nanoseconds = i128::from(now.tv_sec) * SECOND + i128::from(now.tv_nsec);
    (nanoseconds * i128::from(hz) / SECOND) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_from_where_it_is_set() {
        let clock = Clock::default();
        assert!(clock.ticks() >= 1 << 32);
        clock.set(250, 5_000_000_000);
        let ticks = clock.ticks();
        assert!((5_000_000_000..5_000_100_000).contains(&ticks), "{ticks}");
        assert_eq!((clock.hz(), clock.now() >> FRACTION >= ticks), (250, true));
    }

    #[test]
    fn fractions_are_time() {
        let clock = Clock::default();
        assert_eq!(clock.time(fractions(1500)), Duration::from_millis(1500));
        assert_eq!(clock.time(1 << 23), Duration::from_micros(500));
    }
}

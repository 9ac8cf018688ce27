//! How long a backend takes to answer: a peak-sensitive moving average (as in Finagle's peak EWMA). It rises at once to
//! any slower answer, and comes down with time alone, so that one slow answer counts until it has been proved wrong.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// After this many milliseconds a value counts for 1/e.
const DECAY_MS: f32 = 10_000.0;
/// Taken of a backend that has never answered: it is tried, but not by all at once. Microseconds.
const UNKNOWN_US: f32 = 10_000.0;
/// A failure is as bad as an answer this slow: who fails fast must not look fast.
pub(super) const FAILURE: Duration = Duration::from_secs(1);

/// The average: microseconds (f32) in the upper half, when it was true (milliseconds) in the lower. Two workers that
/// write at once lose one of their observations, which does no harm.
#[derive(Debug)]
pub(super) struct Latency(AtomicU64);

impl Latency {
    /// Of a backend that has never answered.
    pub(super) fn unknown(now_ms: u32) -> Self {
        Self(AtomicU64::new(pack(UNKNOWN_US, now_ms)))
    }

    /// Takes an answer in.
    pub(super) fn observe(&self, took: Duration, now_ms: u32) {
        let (average, then) = unpack(self.0.load(Ordering::Relaxed));
        let took = took.as_secs_f32() * 1e6;
        // Of many answers within a millisecond the slowest alone says something.
        if now_ms == then && took <= average {
            return;
        }
        let average = if took > average {
            took
        } else {
            let old = weight(now_ms, then);
            average * old + took * (1.0 - old)
        };
        self.0.store(pack(average, now_ms), Ordering::Relaxed);
    }

    /// Microseconds, as of now. Who is not asked comes down: else a slow one would never be tried again.
    pub(super) fn us(&self, now_ms: u32) -> f32 {
        let (average, then) = unpack(self.0.load(Ordering::Relaxed));
        average * weight(now_ms, then)
    }
}

/// What is left of a value of `then`.
fn weight(now_ms: u32, then: u32) -> f32 {
    // A worker's clock may be a little behind another's.
    let passed = now_ms.wrapping_sub(then) as i32;
    (-(passed.max(0) as f32) / DECAY_MS).exp()
}

fn pack(us: f32, ms: u32) -> u64 {
    u64::from(us.to_bits()) << 32 | u64::from(ms)
}

fn unpack(word: u64) -> (f32, u32) {
    (f32::from_bits((word >> 32) as u32), word as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn it_rises_at_once_and_comes_down_slowly() {
        let latency = Latency::unknown(0);
        latency.observe(100 * MS, 0);
        assert_eq!(latency.us(0), 100_000.0);
        latency.observe(10 * MS, 100);
        assert!(latency.us(100) > 95_000.0);
        for now in (200..60_000).step_by(100) {
            latency.observe(10 * MS, now);
        }
        assert!((10_000.0..11_000.0).contains(&latency.us(60_000)), "{}", latency.us(60_000));
    }

    #[test]
    fn who_is_not_asked_is_tried_again_some_time() {
        let latency = Latency::unknown(0);
        latency.observe(Duration::from_secs(1), 0);
        assert!(latency.us(70_000) < 1_000.0);
    }

    #[test]
    fn a_clock_that_is_behind_does_no_harm() {
        let latency = Latency::unknown(5_000);
        assert_eq!(latency.us(4_990), UNKNOWN_US);
        let wrapped = Latency::unknown(u32::MAX - 10);
        assert!(wrapped.us(10) < UNKNOWN_US && wrapped.us(10) > 0.9 * UNKNOWN_US);
    }
}

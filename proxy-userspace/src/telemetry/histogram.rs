//! How long something took: a histogram that one thread writes and others read, without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds of buckets, in microseconds; above the last is one more.
pub const BOUNDS: [u64; 15] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000,
];

/// Adds to a counter that only this thread writes: a load and a store, which no other core waits for.
pub fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

/// A histogram of times. One thread alone records; a reader may see a part of the newest record.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    /// One more, of this many microseconds. On the thread that writes this one.
    pub fn record(&self, us: u64) {
        add(&self.buckets[BOUNDS.partition_point(|&bound| bound < us)], 1);
        add(&self.sum_us, us);
    }

    /// Adds what has been recorded to `total`.
    pub fn add_to(&self, total: &mut Times) {
        for (bucket, total) in self.buckets.iter().zip(&mut total.buckets) {
            *total += bucket.load(Ordering::Relaxed);
        }
        total.sum_us += self.sum_us.load(Ordering::Relaxed);
    }
}

/// What histograms have recorded.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Times {
    /// By the smallest of [`BOUNDS`] that is not exceeded.
    pub buckets: [u64; BOUNDS.len() + 1],
    /// Of all times.
    pub sum_us: u64,
}

impl Times {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_bucket_whose_bound_it_does_not_exceed() {
        let histogram = Histogram::default();
        for us in [0, 500, 501, 1_000, 30_000_000, 30_000_001] {
            histogram.record(us);
        }
        let mut times = Times::default();
        histogram.add_to(&mut times);
        assert_eq!((times.buckets[0], times.buckets[1], times.buckets[14], times.buckets[15]), (2, 2, 1, 1));
        assert_eq!((times.count(), times.sum_us), (6, 60_002_002));
    }
}

//! What a run of exchanges was.

use anyhow::Result;

/// Connections that run exchanges.
pub(crate) trait Load {
    /// Runs so many exchanges, and waits for the last.
    fn run(&mut self, count: usize) -> Result<Outcome>;

    /// One exchange on each connection, so many at a time.
    fn visit(&mut self, at_a_time: usize) -> Result<Outcome>;
}

/// What a run was.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// From the first exchange to the last.
    pub(crate) seconds: f64,
    /// Microseconds of each exchange.
    pub(super) times: Vec<u32>,
}

impl Outcome {
    /// Exchanges.
    pub(crate) fn count(&self) -> usize {
        self.times.len()
    }

    /// With another run that followed.
    pub(crate) fn add(&mut self, other: Self) {
        self.seconds += other.seconds;
        self.times.extend(other.times);
    }

    /// Microseconds within which so many of a hundred exchanges ended.
    pub(crate) fn percentile(&mut self, percent: f64) -> f64 {
        self.times.sort_unstable();
        let at = (self.times.len() as f64 * percent / 100.0) as usize;
        self.times.get(at.min(self.times.len().saturating_sub(1))).map_or(f64::NAN, |time| f64::from(*time))
    }
}

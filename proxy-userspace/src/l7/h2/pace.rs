//! Whether somebody whom we wait for gets on.

use std::time::Duration;

/// What is asked of who is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// The longest time without a byte.
    pub silence: Duration,
    /// Bytes a second, on average over the time that was waited, once that is longer than `silence`.
    pub rate: u64,
}

/// How one side of a stream, or what is written to a connection, gets on. Only time that was spent waiting counts.
#[derive(Clone, Copy, Default, Debug)]
pub struct Pace {
    since_tick: u64,
    total: u64,
    waited: Duration,
    silent: Duration,
}

impl Pace {
    /// There was progress.
    pub fn count(&mut self, bytes: usize) {
        self.since_tick += bytes as u64;
    }

    /// Time has passed, and the peer was waited for or not. Whether it is too slow.
    pub fn tick(&mut self, waiting: bool, elapsed: Duration, demand: Demand) -> bool {
        let moved = std::mem::take(&mut self.since_tick);
        self.total += moved;
        if !waiting {
            self.silent = Duration::ZERO;
            return false;
        }
        self.waited += elapsed;
        self.silent = if moved == 0 { self.silent + elapsed } else { Duration::ZERO };
        let wanted = (self.waited.as_secs_f64() * demand.rate as f64) as u64;
        self.silent >= demand.silence || (self.waited > demand.silence && self.total < wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const DEMAND: Demand = Demand { silence: Duration::from_secs(3), rate: 100 };

    #[test]
    fn silence_ends_it() {
        let mut pace = Pace::default();
        pace.count(1_000_000);
        assert_eq!(
            (0..4).map(|_| pace.tick(true, SECOND, DEMAND)).collect::<Vec<_>>(),
            [false, false, false, true]
        );
    }

    #[test]
    fn a_drip_extends_nothing_beyond_the_rate() {
        let mut pace = Pace::default();
        let mut slow = || {
            pace.count(1);
            pace.tick(true, SECOND, DEMAND)
        };
        assert_eq!([slow(), slow(), slow(), slow()], [false, false, false, true]);
    }

    #[test]
    fn only_waiting_counts() {
        let mut pace = Pace::default();
        assert!((0..100).all(|_| !pace.tick(false, SECOND, DEMAND)));
        assert!(!pace.tick(true, SECOND, DEMAND));
    }
}

//! The generic cell rate algorithm (ITU-T I.371, Annex A, "virtual scheduling"): a rate with a burst, kept by one number
//! a key, the theoretical arrival time. The kernel programs and the workers run this same code over the same numbers.
//!
//! Time is the kernel's 64-bit jiffies, as they are read inline; a state counts in 2^-24 of one ("fractions"). It moves
//! on by whole ticks only, and senders' clocks are not ours: two ticks' worth is let through beside the burst, so that no
//! credit is lost to either, and the rate is exact over any longer time.

use crate::cell::Cell64;

/// Fractions of a tick that states count in, as a power of two.
pub const FRACTION: u32 = 24;
/// Fractions of a tick that intervals count in, as a power of two.
pub const INTERVAL_FRACTION: u32 = 36;
/// The most units (packets, bytes, requests) that one step charges.
pub const MOST_UNITS: u32 = 1 << 17;
/// How often a step is tried again when another CPU was faster. After that it is refused: a limit never opens.
const TRIES: u32 = 8;

/// What the clock's steps and the sender's may differ by, in fractions.
const SLACK: u64 = 2 << FRACTION;

/// What clocks of two CPUs, or of the kernel and a worker, surely do not differ by, in fractions.
const STRAY: u64 = 64 << FRACTION;

/// A rate and a burst.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Gcra {
    /// Time from one unit to the next, in 2^-36 ticks.
    pub interval: u64,
    /// Time that a state may run ahead of the clock, in 2^-24 ticks: `burst` intervals, and two ticks.
    pub tolerance: u64,
}

/// What a charge came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Charged {
    /// It may pass; so many fractions of the tolerance are left.
    Passed(u64),
    /// It is too much; after so many fractions it would not be.
    Refused(u64),
}

/// A rate that cannot be kept: too slow for its units, or a burst that takes longer than the clock can count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Impossible;

/// The clock in fractions, from 64-bit jiffies.
#[inline(always)]
pub const fn fractions(ticks: u64) -> u64 {
    ticks << FRACTION
}

impl Gcra {
    /// `count` units in `period` nanoseconds, `burst` at once, by a clock of `hz` ticks a second.
    ///
    /// # Errors
    /// A count, period, burst or clock of 0, or a result that has no room in its number: less than one unit a
    /// day, or a burst worth more than a year.
    pub const fn new(count: u64, period: u64, burst: u64, hz: u32) -> Result<Self, Impossible> {
        const SECOND: u128 = 1_000_000_000;
        if count == 0 || period == 0 || burst == 0 || hz == 0 {
            return Err(Impossible);
        }
        let ticks = period as u128 * hz as u128;
        let interval = (ticks << INTERVAL_FRACTION) / (SECOND * count as u128);
        let tolerance =
            ((ticks << FRACTION) / SECOND * burst as u128).div_ceil(count as u128) + SLACK as u128;
        let year = (366 * 86_400 * hz as u128) << FRACTION;
        if interval == 0 || interval > (1 << 63) || tolerance > year {
            return Err(Impossible);
        }
        Ok(Self { interval: interval as u64, tolerance: tolerance as u64 })
    }

    /// What `units` cost, in fractions. More than [`MOST_UNITS`] cost as much as these; a cost that has no room is more
    /// than any tolerance.
    #[inline(always)]
    pub const fn cost(&self, units: u32) -> u64 {
        const DOWN: u32 = INTERVAL_FRACTION - FRACTION;
        if units == 1 {
            return self.interval >> DOWN;
        }
        let units = if units > MOST_UNITS { MOST_UNITS } else { units } as u64;
        // 17 bits of units leave 47 for the interval: half an hour from one byte to the next.
        if self.interval >> 47 != 0 { u64::MAX >> 1 } else { (self.interval * units) >> DOWN }
    }

    /// Where the state `state` would be after `units` at `now`.
    ///
    /// # Errors
    /// Too much: so many fractions to wait.
    #[inline(always)]
    pub const fn step(&self, state: u64, now: u64, units: u32) -> Result<u64, u64> {
        let most = now.wrapping_add(self.tolerance);
        // In the past: all credit is there. Further ahead than this limit allows: another rate wrote it.
        let from = if state < now || self.is_anothers(state, most) {
            now
        } else if state > most {
            most
        } else {
            state
        };
        let next = from.wrapping_add(self.cost(units));
        if next > most { Err(next - most) } else { Ok(next) }
    }

    /// Whether a rate that is no more has written a state: so far ahead that no clock that differs from this CPU's by some
    /// ticks explains it. Whoever changes a rate does not want yesterday's to hold on.
    #[inline(always)]
    const fn is_anothers(&self, state: u64, most: u64) -> bool {
        state > most && state - most > self.tolerance.wrapping_add(STRAY)
    }

    /// The state now. What a slower rate wrote is brought down to "all spent", from where it recovers.
    #[inline(always)]
    fn read(&self, state: &Cell64, now: u64) -> u64 {
        let (old, most) = (state.load(), now.wrapping_add(self.tolerance));
        if old > most && !self.is_anothers(old, most) && state.replace_if(old, most) { most } else { old }
    }

    /// Whether `units` would pass now, without charging them.
    ///
    /// # Errors
    /// Too much: so many fractions to wait.
    #[inline(always)]
    pub fn peek(&self, state: &Cell64, now: u64, units: u32) -> Result<(), u64> {
        self.step(self.read(state, now), now, units).map(|_| ())
    }

    /// Charges `units`, whoever else does at the same time.
    #[inline(always)]
    pub fn charge(&self, state: &Cell64, now: u64, units: u32) -> Charged {
        for _ in 0..TRIES {
            let old = self.read(state, now);
            match self.step(old, now, units) {
                Err(wait) => return Charged::Refused(wait),
                Ok(next) if state.replace_if(old, next) => {
                    return Charged::Passed(now.wrapping_add(self.tolerance) - next);
                }
                Ok(_) => {}
            }
        }
        Charged::Refused(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// What passes of a sender of `offered` units a second in `seconds`, seen by a clock of `hz`.
    fn passed(gcra: &Gcra, offered: u64, seconds: u64, hz: u64) -> u64 {
        let state = Cell64::new(0);
        let start = 4_294_667_296u64;
        (0..offered * seconds)
            .filter(|i| {
                let now = fractions(start + i * hz / offered);
                matches!(gcra.charge(&state, now, 1), Charged::Passed(_))
            })
            .count() as u64
    }

    #[test]
    fn ten_seconds_let_through_ten_seconds_worth_at_any_rate_and_clock() {
        for hz in [100, 250, 300, 1000] {
            for rate in [1, 7, 100, 9_999, 1_000_000] {
                let burst = rate / 50 + 1;
                let gcra = Gcra::new(rate, SECOND, burst, hz).unwrap();
                let through = passed(&gcra, (2 * rate).max(500), 10, u64::from(hz));
                let most = 10 * rate + burst + 3 * rate / u64::from(hz);
                assert!(through <= most, "{hz} {rate}: {through} of {most}");
                assert!(through * 100 >= 10 * rate * 98, "{hz} {rate}: {through}");
            }
        }
    }

    #[test]
    fn a_burst_passes_at_once_and_no_more() {
        let gcra = Gcra::new(1, SECOND, 5, 250).unwrap();
        let state = Cell64::new(0);
        let now = fractions(1 << 32);
        let through = (0..100).filter(|_| matches!(gcra.charge(&state, now, 1), Charged::Passed(_)));
        assert_eq!(through.count(), 5);
        assert_eq!(gcra.charge(&state, now, 1), Charged::Refused(fractions(248)));
    }

    #[test]
    fn a_state_of_a_slower_rate_does_not_shut_a_faster_one() {
        let slow = Gcra::new(1, 3600 * SECOND, 5, 250).unwrap();
        let state = Cell64::new(0);
        let now = fractions(1 << 32);
        while let Charged::Passed(_) = slow.charge(&state, now, 1) {}
        let fast = Gcra::new(100, SECOND, 10, 250).unwrap();
        assert!(matches!(fast.charge(&state, now, 1), Charged::Passed(_)));
        let stray = Cell64::new(now + fast.tolerance + fractions(64));
        assert!(
            matches!(fast.charge(&stray, now, 1), Charged::Refused(_)),
            "another CPU's clock explains it"
        );
        assert!(matches!(fast.charge(&stray, now + fractions(3), 1), Charged::Passed(_)));
    }

    #[test]
    fn bytes_are_exact_at_the_speed_of_fast_links() {
        let rate = 10_000_000_000;
        let gcra = Gcra::new(rate, SECOND, rate / 50, 1000).unwrap();
        let exact = 1500.0 * 1000.0 / rate as f64 * f64::from(1u32 << FRACTION);
        assert!((gcra.cost(1500) as f64 - exact).abs() / exact < 0.001);
    }

    #[test]
    fn what_cannot_be_kept_is_told() {
        assert_eq!(Gcra::new(0, SECOND, 1, 250), Err(Impossible));
        assert_eq!(Gcra::new(1, SECOND, 0, 250), Err(Impossible));
        assert_eq!(Gcra::new(1, u64::MAX, 1, 1000), Err(Impossible));
        assert_eq!(Gcra::new(1, 86_400 * SECOND, 400, 1000), Err(Impossible));
        assert!(Gcra::new(1, 86_400 * SECOND, 1, 1000).is_ok());
    }

    #[test]
    fn threads_together_get_no_more_than_one_alone() {
        use std::{sync::atomic::AtomicU64, sync::atomic::Ordering::Relaxed, thread};
        let gcra = Gcra::new(1000, SECOND, 1000, 250).unwrap();
        let (state, through) = (Cell64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        if matches!(gcra.charge(&state, fractions(1 << 32), 1), Charged::Passed(_)) {
                            through.fetch_add(1, Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(through.load(Relaxed), 1008, "the burst, and two ticks of 4 ms");
    }
}

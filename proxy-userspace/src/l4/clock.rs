//! The flow table's clock: the low 32 bits of the kernel's jiffies, which a small program tells.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::sys::test_run;

/// Ticks a second that kernels are built with.
const RATES: [u32; 4] = [100, 250, 300, 1000];

/// The clock.
#[derive(Debug)]
pub(super) struct Clock {
    program: OwnedFd,
    /// Ticks a second.
    hz: u32,
}

impl Clock {
    /// Finds out how fast it ticks.
    pub(super) fn new(program: OwnedFd) -> io::Result<Self> {
        let (ticks, uptime) = sample(&program)?;
        let hz = match rate_by_uptime(ticks, uptime) {
            Some(hz) => hz,
            None => {
                thread::sleep(Duration::from_millis(120));
                let (later_ticks, later) = sample(&program)?;
                rate_by_interval(later_ticks.wrapping_sub(ticks), later.saturating_sub(uptime))
            }
        };
        Ok(Self { program, hz })
    }

    /// Now, in ticks.
    pub(super) fn now(&self) -> io::Result<u32> {
        ticks(&self.program)
    }

    /// Now, all 64 bits of it.
    pub(super) fn now64(&self) -> io::Result<u64> {
        let low = self.now()?;
        Ok(whole(low, self.hz, clock_gettime(ClockId::Monotonic).tv_sec as u64))
    }

    /// Ticks a second.
    pub(super) fn hz(&self) -> u32 {
        self.hz
    }

    /// How many ticks a time takes, at least one.
    pub(super) fn ticks(&self, time: Duration) -> u32 {
        let ticks = time.as_millis() * u128::from(self.hz) / 1000;
        ticks.clamp(1, u128::from(u32::MAX / 4)) as u32
    }

    /// How long ticks take.
    pub(super) fn time(&self, ticks: u32) -> Duration {
        Duration::from_millis(u64::from(ticks) * 1000 / u64::from(self.hz))
    }
}

/// All 64 bits of jiffies whose lower half is this: those next to what the uptime says. They begin five minutes before
/// 2^32 (`INITIAL_JIFFIES` of linux/jiffies.h).
fn whole(low: u32, hz: u32, uptime: u64) -> u64 {
    let expected = (1u64 << 32) + uptime * u64::from(hz) - 300 * u64::from(hz);
    let off = low.wrapping_sub(expected as u32) as i32;
    expected.wrapping_add_signed(i64::from(off))
}

/// Now, in ticks, as the program tells.
pub(super) fn ticks(program: &OwnedFd) -> io::Result<u32> {
    // As short as a frame may be: the program does not look at it.
    test_run(program.as_fd(), &[0; 64]).map(|(ticks, _)| ticks)
}

fn sample(program: &OwnedFd) -> io::Result<(u32, Duration)> {
    let ticks = ticks(program)?;
    let uptime = clock_gettime(ClockId::Monotonic);
    Ok((ticks, Duration::new(uptime.tv_sec as u64, uptime.tv_nsec as u32)))
}

/// Jiffies begin five minutes before they wrap (`INITIAL_JIFFIES` of linux/jiffies.h) and count the same time as the
/// monotonic clock: one rate fits what both say, unless they are near the origin, where all do.
fn rate_by_uptime(ticks: u32, uptime: Duration) -> Option<u32> {
    let off = |hz: u32| {
        let expected = uptime.as_millis() as i128 * i128::from(hz) / 1000 - i128::from(300 * hz);
        let distance = ticks.wrapping_sub(expected as u32) as i32;
        u64::from(distance.unsigned_abs()) * 1000 / u64::from(hz)
    };
    // In milliseconds: the clock of a machine that was asleep, or long up, may be off by a little.
    let tolerance = 2000 + uptime.as_millis() as u64 / 1000;
    let mut fitting = RATES.into_iter().filter(|hz| off(*hz) <= tolerance);
    let only = fitting.next()?;
    let clear = RATES.into_iter().filter(|hz| *hz != only).all(|hz| off(hz) > 8 * tolerance);
    clear.then_some(only)
}

/// The rate nearest to what was counted.
fn rate_by_interval(ticks: u32, time: Duration) -> u32 {
    let counted = f64::from(ticks) / time.as_secs_f64().max(0.001);
    let distance = |hz: &u32| (f64::from(*hz).ln() - counted.max(1.0).ln()).abs();
    RATES.into_iter().min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(250)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jiffies(hz: u32, uptime: Duration) -> u32 {
        (uptime.as_millis() as i128 * i128::from(hz) / 1000 - i128::from(300 * hz)) as u32
    }

    #[test]
    fn the_rate_follows_from_the_uptime() {
        for hz in RATES {
            for seconds in [1, 30, 1000, 86_400, 40_000_000] {
                let uptime = Duration::from_secs(seconds);
                let found = rate_by_uptime(jiffies(hz, uptime), uptime);
                assert!(found.is_none_or(|found| found == hz), "{hz} {seconds} {found:?}");
            }
            let day = Duration::from_secs(86_400);
            assert_eq!(rate_by_uptime(jiffies(hz, day), day), Some(hz));
        }
    }

    #[test]
    fn five_minutes_after_boot_all_rates_agree_and_none_is_believed() {
        let uptime = Duration::from_secs(300);
        assert_eq!(rate_by_uptime(jiffies(250, uptime), uptime), None);
    }

    #[test]
    fn a_tick_more_or_less_does_not_change_the_counted_rate() {
        for hz in RATES {
            for slip in [-1i32, 0, 1] {
                let ticks = (hz as i32 * 12 / 100 + slip) as u32;
                assert_eq!(rate_by_interval(ticks, Duration::from_millis(120)), hz);
            }
        }
    }

    #[test]
    fn the_upper_half_of_the_clock_follows_from_the_uptime() {
        for hz in [100u64, 250, 1000] {
            for uptime in [0u64, 299, 300, 301, 86_400, 50_000_000] {
                for off in [0u64, 1, 900] {
                    let jiffies = (1 << 32) - 300 * hz + uptime * hz + off;
                    assert_eq!(whole(jiffies as u32, hz as u32, uptime), jiffies);
                }
            }
        }
    }
}

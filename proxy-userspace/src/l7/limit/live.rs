//! What of a limit can change while it is in force: its rate; and what it came to so far.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use proxy_common::gcra::FRACTION;

use crate::config::{Amount, LimitName, Measure};
use crate::limit::{Gcra, gcra};

/// One measure of a limit: its numbers as they are in force, and what it came to.
#[derive(Debug)]
pub struct Live {
    /// The limit.
    pub name: LimitName,
    /// What is counted.
    pub measure: Measure,
    /// The limit's number.
    pub id: u16,
    numbers: ArcSwap<Numbers>,
    tallies: [Tally; TALLIES],
}

/// An amount, ready to be enforced.
#[derive(Debug)]
pub struct Numbers {
    /// As people write it.
    pub amount: Amount,
    /// For [`Amount::Rate`].
    pub gcra: Gcra,
    /// For [`Amount::Most`].
    pub most: u64,
    /// Ticks of the clock in a second.
    hz: u32,
    /// The limit's item of RateLimit-Policy.
    pub policy: Box<str>,
}

/// What a measure of a limit came to.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Let through: requests, connections, handshakes, or bytes of bodies.
    pub passed: u64,
    /// Refused; of bandwidth, how often a body had to wait.
    pub refused: u64,
    /// Too much, and let through all the same.
    pub observed: u64,
    /// Not counted, because the client is exempt.
    pub exempt: u64,
}

/// Workers count apart, so that none waits for another's cache line.
const TALLIES: usize = 16;

#[derive(Debug, Default)]
#[repr(align(64))]
struct Tally {
    passed: AtomicU64,
    refused: AtomicU64,
    observed: AtomicU64,
    exempt: AtomicU64,
}

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    Passed,
    Refused,
    Observed,
    Exempt,
}

impl Live {
    /// In force with this amount, by a clock of so many ticks a second.
    pub(super) fn new(name: LimitName, measure: Measure, id: u16, amount: Amount, hz: u32) -> Self {
        let numbers = Numbers::new(&name, amount, hz);
        let tallies = std::array::from_fn(|_| Tally::default());
        Self { name, measure, id, numbers: ArcSwap::from_pointee(numbers), tallies }
    }

    /// The numbers in force.
    pub fn numbers(&self) -> Guard<Arc<Numbers>> {
        self.numbers.load()
    }

    /// Puts others in force, for the next that is charged.
    pub(super) fn set(&self, amount: Amount, hz: u32) {
        self.numbers.store(Arc::new(Numbers::new(&self.name, amount, hz)));
    }

    /// Counts `more` of what a worker, by its number, has let through or refused.
    pub(super) fn count(&self, worker: usize, fate: Fate, more: u64) {
        let tally = &self.tallies[worker % TALLIES];
        let counter = match fate {
            Fate::Passed => &tally.passed,
            Fate::Refused => &tally.refused,
            Fate::Observed => &tally.observed,
            Fate::Exempt => &tally.exempt,
        };
        counter.fetch_add(more, Ordering::Relaxed);
    }

    /// What it came to so far.
    pub fn counts(&self) -> Counts {
        let mut all = Counts::default();
        for tally in &self.tallies {
            all.passed += tally.passed.load(Ordering::Relaxed);
            all.refused += tally.refused.load(Ordering::Relaxed);
            all.observed += tally.observed.load(Ordering::Relaxed);
            all.exempt += tally.exempt.load(Ordering::Relaxed);
        }
        all
    }
}

impl Numbers {
    fn new(name: &LimitName, amount: Amount, hz: u32) -> Self {
        match amount {
            Amount::Most(most) => Self { amount, gcra: Gcra::default(), most, hz, policy: Box::default() },
            Amount::Rate(rate) => {
                // What cannot be kept is refused when the configuration is checked.
                let gcra = gcra(&rate, hz).unwrap_or_default();
                let policy = format!("{};q={};w={}", quoted(name), rate.count, rate.period.as_secs().max(1));
                Self { amount, gcra, most: 0, hz, policy: policy.into() }
            }
        }
    }

    /// So many fractions of a tick in whole seconds, rounded up (RFC 9110 §10.2.3).
    pub(super) fn seconds(&self, fractions: u64) -> u64 {
        fractions.div_ceil(u64::from(self.hz) << FRACTION)
    }

    /// So many fractions of a tick in milliseconds, rounded up.
    pub(super) fn milliseconds(&self, fractions: u64) -> u64 {
        let milliseconds = (u128::from(fractions) * 1000).div_ceil(u128::from(self.hz) << FRACTION);
        u64::try_from(milliseconds).unwrap_or(u64::MAX)
    }

    /// How many more would pass at once, when so many fractions are left.
    pub(super) fn left(&self, fractions: u64) -> u64 {
        let burst = match self.amount {
            Amount::Rate(rate) => rate.burst,
            Amount::Most(_) => 0,
        };
        (fractions / self.gcra.cost(1).max(1)).min(burst)
    }
}

/// A name as a String of structured fields (RFC 9651 §3.3.3).
pub(super) fn quoted(name: &LimitName) -> String {
    let mut text = String::from("\"");
    for character in name.as_str().chars().filter(|character| matches!(character, ' '..='~')) {
        if matches!(character, '"' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Rate;

    fn rate(count: u64, seconds: u64, burst: u64) -> Amount {
        Amount::Rate(Rate { count, period: Duration::from_secs(seconds), burst })
    }

    #[test]
    fn numbers_say_what_they_mean_in_seconds_and_requests() {
        let numbers = Numbers::new(&"api".into(), rate(5, 60, 5), 250);
        assert_eq!(&*numbers.policy, "\"api\";q=5;w=60");
        let whole = numbers.gcra.cost(1);
        assert_eq!((numbers.seconds(whole), numbers.seconds(whole + 1), numbers.seconds(0)), (12, 13, 0));
        assert_eq!(numbers.milliseconds(whole), 12_000);
        assert_eq!((numbers.left(whole * 2), numbers.left(whole * 9), numbers.left(1)), (2, 5, 0));
    }

    #[test]
    fn a_name_is_no_way_into_the_field() {
        assert_eq!(quoted(&"a\"b\\c\r\nd".into()), "\"a\\\"b\\\\cd\"");
    }

    #[test]
    fn workers_count_apart_and_are_added_up() {
        let live = Live::new("a".into(), Measure::Requests, 1, rate(5, 1, 5), 1000);
        live.count(0, Fate::Passed, 2);
        live.count(17, Fate::Passed, 3);
        live.count(1, Fate::Refused, 1);
        assert_eq!(live.counts(), Counts { passed: 5, refused: 1, ..Counts::default() });
    }
}

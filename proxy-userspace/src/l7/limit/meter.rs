//! Bytes under limits: they wait, and nothing is refused. Bodies that share a limit take pieces in turn, as the clock gives
//! them; the one that moves bytes waits, and so do, by backpressure, those before it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use proxy_common::gcra::{Charged, MOST_UNITS};
use smallvec::SmallVec;
use tokio::time::Sleep;

use super::live::{Fate, Live};
use super::rule::Rule;
use crate::config::Amount;
use crate::limit::Key;

/// Pieces are a part of a limit's burst, so that a wait that is a little too long loses nothing.
const PART: u64 = 4;
/// The longest that a body waits before it asks again: others share its limit, and a rate may change.
const LONGEST: Duration = Duration::from_millis(250);
/// Who has waited so often in a row does not assume that there are even more others.
const MANY: u32 = 16;
/// The least that a wait takes: the clock of the runtime.
const LEAST: Duration = Duration::from_millis(1);

/// The limits of one body, or of one side of a tunnel.
pub(super) struct Meter {
    charges: SmallVec<[(Arc<Rule>, Key); 1]>,
    worker: usize,
    wait: Option<Pin<Box<Sleep>>>,
    /// Waits in a row.
    tries: u32,
}

impl Meter {
    /// By these limits; none: nothing is metered.
    pub(super) fn new(charges: SmallVec<[(Arc<Rule>, Key); 1]>, worker: usize) -> Option<Self> {
        (!charges.is_empty()).then_some(Self { charges, worker, wait: None, tries: 0 })
    }

    /// The same limits, for another body.
    pub(super) fn again(&self) -> Self {
        Self { charges: self.charges.clone(), worker: self.worker, wait: None, tries: 0 }
    }

    /// How many of these bytes may pass now: at least one. They are charged.
    pub(super) fn poll_take(&mut self, wanted: usize, context: &mut Context<'_>) -> Poll<usize> {
        loop {
            if let Some(wait) = &mut self.wait {
                ready!(wait.as_mut().poll(context));
                self.wait = None;
            }
            let piece = self.piece(wanted);
            match self.charge(piece) {
                Ok(()) => {
                    self.tries = 0;
                    return Poll::Ready(piece as usize);
                }
                Err(wait) => {
                    // Others have been faster so often: they may be many, and need not all ask at once.
                    let share = fastrand::f64() * f64::from(self.tries.min(MANY));
                    let wait = wait.max(LEAST).mul_f64(1.0 + share).min(LONGEST);
                    self.tries += 1;
                    self.wait = Some(Box::pin(tokio::time::sleep(wait)));
                }
            }
        }
    }

    /// The largest piece that every limit lets through at once.
    fn piece(&self, wanted: usize) -> u32 {
        let least = self.charges.iter().map(|(rule, _)| part(&rule.live)).min().unwrap_or(MOST_UNITS);
        u32::try_from(wanted).unwrap_or(MOST_UNITS).min(least)
    }

    /// Charges all limits, or none.
    fn charge(&self, bytes: u32) -> Result<(), Duration> {
        let units = u64::from(bytes);
        let longest = self.charges.iter().filter(|(rule, _)| !rule.observes()).filter_map(|(rule, key)| {
            let numbers = rule.live.numbers();
            let wait = rule.desk.peek(key, &numbers.gcra, bytes).err()?;
            Some((rule, numbers.milliseconds(wait)))
        });
        if let Some((rule, wait)) = longest.max_by_key(|(_, wait)| *wait) {
            rule.live.count(self.worker, Fate::Refused, 1);
            return Err(Duration::from_millis(wait));
        }
        let mut late = None;
        for (rule, key) in &self.charges {
            let numbers = rule.live.numbers();
            match rule.desk.charge(key, &numbers.gcra, bytes) {
                Charged::Passed(_) => rule.live.count(self.worker, Fate::Passed, units),
                Charged::Refused(_) if rule.observes() => rule.live.count(self.worker, Fate::Observed, units),
                Charged::Refused(wait) => {
                    rule.live.count(self.worker, Fate::Refused, 1);
                    late = late.max(Some(numbers.milliseconds(wait)));
                }
            }
        }
        late.map_or(Ok(()), |wait| Err(Duration::from_millis(wait)))
    }
}

/// What a limit lets through in one piece.
fn part(live: &Live) -> u32 {
    match live.numbers().amount {
        Amount::Rate(rate) => (rate.burst / PART).clamp(1, u64::from(MOST_UNITS)) as u32,
        Amount::Most(_) => MOST_UNITS,
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Meter({} limits)", self.charges.len())
    }
}

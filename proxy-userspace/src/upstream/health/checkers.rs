//! What runs: one task a check.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

use super::check::{Check, CheckKey};
use super::failure::Failure;
use super::probe::probe;
use super::tracker::{Health, Tracker};

/// Checks under way at once: bounds the sockets that are open for them.
const AT_ONCE: usize = 1024;
/// First checks are spread over this long, so that a start is no stampede.
const FIRST_WITHIN: Duration = Duration::from_millis(100);

/// What a check found.
#[derive(Clone, Debug)]
pub struct Report {
    /// Whose health it is.
    pub key: CheckKey,
    /// What is known now.
    pub health: Health,
    /// Whether that is news.
    pub changed: bool,
    /// How long the check took.
    pub took: Duration,
}

/// The checks that run. Dropping it ends them.
#[derive(Debug)]
pub struct Checkers {
    running: HashMap<CheckKey, Running>,
    reports: mpsc::UnboundedSender<Report>,
    permits: Arc<Semaphore>,
}

#[derive(Debug)]
struct Running {
    check: Check,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Checkers {
    /// No check yet, and where reports will arrive.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Report>) {
        let (reports, receiver) = mpsc::unbounded_channel();
        (Self { running: HashMap::new(), reports, permits: Arc::new(Semaphore::new(AT_ONCE)) }, receiver)
    }

    /// Whether this check runs. Reports of one that was ended may still be on their way.
    pub fn runs(&self, key: &CheckKey) -> bool {
        self.running.contains_key(key)
    }

    /// Makes the running checks the wanted ones. A check that stays as it is goes on undisturbed; one that is new or
    /// changed begins with what `known` says. Needs a tokio runtime.
    pub fn set(&mut self, mut wanted: HashMap<CheckKey, Check>, known: impl Fn(&CheckKey) -> Health) {
        self.running.retain(|key, running| match wanted.get(key) {
            Some(check) if *check == running.check => wanted.remove(key).is_some(),
            _ => false,
        });
        for (key, check) in wanted {
            let tracker = Tracker::new(check.config.rise, check.config.fall, known(&key));
            let task = Task {
                key: key.clone(),
                check: check.clone(),
                tracker,
                reports: self.reports.clone(),
                permits: self.permits.clone(),
                random: Random::new(),
            };
            let task = tokio::spawn(task.run()).abort_handle();
            self.running.insert(key, Running { check, task });
        }
    }
}

struct Task {
    key: CheckKey,
    check: Check,
    tracker: Tracker,
    reports: mpsc::UnboundedSender<Report>,
    permits: Arc<Semaphore>,
    random: Random,
}

impl Task {
    async fn run(mut self) {
        let config = self.check.config.clone();
        let first = FIRST_WITHIN.min(config.interval).mul_f64(self.random.next());
        let mut next = Instant::now() + first;
        loop {
            tokio::time::sleep_until(next.into()).await;
            let Ok(permit) = self.permits.clone().acquire_owned().await else { return };
            let started = Instant::now();
            let result = probe(&self.check).await;
            drop(permit);
            if !self.report(result, started.elapsed()) {
                return;
            }
            // From start to start, so that slow answers do not make a longer cycle.
            next = started + pause(config.interval, config.jitter, self.random.next());
        }
    }

    /// False if nobody listens any more.
    fn report(&mut self, result: Result<(), Failure>, took: Duration) -> bool {
        if let Err(failure) = &result
            && failure.is_local()
        {
            tracing::warn!(pool = %self.key.pool, backend = %self.key.backend,
                "health check not made: {failure}; the backend stays as it is");
            return true;
        }
        let changed = self.tracker.observe(result);
        let report = Report { key: self.key.clone(), health: self.tracker.health().clone(), changed, took };
        self.reports.send(report).is_ok()
    }
}

/// An interval, longer or shorter by up to `jitter` of itself. `random` is from 0 to 1.
pub(super) fn pause(interval: Duration, jitter: f64, random: f64) -> Duration {
    interval.mul_f64((1.0 + jitter.clamp(0.0, 0.5) * (2.0 * random - 1.0)).max(0.0))
}

/// Random enough to keep checks from marching in step.
struct Random {
    state: u64,
}

impl Random {
    fn new() -> Self {
        Self { state: RandomState::new().hash_one(0u8) }
    }

    /// From 0 to 1.
    fn next(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (proxy_common::hash::mix64(self.state) >> 11) as f64 / (1u64 << 53) as f64
    }
}

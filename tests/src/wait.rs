//! Waiting for facts: nothing here sleeps longer than it takes a fact to come true.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long a fact may take that normally takes milliseconds.
pub const SOON: Duration = Duration::from_secs(10);

/// Asks `fact` until it answers, every few milliseconds, at most for `limit`.
///
/// # Errors
/// Names `what`, and the last reason why it was not so.
pub fn until<T>(what: &str, limit: Duration, mut fact: impl FnMut() -> Result<T>) -> Result<T> {
    let end = Instant::now() + limit;
    let mut pause = Duration::from_millis(1);
    loop {
        match fact() {
            Ok(value) => return Ok(value),
            Err(why) if Instant::now() >= end => {
                bail!("waited {limit:?} for: {what}; the last answer was: {why:#}")
            }
            Err(_) => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Like [`until`], for a yes or a no.
///
/// # Errors
/// Names `what`.
pub fn until_true(what: &str, limit: Duration, mut fact: impl FnMut() -> bool) -> Result<()> {
    until(what, limit, || if fact() { Ok(()) } else { bail!("no") })
}

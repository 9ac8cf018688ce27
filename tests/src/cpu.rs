//! Processors: which of them a thread, and what it starts, runs on. A flood that is made by this machine takes all of
//! the processor that makes it, as one that comes in by a wire takes that of its queue; whoever is measured beside it
//! must not wait for that processor's time.

use anyhow::{Context as _, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Two processors of those that this thread may use: one for what comes in, one for all else. None: there is but one.
///
/// # Errors
/// What the kernel says.
pub fn two() -> Result<Option<(usize, usize)>> {
    let all = sched_getaffinity(None).context("processors of this thread")?;
    let mut those = (0..CpuSet::MAX_CPU).filter(|number| all.is_set(*number));
    Ok(those.next().zip(those.next()))
}

/// Keeps this thread, and what it will start, on one processor for as long as `action` takes.
///
/// # Errors
/// What the kernel says.
pub fn on<T>(number: usize, action: impl FnOnce() -> T) -> Result<T> {
    let back = Back(sched_getaffinity(None).context("processors of this thread")?);
    let mut one = CpuSet::new();
    one.set(number);
    sched_setaffinity(None, &one).with_context(|| format!("processor {number}"))?;
    let value = action();
    drop(back);
    Ok(value)
}

/// Lets the thread go where it was, however a closure ends.
struct Back(CpuSet);

impl Drop for Back {
    fn drop(&mut self) {
        // Those processors were ours before: what fails here is found by whoever measures.
        let _gone = sched_setaffinity(None, &self.0);
    }
}

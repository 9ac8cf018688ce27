//! What the supervisor reaches for: a configuration, the kernel part, the allocator, the scheduler.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, getpriority_process, getrlimit, setpriority_process};
use rustix::thread::{CapabilitySet, capabilities, gettid};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::config::{Config, ConfigErrors, KernelConfig};

use super::dataplane::{Dataplane, DataplaneError};

/// Reads a configuration.
type Load = dyn Fn(&Path) -> Result<Config, ConfigErrors>;
/// Loads the kernel part, or adopts it if it is loaded.
type Open = dyn Fn(&KernelConfig) -> Result<Box<dyn Dataplane>, DataplaneError>;

/// How a configuration is loaded, and how the kernel part is opened: what tests do otherwise.
pub(super) struct Outside {
    pub(super) load: Box<Load>,
    pub(super) open: Box<Open>,
    /// Gives unused memory back to the system.
    pub(super) give_back: fn(),
}

/// How much less than workers this thread is worth while it reads and compiles a configuration (nice): where they want all of
/// a CPU, it gets a tenth.
const STEPS: i32 = 10;

/// A reload that is not done by then stands behind nobody any more: whoever waits for it has waited long enough.
const PATIENCE: Duration = Duration::from_millis(60);

/// Until when a reload stands behind others.
pub(super) fn patience() -> Instant {
    Instant::now() + PATIENCE
}

/// Work that takes milliseconds and that no client waits for: while this lives, the thread stands behind others. Threads
/// and processes that are begun meanwhile would stay there.
#[derive(Debug)]
pub(super) struct StepBack {
    before: i32,
    /// Brings it forward in time.
    timer: Option<AbortHandle>,
}

impl StepBack {
    /// Steps back, unless the system would not let it come forward again.
    pub(super) fn begin() -> Option<Self> {
        // Of this thread alone: Linux has no priority of processes.
        let before = getpriority_process(None).ok()?;
        if !may_return(before) {
            return None;
        }
        setpriority_process(None, before + STEPS).ok()?;
        Some(Self { before, timer: None })
    }

    /// Steps back, but for no longer than until then: somebody at `io` looks at the clock.
    pub(super) fn until(end: Instant, io: &Handle) -> Option<Self> {
        if Instant::now() >= end {
            return None;
        }
        let mut behind = Self::begin()?;
        let (thread, before) = (gettid(), behind.before);
        let timer = io.spawn(async move {
            tokio::time::sleep_until(end.into()).await;
            forward(Some(thread), before);
        });
        behind.timer = Some(timer.abort_handle());
        Some(behind)
    }
}

impl Drop for StepBack {
    fn drop(&mut self) {
        if let Some(timer) = &self.timer {
            timer.abort();
        }
        forward(None, self.before);
    }
}

fn forward(thread: Option<Pid>, nice: i32) {
    if let Err(error) = setpriority_process(thread, nice) {
        tracing::warn!("the control thread stays behind others (nice {}): {error}", nice + STEPS);
    }
}

/// setpriority(2): who has CAP_SYS_NICE, or a limit (RLIMIT_NICE, 20 - nice) that reaches so far.
fn may_return(nice: i32) -> bool {
    let capable = capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_NICE));
    let limit = getrlimit(Resource::Nice).current;
    capable || limit.is_none_or(|limit| i64::from(20 - nice) <= limit as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_behind_others_for_a_while_and_then_where_it_was() {
        let before = getpriority_process(None).unwrap();
        let behind = StepBack::begin();
        let now = getpriority_process(None).unwrap();
        assert_eq!(now, if behind.is_some() { (before + STEPS).min(19) } else { before });
        drop(behind);
        assert_eq!(getpriority_process(None).unwrap(), before);
    }

    #[test]
    fn a_thread_is_not_behind_others_for_longer_than_it_may() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let before = getpriority_process(None).unwrap();
        let behind = StepBack::until(Instant::now() + Duration::from_millis(20), runtime.handle());
        let waited = Instant::now();
        while getpriority_process(None).unwrap() != before {
            assert!(waited.elapsed() < Duration::from_secs(20), "it is still behind");
            std::thread::yield_now();
        }
        drop(behind);
        assert_eq!(getpriority_process(None).unwrap(), before);
        assert!(StepBack::until(Instant::now(), runtime.handle()).is_none());
    }
}

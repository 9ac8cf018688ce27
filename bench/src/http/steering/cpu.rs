//! CPU of those who take part: the peer, its interfaces, and this process (client and server) with theirs. Not of the
//! machine: others may be at work on it.

use std::fs;

use anyhow::{Context, Result};

use super::super::process::Running;

/// Seconds so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cpu {
    /// The balancer's: its process, and what arrives by its interfaces.
    pub(super) balancer: f64,
    /// Of all who take part.
    pub(super) all: f64,
}

impl Cpu {
    pub(super) fn so_far(peer: &Running) -> Result<Self> {
        let balancer = peer.cpu_exactly()? + threads(&["napi/front-", "napi/back-"])?;
        let others = threads(&["napi/eth0-", "ksoftirqd/"])? + process()? + interrupts()?;
        Ok(Self { balancer, all: balancer + others })
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self { balancer: self.balancer - before.balancer, all: self.all - before.all }
    }
}

/// This process's, of threads that have ended, too.
fn process() -> Result<f64> {
    let clock = rustix::time::ClockId::ProcessCPUTime;
    let time = rustix::time::clock_gettime(clock);
    Ok(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
}

/// What threads of the kernel have used whose names begin so.
fn threads(names: &[&str]) -> Result<f64> {
    let mut seconds = 0.0;
    for entry in fs::read_dir("/proc")?.flatten() {
        // A process may end while one looks.
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if names.iter().any(|begin| name.starts_with(begin)) {
            let text = fs::read_to_string(entry.path().join("schedstat"))?;
            seconds += text.split_whitespace().next().context("no number")?.parse::<f64>()? / 1e9;
        }
    }
    Ok(seconds)
}

/// Kernels that keep the time of interrupts apart do not count it to whom they interrupt.
fn interrupts() -> Result<f64> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let config = fs::read_to_string(format!("/boot/config-{}", release.trim())).unwrap_or_default();
    if !config.contains("CONFIG_IRQ_TIME_ACCOUNTING=y") {
        return Ok(0.0);
    }
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("/proc/stat is empty")?;
    // user nice system idle iowait irq softirq, in hundredths of a second
    let ticks = line.split_whitespace().skip(6).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / 100.0)
}

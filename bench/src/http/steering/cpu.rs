//! CPU of all who take part: the peer, this process (client and server), and the kernel's threads that carry packets. Not
//! of the machine: others may be at work on it.

use std::fs;

use anyhow::{Context, Result};

use super::super::process::Running;

/// Seconds so far.
pub(super) fn of_all(peer: &Running) -> Result<f64> {
    Ok(peer.cpu_exactly()? + own()? + of_packets()? + interrupts()?)
}

/// This process's, of threads that have ended, too.
fn own() -> Result<f64> {
    let clock = rustix::time::ClockId::ProcessCPUTime;
    let time = rustix::time::clock_gettime(clock);
    Ok(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
}

/// What `ksoftirqd` has used, all of them. (What is done for packets in the time of a process is the process's.)
fn of_packets() -> Result<f64> {
    let mut seconds = 0.0;
    for entry in fs::read_dir("/proc")?.flatten() {
        // A process may end while one looks.
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if name.starts_with("ksoftirqd/") {
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

//! How many requests may be in flight: as many as the configuration says, and fewer when memory runs out.

use crate::config::ServerConfig;

/// So many are always taken.
const FEW: u32 = 16;
/// Looks without growth after which more are taken again: memory may have been kept without being used.
const CALM: u32 = 10;

/// How many requests may be in flight. A state machine without a clock or a file.
#[derive(Debug, Default)]
pub(super) struct Overload {
    /// Memory of the process when nothing was going on; 0: not looked at yet.
    base: u64,
    last: u64,
    calm: u32,
    /// While memory runs out.
    most: Option<u32>,
}

impl Overload {
    /// What is in memory now belongs to a configuration, not to requests.
    pub(super) fn begin(&mut self, memory: u64) {
        self.base = memory;
    }

    /// Takes a look: bytes in memory, and requests in flight. Gives how many may be.
    pub(super) fn look(&mut self, server: &ServerConfig, memory: u64, requests: u32) -> u32 {
        let growing = memory > self.last;
        self.last = memory;
        // What a start or a reload has needed is given back after a while.
        self.base = self.base.min(memory);
        if memory.saturating_sub(self.base) <= server.max_buffer_bytes {
            if self.most.take().is_some() {
                tracing::info!("memory suffices again");
            }
            return server.max_requests;
        }
        let most = match self.most {
            Some(most) if !growing => {
                self.calm += 1;
                if self.calm < CALM { most } else { most.saturating_add(most / 4 + 1) }
            }
            before => {
                if before.is_none() {
                    let used = (memory - self.base) >> 20;
                    tracing::warn!("requests use {used} MiB (server.max_buffer): some are answered 503");
                }
                before.unwrap_or(u32::MAX).min(requests / 2).max(FEW)
            }
        };
        if growing || self.calm >= CALM {
            self.calm = 0;
        }
        let most = most.min(server.max_requests);
        self.most = Some(most);
        most
    }
}

/// Bytes of this process that are in memory (proc(5), status); none: that cannot be read.
pub(super) fn memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = resident.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn server() -> ServerConfig {
        ServerConfig { max_requests: 1000, max_buffer_bytes: 100 * MIB, ..ServerConfig::default() }
    }

    #[test]
    fn the_configuration_decides_as_long_as_memory_suffices() {
        let mut overload = Overload::default();
        overload.begin(50 * MIB);
        assert_eq!(overload.look(&server(), 150 * MIB, 900), 1000);
    }

    #[test]
    fn as_long_as_memory_grows_fewer_and_fewer_are_taken_and_never_none() {
        let mut overload = Overload::default();
        overload.begin(50 * MIB);
        let looks: Vec<_> =
            (0..8).map(|n: u64| overload.look(&server(), (151 + n) * MIB, 900 >> n)).collect();
        assert_eq!(looks, [450, 225, 112, 56, 28, 16, 16, 16]);
    }

    #[test]
    fn memory_that_is_kept_and_not_used_does_not_shut_the_door_for_ever() {
        let mut overload = Overload::default();
        overload.begin(50 * MIB);
        overload.look(&server(), 300 * MIB, 0);
        let last = (0..500).map(|_| overload.look(&server(), 300 * MIB, 0)).last();
        assert_eq!(last, Some(1000));
        assert_eq!(overload.look(&server(), 60 * MIB, 0), 1000);
    }

    #[test]
    fn what_a_start_has_needed_is_no_room_for_requests() {
        let mut overload = Overload::default();
        overload.begin(150 * MIB);
        assert_eq!(overload.look(&server(), 50 * MIB, 0), 1000);
        assert_eq!(overload.look(&server(), 151 * MIB, 900), 450);
    }

    #[test]
    fn the_memory_of_this_process_is_known() {
        assert!(memory().unwrap() > MIB / 4);
    }
}

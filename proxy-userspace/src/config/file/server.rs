//! `[server]` and `[access_log]`.

use std::num::NonZeroU32;

use crate::config::keys::server::{
    FORMAT, GRACE, MAX_BUFFER_BYTES, MAX_REQUESTS, REQUEST_METRICS, TO, WORKERS,
};
use crate::config::reader::Entries;
use crate::config::report::{Report, Reported};
use crate::config::web::{AccessLogConfig, ServerConfig};

/// Reads `[server]`: everything, then fails if anything was wrong.
pub(super) fn read_server(entries: &Entries, report: &mut Report<'_>) -> Result<ServerConfig, Reported> {
    let workers = entries.find(&WORKERS, report);
    let max_requests = entries.get(&MAX_REQUESTS, report);
    let max_buffer_bytes = entries.get(&MAX_BUFFER_BYTES, report);
    let grace = entries.get(&GRACE, report);
    let request_metrics = entries.get(&REQUEST_METRICS, report);
    Ok(ServerConfig {
        workers: workers?.and_then(|workers| NonZeroU32::new(workers.value as u32)),
        max_requests: max_requests?.value as u32,
        max_buffer_bytes: max_buffer_bytes?.value,
        grace: grace?.value,
        request_metrics: request_metrics?.value,
        access_log: None,
    })
}

/// Reads `[access_log]`.
pub(super) fn read_access_log(
    entries: &Entries,
    report: &mut Report<'_>,
) -> Result<AccessLogConfig, Reported> {
    let to = entries.get(&TO, report);
    let format = entries.get(&FORMAT, report);
    Ok(AccessLogConfig { to: to?.value, format: format?.value })
}

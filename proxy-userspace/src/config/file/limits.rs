//! `limits = { … }` of a listener.

use crate::config::keys::limits::{
    BODY_BYTES, BODY_MIN_RATE, BODY_TIMEOUT, CONNECTIONS, CONNECTIONS_PER_CLIENT, H2_IDLE_FRAMES, H2_RESETS,
    H2_STREAMS, HEADER_BYTES, HEADER_COUNT, HEADER_TIMEOUT, IDLE_TIMEOUT, RELAY_IDLE, RELAY_TOTAL,
    REQUESTS_PER_CONNECTION, URI_BYTES,
};
use crate::config::reader::Entries;
use crate::config::report::{Report, Reported};
use crate::config::web::WebLimits;

/// Reads everything, then fails if anything was wrong.
pub(super) fn read_limits(entries: &Entries, report: &mut Report<'_>) -> Result<WebLimits, Reported> {
    let header_bytes = entries.get(&HEADER_BYTES, report);
    let header_count = entries.get(&HEADER_COUNT, report);
    let uri_bytes = entries.get(&URI_BYTES, report);
    let header_timeout = entries.get(&HEADER_TIMEOUT, report);
    let idle_timeout = entries.get(&IDLE_TIMEOUT, report);
    let body_timeout = entries.get(&BODY_TIMEOUT, report);
    let body_min_rate = entries.get(&BODY_MIN_RATE, report);
    let body_bytes = entries.find(&BODY_BYTES, report);
    let connections = entries.get(&CONNECTIONS, report);
    let connections_per_client = entries.get(&CONNECTIONS_PER_CLIENT, report);
    let requests_per_connection = entries.get(&REQUESTS_PER_CONNECTION, report);
    let relay_idle = entries.get(&RELAY_IDLE, report);
    let relay_total = entries.find(&RELAY_TOTAL, report);
    let h2_streams = entries.get(&H2_STREAMS, report);
    let h2_resets = entries.get(&H2_RESETS, report);
    let h2_idle_frames = entries.get(&H2_IDLE_FRAMES, report);
    Ok(WebLimits {
        header_bytes: header_bytes?.value as usize,
        header_count: header_count?.value as usize,
        uri_bytes: uri_bytes?.value as usize,
        header_timeout: header_timeout?.value,
        idle_timeout: idle_timeout?.value,
        body_timeout: body_timeout?.value,
        body_min_rate: body_min_rate?.value,
        body_bytes: body_bytes?.map(|bytes| bytes.value),
        connections: connections?.value as u32,
        connections_per_client: connections_per_client?.value as u32,
        requests_per_connection: requests_per_connection?.value,
        relay_idle: relay_idle?.value,
        relay_total: relay_total?.map(|total| total.value),
        h2_streams: h2_streams?.value as u32,
        h2_resets: h2_resets?.value as u32,
        h2_idle_frames: h2_idle_frames?.value as u32,
    })
}

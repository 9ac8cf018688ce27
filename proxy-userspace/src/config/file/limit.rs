//! `[limit.NAME]`.

use ipnet::IpNet;

use super::distinct::distinct;
use crate::config::keys::limit as keys;
use crate::config::limit::{LimitAction, Measures, Per};
use crate::config::reader::Entries;
use crate::config::report::{At, Report, Reported};

/// What the table of a limit says. Each value stands for itself: one that is wrong does not hide mistakes in others.
#[derive(Debug)]
pub(in crate::config) struct FileLimit {
    pub(in crate::config) name: At<Box<str>>,
    /// From 1.
    pub(in crate::config) line: usize,
    /// None: all.
    pub(in crate::config) listeners: Result<Option<Vec<At<Box<str>>>>, Reported>,
    /// None: all.
    pub(in crate::config) routes: Result<Option<Vec<At<Box<str>>>>, Reported>,
    pub(in crate::config) per: Result<At<Per>, Reported>,
    pub(in crate::config) measures: Result<Measures, Reported>,
    pub(in crate::config) action: Result<At<LimitAction>, Reported>,
    pub(in crate::config) exempt: Result<Vec<At<IpNet>>, Reported>,
}

impl FileLimit {
    /// Reads everything.
    pub(super) fn read(name: At<Box<str>>, entries: &Entries, report: &mut Report<'_>) -> Self {
        let before = report.text(&(0..name.span.start));
        Self {
            line: 1 + before.bytes().filter(|byte| *byte == b'\n').count(),
            name,
            listeners: distinct(entries, &keys::LISTENERS, report),
            routes: distinct(entries, &keys::ROUTES, report),
            per: entries.get(&keys::PER_IS, report),
            measures: read_measures(entries, report),
            action: entries.get(&keys::ACTION, report),
            exempt: distinct(entries, &keys::EXEMPT, report).map(Option::unwrap_or_default),
        }
    }
}

fn read_measures(entries: &Entries, report: &mut Report<'_>) -> Result<Measures, Reported> {
    let packets = entries.find(&keys::PACKETS, report);
    let bytes = entries.find(&keys::BYTES, report);
    let connections = entries.find(&keys::CONNECTIONS, report);
    let concurrent = entries.find(&keys::CONCURRENT, report);
    let requests = entries.find(&keys::REQUESTS, report);
    let handshakes = entries.find(&keys::HANDSHAKES, report);
    let bandwidth = entries.find(&keys::BANDWIDTH, report);
    let rate = |found: Option<At<_>>| found.map(|found| found.value);
    let measures = Measures {
        packets: rate(packets?),
        bytes: rate(bytes?),
        connections: rate(connections?),
        concurrent: concurrent?.map(|found| found.value),
        requests: rate(requests?),
        handshakes: rate(handshakes?),
        bandwidth: rate(bandwidth?),
    };
    match mistyped(entries) {
        Some(reported) if measures == Measures::default() => Err(reported),
        _ => Ok(measures),
    }
}

/// An unknown key that was probably meant to be a measure: that nothing is counted follows from it.
fn mistyped(entries: &Entries) -> Option<Reported> {
    let rates = [
        &keys::PACKETS,
        &keys::BYTES,
        &keys::CONNECTIONS,
        &keys::REQUESTS,
        &keys::HANDSHAKES,
        &keys::BANDWIDTH,
    ];
    rates.into_iter().find_map(|key| entries.missing(key)).or_else(|| entries.missing(&keys::CONCURRENT))
}

//! `[listener.NAME]`.

use std::net::SocketAddr;

use crate::config::keys;
use crate::config::model::{Forward, Protocol};
use crate::config::reader::Entries;
use crate::config::report::{At, Report, Reported};

/// What a listener's table says. Each value stands for itself: one that is wrong does not hide mistakes in others.
#[derive(Debug)]
pub(in crate::config) struct FileListener {
    pub(in crate::config) name: At<Box<str>>,
    pub(in crate::config) bind: Result<Vec<At<SocketAddr>>, Reported>,
    pub(in crate::config) protocol: Result<Protocol, Reported>,
    pub(in crate::config) pool: Result<At<Box<str>>, Reported>,
    pub(in crate::config) forward: Result<Forward, Reported>,
}

impl FileListener {
    /// Reads everything.
    pub(super) fn read(name: At<Box<str>>, entries: &Entries, report: &mut Report<'_>) -> Self {
        Self {
            name,
            bind: entries.get(&keys::BIND, report).map(|bind| bind.value),
            protocol: entries.get(&keys::PROTOCOL, report).map(|protocol| protocol.value),
            pool: entries.get(&keys::LISTENER_POOL, report),
            forward: entries.get(&keys::FORWARD, report).map(|forward| forward.value),
        }
    }
}

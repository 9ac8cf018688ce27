//! `[pool.NAME]`.

use super::health::FileHealth;
use crate::config::address::Endpoint;
use crate::config::keys;
use crate::config::nested::AddressOrTable;
use crate::config::reader::Entries;
use crate::config::report::{At, Report, Reported};

/// What a pool's table says.
#[derive(Debug)]
pub(in crate::config) struct FilePool {
    pub(in crate::config) name: At<Box<str>>,
    pub(in crate::config) backends: Result<Vec<FileBackend>, Reported>,
    pub(in crate::config) health: Result<Option<FileHealth>, Reported>,
}

/// What an entry of `backends` says.
#[derive(Clone, Debug)]
pub(in crate::config) struct FileBackend {
    pub(in crate::config) address: At<Endpoint>,
    pub(in crate::config) weight: u32,
    pub(in crate::config) drain: bool,
}

impl FilePool {
    /// Reads everything.
    pub(super) fn read(name: At<Box<str>>, entries: &Entries, report: &mut Report<'_>) -> Self {
        let backends = entries.get(&keys::BACKENDS, report).and_then(|list| {
            let read = |backend| FileBackend::read(backend, report);
            // Collected twice, so that every entry is read though the first was wrong.
            list.value.into_iter().map(read).collect::<Vec<_>>().into_iter().collect()
        });
        let balance = entries.get(&keys::BALANCE, report);
        let health = entries
            .find(&keys::HEALTH, report)
            .and_then(|table| table.map(|table| FileHealth::read(&table.value, report)).transpose());
        Self { name, backends: balance.and(backends), health }
    }
}

impl FileBackend {
    fn read(entry: At<AddressOrTable>, report: &mut Report<'_>) -> Result<Self, Reported> {
        let entries = match entry.value {
            AddressOrTable::Address(value) => {
                let address = At { value, span: entry.span };
                return Ok(Self { address, weight: 1, drain: false });
            }
            AddressOrTable::Table(entries) => entries,
        };
        let address = entries.get(&keys::ADDRESS, report);
        let weight = entries.get(&keys::WEIGHT, report);
        let drain = entries.get(&keys::DRAIN, report);
        Ok(Self { address: address?, weight: weight?.value as u32, drain: drain?.value })
    }
}

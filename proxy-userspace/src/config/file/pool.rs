//! `[pool.NAME]`.

use super::health::FileHealth;
use super::pool_web::{read_balance, read_web};
use crate::config::address::Endpoint;
use crate::config::keys;
use crate::config::nested::Short;
use crate::config::reader::Entries;
use crate::config::report::{At, Report, Reported};
use crate::config::web_pool::{Balance, WebPoolConfig};

/// What a pool's table says.
#[derive(Debug)]
pub(in crate::config) struct FilePool {
    pub(in crate::config) name: At<Box<str>>,
    pub(in crate::config) backends: Result<Vec<FileBackend>, Reported>,
    /// As it is said, if it is.
    pub(in crate::config) balance: Result<Option<At<Balance>>, Reported>,
    pub(in crate::config) health: Result<Option<FileHealth>, Reported>,
    /// All of it, but for the balance.
    pub(in crate::config) web: Result<WebPoolConfig, Reported>,
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
        let backends = entries.get(&keys::pool::BACKENDS, report).and_then(|list| {
            let read = |backend| FileBackend::read(backend, report);
            // Collected twice, so that every entry is read though the first was wrong.
            list.value.into_iter().map(read).collect::<Vec<_>>().into_iter().collect()
        });
        let balance = read_balance(entries, report);
        let web = read_web(entries, report);
        let health = entries
            .find(&keys::pool::HEALTH, report)
            .and_then(|table| table.map(|table| FileHealth::read(&table.value, report)).transpose());
        Self { name, backends, balance, health, web }
    }
}

impl FileBackend {
    fn read(entry: At<Short<Endpoint>>, report: &mut Report<'_>) -> Result<Self, Reported> {
        let entries = match entry.value {
            Short::One(value) => {
                let address = At { value, span: entry.span };
                return Ok(Self { address, weight: 1, drain: false });
            }
            Short::Table(entries) => entries,
        };
        let address = entries.get(&keys::pool::ADDRESS, report);
        let weight = entries.get(&keys::pool::WEIGHT, report);
        let drain = entries.get(&keys::pool::DRAIN, report);
        Ok(Self { address: address?, weight: weight?.value as u32, drain: drain?.value })
    }
}

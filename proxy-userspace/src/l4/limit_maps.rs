//! The tables of limits while no daemon runs: whoever holds the folder of pins may change them.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::IpAddr;
use std::path::Path;

use proxy_common::listener::Name;
use proxy_common::names;
use proxy_common::settings::Settings;

use super::bans::PinnedError;
use super::clock::Clock;
use super::limits::{Limits, RefusedKey, RememberedLimit};
use super::maps::{Action, MapError, Table};
use super::object::PROGRAM_CLOCK;
use super::pins::Pins;
use super::sys::open_pin;
use crate::config::{Amount, LimitName, Measure};

/// The tables of limits, as they are pinned.
#[derive(Debug)]
pub struct LimitMaps {
    limits: Limits,
    listeners: BTreeMap<u16, String>,
    /// Until this is dropped no daemon starts.
    _lock: File,
}

impl LimitMaps {
    /// Those of a kernel part that no daemon has; none: nothing is loaded.
    ///
    /// # Errors
    /// A daemon has it, or the maps cannot be opened.
    pub fn alone(pin_dir: &Path) -> Result<Option<Self>, PinnedError> {
        let pins = Pins::under(pin_dir);
        if !pins.object(names::LIMIT_RECORDS).exists() {
            return Ok(None);
        }
        let held = pins.lock().map_err(|cause| PinnedError::Hold { path: pin_dir.to_owned(), cause })?;
        let lock = held.ok_or_else(|| PinnedError::Busy(pin_dir.to_owned()))?;
        let settings: Table<u32, Settings> = table(&pins, names::SETTINGS)?;
        let seed = settings.get(&0)?.map_or(0, |settings| settings.hash_seed);
        let clock = open_pin(&pins.object(PROGRAM_CLOCK)).and_then(Clock::new).map_err(PinnedError::Clock)?;
        let limits = Limits::open(&pins, seed, clock.hz())?;
        limits.set_clock(clock.now64().map_err(PinnedError::Clock)?);
        let names: Table<u32, Name> = table(&pins, names::LISTENER_NAMES)?;
        let named = names.entries()?.into_iter().filter(|(_, name)| name.0[0] != 0);
        let listeners =
            named.map(|(id, name)| (id as u16, super::compile_limits::written(&name.0))).collect();
        Ok(Some(Self { limits, listeners, _lock: lock }))
    }

    /// What is remembered of each limit, by name.
    ///
    /// # Errors
    /// A table cannot be read.
    pub fn remembered(&self) -> Result<Vec<RememberedLimit>, MapError> {
        self.limits.all()
    }

    /// A measure lets through so much, from the next packet on.
    ///
    /// # Errors
    /// A table cannot be written.
    pub fn set(&mut self, limit: &LimitName, measure: Measure, amount: Amount) -> Result<bool, MapError> {
        self.limits.set(limit, measure, amount)
    }

    /// What was set of a limit is forgotten.
    ///
    /// # Errors
    /// A table cannot be written.
    pub fn reset(&mut self, limit: &LimitName) -> Result<(), MapError> {
        self.limits.reset(limit)
    }

    /// What an address has used up of a limit is forgotten. How many keys those were; none: no rule of it counts by
    /// address.
    pub fn forget(&self, limit: &LimitName, address: IpAddr) -> Option<usize> {
        self.limits.forget(limit, address)
    }

    /// Keys that have been refused.
    pub fn refused(&self) -> Vec<RefusedKey> {
        self.limits.refused(&self.listeners)
    }
}

fn table<K: proxy_common::pod::Pod, V: proxy_common::pod::Pod>(
    pins: &Pins,
    name: &'static str,
) -> Result<Table<K, V>, MapError> {
    let fd =
        open_pin(&pins.object(name)).map_err(|cause| MapError { map: name, action: Action::Open, cause })?;
    Table::new(name, fd)
}

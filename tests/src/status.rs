//! What `status --json` says, by the words of the configuration.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::daemon::Daemon;

/// A snapshot of the daemon's status.
#[derive(Clone, Debug)]
pub struct Status {
    json: Value,
}

/// One backend of one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendStatus {
    /// `ready`, `draining`, `down`
    pub state: String,
    /// Packets to it.
    pub packets: u64,
    /// Packets from it (`nat`).
    pub return_packets: u64,
    /// Flows that began there.
    pub new_flows: u64,
    /// What the checks say: `up`, `down`, `unknown`, `unchecked`.
    pub health: String,
}

impl Daemon<'_> {
    /// Asks.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn status(&self) -> Result<Status> {
        Ok(Status { json: self.json(&["status"])? })
    }
}

impl Status {
    /// All of it.
    #[must_use]
    pub const fn json(&self) -> &Value {
        &self.json
    }

    /// How often a packet was dropped for this reason.
    #[must_use]
    pub fn dropped(&self, reason: &str) -> u64 {
        self.counter("drops", reason)
    }

    /// How often this was noticed.
    #[must_use]
    pub fn noticed(&self, notice: &str) -> u64 {
        self.counter("notices", notice)
    }

    /// Reasons that packets were dropped for, and how often.
    #[must_use]
    pub fn drops(&self) -> Vec<(String, u64)> {
        self.counters("drops")
    }

    fn counter(&self, table: &str, label: &str) -> u64 {
        self.counters(table).into_iter().find(|(name, _)| name == label).map_or(0, |(_, count)| count)
    }

    fn counters(&self, table: &str) -> Vec<(String, u64)> {
        let all = self.json["kernel"][table].as_array().into_iter().flatten();
        let counted = all.map(|one| {
            (one["name"].as_str().unwrap_or_default().to_owned(), one["count"].as_u64().unwrap_or(0))
        });
        counted.filter(|(_, count)| *count > 0).collect()
    }

    /// Entries in use in the flow table of a family (`v4`, `v6`), when they were last counted.
    #[must_use]
    pub fn flows(&self, family: &str) -> u64 {
        let tables = self.json["kernel"]["flow_tables"].as_array().into_iter().flatten();
        let used =
            tables.filter(|table| table["family"] == family).filter_map(|table| table["used"].as_u64());
        used.sum()
    }

    /// What an interface is attached as: `native`, `generic`, `detached`.
    #[must_use]
    pub fn mode(&self, interface: &str) -> Option<String> {
        let all = self.json["kernel"]["interfaces"].as_array()?;
        let one = all.iter().find(|one| one["name"] == interface)?;
        Some(one["mode"].as_str()?.to_owned())
    }

    /// A backend of a pool; pools are named as their listeners.
    ///
    /// # Errors
    /// When there is none of this name and address.
    pub fn backend(&self, pool: &str, address: SocketAddr) -> Result<BackendStatus> {
        let found = self.backends(pool)?.into_iter().find(|(at, _)| *at == address.to_string());
        Ok(found.with_context(|| format!("no {address} in {pool}: {}", self.json))?.1)
    }

    /// All backends of a pool, by address.
    ///
    /// # Errors
    /// When there is no such pool.
    pub fn backends(&self, pool: &str) -> Result<Vec<(String, BackendStatus)>> {
        let pools = self.json["pools"].as_array().context("no pools")?;
        let found = pools.iter().find(|one| one["name"] == pool);
        let found = found.with_context(|| format!("no pool {pool} in {}", self.json))?;
        let backends = found["backends"].as_array().context("no backends")?;
        Ok(backends
            .iter()
            .map(|one| {
                let number = |key: &str| one["traffic"][key].as_u64().unwrap_or(0);
                let status = BackendStatus {
                    state: one["state"].as_str().unwrap_or_default().to_owned(),
                    packets: number("packets"),
                    return_packets: number("return_packets"),
                    new_flows: number("new_flows"),
                    health: one["health"]["word"].as_str().unwrap_or_default().to_owned(),
                };
                (one["address"].as_str().unwrap_or_default().to_owned(), status)
            })
            .collect())
    }
}

//! What workers ask: whether an address is kept out. They take no lock, and read no clock.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use arc_swap::ArcSwap;
use proxy_common::addr::{Ip4, Ip6};
use proxy_common::ban::{Family, TABLES, find, table};

use super::place::Memory;

/// Tables of both families, by number.
pub(super) type Tables = [Option<Arc<dyn Memory>>; TABLES as usize];

/// The tables, as workers see them.
#[derive(Debug)]
pub struct View {
    tables: ArcSwap<Tables>,
    /// [`proxy_common::ban::moment`]: set many times a second.
    moment: AtomicU32,
}

impl Default for View {
    fn default() -> Self {
        Self { tables: ArcSwap::new(Arc::new([const { None }; TABLES as usize])), moment: AtomicU32::new(0) }
    }
}

impl View {
    /// Whether an address is kept out; then it is counted.
    pub fn keeps_out(&self, address: IpAddr) -> bool {
        let tables = self.tables.load();
        match address.to_canonical() {
            IpAddr::V4(v4) => self.is_in(&tables, &Ip4::from(v4)),
            IpAddr::V6(v6) => self.is_in(&tables, &Ip6::from(v6)),
        }
    }

    fn is_in<A: Family>(&self, tables: &Tables, address: &A) -> bool {
        let now = self.moment.load(Relaxed);
        let of = |allow| tables[table(A::FAMILY, allow) as usize].as_ref();
        let Some(found) = of(false).and_then(|bans| find(bans.lines(), address, now)) else { return false };
        if of(true).is_some_and(|allows| find(allows.lines(), address, now).is_some()) {
            return false;
        }
        found.hit();
        true
    }

    pub(super) fn put(&self, tables: &Tables) {
        self.tables.store(Arc::new(tables.clone()));
    }

    pub(super) fn set_moment(&self, moment: u32) {
        self.moment.store(moment, Relaxed);
    }
}

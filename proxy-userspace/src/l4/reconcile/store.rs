//! Takes steps in the kernel's tables, and reads what they hold.

use std::net::{IpAddr, SocketAddr};

use proxy_common::addr::{Address, Be16, Ip4, Ip6};
use proxy_common::backend::{Backend, BackendId, NatSource};
use proxy_common::guard::GuardRule;
use proxy_common::listener::{Listener, ListenerKey, Name};
use proxy_common::maglev::Ring;
use proxy_common::pod::Pod;

use super::goal::identity;
use super::present::{BackendEntry, Bind, FoundRing, Present, RingContent, Share, SourceEntry, Step};
use super::take::Store;
use crate::l4::maps::{MapError, Table};
use crate::l4::tables::{FamilyTables, Tables};
use crate::upstream::maglev;

impl Store for &Tables {
    fn take(&mut self, step: &Step) -> Result<(), MapError> {
        take(self, step)
    }
}

/// Takes one step.
pub(crate) fn take(tables: &Tables, step: &Step) -> Result<(), MapError> {
    match step {
        Step::Settings(settings) => tables.settings.put(&0, settings),
        Step::Filter(filter) => tables.filter.put(&0, filter),
        Step::Source((v6, index), entry) => source(tables, *v6, *index, entry.as_ref()),
        Step::Backend { id, before, after } => backend(tables, *id, before.as_ref(), after.as_ref()),
        Step::Name(id, name) => tables.listener_names.put(&u32::from(*id), &padded(name.as_deref())),
        Step::Guard(id, rule) => tables.guard_rules.put(&u32::from(*id), &rule.unwrap_or_default()),
        Step::Ring(id, Some(RingContent::Shares(shares))) => tables.rings.put(u32::from(*id), &fill(shares)),
        Step::Ring(id, Some(RingContent::Found(found))) => tables.rings.put(u32::from(*id), &found.0),
        Step::Ring(id, None) => tables.rings.remove(u32::from(*id)).map(drop),
        Step::Listener(bind, entry) => listener(tables, *bind, entry.as_ref()),
    }
}

/// Whoever has found a listener keeps to it for the epoch, which ends as soon as the table has changed.
fn listener(tables: &Tables, (address, protocol): Bind, entry: Option<&Listener>) -> Result<(), MapError> {
    let port = Be16::new(address.port());
    match address.ip() {
        IpAddr::V4(ip) => {
            let key = ListenerKey { address: Ip4::from(ip), port, protocol, pad: 0 };
            set(&tables.v4.listeners, &key, entry)
        }
        IpAddr::V6(ip) => {
            let key = ListenerKey { address: Ip6::from(ip), port, protocol, pad: 0 };
            set(&tables.v6.listeners, &key, entry)
        }
    }?;
    let epoch = tables.listeners_epoch.get(&0)?.unwrap_or_default();
    tables.listeners_epoch.put(&0, &epoch.wrapping_add(1))
}

/// A ring with these shares.
pub(super) fn fill(shares: &[Share]) -> Box<Ring> {
    let identities: Vec<_> = shares.iter().map(|share| identity(share.address)).collect();
    let candidates: Vec<_> = shares
        .iter()
        .zip(&identities)
        .map(|(share, identity)| maglev::Candidate {
            id: BackendId(share.id),
            weight: share.weight,
            identity,
        })
        .collect();
    maglev::fill(&candidates)
}

fn set<K: Pod, V: Pod>(table: &Table<K, V>, key: &K, value: Option<&V>) -> Result<(), MapError> {
    match value {
        Some(value) => table.put(key, value),
        None => table.remove(key).map(drop),
    }
}

fn source(tables: &Tables, v6: bool, index: u16, entry: Option<&SourceEntry>) -> Result<(), MapError> {
    fn raw<A>(address: A, entry: &SourceEntry) -> NatSource<A> {
        NatSource { address, port_low: entry.port_low, port_count: entry.port_count }
    }
    let index = u32::from(index);
    match entry.map(|entry| (entry.address, entry)) {
        Some((IpAddr::V4(ip), entry)) => tables.v4.nat_sources.put(&index, &raw(ip.into(), entry)),
        Some((IpAddr::V6(ip), entry)) => tables.v6.nat_sources.put(&index, &raw(ip.into(), entry)),
        None if v6 => tables.v6.nat_sources.put(&index, &NatSource::default()),
        None => tables.v4.nat_sources.put(&index, &NatSource::default()),
    }
}

fn backend(
    tables: &Tables,
    id: u16,
    before: Option<&BackendEntry>,
    after: Option<&BackendEntry>,
) -> Result<(), MapError> {
    let index = u32::from(id);
    if before.is_none() {
        // What a backend that had this number before was sent is not this one's.
        tables.traffic.clear(index)?;
    }
    match after.map(|entry| (entry.address.ip(), entry)) {
        Some((IpAddr::V4(ip), entry)) => tables.v4.backends.put(&index, &entry.v4(ip.into())),
        Some((IpAddr::V6(ip), entry)) => tables.v6.backends.put(&index, &entry.v6(ip.into())),
        None if before.is_some_and(|entry| entry.address.is_ipv6()) => {
            tables.v6.backends.put(&index, &Backend::default())
        }
        None => tables.v4.backends.put(&index, &Backend::default()),
    }
}

/// A name as its table holds it, cut at a character.
fn padded(name: Option<&str>) -> Name {
    let mut bytes = [0; 64];
    let name = name.unwrap_or_default();
    let end = (0..=name.len().min(bytes.len())).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
    bytes[..end].copy_from_slice(&name.as_bytes()[..end]);
    Name(bytes)
}

/// Reads what the tables hold.
pub(crate) fn recover(tables: &Tables) -> Result<Present, MapError> {
    let mut present =
        Present { settings: tables.settings.get(&0)?.unwrap_or_default(), ..Present::default() };
    if let Some(filter) = tables.filter.get(&0)? {
        *present.filter = filter;
    }
    recover_family(&tables.v4, false, &mut present)?;
    recover_family(&tables.v6, true, &mut present)?;
    for (id, name) in tables.listener_names.entries()? {
        let text = String::from_utf8_lossy(&name.0).trim_end_matches('\0').to_owned();
        if !text.is_empty() {
            present.names.insert(id as u16, text);
        }
    }
    for (id, rule) in tables.guard_rules.entries()? {
        if rule != GuardRule::default() {
            present.guards.insert(id as u16, rule);
        }
    }
    let ids: std::collections::BTreeSet<u16> =
        present.listeners.values().map(|listener| listener.id).chain(present.names.keys().copied()).collect();
    for id in ids {
        if let Some(ring) = tables.rings.get(u32::from(id))? {
            present.rings.insert(id, RingContent::Found(Box::new(FoundRing(*ring))));
        }
    }
    Ok(present)
}

fn recover_family<A: Address, S>(
    tables: &FamilyTables<A, S>,
    v6: bool,
    present: &mut Present,
) -> Result<(), MapError>
where
    ListenerKey<A>: Pod,
    Backend<A>: Pod,
    NatSource<A>: Pod,
    proxy_common::flow::FlowKey<A>: Pod,
    proxy_common::flow::Flow<A>: Pod,
{
    for (key, listener) in tables.listeners.entries()? {
        let address = SocketAddr::new(key.address.into(), key.port.get());
        present.listeners.insert((address, key.protocol), listener);
    }
    for (id, backend) in tables.backends.entries()? {
        if backend.flags & Backend::<A>::IN_USE != 0 {
            let entry = BackendEntry {
                address: SocketAddr::new(backend.address.into(), backend.port.get()),
                listener: backend.listener,
                nat_source: backend.nat_source,
                flags: backend.flags,
            };
            present.backends.insert(id as u16, entry);
        }
    }
    for (index, source) in tables.nat_sources.entries()? {
        if source.port_count != 0 {
            let (address, port_low) = (source.address.into(), source.port_low);
            let entry = SourceEntry { address, port_low, port_count: source.port_count };
            present.sources.insert((v6, index as u16), entry);
        }
    }
    Ok(())
}

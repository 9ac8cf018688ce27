//! What differs, as ordered steps: whatever an entry refers to is there before it, and goes after it.

use std::collections::BTreeMap;

use proxy_common::addr::{Address, Be16, Ip4, Ip6};
use proxy_common::backend::Backend;
use proxy_common::listener::{DestinationFilter, Forward, Listener, Ours, filter_bit};

use super::goal::Goal;
use super::present::{BackendEntry, Bind, Present, RingContent, Share, SourceEntry, SourceIndex, Step};
use super::store::fill;

/// The steps from `present` to `goal`.
///
/// Backends that are not wanted any more stay, drained, and so do source addresses: the sweep removes their flows
/// first, then them (see `collect`).
pub(crate) fn difference(present: &Present, goal: &Goal) -> Vec<Step> {
    let mut steps = Vec::new();
    // Epoch, seed and ports: the programs use them from the first packet on.
    if present.settings != goal.settings {
        steps.push(Step::Settings(goal.settings));
    }
    // Bits of the filter: a packet whose bit is not set is never looked up, neither a client's nor a backend's answer.
    let mut sources = present.sources.clone();
    sources.extend(goal.sources.iter().map(|(index, entry)| (*index, *entry)));
    let wanted = filter(goal.listeners.iter(), sources.values());
    let both = filter(present.listeners.iter().chain(&goal.listeners), sources.values());
    if both != present.filter {
        steps.push(Step::Filter(both.clone()));
    }
    // Source addresses before the backends that use them.
    steps.extend(changed(&present.sources, &goal.sources).map(|(i, new)| Step::Source(*i, Some(*new))));
    // Backends before the rings that hold their numbers.
    steps.extend(changed(&present.backends, &goal.backends).map(|(id, new)| Step::Backend {
        id: *id,
        before: present.backends.get(id).copied(),
        after: Some(*new),
    }));
    // Rings, each filled aside and swapped in whole, before the listeners that look into them.
    steps.extend(goal.rings.iter().filter_map(|(id, shares)| ring_step(*id, present.rings.get(id), shares)));
    steps.extend(changed(&present.names, &goal.names).map(|(id, new)| Step::Name(*id, Some(new.clone()))));
    steps.extend(changed(&present.guards, &goal.guards).map(|(id, new)| Step::Guard(*id, Some(*new))));
    // Listeners: from here on packets come.
    steps.extend(changed(&present.listeners, &goal.listeners).map(|(b, new)| Step::Listener(*b, Some(*new))));
    // What is not wanted any more, in the opposite order.
    steps.extend(gone(&present.listeners, &goal.listeners).map(|(bind, _)| Step::Listener(*bind, None)));
    if both != wanted {
        steps.push(Step::Filter(wanted));
    }
    steps.extend(gone(&present.names, &goal.names).map(|(id, _)| Step::Name(*id, None)));
    steps.extend(gone(&present.guards, &goal.guards).map(|(id, _)| Step::Guard(*id, None)));
    steps.extend(gone(&present.rings, &goal.rings).map(|(id, _)| Step::Ring(*id, None)));
    steps.extend(gone(&present.backends, &goal.backends).filter_map(|(id, before)| {
        let leaving = before.flags | Backend::<()>::DRAINING | Backend::<()>::LEAVING;
        let after = BackendEntry { flags: leaving, ..*before };
        (after != *before).then_some(Step::Backend { id: *id, before: Some(*before), after: Some(after) })
    }));
    steps
}

/// The step to a ring, if it holds anything else.
fn ring_step(id: u16, present: Option<&RingContent>, shares: &[Share]) -> Option<Step> {
    let same = match present {
        Some(RingContent::Shares(before)) => before == shares,
        Some(RingContent::Found(found)) => found.0.slots == fill(shares).slots,
        None => false,
    };
    (!same).then(|| Step::Ring(id, Some(RingContent::Shares(shares.to_vec()))))
}

/// Entries that are new or different.
fn changed<'a, K: Ord, V: PartialEq>(
    before: &'a BTreeMap<K, V>,
    after: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, &'a V)> {
    after.iter().filter(|(key, value)| before.get(key) != Some(value))
}

/// Entries that are no longer there.
fn gone<'a, K: Ord, V, W>(
    before: &'a BTreeMap<K, V>,
    after: &'a BTreeMap<K, W>,
) -> impl Iterator<Item = (&'a K, &'a V)> {
    before.iter().filter(|(key, _)| !after.contains_key(key))
}

/// The filter for these listeners and source addresses.
pub(crate) fn filter<'a>(
    listeners: impl Iterator<Item = (&'a Bind, &'a Listener)>,
    sources: impl Iterator<Item = &'a SourceEntry>,
) -> Box<DestinationFilter> {
    let mut filter = Box::new(DestinationFilter::EMPTY);
    for ((address, protocol), listener) in listeners {
        let port = Be16::new(address.port());
        filter.set(bit(Ours::Listener, address.ip(), port, *protocol));
        if listener.forward == Forward::Local as u8 {
            // What else comes to an address of the host is none of our business.
            filter.set(bit(Ours::Local, address.ip(), port, *protocol));
            filter.set(bit(Ours::Host, address.ip(), Be16::new(0), 0));
        } else {
            filter.set(bit(Ours::Address, address.ip(), Be16::new(0), 0));
        }
    }
    for source in sources {
        filter.set(bit(Ours::NatSource, source.address, Be16::new(0), 0));
        filter.set(bit(Ours::Address, source.address, Be16::new(0), 0));
    }
    filter
}

fn bit(kind: Ours, address: std::net::IpAddr, port: Be16, protocol: u8) -> u32 {
    fn of<A: Address>(kind: Ours, address: impl Into<A>, port: Be16, protocol: u8) -> u32 {
        filter_bit(kind, address.into(), port, protocol)
    }
    match address {
        std::net::IpAddr::V4(ip) => of::<Ip4>(kind, ip, port, protocol),
        std::net::IpAddr::V6(ip) => of::<Ip6>(kind, ip, port, protocol),
    }
}

/// Steps that forget backends whose flows are gone, and source addresses that neither a backend nor a flow uses.
pub(crate) fn forget(present: &Present, backends: &[u16], sources: &[SourceIndex]) -> Vec<Step> {
    let mut steps: Vec<Step> = backends
        .iter()
        .filter_map(|id| present.backends.get(id).map(|entry| (id, entry)))
        .map(|(id, entry)| Step::Backend { id: *id, before: Some(*entry), after: None })
        .collect();
    if !sources.is_empty() {
        let left = present.sources.iter().filter(|(index, _)| !sources.contains(index)).map(|(_, s)| s);
        steps.extend(sources.iter().map(|index| Step::Source(*index, None)));
        steps.push(Step::Filter(filter(present.listeners.iter(), left)));
    }
    steps
}

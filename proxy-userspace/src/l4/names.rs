//! The tables of names: which hosts a listener refuses before a socket exists, and how often each was asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;

use proxy_common::names;
use proxy_common::sni::{
    self, ENTRIES, MOST_LABELS, NameCount, NameEntry, NameFilter, NameKey, PeekRule, action, kind,
};

use super::desired::{LocalListener, NameAction, NameRule};
use super::maps::{Action, MapError, PerCpu, Table};
use super::pins::Pins;
use super::sys;
use crate::config::{HostPattern, ListenerName};

/// The tables, and what is known of them.
#[derive(Debug)]
pub(super) struct Names {
    rules: Table<u32, PeekRule>,
    entries: Table<NameKey, NameEntry>,
    filter: Table<u32, NameFilter>,
    counts: PerCpu<NameCount>,
    /// What each number stands for.
    known: BTreeMap<u32, Known>,
    /// Plans of limits that rules refer to.
    plans: BTreeSet<u8>,
}

/// What a number stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Known {
    listener: ListenerName,
    rule: NameRule,
}

/// How often a name was asked for, as far as the kernel programs saw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NameStatus {
    /// The listener.
    pub listener: ListenerName,
    /// The host; none: whatever no other one is for, and no host at all.
    pub host: Option<HostPattern>,
    /// The route that decides.
    pub route: Box<str>,
    /// What it decides.
    pub action: NameAction,
    /// ClientHellos that name it.
    pub seen: u64,
    /// Those of them that were refused.
    pub refused: u64,
    /// Those that a limit refused.
    pub limited: u64,
}

impl Names {
    /// Takes the tables over.
    pub(super) fn open(pins: &Pins) -> Result<Self, MapError> {
        let failed = |map| move |cause| MapError { map, action: Action::Open, cause };
        let open = |map: &'static str| -> Result<OwnedFd, MapError> {
            sys::open_pin(&pins.object(map)).map_err(failed(map))
        };
        let cpus =
            aya::util::nr_cpus().map_err(|(_, cause): (_, io::Error)| failed(names::SNI_COUNTS)(cause))?;
        let rules: Table<u32, PeekRule> = Table::new(names::SNI_RULES, open(names::SNI_RULES)?)?;
        let plans = rules.entries()?.iter().map(|(_, rule)| rule.plan).filter(|plan| *plan != 0).collect();
        Ok(Self {
            rules,
            entries: Table::new(names::SNI_NAMES, open(names::SNI_NAMES)?)?,
            filter: Table::new(names::SNI_FILTER, open(names::SNI_FILTER)?)?,
            counts: PerCpu::new(names::SNI_COUNTS, open(names::SNI_COUNTS)?, cpus)?,
            known: BTreeMap::new(),
            plans,
        })
    }

    /// Plans of limits that rules refer to.
    pub(super) fn plans(&self) -> &BTreeSet<u8> {
        &self.plans
    }

    /// Makes the tables hold what these listeners want. `ids`: names of listeners by their numbers; `plans`: those of
    /// limits by name. A name that is not refused comes before one that is, and goes after it: nobody is refused on the
    /// way. The filter knows names before they come, and until they are gone.
    pub(super) fn take(
        &mut self,
        listeners: &[LocalListener],
        ids: &BTreeMap<u16, String>,
        plans: &BTreeMap<u16, u8>,
    ) -> Result<(), MapError> {
        let listeners = &fitting(listeners, ids);
        let present: BTreeMap<_, _> =
            self.entries.entries()?.into_iter().map(|(k, e)| (order(&k), (k, e))).collect();
        let wanted = self.wanted(listeners, ids, &present)?;
        let has = |names: &BTreeMap<_, (NameKey, NameEntry)>, mut filter: Box<NameFilter>| {
            names.values().for_each(|(key, _)| filter.set(key));
            filter
        };
        let after = has(&wanted, Box::new(NameFilter::EMPTY));
        self.filter.put(&0, &has(&present, after.clone()))?;
        let mut put: Vec<_> = wanted
            .values()
            .filter(|(key, entry)| present.get(&order(key)) != Some(&(*key, *entry)))
            .collect();
        put.sort_by_key(|(_, entry)| entry.action != action::PASS);
        for (key, entry) in put {
            self.entries.put(key, entry)?;
        }
        self.write_rules(listeners, ids, plans)?;
        let mut gone: Vec<_> =
            present.iter().filter(|(at, _)| !wanted.contains_key(*at)).map(|(_, both)| both).collect();
        gone.sort_by_key(|(_, entry)| entry.action == action::PASS);
        for (key, _) in gone {
            self.entries.remove(key)?;
        }
        self.filter.put(&0, &after)
    }

    /// The entries that are wanted. A name that is there keeps its number, and its count.
    fn wanted(
        &mut self,
        listeners: &[LocalListener],
        ids: &BTreeMap<u16, String>,
        present: &BTreeMap<[u8; 67], (NameKey, NameEntry)>,
    ) -> Result<BTreeMap<[u8; 67], (NameKey, NameEntry)>, MapError> {
        let mut taken: BTreeSet<u32> = present.values().map(|(_, entry)| entry.number).collect();
        let (mut wanted, mut known) = (BTreeMap::new(), BTreeMap::new());
        for listener in listeners.iter().filter(|listener| listener.tls) {
            let ids: Vec<u16> = ids
                .iter()
                .filter(|(_, name)| name.as_str() == listener.name.as_str())
                .map(|(id, _)| *id)
                .collect();
            for rule in &listener.names {
                let keys: Vec<_> = ids.iter().filter_map(|id| key(*id, rule.host.as_ref())).collect();
                if keys.is_empty() {
                    continue;
                }
                let had = keys.iter().find_map(|key| present.get(&order(key)));
                let number = match had
                    .map(|(_, entry)| entry.number)
                    .or_else(|| (1..ENTRIES).find(|n| !taken.contains(n)))
                {
                    Some(number) => number,
                    // There are as many numbers as `fitting` leaves names, twice over.
                    None => continue,
                };
                if taken.insert(number) {
                    self.counts.clear(number)?;
                }
                let entry = NameEntry { number, action: rule.action.number(), pad: [0; 3] };
                wanted.extend(keys.into_iter().map(|key| (order(&key), (key, entry))));
                known.insert(number, Known { listener: listener.name.clone(), rule: rule.clone() });
            }
        }
        self.known = known;
        Ok(wanted)
    }

    fn write_rules(
        &mut self,
        listeners: &[LocalListener],
        ids: &BTreeMap<u16, String>,
        plans: &BTreeMap<u16, u8>,
    ) -> Result<(), MapError> {
        self.plans = plans.values().copied().filter(|plan| *plan != 0).collect();
        for (id, before) in self.rules.entries()? {
            let name = ids.get(&(id as u16));
            let listener =
                listeners.iter().find(|own| own.tls && Some(own.name.as_str()) == name.map(String::as_str));
            let rule = listener.map_or_else(PeekRule::default, |listener| PeekRule {
                depths: listener
                    .names
                    .iter()
                    .filter_map(|rule| depth(rule.host.as_ref()))
                    .fold(0, |all, one| all | one),
                flags: flags(&listener.names),
                plan: plans.get(&(id as u16)).copied().unwrap_or(0),
                pad: 0,
            });
            if rule != before {
                self.rules.put(&id, &rule)?;
            }
        }
        Ok(())
    }

    /// The route that a number's entry is of.
    pub(super) fn route(&self, number: u32) -> Option<Box<str>> {
        self.known.get(&number).map(|known| known.rule.route.clone())
    }

    /// How many entries there are, and words of the filter that say so.
    #[cfg(test)]
    pub(super) fn left(&self) -> (usize, usize) {
        let filter = self.filter.get(&0).ok().flatten();
        let filled = |filter: NameFilter| filter.words.iter().filter(|word| **word != 0).count();
        (
            self.entries.entries().map_or(usize::MAX, |entries| entries.len()),
            filter.map_or(usize::MAX, filled),
        )
    }

    /// As where nobody has written the filter yet.
    #[cfg(test)]
    pub(super) fn empty_the_filter(&self) -> Result<(), MapError> {
        self.filter.put(&0, &NameFilter::EMPTY)
    }

    /// How often each name was asked for.
    pub(super) fn status(&self) -> Result<Vec<NameStatus>, MapError> {
        let one = |(number, known): (&u32, &Known)| {
            let counts = self.counts.get(*number)?;
            let sum = |of: fn(&NameCount) -> u64| counts.iter().map(of).sum();
            Ok(NameStatus {
                listener: known.listener.clone(),
                host: known.rule.host.clone(),
                route: known.rule.route.clone(),
                action: known.rule.action,
                seen: sum(|count| count.seen),
                refused: sum(|count| count.refused),
                limited: sum(|count| count.limited),
            })
        };
        self.known.iter().map(one).collect()
    }
}

/// The listeners, without the names of those whose names do not all fit: with a part of them somebody could be refused
/// whom another name lets in. Half of the table: the former names go after the new ones have come.
fn fitting(listeners: &[LocalListener], ids: &BTreeMap<u16, String>) -> Vec<LocalListener> {
    let mut left = ENTRIES as usize / 2 - 1;
    let one = |listener: &LocalListener| {
        let mut listener = listener.clone();
        let numbers = ids.values().filter(|name| name.as_str() == listener.name.as_str()).count();
        let wanted = listener.names.len() * numbers;
        match left.checked_sub(wanted) {
            Some(rest) => left = rest,
            None => {
                tracing::warn!(
                    "listener {}: {wanted} host names of its routes are too many for the kernel part, which has room for \
                     {left} more: workers decide about all of them; use wildcards to have fewer",
                    listener.name.as_str()
                );
                listener.names.clear();
            }
        }
        listener
    };
    listeners.iter().map(one).collect()
}

/// A key as something that has an order.
fn order(key: &NameKey) -> [u8; 67] {
    let mut bytes = [0; 67];
    bytes[..64].copy_from_slice(&key.text().0);
    bytes[64..66].copy_from_slice(&key.listener.to_ne_bytes());
    bytes[66] = key.kind;
    bytes
}

/// The key of a host of a listener. `None`: the kernel programs leave such names to userspace.
fn key(listener: u16, host: Option<&HostPattern>) -> Option<NameKey> {
    match host {
        None => NameKey::new(listener, kind::DEFAULT, ""),
        Some(HostPattern::Exact(name)) => NameKey::new(listener, kind::EXACT, name),
        Some(HostPattern::Wildcard(parent)) => NameKey::new(listener, kind::WILDCARD, parent),
    }
}

/// What is said of a listener's names as a whole.
fn flags(names: &[NameRule]) -> u16 {
    match names.iter().any(|rule| rule.host.is_none()) {
        _ if names.is_empty() => 0,
        true => PeekRule::ENTRIES,
        false => PeekRule::ENTRIES | PeekRule::NO_DEFAULT,
    }
}

/// The bit of a wildcard's labels.
fn depth(host: Option<&HostPattern>) -> Option<u32> {
    let Some(HostPattern::Wildcard(parent)) = host else { return None };
    let labels = parent.split('.').count();
    (labels <= MOST_LABELS as usize && parent.len() <= sni::MOST_NAME).then(|| 1 << (labels - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{GuardConfig, Protocol};
    use crate::l4::desired::NameAction;

    fn listener(name: &str, names: u32) -> LocalListener {
        let rule = |at: u32| NameRule {
            host: Some(HostPattern::Exact(format!("h{at}.test").into())),
            route: "r".into(),
            action: NameAction::Drop,
        };
        LocalListener {
            name: name.into(),
            addresses: Vec::new(),
            protocol: Protocol::Tcp,
            guard: GuardConfig::default(),
            tls: true,
            names: (0..names).map(rule).collect(),
            handoff: false,
            backends: Vec::new(),
        }
    }

    #[test]
    fn a_listener_says_whether_it_has_an_entry_for_all_other_names() {
        let named = listener("own", 1).names;
        let other = NameRule { host: None, ..named[0].clone() };
        assert_eq!(flags(&[]), 0);
        assert_eq!(flags(&named), PeekRule::ENTRIES | PeekRule::NO_DEFAULT);
        assert_eq!(flags(&[named[0].clone(), other]), PeekRule::ENTRIES);
    }

    #[test]
    fn a_listener_has_all_its_names_in_the_kernel_part_or_none() {
        let ids = BTreeMap::from([(1, "small".to_owned()), (2, "large".to_owned()), (3, "last".to_owned())]);
        let listeners =
            [listener("small", 10), listener("large", ENTRIES / 2 - 10), listener("last", ENTRIES / 2 - 11)];
        let kept: Vec<_> = fitting(&listeners, &ids).iter().map(|listener| listener.names.len()).collect();
        assert_eq!(kept, [10, 0, ENTRIES as usize / 2 - 11]);
    }
}

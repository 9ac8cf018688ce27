//! All names that are managed: which there are, what they have, and what is due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::clock::Clock;
use super::entry::Entry;
use super::held::Held;
use super::managed::{managed, on_demand};
use super::renewal::Renewal;
use super::status::{CertificateStatus, Kind};
use super::storage::{Document, Generation, GenerationId, Storage, StorageError};
use crate::config::Config;
use crate::tls::{Origin, Store};

/// Names that handshakes asked for: no more of them.
const MOST_ON_DEMAND: usize = 65_536;

/// All names that are managed.
#[derive(Debug, Default)]
pub(super) struct Roster {
    entries: BTreeMap<Box<str>, Entry>,
}

/// What the storage has of names.
#[derive(Debug, Default)]
pub(super) struct Found {
    held: BTreeMap<Box<str>, Held>,
}

impl Found {
    /// Of these names, and of those that handshakes asked for. What cannot be read is said, and not there.
    pub(super) fn in_storage(storage: &dyn Storage, names: &[Box<str>], others: bool) -> Self {
        let mut found = Self::default();
        let mut all: Vec<(Box<str>, bool)> = names.iter().map(|name| (name.clone(), true)).collect();
        if others {
            match storage.names() {
                Ok(kept) => all
                    .extend(kept.into_iter().filter(|name| !names.contains(name)).map(|name| (name, false))),
                Err(error) => tracing::warn!("{error}"),
            }
        }
        for (name, named) in all {
            match storage.load(&name) {
                Ok(generations) => {
                    let wanted = |generation: &Generation| named || generation.meta.on_demand;
                    let held = generations.into_iter().find_map(|(id, generation)| {
                        wanted(&generation).then(|| Held::of(&name, Some(id), generation))?
                    });
                    if let Some(mut held) = held {
                        recall(storage, &name, &mut held);
                        found.held.insert(name, held);
                    }
                }
                Err(error) => tracing::warn!("{name}: what is kept cannot be read: {error}"),
            }
        }
        found
    }
}

fn recall(storage: &dyn Storage, name: &str, held: &mut Held) {
    let kept = storage.get(Document::Renewal, name).ok().flatten();
    let renewal = kept.and_then(|kept| serde_json::from_slice::<Renewal>(&kept).ok());
    if let Some(renewal) = renewal.filter(|renewal| renewal.is_of(&held.certificate)) {
        held.renewal = renewal;
    }
}

impl Roster {
    /// Names of a configuration that are not here yet.
    pub(super) fn missing(&self, config: &Config, store: &Store, clock: &Clock) -> Vec<Box<str>> {
        let wanted = managed(config, store, clock.now()).into_keys();
        wanted.filter(|name| !self.entries.contains_key(name)).collect()
    }

    /// These are the names from now on. True: others than before are to be served.
    pub(super) fn arrange(
        &mut self,
        config: &Config,
        store: &Store,
        mut found: Found,
        clock: &Clock,
    ) -> bool {
        let now = clock.now();
        let wanted = managed(config, store, now);
        let before = self.entries.len();
        self.entries.retain(|name, entry| {
            entry.on_demand &= !wanted.contains_key(name);
            wanted.contains_key(name) || entry.on_demand && on_demand(config, name)
        });
        let mut changed = self.entries.len() != before;
        for (name, kind) in wanted {
            match self.entries.get_mut(&name) {
                Some(entry) => entry.of_kind(kind, now),
                None => {
                    let held = found.held.remove(&name);
                    changed |= held.is_some();
                    self.entries.insert(name, Entry::new(kind, false, held, now));
                }
            }
        }
        for (name, held) in found.held {
            // What has expired is got again when a handshake asks again.
            if on_demand(config, &name) && held.certificate.is_valid(now) && self.has_room() {
                changed = true;
                self.entries.entry(name).or_insert_with(|| Entry::new(Kind::Acme, true, Some(held), now));
            }
        }
        changed
    }

    pub(super) fn get(&mut self, name: &str) -> Option<&mut Entry> {
        self.entries.get_mut(name)
    }

    /// A name that a handshake asks for; none: there are too many.
    pub(super) fn demand(&mut self, name: &str, now: SystemTime) -> Option<&mut Entry> {
        if !self.entries.contains_key(name) && !self.has_room() {
            return None;
        }
        Some(self.entries.entry(name.into()).or_insert_with(|| Entry::new(Kind::Acme, true, None, now)))
    }

    /// A name that a handshake asked for, and that has no certificate to serve, is not kept.
    pub(super) fn drop_idle(&mut self, name: &str, now: SystemTime) {
        let idle = |entry: &Entry| {
            entry.on_demand
                && !entry.working
                && !entry.held.as_ref().is_some_and(|held| held.certificate.is_valid(now))
        };
        if self.entries.get(name).is_some_and(idle) {
            self.entries.remove(name);
        }
    }

    fn has_room(&self) -> bool {
        self.entries.values().filter(|entry| entry.on_demand).count() < MOST_ON_DEMAND
    }

    /// Names that something is to be done for, who is waited for first, then who has nothing, then the longest due:
    /// `room` of CAs, and `internal` of our own, which no CA holds up.
    pub(super) fn due(&self, now: SystemTime, mut room: usize, mut internal: usize) -> Vec<Box<str>> {
        let mut due: Vec<_> =
            self.entries.iter().filter(|(_, entry)| !entry.working && entry.due <= now).collect();
        due.sort_by_key(|(_, entry)| (!entry.is_awaited(), entry.held.is_some(), entry.due));
        due.retain(|(_, entry)| {
            let left = if entry.kind == Kind::Internal { &mut internal } else { &mut room };
            let fits = *left > 0;
            *left = left.saturating_sub(1);
            fits
        });
        due.into_iter().map(|(name, _)| name.clone()).collect()
    }

    /// When something is due after this. What is due already waits for room.
    pub(super) fn next_after(&self, now: SystemTime) -> Option<SystemTime> {
        let waiting = self.entries.values().filter(|entry| !entry.working && entry.due > now);
        waiting.map(|entry| entry.due).min()
    }

    /// How many are worked on: of CAs, and of our own.
    pub(super) fn working(&self) -> (usize, usize) {
        let working = self.entries.values().filter(|entry| entry.working);
        working.fold((0, 0), |(room, internal), entry| match entry.kind {
            Kind::Acme => (room + 1, internal),
            Kind::Internal => (room, internal + 1),
        })
    }

    /// Names with what is served of them, to see whether somebody else has got a newer one.
    pub(super) fn known(&self) -> Vec<(Box<str>, Option<GenerationId>)> {
        let idle = self.entries.iter().filter(|(_, entry)| !entry.working);
        idle.map(|(name, entry)| (name.clone(), entry.held.as_ref().and_then(|held| held.id.clone())))
            .collect()
    }

    /// Somebody else has got newer ones.
    pub(super) fn refresh(&mut self, names: &[Box<str>], now: SystemTime) {
        for name in names {
            if let Some(entry) = self.entries.get_mut(name) {
                entry.due = now;
            }
        }
    }

    /// Puts all certificates where handshakes find them.
    pub(super) fn serve(&self, store: &Store) {
        for (kind, origin) in [(Kind::Acme, Origin::Acme), (Kind::Internal, Origin::Internal)] {
            let of_kind = self.entries.values().filter(|entry| entry.kind == kind);
            let held = of_kind.filter_map(|entry| entry.held.as_ref());
            store.put(origin, held.map(|held| Arc::clone(&held.certificate)).collect());
        }
    }

    /// For `certs list`.
    pub(super) fn list(&self) -> Vec<CertificateStatus> {
        self.entries.iter().map(|(name, entry)| entry.status(name)).collect()
    }
}

/// Of these names, those whose current generation is another one.
pub(super) fn changed(
    storage: &dyn Storage,
    known: Vec<(Box<str>, Option<GenerationId>)>,
) -> Result<Vec<Box<str>>, StorageError> {
    let mut changed = Vec::new();
    for (name, id) in known {
        let current = storage.current(&name)?;
        if current.is_some() && current != id && id.is_some() {
            changed.push(name);
        }
    }
    Ok(changed)
}

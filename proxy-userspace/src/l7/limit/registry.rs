//! Every limit that is in force here, through all reloads: rates that operators have changed, and what was counted.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::desk::Desk;
use super::live::{Counts, Live};
use crate::config::{Amount, LimitName, Measure};
use crate::limit::{self, Clock, Heap, Ids, Table, address, number};

/// Keys that are counted where there is no kernel part.
const KEYS: u32 = 1 << 16;

/// Every limit that is in force here.
#[derive(Debug)]
pub struct Registry {
    desk: Arc<Desk>,
    inside: Mutex<BTreeMap<(LimitName, Measure), Entry>>,
    ids: Arc<Ids>,
}

#[derive(Debug)]
struct Entry {
    live: Arc<Live>,
    /// What the file says.
    file: Amount,
    /// What an operator has said since.
    said: Option<Amount>,
}

/// A measure of a limit, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InForce {
    /// The limit.
    pub name: LimitName,
    /// What it counts.
    pub measure: Measure,
    /// How much it lets through,
    pub amount: Amount,
    /// and by the file.
    pub file: Amount,
    /// What it came to.
    pub counts: Counts,
}

/// A key that has been refused, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The limit.
    pub name: LimitName,
    /// What it counts.
    pub measure: Measure,
    /// Whose it is: an address, a listener's name, or the number that a text has.
    pub whose: String,
    /// How often, since it is remembered.
    pub refused: u64,
}

impl Default for Registry {
    /// In memory of this process.
    fn default() -> Self {
        let clock = Arc::new(Clock::default());
        let table = || Table::new(Arc::new(Heap::new(KEYS)), fastrand::u64(..), Arc::clone(&clock));
        Self::new(Desk::new(table(), table()), Arc::default())
    }
}

impl Registry {
    /// Nothing is limited yet. Limits have these numbers.
    pub fn new(desk: Desk, ids: Arc<Ids>) -> Self {
        Self { desk: Arc::new(desk), inside: Mutex::default(), ids }
    }

    /// In this table, which the kernel part charges too; limits have the numbers that it knows. Who is in at a time is
    /// counted here alone: connections end with the process that serves them, and so must their count.
    pub fn sharing(table: Table, ids: Arc<Ids>) -> Self {
        let inside = Table::new(Arc::new(Heap::new(KEYS)), fastrand::u64(..), Arc::clone(table.clock()));
        Self::new(Desk::new(table, inside), ids)
    }

    /// Where keys are charged.
    pub(super) fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    /// A limit's number; none: there are too many, which is refused when a configuration is checked.
    pub(super) fn id(&self, name: &LimitName) -> Option<u16> {
        self.ids.of(name.as_str())
    }

    /// A measure of a limit: the one that is in force, or one that begins with this amount once it is applied.
    pub(super) fn live(&self, name: &LimitName, measure: Measure, id: u16, amount: Amount) -> Arc<Live> {
        match self.inside().get(&(name.clone(), measure)) {
            Some(entry) if entry.live.id == id => Arc::clone(&entry.live),
            _ => Arc::new(Live::new(name.clone(), measure, id, amount, self.desk.hz())),
        }
    }

    /// Puts a configuration in force: these measures and no others. What an operator has said of one holds until the file
    /// says something else of it than it did then. Limits of other names give their numbers back.
    pub(super) fn apply(&self, wanted: &[(Arc<Live>, Amount)], is_configured: impl Fn(&str) -> bool) {
        let mut inside = self.inside();
        inside.retain(|(name, _), entry| {
            if !is_configured(name.as_str()) {
                // Whoever gets the number next begins anew.
                self.desk.forget_limit(entry.live.id);
            }
            wanted.iter().any(|(live, _)| Arc::ptr_eq(live, &entry.live))
        });
        self.ids.keep(is_configured);
        for (live, amount) in wanted {
            let new = || Entry { live: Arc::clone(live), file: *amount, said: None };
            let entry = inside.entry((live.name.clone(), live.measure)).or_insert_with(new);
            if entry.file != *amount {
                (entry.file, entry.said) = (*amount, None);
                entry.live.set(*amount, self.desk.hz());
            }
        }
    }

    /// Changes how much a measure lets through, for the next that is charged. Gives what it was; none: there is no such.
    pub fn set(&self, name: &LimitName, measure: Measure, amount: Amount) -> Option<Amount> {
        let mut inside = self.inside();
        let entry = inside.get_mut(&(name.clone(), measure))?;
        let before = entry.said.unwrap_or(entry.file);
        entry.said = (amount != entry.file).then_some(amount);
        entry.live.set(amount, self.desk.hz());
        Some(before)
    }

    /// What the file says holds again, for all measures of a limit. Gives those that change.
    pub fn reset(&self, name: &LimitName) -> Vec<(Measure, Amount)> {
        let mut changed = Vec::new();
        for entry in self.inside().values_mut().filter(|entry| entry.live.name == *name) {
            if entry.said.take().is_some() {
                entry.live.set(entry.file, self.desk.hz());
                changed.push((entry.live.measure, entry.file));
            }
        }
        changed
    }

    /// All that is in force, by name and measure.
    pub fn in_force(&self) -> Vec<InForce> {
        let of = |entry: &Entry| InForce {
            name: entry.live.name.clone(),
            measure: entry.live.measure,
            amount: entry.said.unwrap_or(entry.file),
            file: entry.file,
            counts: entry.live.counts(),
        };
        self.inside().values().map(of).collect()
    }

    /// Keys that have been refused. Of those that are no addresses, the names of `listeners` can be told.
    pub fn refused(&self, listeners: &[&str]) -> Vec<Refused> {
        let inside = self.inside();
        let known = |entry: &limit::Entry| {
            let found = inside
                .values()
                .find(|known| known.live.id == entry.limit && number(known.live.measure) == entry.measure);
            found.map(|known| (known.live.name.clone(), known.live.measure))
        };
        let named = |entry: &limit::Entry| {
            let live = inside.values().find(|known| known.live.id == entry.limit)?;
            let is = |name: &&&str| self.desk.text(&live.live, name.as_bytes()).who == entry.who;
            listeners.iter().find(is).map(|name| (*name).to_owned())
        };
        let of = |entry: limit::Entry| {
            let (name, measure) = known(&entry)?;
            let whose = match address(entry.kind, entry.who) {
                Some(address) => address.to_string(),
                None => named(&entry).unwrap_or_else(|| format!("#{:016x}", entry.who[0])),
            };
            Some(Refused { name, measure, whose, refused: u64::from(entry.refused) })
        };
        self.desk.refused_keys().filter_map(of).collect()
    }

    /// Forgets what an address, masked, has used up of a limit. Of how many measures there was anything.
    pub fn forget(&self, name: &LimitName, address: IpAddr) -> usize {
        let inside = self.inside();
        let own = inside.values().filter(|entry| entry.live.name == *name);
        own.filter(|entry| self.desk.forget(&self.desk.address(&entry.live, address))).count()
    }

    fn inside(&self) -> MutexGuard<'_, BTreeMap<(LimitName, Measure), Entry>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

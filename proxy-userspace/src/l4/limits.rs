//! Limits in the kernel part's tables. A listener's rules stand in a plan, which is written whole under a number of its own
//! before anything refers to it; rates are written in place, and the next packet obeys. What operators set is remembered
//! beside, for the daemon that starts next.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use proxy_common::addr::{Ip4, Ip6};
use proxy_common::plan::scope;
use proxy_common::plan::{CountedSet, ExemptKey, LimitCount, LimitRecord, Plan, WrittenRate, count_index};
use proxy_common::{names, plan};

use super::compile_limits::{
    MEASURES, Of, amount, compile, counted, exemptions, key_of, rate, rate_of, record_of, same_but_for_rates,
    set, written,
};
use super::maps::{Action, MapError, PerCpu, Table as Map};
use super::pins::Pins;
use super::reconcile::{ApplyError, PlanError};
use super::sys::{self, RawMap, SharedArray};
use crate::config::{Amount, LimitConfig, LimitName, ListenerName, Measure};
use crate::limit::{Clock, Entry, Ids, Sets, Table, Who, address, measure, number, text_hash};

/// The tables of limits, and what is known of them.
#[derive(Debug)]
pub(super) struct Limits {
    plans: Map<u32, Plan>,
    counted: Map<u32, CountedSet>,
    records: Map<u32, LimitRecord>,
    exempt4: Map<ExemptKey<Ip4>, u32>,
    exempt6: Map<ExemptKey<Ip6>, u32>,
    counts: PerCpu<LimitCount>,
    table: Table,
    ids: Arc<Ids>,
    seed: u64,
    hz: u32,
    sets: u32,
    /// Plans by number: those in use, and those that flows may still be counted by.
    known: BTreeMap<u8, Plan>,
    /// Those that nothing but flows referred to when the last walk over all flows ended.
    idle: BTreeSet<u8>,
    /// What is remembered of each limit.
    remembered: BTreeMap<u16, LimitRecord>,
    /// As they were applied last.
    configured: Vec<LimitConfig>,
    /// Plans that rules of names refer to.
    of_names: BTreeSet<u8>,
}

/// A measure of a limit, as the kernel part keeps it.
#[derive(Clone, PartialEq, Debug)]
pub struct KeptLimit {
    /// The limit.
    pub limit: LimitName,
    /// What is counted.
    pub measure: Measure,
    /// How much is let through.
    pub amount: Amount,
    /// What came of it.
    pub counts: LimitCount,
}

/// What is remembered of a limit.
#[derive(Clone, PartialEq, Debug)]
pub struct RememberedLimit {
    /// Its name.
    pub name: LimitName,
    /// What it is per, for people.
    pub per: String,
    /// Its action, for people.
    pub action: String,
    /// What it counts.
    pub measures: Vec<RememberedMeasure>,
}

/// A measure of it.
#[derive(Clone, PartialEq, Debug)]
pub struct RememberedMeasure {
    /// What is counted.
    pub measure: Measure,
    /// How much the configuration lets through.
    pub file: Amount,
    /// How much is let through.
    pub amount: Amount,
    /// What came of it in the kernel part.
    pub counts: LimitCount,
}

/// A key that has been refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefusedKey {
    /// The limit.
    pub limit: LimitName,
    /// What it counts.
    pub measure: Measure,
    /// Whose it is.
    pub key: String,
    /// How often, since it is remembered.
    pub refused: u64,
}

/// The buckets, as the kernel's programs see them.
#[derive(Debug)]
struct Mapped(SharedArray);

impl Sets for Mapped {
    fn sets(&self) -> &[proxy_common::bucket::SharedBucketSet] {
        self.0.bucket_sets()
    }
}

impl Limits {
    /// Takes the tables over, with what an earlier daemon left in them.
    pub(super) fn open(pins: &Pins, seed: u64, hz: u32) -> Result<Self, MapError> {
        let open = |name: &'static str| {
            sys::open_pin(&pins.object(name)).map_err(|cause| MapError {
                map: name,
                action: Action::Open,
                cause,
            })
        };
        let buckets = RawMap::new(open(names::BUCKETS)?, 1).and_then(|map| SharedArray::map(&map));
        let buckets =
            buckets.map_err(|cause| MapError { map: names::BUCKETS, action: Action::Open, cause })?;
        let sets = buckets.bucket_sets().len() as u32;
        let cpus = aya::util::nr_cpus().map_err(|(_, cause)| MapError {
            map: names::LIMIT_COUNTS,
            action: Action::Open,
            cause,
        })?;
        let clock = Arc::new(Clock::default());
        let records: Map<u32, LimitRecord> = Map::new(names::LIMIT_RECORDS, open(names::LIMIT_RECORDS)?)?;
        let plans: Map<u32, Plan> = Map::new(names::PLANS, open(names::PLANS)?)?;
        let remembered: BTreeMap<u16, LimitRecord> = records
            .entries()?
            .into_iter()
            .filter(|(_, record)| record.name[0] != 0)
            .map(|(id, record)| (id as u16, record))
            .collect();
        let known = plans.entries()?.into_iter().filter(|(number, plan)| *number != 0 && plan.used != 0);
        let known = known.map(|(number, plan)| (number as u8, plan)).collect();
        let ids = Ids::remembered(remembered.iter().map(|(id, record)| (written(&record.name), *id)));
        Ok(Self {
            plans,
            counted: Map::new(names::COUNTED, open(names::COUNTED)?)?,
            records,
            exempt4: Map::new(names::EXEMPT4, open(names::EXEMPT4)?)?,
            exempt6: Map::new(names::EXEMPT6, open(names::EXEMPT6)?)?,
            counts: PerCpu::new(names::LIMIT_COUNTS, open(names::LIMIT_COUNTS)?, cpus)?,
            table: Table::new(Arc::new(Mapped(buckets)), seed, clock),
            ids: Arc::new(ids),
            seed,
            hz,
            sets,
            known,
            idle: BTreeSet::new(),
            remembered,
            configured: Vec::new(),
            of_names: BTreeSet::new(),
        })
    }

    /// The table of keys, and the numbers of limits: for workers.
    pub(super) fn shared(&self) -> (Table, Arc<Ids>) {
        (self.table.clone(), Arc::clone(&self.ids))
    }

    /// The secret that keys, and flows, are hashed with.
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// The clock goes on from these ticks.
    pub(super) fn set_clock(&self, ticks: u64) {
        self.table.clock().set(self.hz, ticks);
    }

    /// Takes the configuration's limits: their numbers, what is remembered of them, and who is exempt.
    pub(super) fn take(&mut self, limits: &[LimitConfig]) -> Result<(), MapError> {
        self.ids.keep(|name| limits.iter().any(|limit| limit.name.as_str() == name));
        let mut wanted = BTreeMap::new();
        let mut exempt = (Vec::new(), Vec::new());
        for limit in limits {
            // `check` allows no more limits than there are numbers.
            let Some(id) = self.ids.of(limit.name.as_str()) else { continue };
            wanted.insert(id, record_of(limit, self.remembered.get(&id)));
            exemptions(id, limit, &mut exempt);
        }
        for (id, before) in &self.remembered {
            let stays = wanted.get(id).is_some_and(|record| record.name == before.name);
            if !stays {
                // Whoever gets the number next begins anew.
                self.table.reset_limit(*id);
                for measure in 0..plan::MEASURES as u8 {
                    self.counts.clear(count_index(*id, measure))?;
                }
            }
            if !wanted.contains_key(id) {
                self.records.put(&u32::from(*id), &LimitRecord::default())?;
            }
        }
        for (id, record) in &wanted {
            if self.remembered.get(id) != Some(record) {
                self.records.put(&u32::from(*id), record)?;
            }
        }
        replace(&self.exempt4, &exempt.0)?;
        replace(&self.exempt6, &exempt.1)?;
        self.remembered = wanted;
        self.configured = limits.to_vec();
        Ok(())
    }

    /// What is remembered of limits.
    pub(super) fn remembered(&self) -> BTreeMap<u16, LimitRecord> {
        self.remembered.clone()
    }

    /// What was remembered before a configuration was taken that could not be put in force.
    pub(super) fn remember(&mut self, before: BTreeMap<u16, LimitRecord>) -> Result<(), MapError> {
        for id in self.remembered.keys().filter(|id| !before.contains_key(id)) {
            self.records.put(&u32::from(*id), &LimitRecord::default())?;
        }
        for (id, record) in &before {
            self.records.put(&u32::from(*id), record)?;
        }
        self.ids.put_back(before.iter().map(|(id, record)| (written(&record.name), *id)));
        self.remembered = before;
        Ok(())
    }

    /// The number of the plan of a listener, by its name and number; 0: no limit holds for it. A plan that differs in its
    /// rates alone keeps its number; a new one gets a number that is not among `taken`, and is so from then on.
    pub(super) fn plan_of(
        &mut self,
        name: &ListenerName,
        listener: u16,
        of: Of,
        taken: &mut BTreeSet<u8>,
    ) -> Result<u8, ApplyError> {
        let mut wanted = self.compiled(name, listener, of);
        if !wanted.rules[0].is_used() {
            return Ok(0);
        }
        let same = self.known.iter().find(|(_, plan)| same_but_for_rates(plan, &wanted));
        let number = match same {
            Some((number, _)) => *number,
            None => self.fresh(taken).ok_or(PlanError::Limited)?,
        };
        taken.insert(number);
        self.idle.remove(&number);
        if wanted.of_counts != 0 {
            wanted.counted = number;
        }
        if self.known.get(&number) != Some(&wanted) {
            if wanted.counted != 0 {
                self.counted.put(&u32::from(number), &counted(&wanted))?;
            }
            self.plans.put(&u32::from(number), &wanted)?;
            self.known.insert(number, wanted);
        }
        Ok(number)
    }

    /// A listener's plan, with the rates that are in force.
    fn compiled(&self, name: &ListenerName, listener: u16, of: Of) -> Plan {
        let numbered = self.configured.iter().filter_map(|limit| {
            let id = self.ids.of(limit.name.as_str())?;
            Some((id, limit, self.remembered.get(&id)?))
        });
        compile(name, listener, &numbered.collect::<Vec<_>>(), of, (self.seed, self.sets, self.hz))
    }

    /// A number that no plan has, else one that nothing refers to, not even a flow.
    fn fresh(&self, taken: &BTreeSet<u8>) -> Option<u8> {
        let mut free = (1..=u8::MAX).filter(|number| !taken.contains(number));
        let counts = |number: &u8| self.known.get(number).is_some_and(|plan| plan.of_counts != 0);
        let unknown = free.clone().find(|number| !self.known.contains_key(number));
        unknown.or_else(|| free.find(|number| !counts(number)))
    }

    /// Rules of names refer to these plans.
    pub(super) fn hold(&mut self, of_names: BTreeSet<u8>) {
        self.of_names = of_names;
    }

    /// A walk over all flows has ended: plans that nothing refers to, neither when the walk before it ended nor now, are
    /// forgotten. `taken`: what listeners and backends refer to; `seen`: what flows are counted by.
    pub(super) fn forget_unused(
        &mut self,
        taken: &BTreeSet<u8>,
        seen: &BTreeSet<u8>,
    ) -> Result<(), MapError> {
        let idle: BTreeSet<u8> = self
            .known
            .keys()
            .filter(|number| !taken.contains(number) && !self.of_names.contains(number))
            .copied()
            .collect();
        for number in idle.iter().filter(|number| self.idle.contains(number) && !seen.contains(number)) {
            self.plans.put(&u32::from(*number), &Plan::default())?;
            self.known.remove(number);
        }
        self.idle = idle;
        Ok(())
    }

    /// A measure lets through so much, from the next packet on. What only workers count is remembered, for the daemon that
    /// starts next. Whether there is such a limit.
    pub(super) fn set(
        &mut self,
        limit: &LimitName,
        measure: Measure,
        amount: Amount,
    ) -> Result<bool, MapError> {
        let Some(id) = self.id(limit) else { return Ok(false) };
        let Some(record) = self.remembered.get_mut(&id) else { return Ok(false) };
        let (at, amount) = (usize::from(number(measure)), rate(amount));
        record.set[at] = if amount == record.written[at] { WrittenRate::default() } else { amount };
        self.records.put(&u32::from(id), record)?;
        self.renew(id)?;
        Ok(true)
    }

    /// What operators have set, and the file does not say.
    pub(super) fn overrides(&self) -> Vec<(LimitName, Measure, Amount)> {
        let of = |limit: &LimitConfig| {
            let record = self.remembered.get(&self.id(&limit.name)?)?;
            let set = limit.measures.iter().filter_map(|(measure, _)| Some((measure, set(record, measure)?)));
            let named = set.map(|(measure, amount)| (limit.name.clone(), measure, amount));
            Some(named.collect::<Vec<_>>())
        };
        self.configured.iter().filter_map(of).flatten().collect()
    }

    /// What was set of a limit is forgotten.
    pub(super) fn reset(&mut self, limit: &LimitName) -> Result<(), MapError> {
        let Some(id) = self.id(limit) else { return Ok(()) };
        let Some(record) = self.remembered.get_mut(&id) else { return Ok(()) };
        record.set = LimitRecord::default().set;
        self.records.put(&u32::from(id), record)?;
        self.renew(id)
    }

    /// What an address, masked, has used up of a limit is forgotten. How many keys those were.
    pub(super) fn reset_key(&self, limit: &LimitName, address: IpAddr) -> usize {
        let Some(id) = self.id(limit) else { return 0 };
        let rates = [Measure::Packets, Measure::Bytes, Measure::Connections];
        let keys = rates.map(|measure| self.table.address_key(id, number(measure), address));
        keys.iter().filter(|key| self.table.reset(key)).count()
    }

    /// The number of a limit that is remembered.
    fn id(&self, limit: &LimitName) -> Option<u16> {
        self.ids.get(limit.as_str()).filter(|id| self.remembered.contains_key(id))
    }

    /// What an address has used up of a limit, by the rules of its plans, is forgotten. How many keys those were; none:
    /// no rule counts by address.
    pub(super) fn forget(&self, limit: &LimitName, address: IpAddr) -> Option<usize> {
        let id = self.id(limit)?;
        let rules = self.known.values().flat_map(|plan| &plan.rules);
        let own = rules.filter(|rule| rule.is_used() && rule.limit == id && rule.scope == scope::ADDRESS);
        let keys: BTreeMap<u64, _> =
            own.map(|rule| key_of(rule, self.seed, address, 0)).map(|key| (key.tag, key)).collect();
        (!keys.is_empty()).then(|| keys.values().filter(|key| self.table.reset(key)).count())
    }

    /// Keys that have been refused: addresses, listeners by their names, else numbers.
    pub(super) fn refused(&self, listeners: &BTreeMap<u16, String>) -> Vec<RefusedKey> {
        let texts: BTreeMap<u64, &String> =
            listeners.values().map(|name| (text_hash(self.seed, name), name)).collect();
        let one = |entry: Entry| {
            let key = match address(entry.kind, entry.who) {
                Some(address) => address.to_string(),
                None => match texts.get(&entry.who[0]).filter(|_| entry.kind == Who::Text) {
                    Some(name) => (*name).clone(),
                    None => format!("#{:016x}", entry.who[0]),
                },
            };
            let limit = self.ids.name(entry.limit)?.as_str().into();
            Some(RefusedKey {
                limit,
                measure: measure(entry.measure)?,
                key,
                refused: u64::from(entry.refused),
            })
        };
        self.table.entries().filter(|entry| entry.refused > 0).filter_map(one).collect()
    }

    /// All that is remembered, by name: what only workers count, too.
    pub(super) fn all(&self) -> Result<Vec<RememberedLimit>, MapError> {
        let mut all = Vec::new();
        for (id, record) in &self.remembered {
            let mut measures = Vec::new();
            for measure in Measure::ALL {
                let Some(file) = amount(&record.written[usize::from(number(measure))]) else { continue };
                let amount = set(record, measure).unwrap_or(file);
                let counts = self.count(*id, measure)?;
                measures.push(RememberedMeasure { measure, file, amount, counts });
            }
            let name = written(&record.name).as_str().into();
            let (per, action) = (written(&record.per), written(&record.action));
            all.push(RememberedLimit { name, per, action, measures });
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// What came of a measure.
    fn count(&self, id: u16, measure: Measure) -> Result<LimitCount, MapError> {
        let mut counts = LimitCount::default();
        for one in self.counts.get(count_index(id, number(measure)))? {
            counts.passed += one.passed;
            counts.refused += one.refused;
            counts.observed += one.observed;
            counts.exempt += one.exempt;
        }
        Ok(counts)
    }

    /// Writes the rates of a limit into all plans that have it.
    fn renew(&mut self, id: u16) -> Result<(), MapError> {
        let Some(record) = self.remembered.get(&id) else { return Ok(()) };
        for (number, plan) in &mut self.known {
            let before = *plan;
            for rule in plan.rules.iter_mut().filter(|rule| rule.is_used() && rule.limit == id) {
                (rule.interval, rule.tolerance) = rate_of(record, rule.measure, self.hz);
            }
            if *plan != before {
                self.plans.put(&u32::from(*number), plan)?;
            }
        }
        Ok(())
    }

    /// How many plans there are.
    #[cfg(test)]
    pub(super) fn plans(&self) -> usize {
        self.known.len()
    }

    /// Every measure that a plan has.
    pub(super) fn kept(&self) -> Result<Vec<KeptLimit>, MapError> {
        let mut kept = Vec::new();
        for limit in &self.configured {
            let Some(id) = self.id(&limit.name) else { continue };
            for measure in MEASURES.into_iter().filter(|measure| limit.measures.get(*measure).is_some()) {
                let of = |rule: &plan::Rule| rule.limit == id && rule.measure == number(measure);
                if !self.known.values().any(|plan| plan.rules.iter().any(|rule| rule.is_used() && of(rule))) {
                    continue;
                }
                let counts = self.count(id, measure)?;
                let set = self.remembered.get(&id).and_then(|record| set(record, measure));
                let Some(amount) = set.or_else(|| limit.measures.get(measure)) else { continue };
                kept.push(KeptLimit { limit: limit.name.clone(), measure, amount, counts });
            }
        }
        Ok(kept)
    }

    /// A connection that was counted is over: its flow was removed.
    pub(super) fn leave(&self, set: u8, client: IpAddr, backend: u16) -> Result<(), MapError> {
        let Some(set) = self.counted.get(&u32::from(set))? else { return Ok(()) };
        for rule in set.rules.iter().take(set.count as usize) {
            let key = key_of(rule, set.seed, client, backend);
            self.table.leave(&key);
        }
        Ok(())
    }
}

/// Makes a table hold these keys and no others.
fn replace<K: proxy_common::pod::Pod + PartialEq>(map: &Map<K, u32>, wanted: &[K]) -> Result<(), MapError> {
    let present = map.entries()?;
    for key in wanted.iter().filter(|key| !present.iter().any(|(there, _)| there == *key)) {
        map.put(key, &1)?;
    }
    for (key, _) in present.iter().filter(|(there, _)| !wanted.contains(there)) {
        map.remove(key)?;
    }
    Ok(())
}

//! Limits of a world on plain memory.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;

use proxy_common::{
    addr::{Ip4, Ip6},
    bucket::{self, Charge, Key, Make, Memory, SharedBucketSet, Who},
    cell::Cell64,
    gcra::{Gcra, fractions},
    limit_event::Event,
    plan::{CountedSet, LimitCount, Plan, RULES, Rule, SharedPlan, count_index, measure, sketch},
};

use crate::world::LimitOutcome;

/// Ticks a second.
pub const MORE_HZ: u32 = 1000;
/// Sets of the table of keys.
const SETS: u32 = 256;
const SEED: u64 = 0x5eed;

/// The sets as the shared code wants them.
struct Sets<'a>(&'a [SharedBucketSet]);

impl Memory for Sets<'_> {
    fn set(&self, index: u32) -> Option<&SharedBucketSet> {
        self.0.get(index as usize)
    }
    fn sets(&self) -> u32 {
        SETS
    }
    fn claimant(&self) -> u16 {
        2
    }
}

/// Limits, and what has become of them.
#[derive(Debug)]
pub struct Limits {
    pub(super) plans: Vec<SharedPlan>,
    pub(super) counted: Vec<CountedSet>,
    pub(super) buckets: Vec<SharedBucketSet>,
    pub(super) sketch: Vec<Cell64>,
    pub(super) events: RefCell<Vec<Event>>,
    counts: RefCell<HashMap<(u16, u8), LimitCount>>,
    /// Prefixes that a limit does not hold for.
    pub exempt: Vec<(u16, IpAddr, u8)>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            plans: vec![shared(&Plan::default())],
            counted: vec![CountedSet::default()],
            buckets: (0..SETS).map(|_| SharedBucketSet::default()).collect(),
            sketch: (0..sketch::CELLS).map(|_| Cell64::new(0)).collect(),
            events: RefCell::default(),
            counts: RefCell::default(),
            exempt: Vec::new(),
        }
    }
}

fn shared(plan: &Plan) -> SharedPlan {
    let rule = |rule: &Rule| Rule {
        interval: Cell64::new(rule.interval),
        tolerance: Cell64::new(rule.tolerance),
        number: rule.number,
        v6: rule.v6,
        v4: rule.v4,
        limit: rule.limit,
        measure: rule.measure,
        action: rule.action,
        scope: rule.scope,
        flags: rule.flags,
        kind: rule.kind,
        pad: rule.pad,
        counter: count_index(rule.limit, rule.measure),
        salt: bucket::salt_of(rule.limit, rule.measure),
    };
    SharedPlan {
        seed: plan.seed,
        sets: plan.sets,
        hz: plan.hz,
        of_packets: plan.of_packets,
        of_connections: plan.of_connections,
        of_counts: plan.of_counts,
        counted: plan.counted,
        listener: plan.listener,
        used: plan.used,
        straight: plan.straight_by(),
        pad: plan.pad,
        more: plan.more,
        rules: std::array::from_fn(|number| rule(&plan.rules[number])),
    }
}

impl Limits {
    /// Adds a plan of these rules, which stand in the order of their measures. Its number.
    pub fn add(&mut self, rules: &[Rule]) -> u8 {
        let number = self.plans.len() as u8;
        let of = |wanted: fn(u8) -> bool| rules.iter().filter(|rule| wanted(rule.measure)).count() as u8;
        let mut plan = Plan {
            seed: SEED,
            sets: SETS,
            hz: MORE_HZ,
            of_packets: of(|measure| measure <= measure::BYTES),
            of_connections: of(|measure| measure == measure::CONNECTIONS),
            of_counts: of(|measure| measure == measure::CONCURRENT),
            counted: number,
            used: 1,
            ..Plan::default()
        };
        plan.rules[..rules.len()].copy_from_slice(rules);
        self.plans.push(shared(&plan));
        let counts = &rules[(plan.of_packets + plan.of_connections) as usize..];
        let mut set =
            CountedSet { seed: SEED, sets: SETS, count: counts.len() as u32, ..CountedSet::default() };
        set.rules[..counts.len()].copy_from_slice(counts);
        self.counted.push(set);
        number
    }

    /// The secret that keys are hashed with.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        SEED
    }

    /// Charges the key of a text, by its hash, as workers do. Whether it passes.
    #[must_use]
    pub fn charge(&self, limit: u16, measure: u8, hash: u64, gcra: &Gcra, now: u32) -> bool {
        let key = Key::new(SEED, limit, measure, Who::Text, [hash, 0]);
        let now = fractions(1 << 32 | u64::from(now));
        matches!(bucket::charge(&Sets(&self.buckets), &key, gcra, 1, now, Make::Yes), Charge::Passed(_))
    }

    /// Writes another rate in place.
    pub fn set(&self, plan: u8, rule: usize, interval: u64, tolerance: u64) {
        let rule = &self.plans[usize::from(plan)].rules[rule % RULES];
        rule.interval.store(interval);
        rule.tolerance.store(tolerance);
    }

    /// What a measure of a limit has done.
    #[must_use]
    pub fn counted(&self, limit: u16, measure: u8) -> LimitCount {
        self.counts.borrow().get(&(limit, measure)).copied().unwrap_or_default()
    }

    /// How many keys have room.
    #[must_use]
    pub fn places(&self) -> usize {
        self.buckets.len() * bucket::WAYS
    }

    /// How many keys have an entry.
    #[must_use]
    pub fn keys(&self) -> usize {
        let tags = self.buckets.iter().flat_map(|set| set.tags.iter().map(Cell64::load));
        tags.filter(|tag| *tag != 0).count()
    }

    /// Connections that are counted at a time, over all keys.
    #[must_use]
    pub fn inside(&self) -> u64 {
        let states = self.buckets.iter().flat_map(|set| set.states.iter().map(Cell64::load));
        states.filter(|state| state >> 63 != 0).map(|state| state & 0xffff_ffff).sum()
    }

    /// What the daemon was told.
    #[must_use]
    pub fn told(&self) -> Vec<Event> {
        self.events.borrow().clone()
    }

    pub(super) fn count(&self, limit: u16, measure: u8, outcome: LimitOutcome) {
        let mut counts = self.counts.borrow_mut();
        let count = counts.entry((limit, measure)).or_default();
        match outcome {
            LimitOutcome::Passed => count.passed += 1,
            LimitOutcome::Refused => count.refused += 1,
            LimitOutcome::Observed => count.observed += 1,
            LimitOutcome::Exempt => count.exempt += 1,
        }
    }

    pub(super) fn is_exempt(&self, limit: u16, client: IpAddr) -> bool {
        fn same(a: &[u8], b: &[u8], bits: u8) -> bool {
            (0..usize::from(bits)).all(|bit| (a[bit / 8] ^ b[bit / 8]) & (0x80 >> (bit % 8)) == 0)
        }
        self.exempt.iter().any(|(of, prefix, bits)| {
            *of == limit
                && match (prefix, client) {
                    (IpAddr::V4(prefix), IpAddr::V4(client)) => {
                        same(&prefix.octets(), &client.octets(), *bits)
                    }
                    (IpAddr::V6(prefix), IpAddr::V6(client)) => {
                        same(&prefix.octets(), &client.octets(), *bits)
                    }
                    _ => false,
                }
        })
    }
}

/// The masks of a rule whose keys are the first bits of addresses.
#[must_use]
pub fn masks(v4: u32, v6: u32) -> (u32, [u64; 2]) {
    let v4 = Ip4::from(std::net::Ipv4Addr::from(u32::MAX.checked_shl(32 - v4).unwrap_or(0)));
    let v6 = Ip6::from(std::net::Ipv6Addr::from(u128::MAX.checked_shl(128 - v6).unwrap_or(0)));
    let words = v6.0.map(|word| u64::from(word.raw()));
    (v4.0.raw(), [words[0] | words[1] << 32, words[2] | words[3] << 32])
}

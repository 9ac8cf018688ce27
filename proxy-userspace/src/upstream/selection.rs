//! Those of a pool that can serve now, and how one of them is chosen. Made anew whenever that changes, and never
//! changed: whoever has one may go on using it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use proxy_common::maglev::Ring;

use super::backend::Backend;
use super::balance::{least, order, p2c, random, ring};
use crate::config::Balance;

/// What a choice depends on.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// The time, roughly.
    pub now: Instant,
    /// The hash of what the pool is balanced by, if it is balanced by something.
    pub key: u64,
}

/// One that can serve.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) backend: Arc<Backend>,
    /// At least 1.
    pub(super) weight: u32,
}

/// Those that can serve.
#[derive(Debug)]
pub(super) struct Selection {
    /// The state of the group that it was made of.
    pub(super) changes: u32,
    /// Some may be added soon: a name has not been resolved yet.
    pub(super) pending: bool,
    /// It is out of date from then on: an ejection ends.
    pub(super) until: Option<Instant>,
    choices: Box<[Choice]>,
    policy: Policy,
}

/// How one is chosen.
#[derive(Debug)]
enum Policy {
    RoundRobin(Box<[u16]>),
    Least,
    P2c,
    Random(Box<[u64]>),
    /// The ring holds indices of members, serving or not; `choices` the choice of each member, if it serves.
    Maglev {
        ring: Arc<Ring>,
        choices: Box<[Option<u16>]>,
    },
}

impl Selection {
    /// Of these members: each that can serve, or none where one cannot.
    pub(super) fn new(
        members: Vec<Option<Choice>>,
        balance: &Balance,
        ring: Option<&Arc<Ring>>,
        changes: u32,
        until: Option<Instant>,
    ) -> Self {
        let mut serving = 0..;
        let of_members = members.iter().map(|member| member.as_ref().and_then(|_| serving.next())).collect();
        let choices: Box<[_]> = members.into_iter().flatten().collect();
        let weights = || choices.iter().map(|choice| choice.weight);
        let policy = match (balance, ring) {
            (Balance::LeastConnections, _) => Policy::Least,
            (Balance::P2c, _) => Policy::P2c,
            (Balance::Random, _) => Policy::Random(random::sums(weights())),
            (Balance::Maglev(_), Some(ring)) => {
                Policy::Maglev { ring: Arc::clone(ring), choices: of_members }
            }
            (Balance::RoundRobin | Balance::Maglev(_), _) => {
                Policy::RoundRobin(order::smooth(&weights().collect::<Vec<_>>()))
            }
        };
        Self { changes, pending: false, until, choices, policy }
    }

    /// Those that can serve.
    pub(super) fn choices(&self) -> &[Choice] {
        &self.choices
    }

    /// Whether the same key always wants the same backend.
    pub(super) fn is_sticky(&self) -> bool {
        matches!(self.policy, Policy::Maglev { .. })
    }

    /// Who is next, of those that `usable` says yes to.
    pub(super) fn choose(&self, ask: &Ask, usable: impl Fn(&Backend) -> bool) -> Option<&Choice> {
        let choices = &self.choices;
        let usable = |index: usize| usable(&choices[index].backend);
        let index = match &self.policy {
            Policy::RoundRobin(order) => {
                let length = order.len();
                let start = self.turn()?;
                (0..length).map(|step| usize::from(order[(start + step) % length])).find(|&i| usable(i))
            }
            Policy::Least => {
                let start = self.turn()? % choices.len();
                least::least(choices.len(), start, |index| {
                    let Choice { backend, weight } = &choices[index];
                    usable(index).then(|| (backend.busy(), *weight))
                })
            }
            Policy::P2c => self.cheaper(ask.now, usable),
            Policy::Random(sums) => {
                let index = random::weighted(sums, fastrand::u64(..))?;
                let next = (0..choices.len()).map(|step| (index + step) % choices.len());
                next.into_iter().find(|&index| usable(index))
            }
            Policy::Maglev { ring, choices } => {
                let choice = |member: usize| choices[member].map(usize::from);
                ring::find(ring, choices.len(), ask.key, |member| choice(member).is_some_and(&usable))
                    .and_then(choice)
            }
        }?;
        choices.get(index)
    }

    /// A number that rises with each request, of all workers.
    fn turn(&self) -> Option<usize> {
        let group = &self.choices.first()?.backend.group;
        Some(group.turn.fetch_add(1, Ordering::Relaxed) as usize)
    }

    fn cheaper(&self, now: Instant, usable: impl Fn(usize) -> bool) -> Option<usize> {
        let now_ms = self.choices.first()?.backend.group.ms(now);
        let cost = |index: usize| {
            let Choice { backend, weight } = &self.choices[index];
            backend.latency.us(now_ms) * (backend.busy() + 1) as f32 / *weight as f32
        };
        let chosen = p2c::cheaper(self.choices.len(), fastrand::u64(..), cost)?;
        if usable(chosen) {
            return Some(chosen);
        }
        // Seldom: a retry, or one that is full.
        let rest: Vec<_> = (0..self.choices.len()).filter(|&index| usable(index)).collect();
        let chosen = p2c::cheaper(rest.len(), fastrand::u64(..), |index| cost(rest[index]))?;
        rest.get(chosen).copied()
    }
}

//! Forgets flows that are over: walks the flow tables a slice at a time, judges both directions of a flow together, and
//! counts on the way what each backend has.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proxy_common::addr::{Address, Ip4, Ip6};
use proxy_common::flow::{Flow, FlowKey, FlowKind, state};
use proxy_common::pod::Pod;

use super::clock::Clock;
use super::handoff::Splices;
use super::known::KnownFlows;
use super::limits::Limits;
use super::maps::{Action, MapError, Table, Walk};
use super::reconcile::{self, Present, SourceIndex};
use super::tables::Tables;
use crate::config::KernelConfig;

/// A slice of a walk takes no longer than this and one batch.
const SLICE: Duration = Duration::from_millis(5);
/// From the end of a walk to the beginning of the next.
const REST: Duration = Duration::from_secs(2);
/// A young flow without an answer keeps its port for this long.
pub(super) const YOUNG_LIFETIME: Duration = Duration::from_secs(60);
/// Where they are many, a flow that nobody has proved is forgotten when it was idle for so long, or for as long as it was in use:
/// who makes many of them up has to keep them up.
const UNPROVED_IDLE: Duration = Duration::from_secs(10);
/// How long a removed backend's number is kept back beyond a young flow's life, which may still become a flow.
const MARGIN: Duration = Duration::from_secs(5);

/// What came of one [`Kernel::collect`](super::Kernel::collect).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Collected {
    /// Flows that were forgotten.
    pub forgotten: u64,
    /// Whether this slice was the last of a walk over both tables.
    pub finished: bool,
}

/// How long flows may be idle, in ticks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Lifetimes {
    tcp_idle: u32,
    tcp_closing: u32,
    udp_idle: u32,
    unproved: u32,
}

impl Lifetimes {
    fn of(config: &KernelConfig, clock: &Clock) -> Self {
        Self {
            tcp_idle: clock.ticks(config.tcp_idle),
            tcp_closing: clock.ticks(config.tcp_closing),
            udp_idle: clock.ticks(config.udp_idle),
            unproved: clock.ticks(UNPROVED_IDLE),
        }
    }

    fn idle(&self, protocol: u8) -> u32 {
        if protocol == TCP { self.tcp_idle } else { self.udp_idle }
    }

    /// The shortest time after which an entry may be over, whatever the other direction says.
    fn shortest<A>(&self, protocol: u8, flow: &Flow<A>, short: bool) -> u32 {
        let ends = protocol == TCP && flow.state() & (state::FIN | state::RST) != 0;
        let whole = if ends { self.tcp_closing.min(self.tcp_idle) } else { self.idle(protocol) };
        if short { whole.min(self.of_unproved(flow, None)) } else { whole }
    }

    /// How long a flow that nobody has proved may be idle where there is little room for its like.
    fn of_unproved<A>(&self, flow: &Flow<A>, other: Option<&Flow<A>>) -> u32 {
        if flow.state() & state::UNPROVED == 0 {
            return u32::MAX;
        }
        let used = |flow: &Flow<A>| flow.seen().wrapping_sub(flow.born);
        used(flow).max(other.map_or(0, used)).max(self.unproved)
    }
}

const TCP: u8 = 6;

/// What the last finished walk saw.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Flows of each backend.
    pub(super) flows: BTreeMap<u16, u32>,
    /// Entries of the IPv4 and of the IPv6 table.
    pub(super) entries: [u64; 2],
    /// When it began, in ticks.
    began: u32,
    /// Entries of flows that nobody has proved, and that were there as it began: what came since, the kernel part has taken off
    /// the room itself.
    unproved: [u64; 2],
    /// Source addresses that flows leave from.
    sources: HashSet<IpAddr>,
    /// Sets of counts that flows are in.
    counted: BTreeSet<u8>,
}

impl Seen {
    /// Whether a flow is one of [`Self::unproved`].
    fn is_of_unproved<A>(&self, flow: &Flow<A>) -> bool {
        let age = self.began.wrapping_sub(flow.born);
        flow.state() & state::UNPROVED != 0 && age <= u32::MAX / 2
    }

    /// An entry that was counted is over.
    fn uncount<A>(&mut self, flow: &Flow<A>, family: usize) {
        self.entries[family] -= 1;
        if FlowKind::of(flow.rewrite.kind) != FlowKind::NatReturn
            && let Some(flows) = self.flows.get_mut(&flow.rewrite.backend)
        {
            *flows -= 1;
        }
    }
}

/// The walk that is under way, and what the last one saw.
#[derive(Debug, Default)]
pub(super) struct Collector {
    pass: Option<Pass>,
    pub(super) rest_until: Option<Instant>,
    pub(super) last: Option<Seen>,
    /// Connections that were handed over.
    splices: Option<Arc<Splices>>,
    /// Source addresses that no backend uses, and since when.
    unused: BTreeMap<SourceIndex, Instant>,
}

#[derive(Debug)]
struct Pass {
    started: Instant,
    v4: Option<Walk<FlowKey<Ip4>, Flow<Ip4>>>,
    v6: Option<Walk<FlowKey<Ip6>, Flow<Ip6>>>,
    /// What was left for flows that nobody has proved, as it began.
    room: [i64; 2],
    seen: Seen,
}

/// Backends that are not wanted any more, and since when.
pub(super) type Leaving = BTreeMap<u16, Instant>;

impl Collector {
    /// One that takes note of connections that were handed over.
    pub(super) fn beside(splices: Arc<Splices>) -> Self {
        Self { splices: Some(splices), ..Self::default() }
    }

    /// Does a slice of the collecting; between two walks it rests, and does nothing.
    pub(super) fn collect(
        &mut self,
        tables: &Tables,
        clock: &Clock,
        config: &KernelConfig,
        present: &mut Present,
        leaving: &mut Leaving,
        limits: &mut Limits,
    ) -> Result<Collected, MapError> {
        let began = Instant::now();
        if self.rest_until.is_some_and(|until| began < until) {
            return Ok(Collected::default());
        }
        let now =
            clock.now().map_err(|cause| MapError { map: "proxy_clock", action: Action::Read, cause })?;
        let lifetimes = Lifetimes::of(config, clock);
        let short = [0, 1].map(|family| tables.room.is_short(family));
        let judge = Judge { limits: lifetimes, now, leaving: leaving.keys().copied().collect(), short };
        let splices = self.splices.clone();
        let beside = Beside { known: &tables.known, counted: limits, splices: splices.as_deref() };
        let mut pass = self.pass.take().unwrap_or_else(|| Pass::begin(tables, &beside, began, now));
        let forgotten = pass.slice(tables, &judge, &beside, began)?;
        let finished = pass.v4.is_none() && pass.v6.is_none();
        if finished {
            tables.known.finish();
            for family in [0, 1] {
                tables.room.settle(family, pass.room[family], pass.seen.unproved[family]);
            }
            splices.iter().for_each(|splices| splices.finish());
            let started = pass.started;
            limits.forget_unused(&present.plans(), &pass.seen.counted)?;
            self.last = Some(pass.seen);
            self.rest_until = Some(Instant::now() + REST);
            self.forget_unused(tables, present, leaving, started)?;
        } else {
            self.pass = Some(pass);
        }
        Ok(Collected { forgotten, finished })
    }

    /// Forgets backends that have left and whose flows are gone, and source addresses that nobody uses. Their numbers may
    /// be given again from then on.
    fn forget_unused(
        &mut self,
        tables: &Tables,
        present: &mut Present,
        leaving: &mut Leaving,
        started: Instant,
    ) -> Result<(), MapError> {
        let Some(seen) = &self.last else { return Ok(()) };
        let old_enough = |since: &Instant| started.duration_since(*since) >= YOUNG_LIFETIME + MARGIN;
        let backends: Vec<u16> = leaving
            .iter()
            .filter(|(id, since)| old_enough(since) && !seen.flows.contains_key(id))
            .map(|(id, _)| *id)
            .collect();
        let used: BTreeSet<SourceIndex> =
            present.backends.values().map(|entry| (entry.address.is_ipv6(), entry.nat_source)).collect();
        self.unused.retain(|index, _| !used.contains(index) && present.sources.contains_key(index));
        for index in present.sources.keys().filter(|index| !used.contains(index)) {
            self.unused.entry(*index).or_insert_with(Instant::now);
        }
        let idle = |index: &SourceIndex| {
            present.sources.get(index).is_some_and(|source| !seen.sources.contains(&source.address))
        };
        let sources: Vec<SourceIndex> = self
            .unused
            .iter()
            .filter(|(index, since)| old_enough(since) && idle(index))
            .map(|(index, _)| *index)
            .collect();
        let steps = reconcile::forget(present, &backends, &sources);
        reconcile::take_all(&mut &*tables, present, steps).map_err(|failed| failed.cause)?;
        leaving.retain(|id, _| !backends.contains(id));
        self.unused.retain(|index, _| !sources.contains(index));
        Ok(())
    }
}

impl Pass {
    fn begin(tables: &Tables, beside: &Beside<'_>, started: Instant, now: u32) -> Self {
        beside.known.begin();
        beside.splices.iter().for_each(|splices| splices.begin());
        Self {
            started,
            v4: Some(tables.v4.flows.walk()),
            v6: Some(tables.v6.flows.walk()),
            room: [0, 1].map(|family| tables.room.left(family)),
            seen: Seen { began: now, ..Seen::default() },
        }
    }

    fn slice(
        &mut self,
        tables: &Tables,
        judge: &Judge,
        beside: &Beside<'_>,
        began: Instant,
    ) -> Result<u64, MapError> {
        let mut forgotten = 0;
        while began.elapsed() < SLICE {
            if let Some(walk) = &mut self.v4 {
                if !judge.batch(&tables.v4.flows, beside, walk, 0, &mut self.seen, &mut forgotten)? {
                    self.v4 = None;
                }
            } else if let Some(walk) = &mut self.v6 {
                if !judge.batch(&tables.v6.flows, beside, walk, 1, &mut self.seen, &mut forgotten)? {
                    self.v6 = None;
                }
            } else {
                break;
            }
        }
        Ok(forgotten)
    }
}

/// What knows of flows beside the tables.
struct Beside<'a> {
    known: &'a KnownFlows,
    counted: &'a Limits,
    splices: Option<&'a Splices>,
}

impl Beside<'_> {
    /// Whether a flow is of a connection that was being handed over, and never was.
    fn is_nobodys<A: Address>(&self, flow: &Flow<A>) -> bool {
        let alive = |splices: &Splices| splices.is_alive(flow.born);
        flow.rewrite.is_spliced() && !self.splices.is_none_or(alive)
    }
}

/// Judges entries at one moment.
struct Judge {
    limits: Lifetimes,
    now: u32,
    leaving: BTreeSet<u16>,
    /// Whether there is little room for flows that nobody has proved, in the table of each family.
    short: [bool; 2],
}

impl Judge {
    /// Judges one batch; `false`: it was the last.
    fn batch<A: Address>(
        &self,
        table: &Table<FlowKey<A>, Flow<A>>,
        beside: &Beside<'_>,
        walk: &mut Walk<FlowKey<A>, Flow<A>>,
        family: usize,
        seen: &mut Seen,
        forgotten: &mut u64,
    ) -> Result<bool, MapError>
    where
        FlowKey<A>: Pod,
        Flow<A>: Pod,
    {
        let mut suspects = Vec::new();
        let more = walk.step(table, |key, flow| {
            seen.entries[family] += 1;
            seen.unproved[family] += u64::from(seen.is_of_unproved(&flow));
            beside.known.enter(&key);
            if flow.rewrite.is_spliced() {
                beside.splices.iter().for_each(|splices| splices.see(flow.born));
            }
            let kind = FlowKind::of(flow.rewrite.kind);
            if kind != FlowKind::NatReturn {
                *seen.flows.entry(flow.rewrite.backend).or_default() += 1;
                if flow.rewrite.counted != 0 {
                    seen.counted.insert(flow.rewrite.counted);
                }
                if kind == FlowKind::NatForward {
                    seen.sources.insert(flow.rewrite.new_source.into());
                }
            }
            if self.may_be_over(key.protocol, &flow, family) || beside.is_nobodys(&flow) {
                suspects.push((key, flow));
            }
        })?;
        for (key, flow) in suspects {
            let other_key = other_direction(&flow, key.protocol);
            let paired = FlowKind::of(flow.rewrite.kind) != FlowKind::Dsr;
            let other = if paired { table.get(&other_key)? } else { None };
            if !self.is_over(key.protocol, &flow, other.as_ref(), family) && !beside.is_nobodys(&flow) {
                continue;
            }
            // It was counted, and goes now, if its other direction in the same batch has not taken it along.
            seen.uncount(&flow, family);
            // The way back last: while its entry is there, no new flow gets its port.
            let back_first = FlowKind::of(flow.rewrite.kind) == FlowKind::NatReturn;
            let keys = if back_first { [other_key, key] } else { [key, other_key] };
            let (own, mut removed) = (key, false);
            let clients = if back_first { other.as_ref() } else { Some(&flow) };
            let is_counted = clients.is_some_and(|flow| flow.rewrite.counted != 0);
            let clients_key = if back_first { other_key } else { key };
            for key in keys.iter().filter(|k| paired || **k == key) {
                // Its end may have been seen since the batch was read.
                let last = if is_counted && *key == clients_key { table.get(key)? } else { None };
                let gone = table.remove(key)?;
                removed |= gone;
                if gone && seen.is_of_unproved(&flow) {
                    // The other direction is not found any more, or was counted already: then for the last time.
                    seen.unproved[family] = seen.unproved[family].saturating_sub(u64::from(*key == own));
                }
                if let Some(flow) = last.filter(|flow| gone && flow.state() & state::LEFT == 0) {
                    beside.counted.leave(flow.rewrite.counted, key.source.into(), flow.rewrite.backend)?;
                }
            }
            // Its other direction, in the same batch, may have taken it along.
            *forgotten += u64::from(removed);
        }
        Ok(more)
    }

    /// Whether the other direction is worth a look.
    fn may_be_over<A>(&self, protocol: u8, flow: &Flow<A>, family: usize) -> bool {
        self.leaving.contains(&flow.rewrite.backend)
            || self.age(flow.seen()) > self.limits.shortest(protocol, flow, self.short[family])
    }

    /// Whether a flow is over. `other`: its other direction; a `nat` flow without one was cut in half by a table that
    /// was full, and goes like one that was closed.
    fn is_over<A>(&self, protocol: u8, flow: &Flow<A>, other: Option<&Flow<A>>, family: usize) -> bool {
        if self.leaving.contains(&flow.rewrite.backend) {
            return true;
        }
        let dsr = FlowKind::of(flow.rewrite.kind) == FlowKind::Dsr;
        let bits = |flow: &Flow<A>| flow.state();
        let both = other.map_or(if dsr { bits(flow) } else { 0 }, bits);
        let reset = (bits(flow) | both) & state::RST != 0;
        let closed = protocol == TCP && (reset || bits(flow) & both & state::FIN != 0);
        let halved = !dsr && other.is_none();
        let idle = self.limits.idle(protocol);
        let limit = if closed || halved { self.limits.tcp_closing.min(idle) } else { idle };
        let limit = if self.short[family] { limit.min(self.limits.of_unproved(flow, other)) } else { limit };
        let age = |flow: &Flow<A>| self.age(flow.seen());
        other.map_or(age(flow), |other| age(other).min(age(flow))) > limit
    }

    /// Ticks since `seen`. A packet that came after the clock was read is not four billion ticks old.
    fn age(&self, seen: u32) -> u32 {
        let age = self.now.wrapping_sub(seen);
        if age > u32::MAX / 2 { 0 } else { age }
    }
}

/// The key of the other direction of a `nat` flow: from where its packets are sent, back to where they come from.
fn other_direction<A: Copy>(flow: &Flow<A>, protocol: u8) -> FlowKey<A> {
    FlowKey {
        source: flow.rewrite.new_destination,
        destination: flow.rewrite.new_source,
        source_port: flow.rewrite.new_destination_port,
        destination_port: flow.rewrite.new_source_port,
        protocol,
        pad: [0; 3],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_common::flow::Rewrite;

    const NOW: u32 = 1_000_000;
    const UDP: u8 = 17;

    fn judge() -> Judge {
        let limits = Lifetimes { tcp_idle: 1000, tcp_closing: 60, udp_idle: 120, unproved: 10 };
        Judge { limits, now: NOW, leaving: BTreeSet::from([9]), short: [false, true] }
    }

    fn flow(kind: FlowKind, age: u32, bits: u32) -> Flow<Ip4> {
        let activity = u64::from(NOW.wrapping_sub(age)) << 32 | u64::from(bits);
        let rewrite = Rewrite { kind: kind as u8, ..Rewrite::default() };
        Flow { rewrite, activity, ..Flow::default() }
    }

    use FlowKind::{Dsr, NatForward, NatReturn};

    #[test]
    fn a_flow_lives_as_long_as_either_direction_does() {
        let (idle, fresh) = (flow(NatForward, 1001, 0), flow(NatReturn, 999, 0));
        assert!(judge().may_be_over(TCP, &idle, 0));
        assert!(!judge().is_over(TCP, &idle, Some(&fresh), 0));
        assert!(judge().is_over(TCP, &idle, Some(&flow(NatReturn, 1001, 0)), 0));
    }

    #[test]
    fn a_connection_is_closed_by_both_sides_or_by_a_reset() {
        let fin = |kind| flow(kind, 61, state::FIN);
        assert!(judge().is_over(TCP, &fin(NatForward), Some(&fin(NatReturn)), 0));
        assert!(!judge().is_over(TCP, &fin(NatForward), Some(&flow(NatReturn, 61, 0)), 0), "half closed");
        assert!(judge().is_over(TCP, &flow(NatForward, 61, 0), Some(&flow(NatReturn, 61, state::RST)), 0));
        assert!(!judge().is_over(TCP, &flow(NatForward, 59, state::RST), Some(&flow(NatReturn, 61, 0)), 0));
    }

    #[test]
    fn with_dsr_the_clients_word_is_all_there_is() {
        assert!(judge().is_over(TCP, &flow(Dsr, 61, state::FIN), None, 0));
        assert!(!judge().is_over(TCP, &flow(Dsr, 61, 0), None, 0));
        assert!(judge().is_over(UDP, &flow(Dsr, 121, 0), None, 0));
    }

    #[test]
    fn half_a_flow_goes_like_a_closed_one() {
        assert!(judge().is_over(UDP, &flow(NatReturn, 121, 0), None, 0));
        assert!(judge().is_over(UDP, &flow(NatReturn, 61, 0), None, 0));
        assert!(!judge().is_over(TCP, &flow(NatReturn, 59, 0), None, 0));
    }

    #[test]
    fn flows_of_a_backend_that_leaves_are_over_at_once() {
        let mut flow = flow(NatForward, 0, 0);
        flow.rewrite.backend = 9;
        assert!(judge().may_be_over(TCP, &flow, 0) && judge().is_over(TCP, &flow, None, 0));
    }

    #[test]
    fn a_packet_from_after_the_clock_was_read_is_fresh() {
        assert_eq!(judge().age(NOW + 3), 0);
        assert_eq!(Judge { now: 5, ..judge() }.age(u32::MAX - 4), 10, "the clock wraps");
    }

    #[test]
    fn where_room_is_short_who_makes_flows_up_has_to_keep_them_up() {
        let unproved = |kind, age, used| {
            let mut flow = flow(kind, age, state::UNPROVED);
            flow.born = flow.seen().wrapping_sub(used);
            flow
        };
        for protocol in [TCP, UDP] {
            assert!(judge().may_be_over(protocol, &unproved(Dsr, 11, 3), 1));
            assert!(judge().is_over(protocol, &unproved(Dsr, 11, 3), None, 1), "two packets at once");
            assert!(
                !judge().is_over(protocol, &unproved(Dsr, 11, 3), None, 0),
                "there is room in this family"
            );
            assert!(!judge().is_over(protocol, &unproved(Dsr, 9, 0), None, 1));
            assert!(
                !judge().is_over(protocol, &unproved(Dsr, 50, 50), None, 1),
                "idle for as long as it was used"
            );
            assert!(judge().is_over(protocol, &unproved(Dsr, 51, 50), None, 1));
        }
        assert!(
            !judge().is_over(TCP, &flow(NatForward, 999, 0), Some(&flow(NatReturn, 999, 0)), 1),
            "proved"
        );
        let (asks, answers) = (unproved(NatForward, 20, 0), unproved(NatReturn, 15, 100));
        assert!(!judge().is_over(UDP, &asks, Some(&answers), 1));
        assert!(judge().is_over(UDP, &asks, Some(&unproved(NatReturn, 15, 3)), 1));
        assert!(judge().is_over(UDP, &unproved(Dsr, 121, 5000), None, 1), "never longer than others");
    }

    #[test]
    fn what_came_since_a_walk_began_is_not_taken_off_the_room_twice() {
        let seen = Seen { began: 1000, ..Seen::default() };
        let flow =
            |born, bits: u32| -> Flow<Ip4> { Flow { born, activity: u64::from(bits), ..Flow::default() } };
        for (born, bits, counts) in [
            (1000, state::UNPROVED, true),
            (0u32.wrapping_sub(5), state::UNPROVED, true),
            (1001, state::UNPROVED, false),
            (900, 0, false),
        ] {
            assert_eq!(seen.is_of_unproved(&flow(born, bits)), counts, "{born}");
        }
    }
}

//! From limits, as the configuration has them, to rules as the kernel's programs read them. Pure.

use std::net::IpAddr;

use ipnet::IpNet;
use proxy_common::addr::{Ip4, Ip6};
use proxy_common::bucket::{self, Key, Who};
use proxy_common::plan::{
    CountedSet, ExemptKey, LimitRecord, Plan, RULES, Rule, WrittenRate, action, count_index, scope,
};

use crate::config::{Amount, LimitAction, LimitConfig, ListenerName, Measure, Per, Rate};
use crate::limit::{gcra, number, text_hash, who};

/// Measures that the kernel part keeps, in the order of a plan's rules.
pub(super) const MEASURES: [Measure; 5] =
    [Measure::Packets, Measure::Bytes, Measure::Connections, Measure::Concurrent, Measure::Handshakes];

/// What a plan is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Of {
    /// Packets and connections, as they come.
    Packets,
    /// Handshakes, by the host that a ClientHello names: workers count them, the kernel programs look.
    Names,
}

impl Of {
    /// Whether a rule of such a plan counts `measure` per `per`.
    const fn has(self, per: &Per, measure: Measure) -> bool {
        match self {
            Self::Packets => per.is_of_packets() && !matches!(measure, Measure::Handshakes),
            Self::Names => matches!(per, Per::Sni) && matches!(measure, Measure::Handshakes),
        }
    }
}

/// The plan of a listener: of limits with their numbers and what is remembered of them. `with`: the secret of keys, sets
/// of the table, ticks a second.
pub(super) fn compile(
    name: &ListenerName,
    listener: u16,
    limits: &[(u16, &LimitConfig, &LimitRecord)],
    of: Of,
    (seed, sets, hz): (u64, u32, u32),
) -> Plan {
    let mut plan = Plan { seed, sets, hz, listener, used: 1, ..Plan::default() };
    let mut at = 0;
    for measure in MEASURES {
        for &(id, limit, record) in limits {
            let holds = limit.listeners.is_empty() || limit.listeners.contains(name);
            // `check` allows no more rules than there is room for.
            if !holds || !of.has(&limit.per, measure) || limit.measures.get(measure).is_none() || at == RULES
            {
                continue;
            }
            let mut rule = rule(id, limit, measure, text_hash(seed, name.as_str()));
            (rule.interval, rule.tolerance) = rate_of(record, number(measure), hz);
            if of == Of::Names && !matches!(limit.action, LimitAction::Drop | LimitAction::Observe) {
                // The client is connected, and would wait for an answer.
                rule.action = action::RESET;
            }
            plan.rules[at] = rule;
            at += 1;
            match measure {
                Measure::Connections => plan.of_connections += 1,
                Measure::Concurrent => plan.of_counts += 1,
                // They come last, and alone.
                Measure::Handshakes => {}
                _ => plan.of_packets += 1,
            }
        }
    }
    plan.straight = plan.straight_by();
    plan
}

/// A rule, but for its rate.
fn rule(id: u16, limit: &LimitConfig, measure: Measure, listener: u64) -> Rule {
    let (scope, number_, kind) = match limit.per {
        Per::Backend => (scope::BACKEND, 0, Who::Number),
        Per::Ip | Per::Subnet { .. } => (scope::ADDRESS, 0, Who::Number),
        Per::Sni => (scope::NAME, 0, Who::Text),
        _ => (scope::NUMBER, listener, Who::Text),
    };
    let (v4, v6) = match limit.per {
        Per::Subnet { v4, v6 } => (v4, v6),
        _ => (32, 128),
    };
    let v4 = u32::MAX.checked_shl(32 - u32::from(v4.min(32))).unwrap_or(0);
    let v6 = u128::MAX.checked_shl(128 - u32::from(v6.min(128))).unwrap_or(0).to_be_bytes();
    let half = |at: usize| u64::from_ne_bytes(std::array::from_fn(|i| v6[at + i]));
    let mut flags = Rule::<u64>::USED;
    if !limit.exempt.is_empty() {
        flags |= Rule::<u64>::EXEMPTS;
        if limit.per != Per::Ip {
            flags |= Rule::<u64>::EXEMPTS_FIRST;
        }
    }
    Rule {
        number: number_,
        v6: [half(0), half(8)],
        v4: u32::from_ne_bytes(v4.to_be_bytes()),
        limit: id,
        measure: number(measure),
        action: match limit.action {
            LimitAction::Reset => action::RESET,
            LimitAction::Observe => action::OBSERVE,
            LimitAction::Auto | LimitAction::Drop | LimitAction::Close | LimitAction::Reply => action::DROP,
        },
        scope,
        flags,
        kind: kind as u8,
        counter: count_index(id, number(measure)),
        salt: bucket::salt_of(id, number(measure)),
        ..Rule::default()
    }
}

/// The rate of a measure in force, as a rule has it. What cannot be kept, which `check` refuses, lets nothing through.
pub(super) fn rate_of(record: &LimitRecord, measure: u8, hz: u32) -> (u64, u64) {
    let at = usize::from(measure) % record.set.len();
    let rate = if record.set[at].count != 0 { record.set[at] } else { record.written[at] };
    if rate.period == 0 {
        return (rate.count, 0);
    }
    gcra(&meant(rate), hz).map_or((u64::MAX >> 1, 0), |gcra| (gcra.interval, gcra.tolerance))
}

fn meant(rate: WrittenRate) -> Rate {
    let period = std::time::Duration::from_nanos(rate.period);
    Rate { count: rate.count, period, burst: rate.burst }
}

/// An amount, as it is remembered.
pub(super) fn rate(amount: Amount) -> WrittenRate {
    match amount {
        Amount::Most(count) => WrittenRate { count, ..WrittenRate::default() },
        Amount::Rate(Rate { count, period, burst }) => {
            WrittenRate { count, period: u64::try_from(period.as_nanos()).unwrap_or(u64::MAX), burst }
        }
    }
}

/// What was written; none: nothing was.
pub(super) fn amount(written: &WrittenRate) -> Option<Amount> {
    match (written.count, written.period) {
        (0, _) => None,
        (count, 0) => Some(Amount::Most(count)),
        _ => Some(Amount::Rate(meant(*written))),
    }
}

/// What an operator has set of a measure.
pub(super) fn set(record: &LimitRecord, measure: Measure) -> Option<Amount> {
    amount(&record.set[usize::from(number(measure))])
}

/// What is remembered of a limit. What was set of a measure stays as long as the file says the same of it.
pub(super) fn record_of(limit: &LimitConfig, before: Option<&LimitRecord>) -> LimitRecord {
    let mut record = LimitRecord {
        name: padded(limit.name.as_str()),
        per: padded(&limit.per.text()),
        action: padded(limit.action.name()),
        ..LimitRecord::default()
    };
    for (measure, amount) in limit.measures.iter() {
        let at = usize::from(number(measure));
        record.written[at] = rate(amount);
        // A number may have been another limit's.
        let same =
            |before: &&LimitRecord| before.name == record.name && before.written[at] == record.written[at];
        if let Some(before) = before.filter(same) {
            record.set[at] = before.set[at];
        }
    }
    record
}

/// A text with NULs behind it, cut at a character.
fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    let end = (0..=text.len().min(N)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    bytes[..end].copy_from_slice(&text.as_bytes()[..end]);
    bytes
}

/// A text without the NULs behind it.
pub(super) fn written(text: &[u8]) -> String {
    String::from_utf8_lossy(text).trim_end_matches('\0').to_owned()
}

/// Whether flows and keys under a plan mean the same under another.
pub(super) fn same_but_for_rates(one: &Plan, other: &Plan) -> bool {
    let bare = |plan: &Plan| {
        let mut bare = *plan;
        bare.counted = 0;
        for rule in &mut bare.rules {
            (rule.interval, rule.tolerance) = (0, 0);
        }
        bare
    };
    bare(one) == bare(other)
}

/// What flows are counted under by a plan.
pub(super) fn counted(plan: &Plan) -> CountedSet {
    let mut set = CountedSet { seed: plan.seed, sets: plan.sets, ..CountedSet::default() };
    let concurrent = number(Measure::Concurrent);
    for rule in plan.rules.iter().filter(|rule| rule.is_used() && rule.measure == concurrent) {
        set.rules[set.count as usize] = *rule;
        set.count += 1;
    }
    set
}

/// The key that a rule counts a client's connection to a backend under.
pub(super) fn key_of(rule: &Rule, seed: u64, client: IpAddr, backend: u16) -> Key {
    let (kind, words) = match (rule.scope, who(client)) {
        (scope::ADDRESS, (Who::V4, [low, _])) => (Who::V4, [low & u64::from(rule.v4), 0]),
        (scope::ADDRESS, (kind, [a, b])) => (kind, [a & rule.v6[0], b & rule.v6[1]]),
        (scope::BACKEND, _) => (Who::Number, [u64::from(backend), 0]),
        _ => (Who::of(rule.kind), [rule.number, 0]),
    };
    Key::new(seed, rule.limit, rule.measure, kind, words)
}

/// Whom a limit does not hold for.
pub(super) fn exemptions(
    id: u16,
    limit: &LimitConfig,
    (v4, v6): &mut (Vec<ExemptKey<Ip4>>, Vec<ExemptKey<Ip6>>),
) {
    // The number is compared first: it lies in front of the address, as this machine writes it.
    for net in &limit.exempt {
        let (bits, limit) = (32 + u32::from(net.prefix_len()), u32::from(id));
        match net {
            IpNet::V4(net) => v4.push(ExemptKey { bits, limit, address: net.network().into() }),
            IpNet::V6(net) => v6.push(ExemptKey { bits, limit, address: net.network().into() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(limits: &str) -> Plan {
        let text = format!(
            "[kernel]\ninterfaces = [\"out\"]\n[listener.web]\nbind = \"10.80.0.1:80\"\nprotocol = \"tcp\"\n\
             pool = \"p\"\n[pool.p]\nbackends = [\"10.80.0.11:8080\"]\n{limits}"
        );
        let config = crate::config::parse(&text, "proxy.toml").unwrap();
        let records: Vec<LimitRecord> = config.limits.iter().map(|_| LimitRecord::default()).collect();
        let listed: Vec<_> = (7..)
            .zip(&config.limits)
            .zip(&records)
            .map(|((id, limit), record)| (id, limit, record))
            .collect();
        compile(&"web".into(), 3, &listed, Of::Packets, (11, 64, 250))
    }

    #[test]
    fn what_a_rule_has_ready_is_what_its_numbers_come_to() {
        let plan =
            plan("[limit.a]\npackets = \"5/s\"\nbytes = \"5MB/s\"\nconnections = \"5/s\"\nconcurrent = 5\n");
        let used: Vec<&Rule> = plan.rules.iter().filter(|rule| rule.is_used()).collect();
        assert_eq!(used.len(), 4);
        for rule in used {
            assert_eq!(rule.salt, bucket::salt_of(rule.limit, rule.measure));
            assert_eq!(rule.counter, count_index(rule.limit, rule.measure));
            let key = key_of(rule, plan.seed, "192.0.2.7".parse().unwrap(), 1);
            assert_eq!(key.tag, bucket::tag_of(plan.seed, rule.salt, Who::V4, key.who));
        }
    }

    #[test]
    fn one_limit_of_packets_or_bytes_is_charged_straight_unless_somebody_is_exempt_from_what_many_share() {
        let straight = |limits: &str| plan(limits).straight;
        let packets = "[limit.a]\npackets = \"5/s\"\n";
        assert_eq!(straight(""), Plan::<u64>::FREE);
        assert_eq!(straight("[limit.a]\nconnections = \"5/s\"\n"), Plan::<u64>::FREE);
        assert_eq!(straight(packets), Plan::<u64>::STRAIGHT);
        assert_eq!(straight(&format!("{packets}exempt = [\"192.0.2.0/24\"]\n")), Plan::<u64>::STRAIGHT);
        assert_eq!(
            straight(&format!("{packets}per = \"listener\"\nexempt = [\"192.0.2.0/24\"]\n")),
            Plan::<u64>::WHOLE
        );
        assert_eq!(straight(&format!("{packets}bytes = \"5MB/s\"\n")), Plan::<u64>::WHOLE);
    }
}

//! What a CA allows in a time, counted here, so that it never has to say no: a CA that says no may do so for a week.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

const HOUR: u64 = 3600;
const WEEK: u64 = 7 * 86_400;
/// A ledger holds no more entries of a kind; beyond that nothing is asked for.
const MOST: usize = 50_000;

/// What a CA documents. <https://letsencrypt.org/docs/rate-limits/>
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Limits {
    /// New orders of an account in three hours.
    orders: usize,
    /// New certificates below a registered domain in a week; renewals are exempt.
    per_domain: usize,
    /// Certificates for the same names in a week.
    duplicates: usize,
    /// Failed validations of a name in an hour.
    failures: usize,
}

/// What a directory has been asked for lately: moments, in seconds since 1970.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Ledger {
    orders: Vec<u64>,
    domains: BTreeMap<Box<str>, Vec<u64>>,
    names: BTreeMap<Box<str>, Vec<u64>>,
    failures: BTreeMap<Box<str>, Vec<u64>>,
}

impl Limits {
    /// What the CA at a directory documents; none: nothing that is known here.
    pub(super) fn of(directory: &str) -> Option<Self> {
        let host = directory.strip_prefix("https://")?.split('/').next()?;
        let letsencrypt = host == "acme-v02.api.letsencrypt.org";
        letsencrypt.then_some(Self { orders: 300, per_domain: 50, duplicates: 5, failures: 5 })
    }
}

impl Ledger {
    /// Until when a name must not be asked for; none: it may be. `renewal`: it has a certificate.
    pub(super) fn blocked(&self, limits: Limits, name: &str, renewal: bool, now: u64) -> Option<u64> {
        let none = Vec::new();
        let of = |map: &BTreeMap<Box<str>, Vec<u64>>, key: &str| map.get(key).unwrap_or(&none).clone();
        let mut until = [
            full(&self.orders, limits.orders, 3 * HOUR, now),
            full(&of(&self.names, name), limits.duplicates, WEEK, now),
            full(&of(&self.failures, name), limits.failures, HOUR, now),
            full(&of(&self.domains, registered(name)), limits.per_domain, WEEK, now).filter(|_| !renewal),
        ];
        until.sort_unstable();
        until.last().copied().flatten().or_else(|| self.is_full().then_some(now + HOUR))
    }

    /// An order was asked for.
    pub(super) fn ordered(&mut self, now: u64) {
        self.prune(now);
        self.orders.push(now);
    }

    /// A certificate came. `renewal`: there was one before.
    pub(super) fn issued(&mut self, name: &str, renewal: bool, now: u64) {
        self.prune(now);
        self.names.entry(name.into()).or_default().push(now);
        if !renewal {
            self.domains.entry(registered(name).into()).or_default().push(now);
        }
    }

    /// A proof was not seen.
    pub(super) fn failed(&mut self, name: &str, now: u64) {
        self.prune(now);
        self.failures.entry(name.into()).or_default().push(now);
    }

    fn is_full(&self) -> bool {
        let of = |map: &BTreeMap<Box<str>, Vec<u64>>| map.values().map(Vec::len).sum::<usize>();
        of(&self.domains) >= MOST || of(&self.names) >= MOST || of(&self.failures) >= MOST
    }

    /// Forgets what no longer counts.
    fn prune(&mut self, now: u64) {
        // What lies in the future was written under another clock.
        let keep = |moments: &mut Vec<u64>, span: u64| {
            moments.retain(|then| *then + span > now && *then <= now + HOUR);
            !moments.is_empty()
        };
        keep(&mut self.orders, 3 * HOUR);
        self.domains.retain(|_, moments| keep(moments, WEEK));
        self.names.retain(|_, moments| keep(moments, WEEK));
        self.failures.retain(|_, moments| keep(moments, HOUR));
    }
}

/// When the oldest of the last `most` moments no longer counts.
fn full(moments: &[u64], most: usize, span: u64, now: u64) -> Option<u64> {
    let mut counting: Vec<u64> = moments.iter().copied().filter(|then| then + span > now).collect();
    counting.sort_unstable();
    let first = counting.len().checked_sub(most)?;
    counting.get(first).map(|then| then + span)
}

/// Below which name a CA counts. There is no list of public suffixes here: `co.uk` and its like are told by their
/// shape, and where that is wrong it is too careful.
fn registered(name: &str) -> &str {
    let name = name.strip_prefix("*.").unwrap_or(name);
    if name.parse::<std::net::IpAddr>().is_ok() {
        return name;
    }
    let dots: Vec<usize> = name.match_indices('.').map(|(at, _)| at).collect();
    let [.., third, second, last] = dots[..] else {
        let [second, last] = dots[..] else { return name };
        return if is_suffix(name, second, last) { name } else { &name[second + 1..] };
    };
    if is_suffix(name, second, last) { &name[third + 1..] } else { &name[second + 1..] }
}

/// Whether the last two labels are like `co.uk`. `second` and `last`: where their dots are.
fn is_suffix(name: &str, second: usize, last: usize) -> bool {
    const SECOND: [&str; 8] = ["ac", "co", "com", "edu", "gov", "net", "org", "or"];
    name.len() - last == 3 && SECOND.contains(&&name[second + 1..last])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { orders: 300, per_domain: 50, duplicates: 5, failures: 5 };

    #[test]
    fn only_documented_limits_are_kept() {
        assert_eq!(Limits::of(crate::config::IssuerConfig::LETSENCRYPT), Some(LIMITS));
        assert_eq!(Limits::of(crate::config::IssuerConfig::LETSENCRYPT_STAGING), None);
        assert_eq!(Limits::of("https://ca.internal/directory"), None);
    }

    #[test]
    fn a_registered_domain_is_told_by_its_shape() {
        for (name, domain) in [
            ("example.com", "example.com"),
            ("*.example.com", "example.com"),
            ("a.b.example.com", "example.com"),
            ("example.co.uk", "example.co.uk"),
            ("a.example.co.uk", "example.co.uk"),
            ("a.b.example.co.uk", "example.co.uk"),
            ("a.example.de", "example.de"),
            ("com", "com"),
            ("192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(registered(name), domain, "{name}");
        }
    }

    #[test]
    fn the_fifth_duplicate_is_the_last_of_its_week() {
        let mut ledger = Ledger::default();
        for i in 0..5 {
            assert_eq!(ledger.blocked(LIMITS, "a.example.com", true, i), None, "{i}");
            ledger.issued("a.example.com", true, i);
        }
        assert_eq!(ledger.blocked(LIMITS, "a.example.com", true, 10), Some(WEEK));
        assert_eq!(ledger.blocked(LIMITS, "b.example.com", true, 10), None);
        assert_eq!(ledger.blocked(LIMITS, "a.example.com", true, WEEK), None);
    }

    #[test]
    fn new_names_below_a_domain_are_counted_and_renewals_are_not() {
        let mut ledger = Ledger::default();
        for i in 0..50 {
            ledger.issued(&format!("{i}.example.com"), false, i);
        }
        assert_eq!(ledger.blocked(LIMITS, "new.example.com", false, 100), Some(WEEK));
        assert_eq!(ledger.blocked(LIMITS, "0.example.com", true, 100), None);
        assert_eq!(ledger.blocked(LIMITS, "new.example.org", false, 100), None);
    }

    #[test]
    fn failures_count_for_an_hour_and_orders_for_three() {
        let mut ledger = Ledger::default();
        for i in 0..5 {
            ledger.failed("a.example.com", 1000 + i);
        }
        assert_eq!(ledger.blocked(LIMITS, "a.example.com", false, 1010), Some(1000 + HOUR));
        for _ in 0..300 {
            ledger.ordered(2000);
        }
        assert_eq!(ledger.blocked(LIMITS, "b.example.com", false, 2001), Some(2000 + 3 * HOUR));
        ledger.ordered(2000 + 3 * HOUR);
        assert_eq!(ledger.orders.len(), 1);
        assert!(ledger.failures.is_empty());
    }

    #[test]
    fn what_was_written_under_a_clock_in_the_future_does_not_count_for_ever() {
        let mut ledger = Ledger::default();
        for _ in 0..300 {
            ledger.ordered(10 * WEEK);
        }
        ledger.ordered(WEEK);
        assert_eq!(ledger.blocked(LIMITS, "a.example.com", false, WEEK + 1), None);
    }
}

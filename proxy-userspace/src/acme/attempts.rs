//! What has become of asking, by name: which issuer failed, and when it is asked again; which way of proving worked.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::protocol::failure::Failure;
use super::solve::History;

/// After the first failure; each further one doubles it.
const FIRST: Duration = Duration::from_secs(60);
/// And no longer than this.
const LONGEST: Duration = Duration::from_secs(86_400);
/// A pause is longer or shorter by up to this share of itself, at random: names that failed together do not come again
/// together.
const JITTER: f64 = 0.1;

/// Of one name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Attempts {
    /// Issuers that failed, by name, until one succeeds.
    #[serde(default)]
    pub(super) issuers: BTreeMap<Box<str>, Trouble>,
    /// Ways of proving.
    #[serde(default)]
    pub(super) history: History,
}

/// Of one issuer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Trouble {
    /// In a row.
    pub(super) failures: u32,
    /// When it is asked again, in seconds since 1970.
    pub(super) again: u64,
    /// The last one's.
    pub(super) cause: Box<str>,
    /// Its staging is asked first.
    pub(super) trial: bool,
}

impl Attempts {
    /// When this issuer may be asked.
    pub(super) fn not_before(&self, issuer: &str) -> u64 {
        self.issuers.get(issuer).map_or(0, |trouble| trouble.again)
    }

    /// Whether its staging is asked first.
    pub(super) fn trial(&self, issuer: &str) -> bool {
        self.issuers.get(issuer).is_some_and(|trouble| trouble.trial)
    }

    /// It failed. `roll`: at random, 0 to 1.
    pub(super) fn failed(&mut self, issuer: &str, failure: &Failure, now: u64, roll: f64) {
        let trouble = self.issuers.entry(issuer.into()).or_default();
        trouble.failures = trouble.failures.saturating_add(1);
        let pause = pause(trouble.failures, roll).max(failure.retry_after.unwrap_or_default());
        trouble.again = now + pause.as_secs();
        trouble.cause = failure.cause.clone();
    }

    /// Its staging is asked first from now on.
    pub(super) fn try_staging(&mut self, issuer: &str) {
        self.issuers.entry(issuer.into()).or_default().trial = true;
    }

    /// Its staging gave a certificate: now itself, at once.
    pub(super) fn staging_worked(&mut self, issuer: &str) {
        if let Some(trouble) = self.issuers.get_mut(issuer) {
            (trouble.trial, trouble.again) = (false, 0);
        }
    }

    /// A certificate came.
    pub(super) fn succeeded(&mut self) {
        self.issuers.clear();
    }
}

/// How long until the next try, after so many failures in a row.
fn pause(failures: u32, roll: f64) -> Duration {
    let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(20));
    doubled.min(LONGEST).mul_f64(1.0 - JITTER + 2.0 * JITTER * roll).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::super::protocol::failure::FailureKind;
    use super::*;

    fn failure(retry_after: Option<u64>) -> Failure {
        let retry_after = retry_after.map(Duration::from_secs);
        Failure { retry_after, ..Failure::new(FailureKind::Limited, "no") }
    }

    #[test]
    fn pauses_double_from_a_minute_to_a_day() {
        let secs: Vec<u64> = [1, 2, 3, 11, 12, 99, u32::MAX].map(|n| pause(n, 0.5).as_secs()).to_vec();
        assert_eq!(secs, [60, 120, 240, 61_440, 86_400, 86_400, 86_400]);
        assert_eq!(pause(1, 0.0).as_secs(), 54);
        assert_eq!(pause(1, 1.0).as_secs(), 66);
    }

    #[test]
    fn an_issuer_is_asked_again_when_it_says_but_never_sooner_than_after_the_pause() {
        let mut attempts = Attempts::default();
        attempts.failed("ca", &failure(None), 1000, 0.5);
        assert_eq!(attempts.not_before("ca"), 1060);
        attempts.failed("ca", &failure(Some(3600)), 1000, 0.5);
        assert_eq!(attempts.not_before("ca"), 4600);
        attempts.failed("ca", &failure(Some(1)), 1000, 0.5);
        assert_eq!(attempts.not_before("ca"), 1240);
        assert_eq!(attempts.not_before("another"), 0);
        attempts.try_staging("ca");
        assert!(attempts.trial("ca"));
        attempts.staging_worked("ca");
        assert!(!attempts.trial("ca") && attempts.not_before("ca") == 0);
        attempts.succeeded();
        assert!(attempts.issuers.is_empty());
    }
}

//! When a certificate is renewed: at a moment that the CA suggests (RFC 9773), else at two thirds of its lifetime. The moment
//! is drawn once and kept, so that restarts do not draw again until it is too late or too soon.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::clock::{from_unix, unix};
use crate::tls::Certificate;

/// A CA that says nothing is asked again after this.
const ASK: u64 = 6 * 3600;
/// Nobody is asked more often, nor more seldom.
const ASK_LEAST: u64 = 60;
const ASK_MOST: u64 = 86_400;
/// Of the lifetime: the moment is drawn from so long around two thirds.
const SPREAD: f64 = 1.0 / 30.0;

/// When a certificate is renewed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Renewal {
    /// Which certificate: SHA-256 of the leaf, hexadecimal.
    pub(super) fingerprint: Box<str>,
    /// When, in seconds since 1970.
    pub(super) at: u64,
    /// What the CA suggests.
    #[serde(default)]
    pub(super) window: Option<(u64, u64)>,
    /// When it is asked again what it suggests.
    #[serde(default)]
    pub(super) ask: u64,
}

impl Renewal {
    /// Two thirds of the lifetime. `roll`: at random, 0 to 1. The CA is asked at once.
    pub(super) fn of(certificate: &Certificate, roll: f64) -> Self {
        let (from, to) = (unix(certificate.not_before), unix(certificate.not_after));
        let lifetime = to.saturating_sub(from) as f64;
        let share = 2.0 / 3.0 + SPREAD * (roll - 0.5);
        let at = from + (lifetime * share).round() as u64;
        Self { fingerprint: certificate.fingerprint.clone(), at, window: None, ask: 0 }
    }

    /// Whether it is this certificate's.
    pub(super) fn is_of(&self, certificate: &Certificate) -> bool {
        self.fingerprint == certificate.fingerprint
    }

    /// The CA suggests a window: a moment in it is drawn, unless one was drawn from it already. A certificate is renewed
    /// before it expires, whatever is suggested.
    pub(super) fn suggested(&mut self, window: (u64, u64), certificate: &Certificate, roll: f64) {
        if self.window == Some(window) {
            return;
        }
        let (start, end) = window;
        let last = Self::of(certificate, 1.0).at.max(start_of_end(certificate));
        self.window = Some(window);
        self.at = (start + (end.saturating_sub(start) as f64 * roll) as u64).min(last);
    }

    /// The CA has been asked, and says when it may be asked again.
    pub(super) fn asked(&mut self, now: u64, again: Option<Duration>) {
        self.ask = now + again.map_or(ASK, |again| again.as_secs()).clamp(ASK_LEAST, ASK_MOST);
    }

    /// Whether it is time.
    pub(super) fn is_due(&self, now: u64) -> bool {
        self.at <= now
    }

    /// When there is something to do.
    pub(super) fn next(&self) -> u64 {
        self.at.min(self.ask)
    }

    /// When it is renewed.
    pub(super) fn time(&self) -> SystemTime {
        from_unix(self.at)
    }
}

/// When a tenth of the lifetime is left.
fn start_of_end(certificate: &Certificate) -> u64 {
    let (from, to) = (unix(certificate.not_before), unix(certificate.not_after));
    to - to.saturating_sub(from) / 10
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use time::OffsetDateTime;

    use super::*;

    /// A certificate for an example, valid from one moment to another.
    fn certificate(from: i64, to: i64) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["app.example.com".to_owned()]).unwrap();
        params.not_before = OffsetDateTime::from_unix_timestamp(from).unwrap();
        params.not_after = OffsetDateTime::from_unix_timestamp(to).unwrap();
        let chain = params.self_signed(&key).unwrap().pem();
        Certificate::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }

    #[test]
    fn without_a_suggestion_it_is_renewed_around_two_thirds_of_its_lifetime() {
        let certificate = certificate(1_000_000, 1_090_000);
        assert_eq!(Renewal::of(&certificate, 0.5).at, 1_060_000);
        assert_eq!(Renewal::of(&certificate, 0.0).at, 1_058_500);
        assert_eq!(Renewal::of(&certificate, 1.0).at, 1_061_500);
        assert!(Renewal::of(&certificate, 0.5).is_of(&certificate));
        assert!(!Renewal::of(&certificate, 0.5).is_of(&super::tests::certificate(1_000_000, 1_090_000)));
    }

    #[test]
    fn a_moment_in_a_window_is_drawn_once() {
        let certificate = certificate(1_000_000, 1_090_000);
        let mut renewal = Renewal::of(&certificate, 0.5);
        renewal.suggested((1_020_000, 1_030_000), &certificate, 0.25);
        assert_eq!(renewal.at, 1_022_500);
        renewal.suggested((1_020_000, 1_030_000), &certificate, 0.75);
        assert_eq!(renewal.at, 1_022_500, "the same window is no reason to draw again");
        renewal.suggested((1_000_000, 1_000_000), &certificate, 0.75);
        assert!(renewal.is_due(1_000_000), "at once");
        renewal.suggested((9_000_000, 9_900_000), &certificate, 0.75);
        assert_eq!(renewal.at, 1_081_000, "before it expires, whatever is suggested");
    }

    #[test]
    fn a_ca_is_asked_as_often_as_it_says_within_reason() {
        let mut renewal = Renewal::of(&certificate(1_000_000, 1_090_000), 0.5);
        assert_eq!(renewal.next(), 0, "at once");
        renewal.asked(1000, None);
        assert_eq!(renewal.ask, 1000 + ASK);
        renewal.asked(1000, Some(Duration::ZERO));
        assert_eq!(renewal.ask, 1000 + ASK_LEAST);
        renewal.asked(1000, Some(Duration::from_secs(1 << 40)));
        assert_eq!(renewal.ask, 1000 + ASK_MOST);
        let kept = serde_json::to_string(&renewal).unwrap();
        assert_eq!(serde_json::from_str::<Renewal>(&kept).unwrap(), renewal);
    }
}

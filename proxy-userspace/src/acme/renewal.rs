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
        let at = from + (lifetime * share) as u64;
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

//! When a responder is asked, and what is stapled meanwhile.

use std::time::{Duration, SystemTime};

use super::answer::{self, Good};
use super::fault::OcspFault;
use super::question::{CertId, responder};
use crate::config::OcspConfig;

/// After a first failure; then twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// Between two questions that are not answered.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// Between two questions that are.
const LEAST: Duration = Duration::from_secs(300);
/// And at the most.
const MOST: Duration = Duration::from_secs(24 * 3600);

/// What is stapled to one certificate. Knows neither socket nor clock.
#[derive(Debug)]
pub(crate) struct Staple {
    url: Box<str>,
    id: CertId,
    issuer: Vec<u8>,
    answer: Option<(Vec<u8>, Good)>,
    ask_at: SystemTime,
    failures: u32,
    fault: Option<OcspFault>,
}

impl Staple {
    /// Of a chain, leaf first: to be asked for at once.
    pub(crate) fn new<C: AsRef<[u8]>>(chain: &[C], config: &OcspConfig) -> Result<Self, OcspFault> {
        let [leaf, issuer, ..] = chain else { return Err(OcspFault::NoIssuer) };
        let url = match config {
            OcspConfig::Named => responder(leaf.as_ref()).ok_or(OcspFault::NoResponder)?,
            OcspConfig::Url(url) => url.clone(),
        };
        Ok(Self {
            url,
            id: CertId::of(leaf.as_ref(), issuer.as_ref())?,
            issuer: issuer.as_ref().to_vec(),
            answer: None,
            ask_at: SystemTime::UNIX_EPOCH,
            failures: 0,
            fault: None,
        })
    }

    /// Who is asked, and what: a POST of `application/ocsp-request` (RFC 6960 §A.1).
    pub(crate) fn question(&self) -> (&str, Vec<u8>) {
        (&self.url, self.id.request())
    }

    /// When it is to be asked next.
    pub(crate) fn ask_at(&self) -> SystemTime {
        self.ask_at
    }

    /// While a question is on its way no other is sent.
    pub(crate) fn asked(&mut self, now: SystemTime) {
        self.ask_at = now + self.pause();
    }

    /// What came of a question. True: what is stapled has changed.
    pub(crate) fn answered(&mut self, answer: Result<&[u8], Box<str>>, now: SystemTime) -> bool {
        let read = match answer {
            Ok(bytes) => answer::read(bytes, &self.id, &self.issuer, now).map(|good| (bytes.to_vec(), good)),
            Err(why) => Err(OcspFault::Unreachable { url: self.url.clone(), why }),
        };
        match read {
            Ok((bytes, good)) => {
                self.failures = 0;
                self.fault = None;
                self.ask_at = now + half_of_the_rest(&good, now);
                let changed = self.answer.as_ref().is_none_or(|(old, _)| *old != bytes);
                self.answer = Some((bytes, good));
                changed
            }
            Err(fault) => {
                // That it is revoked is no failure to answer: what was good before must not be shown any longer.
                let revoked = fault == OcspFault::Revoked;
                self.ask_at = now + self.pause();
                self.failures = self.failures.saturating_add(1);
                self.fault = Some(fault);
                revoked && self.answer.take().is_some()
            }
        }
    }

    /// What is stapled now: never an answer that has run out.
    pub(crate) fn answer(&self, now: SystemTime) -> Option<&[u8]> {
        let (bytes, good) = self.answer.as_ref()?;
        (now < good.next_update).then_some(bytes)
    }

    /// When what is stapled runs out.
    pub(crate) fn until(&self) -> Option<SystemTime> {
        self.answer.as_ref().map(|(_, good)| good.next_update)
    }

    /// What went wrong the last time.
    pub(crate) fn fault(&self) -> Option<&OcspFault> {
        self.fault.as_ref()
    }

    fn pause(&self) -> Duration {
        FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE)
    }
}

/// Half of an answer's remaining life: there is time left for a responder that is away.
fn half_of_the_rest(good: &Good, now: SystemTime) -> Duration {
    (good.next_update.duration_since(now).unwrap_or_default() / 2).clamp(LEAST, MOST)
}

#[cfg(test)]
#[path = "staple_tests.rs"]
mod tests;

//! Proves the names of an order.

use instant_acme::{AuthorizationStatus, ChallengeStatus};
use tokio::time::Instant;

use super::super::clock::Clock;
use super::super::shelf::Shelf;
use super::super::solve::{History, Solvers, name as way_name};
use super::authorization::{View, count, look, proof, tell};
use super::failure::{Failure, FailureKind};
use super::journal::{Journal, Order};
use super::pace::Pace;
use super::shared::{publish, withdraw};
use super::tap::Tap;
use crate::config::ChallengeType;

/// Proves the names of an order.
pub(crate) struct Prover<'a> {
    pub(crate) solvers: &'a Solvers,
    pub(crate) shelf: &'a Shelf,
    pub(crate) journal: &'a Journal,
    pub(crate) clock: &'a Clock,
    pub(crate) tap: &'a Tap,
    pub(crate) history: &'a mut History,
    pub(crate) order: &'a mut Order,
    /// When it must be done.
    pub(crate) until: Instant,
}

impl Prover<'_> {
    /// Each name that is not proved yet.
    pub(crate) async fn prove(&mut self, theirs: &mut instant_acme::Order) -> Result<(), Failure> {
        for at in 0..count(theirs) {
            let view = look(theirs, at, true).await.map_err(|error| self.failure(error))?;
            match view.status {
                AuthorizationStatus::Valid => {}
                AuthorizationStatus::Pending => self.authorize(theirs, at, &view).await?,
                _ => return Err(self.unproved(&view)),
            }
        }
        Ok(())
    }

    async fn authorize(
        &mut self,
        theirs: &mut instant_acme::Order,
        at: usize,
        view: &View,
    ) -> Result<(), Failure> {
        let way = self.show(theirs, at, view).await?;
        let known =
            view.offers.iter().any(|offer| offer.kind == way && offer.status != ChallengeStatus::Pending);
        if !known && let Err(error) = tell(theirs, at, way).await {
            let failure = self.failure(error);
            // Anything else the authorization itself says.
            if failure.kind.keeps_order() {
                return Err(failure);
            }
        }
        let mut pace = Pace::new(self.until);
        loop {
            pace.pause(self.tap).await?;
            let view = look(theirs, at, true).await.map_err(|error| self.failure(error))?;
            match view.status {
                AuthorizationStatus::Pending => {}
                AuthorizationStatus::Valid => {
                    self.history.worked(way);
                    return Ok(());
                }
                _ => {
                    self.history.failed(way, self.clock.unix());
                    return Err(self.unproved(&view));
                }
            }
        }
    }

    /// Shows the proof by the best way there is. Says which.
    async fn show(
        &mut self,
        theirs: &mut instant_acme::Order,
        at: usize,
        view: &View,
    ) -> Result<ChallengeType, Failure> {
        let mut ways = self.solvers.order(&view.name, view.wildcard, self.history);
        ways.retain(|way| view.offers.iter().any(|offer| offer.kind == *way));
        // After a crash: the CA may be looking already.
        let begun = |way: &ChallengeType| {
            let looking = |offer: &super::authorization::Offer| {
                offer.kind == *way && offer.status == ChallengeStatus::Processing
            };
            view.offers.iter().any(looking) || self.order.way.as_deref() == Some(way_name(*way))
        };
        ways.sort_by_key(|way| !begun(way));
        let mut cause = None;
        for way in ways {
            let proof = proof(theirs, at, way).await.map_err(|error| self.failure(error))?;
            self.order.way = Some(way_name(way).into());
            match self.solvers.present(way, &proof).await {
                Ok(shown) => {
                    if !self.order.shown.contains(&shown) {
                        self.order.shown.push(shown);
                    }
                    self.journal.note(self.order).await;
                    publish(self.shelf, &self.order.name, way, &proof).await;
                    return Ok(way);
                }
                Err(error) => {
                    tracing::warn!("{}: the proof cannot be shown: {error}", self.order.name);
                    self.history.failed(way, self.clock.unix());
                    cause = Some(error.to_string());
                }
            }
        }
        self.order.way = None;
        Err(match cause {
            Some(cause) => Failure::new(FailureKind::Unshown, cause),
            None => self.no_way(view),
        })
    }

    /// What was shown is taken away. What cannot be is said, and not tried again.
    pub(crate) async fn clear(solvers: &Solvers, shelf: &Shelf, order: &mut Order) {
        for shown in order.shown.drain(..) {
            if let Err(error) = solvers.cleanup(shown).await {
                tracing::warn!("{}: a proof is still shown: {error}", order.name);
            }
        }
        withdraw(shelf, &order.name).await;
    }

    fn no_way(&self, view: &View) -> Failure {
        let offered: Vec<_> = view.offers.iter().map(|offer| way_name(offer.kind)).collect();
        let hint = if view.wildcard { ": wildcards need dns-01, and that needs [acme.dns]" } else { "" };
        let cause = format!(
            "{} cannot be proved: the CA offers {}, and the configuration has none of them for this name{hint}",
            self.order.name,
            if offered.is_empty() { "no way that is known here".to_owned() } else { offered.join(", ") },
        );
        Failure::new(FailureKind::Refused, cause)
    }

    fn unproved(&self, view: &View) -> Failure {
        let seen = view
            .offers
            .iter()
            .find_map(|offer| offer.error.as_ref().map(|error| format!("{}: {error}", way_name(offer.kind))));
        let cause = seen.unwrap_or_else(|| format!("the authorization is {:?}", view.status).to_lowercase());
        Failure::new(FailureKind::Unproved, cause)
    }

    fn failure(&self, error: instant_acme::Error) -> Failure {
        Failure::of(error, &self.tap.seen())
    }
}

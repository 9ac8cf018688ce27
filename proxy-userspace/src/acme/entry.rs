//! A name that is managed, as the manager sees it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;

use super::clock::{Clock, from_unix, unix};
use super::handle::AskError;
use super::held::Held;
use super::solver::Presented;
use super::status::{CertificateStatus, Kind};
use super::storage::Guard;
use super::task::{Done, Task};
use crate::tls::{Certificate, Denied};

/// Somebody else has the name: it is looked at again after this.
const BUSY: Duration = Duration::from_millis(200);
/// A certificate that is in memory only is tried to be kept this often, in seconds.
const UNSTORED: u64 = 60;

/// A name that is managed.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) on_demand: bool,
    pub(super) held: Option<Held>,
    /// When there is something to do.
    pub(super) due: SystemTime,
    pub(super) working: bool,
    pub(super) forced: bool,
    error: Option<Box<str>>,
    waiters: Vec<Waiter>,
    /// Proofs of somebody else's order.
    shown: Vec<Presented>,
    /// Tells that one that we wait.
    waits: Option<Guard>,
}

/// What has come of work.
#[derive(Debug)]
pub(super) struct Ended {
    /// Another certificate is to be served.
    pub(super) serves: bool,
    /// Who waits is told this, once it is served.
    pub(super) told: Option<Result<Arc<Certificate>, Box<str>>>,
    /// What was shown for others, and is to be taken away.
    pub(super) shown: Vec<Presented>,
}

/// Who waits for a certificate.
#[derive(Debug)]
pub(super) enum Waiter {
    /// Somebody who asked for another one.
    Asked(oneshot::Sender<Result<(), AskError>>),
    /// A handshake.
    Handshake(oneshot::Sender<Result<Arc<Certificate>, Denied>>),
}

impl Entry {
    pub(super) fn new(kind: Kind, on_demand: bool, held: Option<Held>, now: SystemTime) -> Self {
        let mut entry = Self {
            kind,
            on_demand,
            held,
            due: now,
            working: false,
            forced: false,
            error: None,
            waiters: Vec::new(),
            shown: Vec::new(),
            waits: None,
        };
        entry.plan(now);
        entry
    }

    /// It is somebody else's business from now on.
    pub(super) fn of_kind(&mut self, kind: Kind, now: SystemTime) {
        if self.kind != kind {
            self.kind = kind;
            self.plan(now);
        }
    }

    /// When there is something to do.
    fn plan(&mut self, now: SystemTime) {
        self.due = match &mut self.held {
            None => now,
            Some(held) => {
                // Got from the other kind of issuer: it will do until there is a right one.
                if (&*held.generation.meta.issuer == INTERNAL) != (self.kind == Kind::Internal) {
                    held.renewal.at = 0;
                }
                let next = if held.id.is_some() { held.renewal.next() } else { unix(now) + UNSTORED };
                from_unix(next.min(held.renewal.next()))
            }
        };
    }

    /// Somebody waits for another certificate, now.
    pub(super) fn force(&mut self, waiter: Waiter, now: SystemTime) {
        self.waiters.push(waiter);
        (self.forced, self.due) = (true, now);
    }

    /// Somebody waits for its first certificate.
    pub(super) fn wait(&mut self, waiter: Waiter) {
        self.waiters.push(waiter);
    }

    /// What is to be done, from now on.
    pub(super) fn begin(&mut self, name: &str) -> Task {
        self.working = true;
        Task {
            name: name.into(),
            kind: self.kind,
            on_demand: self.on_demand,
            held: self.held.clone(),
            forced: self.forced,
            waits: self.waits.take(),
        }
    }

    /// What came of it.
    pub(super) fn end(&mut self, done: Done, clock: &Clock) -> Ended {
        self.working = false;
        let now = clock.now();
        let (mut serves, mut told) = (false, None);
        match done {
            Done::Busy { shown, waits } => {
                self.waits = waits;
                self.shown.extend(shown.filter(|shown| !self.shown.contains(shown)));
                self.due = now + BUSY;
                return Ended { serves, told, shown: Vec::new() };
            }
            Done::Serve(held) => {
                told = Some(Ok(Arc::clone(&held.certificate)));
                (self.held, self.error, self.forced, serves) = (Some(held), None, false, true);
                self.plan(now);
            }
            Done::Stay(held) => {
                self.held = Some(held);
                self.plan(now);
            }
            Done::Failed { cause, again } => {
                told = Some(Err(cause.clone()));
                (self.error, self.forced, self.due) = (Some(cause), false, from_unix(again));
            }
        }
        // Whatever is planned: not without a pause.
        self.due = self.due.max(now + BUSY);
        if self.forced && !serves {
            self.due = now;
        }
        Ended { serves, told, shown: std::mem::take(&mut self.shown) }
    }

    /// Whether somebody waits.
    pub(super) fn is_awaited(&self) -> bool {
        !self.waiters.is_empty()
    }

    /// Tells who waits.
    pub(super) fn tell(&mut self, name: &str, told: &Result<Arc<Certificate>, Box<str>>) {
        // Who waited may be gone.
        for waiter in self.waiters.drain(..) {
            match waiter {
                Waiter::Asked(answer) => {
                    let told = told.as_ref().map(|_| ());
                    let _ = answer.send(
                        told.map_err(|cause| AskError::Failed { name: name.into(), cause: cause.clone() }),
                    );
                }
                Waiter::Handshake(answer) => {
                    let told = told.as_ref().map(Arc::clone);
                    let _ = answer.send(told.map_err(|cause| Denied::Failed(cause.clone())));
                }
            }
        }
    }

    /// For `certs list`.
    pub(super) fn status(&self, name: &str) -> CertificateStatus {
        let held = self.held.as_ref();
        let next = match held {
            Some(held) if self.error.is_none() => held.renewal.time(),
            _ => self.due,
        };
        CertificateStatus {
            name: name.into(),
            kind: self.kind,
            on_demand: self.on_demand,
            issuer: held.map(|held| held.generation.meta.issuer.clone()),
            not_after: held.map(|held| held.certificate.not_after),
            serial: held.map(|held| held.certificate.serial.clone()),
            fingerprint: held.map(|held| held.certificate.fingerprint.clone()),
            next_renewal: Some(next),
            last_error: self.error.clone(),
            stored: held.is_none_or(|held| held.id.is_some()),
        }
    }
}

/// What our own CA is called among issuers.
pub(super) const INTERNAL: &str = "internal";

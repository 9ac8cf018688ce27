//! Certificates out of files: put into the store at each configuration, and when the files change. A thread of its own
//! looks at them: there may be thousands, and handshakes never wait for a disk. Another one asks OCSP responders, which
//! may take their time.

/// Asks OCSP responders.
mod ocsp;

use std::collections::BTreeSet;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;

use super::marks::{Marks, named};
use super::order::Order;
use crate::acme::Clock;
use crate::config::Config;
use crate::tls::{FileTrouble, Files, Loaded, OcspQuestion, Origin, Store};

/// How often files are looked at. A change counts once two looks have seen the same: whoever writes a chain and its key
/// is done with both by then.
const LOOK_EVERY: Duration = Duration::from_millis(1500);

/// The files of certificates, and who watches them: until this is dropped.
#[derive(Debug)]
pub(super) struct CertFiles {
    held: Arc<Mutex<Held>>,
    /// Threads end when these are dropped.
    stop: Vec<Sender<()>>,
}

#[derive(Debug)]
struct Held {
    store: Arc<Store>,
    files: Files,
    config: Option<Arc<Config>>,
    /// What was last found wrong.
    troubles: Vec<FileTrouble>,
    /// Certificates' files when they were last read.
    read: Marks,
    /// The others when they were last read.
    named: Marks,
    /// Both at the last look, if they were different from that.
    pending: Option<(Marks, Marks)>,
}

/// What a look has found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Found {
    Nothing,
    /// Certificates were read.
    Certificates,
    /// Files that are read with the whole configuration.
    Named,
}

impl CertFiles {
    /// Certificates go here.
    pub(super) fn new(store: Arc<Store>) -> Self {
        let held = Held {
            store,
            files: Files::default(),
            config: None,
            troubles: Vec::new(),
            read: Marks::default(),
            named: Marks::default(),
            pending: None,
        };
        Self { held: Arc::new(Mutex::new(held)), stop: Vec::new() }
    }

    /// The files that a configuration names beside certificates, as they are before it is compiled.
    pub(super) fn marks(config: &Config) -> Marks {
        Marks::of(named(config))
    }

    /// Reads what this configuration names. `named`: the others, as they were before it was compiled.
    pub(super) fn put(&self, config: &Arc<Config>, named: Marks) {
        let mut held = lock(&self.held);
        held.config = Some(config.clone());
        held.named = named;
        held.pending = None;
        held.load();
    }

    /// What is wrong with files, as it was when they were read.
    pub(super) fn troubles(&self) -> Vec<FileTrouble> {
        lock(&self.held).troubles.clone()
    }

    /// Watches the files. A change of certificates is put into the store; a change of others is a reload.
    pub(super) fn watch(&mut self, orders: mpsc::Sender<Order>) -> io::Result<()> {
        let (stop, stopped) = channel();
        let held = self.held.clone();
        thread::Builder::new().name("files".into()).spawn(move || watch(&held, &stopped, &orders))?;
        self.stop.push(stop);
        let (stop, stopped) = channel();
        let (held, asker) = (self.held.clone(), ocsp::Asker::new()?);
        thread::Builder::new().name("ocsp".into()).spawn(move || staple(&held, &stopped, &asker))?;
        self.stop.push(stop);
        Ok(())
    }
}

fn watch(held: &Mutex<Held>, stopped: &Receiver<()>, orders: &mpsc::Sender<Order>) {
    while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        let found = lock(held).look();
        if found == Found::Named
            && orders.blocking_send(Order::Reload("a file that it names changed")).is_err()
        {
            return;
        }
    }
}

/// Asks OCSP responders whenever it is time to.
fn staple(held: &Mutex<Held>, stopped: &Receiver<()>, asker: &ocsp::Asker) {
    let clock = Clock::system();
    while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        let questions = lock(held).questions(&clock);
        if !questions.is_empty() {
            let answers = asker.ask(questions);
            lock(held).answers(&answers, &clock);
        }
    }
}

fn lock(held: &Mutex<Held>) -> std::sync::MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Held {
    /// Looks whether anything has changed and is whole, and reads certificates that have.
    fn look(&mut self) -> Found {
        let Some(config) = self.config.clone() else { return Found::Nothing };
        let now = (Marks::of(self.files.watched()), CertFiles::marks(&config));
        if now.0 == self.read && now.1 == self.named {
            self.pending = None;
            return Found::Nothing;
        }
        if self.pending.as_ref() != Some(&now) {
            self.pending = Some(now);
            return Found::Nothing;
        }
        self.pending = None;
        let named = now.1 != self.named;
        self.named = now.1;
        if now.0 != self.read {
            self.load();
        }
        if named { Found::Named } else { Found::Certificates }
    }

    /// What responders are to be asked now. Answers that have run out are served no longer.
    fn questions(&mut self, clock: &Clock) -> Vec<OcspQuestion> {
        let now = clock.now();
        if self.files.ocsp_next().is_none_or(|next| next > now) {
            return Vec::new();
        }
        let (questions, changed) = self.files.ocsp_due(now);
        if changed {
            self.store.put(Origin::Files, self.files.certificates());
        }
        questions
    }

    /// What came of it is stapled, or told.
    fn answers(&mut self, answers: &[ocsp::Answer], clock: &Clock) {
        let now = clock.now();
        let mut changed = false;
        for (question, answer) in answers {
            changed |= self.files.ocsp_answered(question, answer.as_deref().map_err(Clone::clone), now);
        }
        if changed {
            self.store.put(Origin::Files, self.files.certificates());
        }
        // Says what is wrong now.
        self.load();
    }

    /// Reads what is new or has changed. Where a pair is broken, its old certificate stays.
    fn load(&mut self) {
        let Some(config) = &self.config else { return };
        // Before it is read: what changes meanwhile is seen by the next look.
        self.read = Marks::of(self.files.watched());
        let Loaded { certificates, troubles } = self.files.load(&config.tls);
        let before = self.store.all(Origin::Files);
        let same = before.len() == certificates.len()
            && before.iter().zip(&certificates).all(|(old, new)| Arc::ptr_eq(old, new));
        if !same {
            let news = certificates.iter().filter(|new| !before.iter().any(|old| Arc::ptr_eq(old, new)));
            tracing::info!(all = certificates.len(), new = news.count(), "certificates of files are read");
            self.store.put(Origin::Files, certificates);
        }
        let said: BTreeSet<_> = self.troubles.iter().map(ToString::to_string).collect();
        for trouble in troubles.iter().map(ToString::to_string).filter(|trouble| !said.contains(trouble)) {
            tracing::warn!("{trouble}");
        }
        self.troubles = troubles;
    }
}

#[cfg(test)]
#[path = "cert_files_tests.rs"]
mod tests;

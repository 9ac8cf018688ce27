//! Certificates out of files: what is new or changed is read, what is broken keeps its old certificate.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::SystemTime;

use super::calendar;
use super::certificate::Certificate;
use super::directory::{self, MOST_PAIRS};
use super::file_trouble::{FileFault, FileServed, FileTrouble};
use super::pair::{Pair, Reading};
use crate::config::TlsConfig;

/// No more questions at a time.
const MOST_QUESTIONS: usize = 16;
/// Fewer files are not worth another thread.
const PAIRS_A_THREAD: usize = 64;

/// The files of certificates, as they were when they were last read. Blocks.
#[derive(Debug, Default)]
pub struct Files {
    pairs: BTreeMap<Pair, Reading>,
    /// As they are served.
    order: Vec<Pair>,
    directories: Vec<PathBuf>,
}

/// What a responder is asked: a POST of `application/ocsp-request` (RFC 6960 §A.1).
#[derive(Clone, Debug)]
pub struct OcspQuestion {
    /// Where, `http://`.
    pub url: Box<str>,
    /// The request.
    pub body: Vec<u8>,
    pair: Pair,
}

/// What files hold.
#[derive(Debug, Default)]
pub struct Loaded {
    /// In the order of the configuration; those of a directory by the names of their files.
    pub certificates: Vec<Arc<Certificate>>,
    /// What is wrong or odd, all of it, whether it was told before or not.
    pub troubles: Vec<FileTrouble>,
}

impl Files {
    /// Looks at all files of a configuration, and reads those that are new or have changed.
    pub fn load(&mut self, config: &TlsConfig) -> Loaded {
        let mut loaded = Loaded::default();
        let order = self.list(config, &mut loaded.troubles);
        let mut old = std::mem::take(&mut self.pairs);
        let (mut stale, mut readings) = (Vec::new(), BTreeMap::new());
        for pair in &order {
            match old.remove(pair) {
                Some(reading) if pair.is_as(&reading) => drop(readings.insert(pair.clone(), reading)),
                other => stale.push((pair.clone(), other.unwrap_or_default())),
            }
        }
        readings.extend(read(stale));
        let now = calendar::now();
        for pair in &order {
            let Some(reading) = readings.get(pair) else { continue };
            pair.troubles(reading, now, &mut loaded.troubles);
        }
        self.pairs = readings;
        self.order = order;
        loaded.certificates = self.certificates();
        loaded
    }

    /// What was loaded, with what is stapled to it.
    pub fn certificates(&self) -> Vec<Arc<Certificate>> {
        self.order.iter().filter_map(|pair| self.pairs.get(pair)?.certificate.clone()).collect()
    }

    /// Whose turn it is to be asked about (RFC 6960); true: an answer has run out, so [`Files::certificates`] are others.
    pub fn ocsp_due(&mut self, now: SystemTime) -> (Vec<OcspQuestion>, bool) {
        let (mut questions, mut changed) = (Vec::new(), false);
        for (pair, reading) in &mut self.pairs {
            changed |= reading.restaple(now);
            let Some(staple) = &mut reading.staple else { continue };
            if staple.ask_at() <= now && questions.len() < MOST_QUESTIONS {
                staple.asked(now);
                let (url, body) = staple.question();
                questions.push(OcspQuestion { url: url.into(), body, pair: pair.clone() });
            }
        }
        (questions, changed)
    }

    /// What came of a question: the body of a 200, or why there is none. True: [`Files::certificates`] are others.
    pub fn ocsp_answered(
        &mut self,
        question: &OcspQuestion,
        answer: Result<&[u8], Box<str>>,
        now: SystemTime,
    ) -> bool {
        let Some(reading) = self.pairs.get_mut(&question.pair) else { return false };
        let Some(staple) = &mut reading.staple else { return false };
        staple.answered(answer, now) && reading.restaple(now)
    }

    /// When [`Files::ocsp_due`] has something to do next.
    pub fn ocsp_next(&self) -> Option<SystemTime> {
        let staples = self.pairs.values().filter_map(|reading| reading.staple.as_ref());
        staples.flat_map(|staple| [Some(staple.ask_at()), staple.until()]).flatten().min()
    }

    /// Everything that a change of may change what is served: files, and directories.
    pub fn watched(&self) -> Vec<PathBuf> {
        let files = self.pairs.keys().flat_map(|pair| {
            let key = (pair.key != pair.chain).then(|| pair.key.clone());
            [Some(pair.chain.clone()), key].into_iter().flatten()
        });
        self.directories.iter().cloned().chain(files).collect()
    }

    /// The pairs of a configuration, each once. A directory that cannot be read has the pairs that it had.
    fn list(&mut self, config: &TlsConfig, troubles: &mut Vec<FileTrouble>) -> Vec<Pair> {
        let named = config.certificates.iter();
        let mut order: Vec<Pair> = named
            .map(|files| Pair {
                chain: files.chain.clone(),
                key: files.key.clone(),
                found: false,
                ocsp: files.ocsp.clone(),
            })
            .collect();
        for directory in &config.directories {
            let trouble = |what, served| FileTrouble { path: directory.clone(), what, served };
            match directory::list(directory) {
                Ok(listing) => {
                    if listing.more {
                        troubles.push(trouble(FileFault::TooMany(MOST_PAIRS), FileServed::This));
                    }
                    order.extend(listing.pairs.into_iter().map(|(chain, key)| Pair {
                        chain,
                        key,
                        found: true,
                        ocsp: None,
                    }));
                }
                Err(error) => {
                    let old = self.pairs.keys();
                    let old =
                        old.filter(|pair| pair.found && pair.chain.parent() == Some(directory.as_path()));
                    let before = order.len();
                    order.extend(old.cloned());
                    let served = if order.len() > before { FileServed::Old } else { FileServed::Nothing };
                    troubles.push(trouble(FileFault::Unreadable(Arc::new(error)), served));
                }
            }
        }
        self.directories.clone_from(&config.directories);
        let mut seen = std::collections::HashSet::new();
        order.retain(|pair| seen.insert((pair.chain.clone(), pair.key.clone())));
        order
    }
}

/// Reads many files: keys are checked while they are loaded, which takes a CPU its time.
fn read(stale: Vec<(Pair, Reading)>) -> Vec<(Pair, Reading)> {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let threads = cpus.min(stale.len() / PAIRS_A_THREAD);
    let one = |(pair, old): (Pair, Reading)| {
        let reading = pair.read(old);
        (pair, reading)
    };
    if threads < 2 {
        return stale.into_iter().map(one).collect();
    }
    let queue = Mutex::new(stale.into_iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    thread::scope(|scope| {
        let work = || std::iter::from_fn(next).map(one).collect::<Vec<_>>();
        let started: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        started.into_iter().flat_map(|thread| thread.join().expect("reading a file does not panic")).collect()
    })
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;

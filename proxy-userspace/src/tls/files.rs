//! Certificates out of files: what is new or changed is read, what is broken keeps its old certificate.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::calendar;
use super::certificate::Certificate;
use super::directory::{self, MOST_PAIRS};
use super::file_trouble::{FileFault, FileServed, FileTrouble};
use super::pair::{Pair, Reading};
use crate::config::TlsConfig;

/// Fewer files are not worth another thread.
const PAIRS_A_THREAD: usize = 64;

/// The files of certificates, as they were when they were last read. Blocks.
#[derive(Debug, Default)]
pub struct Files {
    pairs: BTreeMap<Pair, Reading>,
    directories: Vec<PathBuf>,
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
                other => stale.push((pair.clone(), other.and_then(|reading| reading.certificate))),
            }
        }
        readings.extend(read(stale));
        let now = calendar::now();
        for pair in &order {
            let Some(reading) = readings.get(pair) else { continue };
            loaded.certificates.extend(reading.certificate.clone());
            pair.troubles(reading, now, &mut loaded.troubles);
        }
        self.pairs = readings;
        loaded
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
            .map(|files| Pair { chain: files.chain.clone(), key: files.key.clone(), found: false })
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
fn read(stale: Vec<(Pair, Option<Arc<Certificate>>)>) -> Vec<(Pair, Reading)> {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let threads = cpus.min(stale.len() / PAIRS_A_THREAD);
    let one = |(pair, old): (Pair, Option<Arc<Certificate>>)| {
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

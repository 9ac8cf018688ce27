//! What became of requests, by listener, route and pool: each worker counts for itself, and whoever asks adds up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::histogram::{BOUNDS, Histogram, Times, add};
use super::prometheus::{Kind, Text};

/// Requests of these are counted together.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Names {
    /// The listener.
    pub listener: Box<str>,
    /// The route; empty: none matched.
    pub route: Box<str>,
    /// Its pool; empty: it has none.
    pub pool: Box<str>,
}

/// No more combinations of names are told apart: what reads metrics must bear all of them. Further ones are counted
/// under the route [`OTHERS`].
pub const MOST_NAMES: usize = 1_000;
/// The route, and the pool, of those that are not told apart.
pub const OTHERS: &str = "(others)";

/// What one worker has counted of requests with these names.
#[derive(Debug, Default)]
pub struct Counts {
    /// Whose they are.
    pub names: Names,
    classes: [Histogram; CLASSES.len()],
    received: AtomicU64,
    sent: AtomicU64,
    retries: AtomicU64,
    first_byte_us: AtomicU64,
    first_bytes: AtomicU64,
}

/// Classes of statuses; the first is of requests whose client had gone before there was one.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// One request that is over.
#[derive(Clone, Copy, Debug, Default)]
pub struct Over {
    /// The answer's status; 0: none was sent.
    pub status: u16,
    /// From first byte to last, in microseconds.
    pub took_us: u64,
    /// Until the backend's head was there.
    pub first_byte_us: Option<u32>,
    /// Bytes of its body.
    pub received: u64,
    /// Bytes of the answer's body.
    pub sent: u64,
    /// Tries after the first.
    pub retries: u32,
}

impl Counts {
    /// One more. On the worker whose counts these are.
    pub fn record(&self, over: Over) {
        let class = usize::from(over.status / 100);
        self.classes[if class < CLASSES.len() { class } else { 0 }].record(over.took_us);
        for (counter, more) in [
            (&self.received, over.received),
            (&self.sent, over.sent),
            (&self.retries, u64::from(over.retries)),
        ] {
            if more != 0 {
                add(counter, more);
            }
        }
        if let Some(us) = over.first_byte_us {
            add(&self.first_byte_us, u64::from(us));
            add(&self.first_bytes, 1);
        }
    }
}

/// What one worker has counted of answers that the proxy gave by itself, by cause.
#[derive(Debug)]
pub struct Causes {
    words: &'static [&'static str],
    counts: Box<[AtomicU64]>,
}

impl Causes {
    /// One more. On the worker whose counts these are.
    pub fn record(&self, word: &str) {
        if let Some(at) = self.words.iter().position(|&known| known == word) {
            add(&self.counts[at], 1);
        }
    }
}

/// Everything that is counted. Workers ask it once for what they count in.
#[derive(Debug)]
pub struct Registry {
    words: &'static [&'static str],
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    /// By worker.
    series: BTreeMap<Names, Vec<Arc<Counts>>>,
    causes: Vec<Arc<Causes>>,
}

impl Registry {
    /// Nothing was counted yet. `words` are the causes.
    pub fn new(words: &'static [&'static str]) -> Self {
        Self { words, inside: Mutex::default() }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a worker, numbered from 0, counts requests with these names: the same each time it asks.
    pub fn counts(&self, worker: usize, names: Names) -> Arc<Counts> {
        let mut inside = self.inside();
        let names = if inside.series.len() < MOST_NAMES || inside.series.contains_key(&names) {
            names
        } else {
            Names { route: OTHERS.into(), pool: OTHERS.into(), ..names }
        };
        let workers = inside.series.entry(names.clone()).or_default();
        while workers.len() <= worker {
            workers.push(Arc::new(Counts { names: names.clone(), ..Counts::default() }));
        }
        workers[worker].clone()
    }

    /// Where a worker counts causes.
    pub fn causes(&self, worker: usize) -> Arc<Causes> {
        let mut inside = self.inside();
        while inside.causes.len() <= worker {
            let counts = self.words.iter().map(|_| AtomicU64::new(0)).collect();
            inside.causes.push(Arc::new(Causes { words: self.words, counts }));
        }
        inside.causes[worker].clone()
    }

    /// Forgets names that are not configured any more.
    pub fn retain(&self, is_configured: impl Fn(&Names) -> bool) {
        self.inside().series.retain(|names, _| &*names.route == OTHERS || is_configured(names));
    }

    /// Requests that are over, and the bytes received and sent, by listener.
    pub fn by_listener(&self) -> BTreeMap<Box<str>, Total> {
        let mut totals: BTreeMap<Box<str>, Total> = BTreeMap::new();
        for (names, workers) in &self.inside().series {
            let total = totals.entry(names.listener.clone()).or_default();
            let sum = Sum::of(workers);
            total.requests += sum.classes.iter().map(Times::count).sum::<u64>();
            total.failed += sum.classes[5].count();
            total.received += sum.received;
            total.sent += sum.sent;
        }
        totals
    }

    /// The metrics.
    pub fn write(&self, text: &mut Text) {
        let inside = self.inside();
        let all: Vec<_> = inside.series.iter().map(|(names, workers)| (names, Sum::of(workers))).collect();
        times(text, &all);
        for (name, help, value) in COLUMNS {
            let mut metric = text.metric(name, Kind::Counter, help);
            for (names, sum) in &all {
                metric.count(&labels(names), value(sum));
            }
        }
        let mut first = text.metric(
            "proxy_now_first_byte_seconds",
            Kind::Summary,
            "Until the backend's head was there, from the request's first byte.",
        );
        for (names, sum) in all.iter().filter(|(names, _)| !names.pool.is_empty()) {
            first.summary(&labels(names), sum.first_bytes, sum.first_byte_us as f64 / 1e6);
        }
        let mut causes = text.metric(
            "proxy_now_refusals_total",
            Kind::Counter,
            "What the proxy answered by itself, or cut.",
        );
        for (at, word) in self.words.iter().enumerate() {
            let count = |worker: &Arc<Causes>| worker.counts[at].load(Ordering::Relaxed);
            causes.count(&[("cause", word)], inside.causes.iter().map(count).sum());
        }
    }
}

/// Of a listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Total {
    /// Requests that are over.
    pub requests: u64,
    /// Those of them that were answered with 5xx.
    pub failed: u64,
    /// Bytes of their bodies.
    pub received: u64,
    /// Bytes of the answers' bodies.
    pub sent: u64,
}

/// What all workers have counted together.
#[derive(Default)]
struct Sum {
    classes: [Times; CLASSES.len()],
    received: u64,
    sent: u64,
    retries: u64,
    first_byte_us: u64,
    first_bytes: u64,
}

impl Sum {
    fn of(workers: &[Arc<Counts>]) -> Self {
        let mut sum = Self::default();
        for counts in workers {
            for (class, times) in counts.classes.iter().zip(&mut sum.classes) {
                class.add_to(times);
            }
            for (total, counter) in [
                (&mut sum.received, &counts.received),
                (&mut sum.sent, &counts.sent),
                (&mut sum.retries, &counts.retries),
                (&mut sum.first_byte_us, &counts.first_byte_us),
                (&mut sum.first_bytes, &counts.first_bytes),
            ] {
                *total += counter.load(Ordering::Relaxed);
            }
        }
        sum
    }
}

type Column = (&'static str, &'static str, fn(&Sum) -> u64);

const COLUMNS: [Column; 3] = [
    ("proxy_now_request_body_bytes_total", "Bytes of requests' bodies.", |sum| sum.received),
    ("proxy_now_response_body_bytes_total", "Bytes of answers' bodies.", |sum| sum.sent),
    ("proxy_now_retries_total", "Tries of requests after the first.", |sum| sum.retries),
];

fn labels(names: &Names) -> [(&'static str, &str); 3] {
    [("listener", &names.listener), ("route", &names.route), ("pool", &names.pool)]
}

fn times(text: &mut Text, all: &[(&Names, Sum)]) {
    let bounds = BOUNDS.map(|us| us as f64 / 1e6);
    let mut metric = text.metric(
        "proxy_now_request_seconds",
        Kind::Histogram,
        "From a request's first byte to the last of its answer, by class of status.",
    );
    for (names, sum) in all {
        for (class, times) in CLASSES.iter().zip(&sum.classes).filter(|(_, times)| times.count() != 0) {
            let [listener, route, pool] = labels(names);
            let labels = [listener, route, pool, ("status", *class)];
            metric.histogram(&labels, &bounds, &times.buckets, times.sum_us as f64 / 1e6);
        }
    }
}

#[cfg(test)]
#[path = "requests_tests.rs"]
mod tests;

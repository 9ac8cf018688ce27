//! How much is written to the log of what limits refuse: a line a key now and then, and never many.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Of one key, a line in so many seconds;
const PAUSE: u64 = 10;
/// of all, so many lines in a second.
const MOST: u64 = 10;
/// Keys that are remembered. Two that share a place are told of more often.
const PLACES: usize = 1024;

/// Who was told of.
#[derive(Debug)]
pub struct Said {
    began: Instant,
    /// Each: the upper half of a key's hash, and when it was told of, in seconds from 1.
    places: Box<[AtomicU64]>,
    /// A second, and how many lines were written in it.
    now: AtomicU64,
    /// Keys that were passed over since the last line.
    silent: AtomicU64,
}

impl Default for Said {
    fn default() -> Self {
        Self::new()
    }
}

impl Said {
    /// Nothing was said.
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            places: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
            now: AtomicU64::new(0),
            silent: AtomicU64::new(0),
        }
    }

    /// Whether there is to be a line of this key now; if so, how many refusals went without since the last one.
    pub fn speak(&self, hash: u64) -> Option<u64> {
        self.speak_at(hash, self.began.elapsed().as_secs() + 1)
    }

    fn speak_at(&self, hash: u64, second: u64) -> Option<u64> {
        let place = &self.places[(hash >> 8) as usize % PLACES];
        let (whose, old) = (hash & !0xffff_ffff, place.load(Ordering::Relaxed));
        let fresh = old & !0xffff_ffff == whose && second.saturating_sub(old & 0xffff_ffff) < PAUSE;
        let spoken = !fresh
            && self.may(second)
            && place.compare_exchange(old, whose | second, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if spoken {
            return Some(self.silent.swap(0, Ordering::Relaxed));
        }
        self.silent.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Whether this second has room for one more line.
    fn may(&self, second: u64) -> bool {
        let old = self.now.load(Ordering::Relaxed);
        let count = if old >> 8 == second { old & 0xff } else { 0 };
        let new = second << 8 | (count + 1);
        count < MOST && self.now.compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn key(number: u64) -> u64 {
        number << 40 | number << 8
    }

    #[test]
    fn a_key_is_told_of_once_in_ten_seconds() {
        let said = Said::new();
        assert_eq!(said.speak_at(key(1), 100), Some(0));
        assert_eq!((said.speak_at(key(1), 100), said.speak_at(key(1), 109)), (None, None));
        assert_eq!(said.speak_at(key(1), 110), Some(2));
        assert_eq!(said.speak_at(key(2), 110), Some(0));
    }

    #[test]
    fn many_keys_write_few_lines() {
        let said = Said::new();
        let lines = (1..500).filter(|number| said.speak_at(key(*number), 7).is_some()).count() as u64;
        assert_eq!(lines, MOST);
        assert_eq!(said.speak_at(key(501), 8), Some(499 - MOST));
    }
}

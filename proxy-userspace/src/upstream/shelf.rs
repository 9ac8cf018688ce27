//! Connections to one backend that nobody uses just now. Each worker has a place of its own, which others look into
//! only when they would have to connect anew: its lock is nearly always free, and in the cache of one CPU.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Idle connections to one backend, by worker.
#[derive(Debug)]
pub(super) struct Shelf<S> {
    places: Box<[Place<S>]>,
}

/// In a cache line of its own.
#[derive(Debug)]
#[repr(align(64))]
struct Place<S>(Mutex<Vec<Idle<S>>>);

#[derive(Debug)]
struct Idle<S> {
    stream: S,
    /// In seconds of whoever counts them.
    until: u32,
}

impl<S> Shelf<S> {
    /// For this many workers.
    pub(super) fn new(workers: usize) -> Self {
        Self { places: (0..workers.max(1)).map(|_| Place(Mutex::default())).collect() }
    }

    /// The one that this worker used last: the others may then become too old.
    pub(super) fn take(&self, worker: usize) -> Option<S> {
        self.place(worker).pop().map(|idle| idle.stream)
    }

    /// One of another worker's, the least used first. Who is just busy with its own is not waited for.
    pub(super) fn steal(&self, worker: usize) -> Option<S> {
        let count = self.places.len();
        (1..count).find_map(|step| {
            let mut place = self.places[(worker + step) % count].0.try_lock().ok()?;
            (!place.is_empty()).then(|| place.remove(0).stream)
        })
    }

    /// Keeps one, unless this worker has `most` already: then it is given back.
    pub(super) fn put(&self, worker: usize, stream: S, until: u32, most: usize) -> Option<S> {
        let mut place = self.place(worker);
        if place.len() >= most {
            return Some(stream);
        }
        place.push(Idle { stream, until });
        None
    }

    /// Takes out those whose time is over, and those that `over` says it of.
    pub(super) fn expire(&self, now: u32, mut over: impl FnMut(&mut S) -> bool) -> Vec<S> {
        let mut gone = Vec::new();
        for worker in 0..self.places.len() {
            let mut place = self.place(worker);
            gone.extend(
                place.extract_if(.., |idle| idle.until <= now || over(&mut idle.stream)).map(|i| i.stream),
            );
        }
        gone
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        (0..self.places.len()).map(|worker| self.place(worker).len()).sum()
    }

    fn place(&self, worker: usize) -> MutexGuard<'_, Vec<Idle<S>>> {
        // A reload may lower the number of workers while old ones still run.
        self.places[worker % self.places.len()].0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_used_is_taken_first_and_the_first_is_lent() {
        let shelf = Shelf::new(2);
        for stream in 1..=3 {
            assert_eq!(shelf.put(0, stream, 9, 3), None);
        }
        assert_eq!(shelf.put(0, 4, 9, 3), Some(4));
        assert_eq!(shelf.take(1), None);
        assert_eq!(shelf.steal(1), Some(1));
        assert_eq!(shelf.take(0), Some(3));
        assert_eq!(shelf.steal(0), None);
        assert_eq!(shelf.len(), 1);
    }

    #[test]
    fn those_whose_time_is_over_go() {
        let shelf = Shelf::new(1);
        shelf.put(0, 1, 5, 9);
        shelf.put(0, 2, 6, 9);
        shelf.put(0, 3, 6, 9);
        assert_eq!(shelf.expire(5, |stream| *stream == 3), [1, 3]);
        assert_eq!(shelf.take(0), Some(2));
    }
}

//! How many bodies may hold an encoder at a time. Each takes one or two megabytes for as long as its client takes to
//! read: clients that read slowly must not fill the memory.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Of all workers and routes. Answers beyond stay as they are.
pub(super) const MOST: usize = 256;

static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// A place among those that hold an encoder.
#[derive(Debug)]
pub(super) struct Place(&'static AtomicUsize);

impl Place {
    /// One, if there is one left.
    pub(super) fn take() -> Option<Self> {
        Self::of(&TAKEN)
    }

    fn of(taken: &'static AtomicUsize) -> Option<Self> {
        let before = taken.fetch_add(1, Ordering::Relaxed);
        let place = Self(taken);
        (before < MOST).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        static OWN: AtomicUsize = AtomicUsize::new(0);
        let all: Vec<_> = (0..MOST).map(|_| Place::of(&OWN).unwrap()).collect();
        assert!(Place::of(&OWN).is_none());
        drop(all);
        assert!(Place::of(&OWN).is_some());
        assert_eq!(OWN.load(Ordering::Relaxed), 0);
    }
}

//! Those who wait for a place, first come first served, no more than a given number. What they wait for is handed to
//! them: nobody who comes later can take it away.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Those who wait for a `T`.
#[derive(Debug)]
pub(super) struct Queue<T> {
    /// Length of the line, those included who have gone. Read without the lock: most of the time it is 0.
    length: AtomicUsize,
    line: Mutex<VecDeque<Waiting<T>>>,
}

#[derive(Debug)]
struct Waiting<T> {
    /// Which `T` it wants; none: any.
    wants: Option<u64>,
    place: oneshot::Sender<T>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { length: AtomicUsize::new(0), line: Mutex::default() }
    }
}

impl<T> Queue<T> {
    /// Whether nobody waits. Ordered with what made a place free: who frees it and then looks here, and who comes here
    /// and then looks for it, cannot miss each other.
    pub(super) fn is_empty(&self) -> bool {
        self.length.load(Ordering::SeqCst) == 0
    }

    /// How many wait, roughly.
    pub(super) fn len(&self) -> usize {
        self.length.load(Ordering::Relaxed)
    }

    /// Stands in line, if fewer than `most` do. Who drops the receiver has left it.
    pub(super) fn join(&self, wants: Option<u64>, most: usize) -> Option<oneshot::Receiver<T>> {
        let mut line = self.line();
        if line.len() >= most {
            line.retain(|waiting| !waiting.place.is_closed());
        }
        let joined = (line.len() < most).then(|| {
            let (place, receiver) = oneshot::channel();
            line.push_back(Waiting { wants, place });
            receiver
        });
        self.length.store(line.len(), Ordering::SeqCst);
        joined
    }

    /// Hands a `T` to the first who wants it, or gives it back.
    pub(super) fn give(&self, which: u64, mut thing: T) -> Option<T> {
        loop {
            let next = {
                let mut line = self.line();
                let fits = |waiting: &Waiting<T>| waiting.wants.is_none_or(|wants| wants == which);
                let next = line.iter().position(fits).and_then(|at| line.remove(at));
                self.length.store(line.len(), Ordering::SeqCst);
                next
            };
            let Some(next) = next else { return Some(thing) };
            match next.place.send(thing) {
                Ok(()) => return None,
                Err(back) => thing = back,
            }
        }
    }

    /// What those in line want, first to last.
    pub(super) fn wishes(&self) -> Vec<Option<u64>> {
        self.line().iter().filter(|waiting| !waiting.place.is_closed()).map(|waiting| waiting.wants).collect()
    }

    fn line(&self) -> MutexGuard<'_, VecDeque<Waiting<T>>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_come_first_served() {
        let queue = Queue::default();
        let mut first = queue.join(None, 2).unwrap();
        let mut second = queue.join(None, 2).unwrap();
        assert!(queue.join(None, 2).is_none());
        assert_eq!(queue.give(0, "a"), None);
        assert_eq!(queue.give(0, "b"), None);
        assert_eq!(queue.give(0, "c"), Some("c"));
        assert_eq!((first.try_recv(), second.try_recv()), (Ok("a"), Ok("b")));
        assert!(queue.is_empty());
    }

    #[test]
    fn who_has_left_the_line_takes_no_place_of_others() {
        let queue = Queue::default();
        drop(queue.join(None, 1).unwrap());
        let mut second = queue.join(None, 1).unwrap();
        assert_eq!(queue.give(0, 1), None);
        assert_eq!(second.try_recv(), Ok(1));
        drop(queue.join(None, 1).unwrap());
        assert_eq!(queue.give(0, 2), Some(2));
    }

    #[test]
    fn who_wants_one_thing_is_given_no_other() {
        let queue = Queue::default();
        let mut picky = queue.join(Some(7), 9).unwrap();
        let mut any = queue.join(None, 9).unwrap();
        assert_eq!(queue.give(3, "three"), None);
        assert_eq!(any.try_recv(), Ok("three"));
        assert_eq!(queue.give(4, "four"), Some("four"));
        assert_eq!(queue.give(7, "seven"), None);
        assert_eq!(picky.try_recv(), Ok("seven"));
    }
}

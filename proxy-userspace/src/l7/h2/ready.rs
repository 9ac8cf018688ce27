//! Which exchanges of a connection have something to do. One task drives them all; each has a waker of its own.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

/// The exchanges that were woken, by their keys. Wakers may be used from any thread.
#[derive(Debug)]
pub struct Ready {
    words: Box<[AtomicU64]>,
    /// The task looks here before it sleeps: it needs no waking.
    awake: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Ready {
    /// For keys below `keys`.
    pub fn new(keys: usize) -> Arc<Self> {
        Arc::new(Self {
            words: (0..keys.div_ceil(64).max(1)).map(|_| AtomicU64::new(0)).collect(),
            awake: AtomicBool::new(false),
            task: Mutex::new(None),
        })
    }

    /// The task runs; this wakes it. Whether it is another waker than before.
    pub fn enter(&self, waker: &Waker) -> bool {
        self.awake.store(true, Ordering::SeqCst);
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        let other = !task.as_ref().is_some_and(|task| task.will_wake(waker));
        if other {
            *task = Some(waker.clone());
        }
        other
    }

    /// The task is about to sleep. Whether it may: nothing was woken meanwhile.
    pub fn leave(&self) -> bool {
        // Either the task sees what was woken, or who wakes sees that the task sleeps.
        self.awake.store(false, Ordering::SeqCst);
        let rests = !self.any();
        if !rests {
            self.awake.store(true, Ordering::SeqCst);
        }
        rests
    }

    /// Whether any is woken.
    pub fn any(&self) -> bool {
        self.words.iter().any(|word| word.load(Ordering::SeqCst) != 0)
    }

    /// Marks one.
    pub fn set(&self, key: usize) {
        if let Some(word) = self.words.get(key / 64) {
            word.fetch_or(1 << (key % 64), Ordering::SeqCst);
        }
    }

    /// Takes the first one that is woken, from `from` on and then round.
    pub fn take(&self, from: usize) -> Option<usize> {
        let (first, bit) = ((from / 64) % self.words.len(), from % 64);
        let below = (1_u64 << bit) - 1;
        for step in 0..=self.words.len() {
            let at = (first + step) % self.words.len();
            let mask = match step {
                0 => !below,
                _ if step == self.words.len() => below,
                _ => u64::MAX,
            };
            let found = self.words[at].load(Ordering::SeqCst) & mask;
            if found != 0 {
                let bit = found.trailing_zeros();
                self.words[at].fetch_and(!(1 << bit), Ordering::SeqCst);
                return Some(at * 64 + bit as usize);
            }
        }
        None
    }

    /// A waker for one. It may outlive what it was made for: being woken for nothing does no harm.
    pub fn waker(self: &Arc<Self>, key: usize) -> Waker {
        Arc::new(One { ready: Arc::clone(self), key }).into()
    }

    fn rouse(&self) {
        if !self.awake.load(Ordering::SeqCst) {
            let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(task) = &*task {
                task.wake_by_ref();
            }
        }
    }
}

/// Wakes the task, and marks none.
impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.rouse();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rouse();
    }
}

struct One {
    ready: Arc<Ready>,
    key: usize,
}

impl Wake for One {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.set(self.key);
        self.ready.rouse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn each_has_its_turn() {
        let ready = Ready::new(130);
        for key in [0, 5, 64, 129] {
            ready.set(key);
        }
        assert_eq!(ready.take(5), Some(5));
        assert_eq!((ready.take(6), ready.take(65)), (Some(64), Some(129)));
        ready.set(3);
        assert_eq!((ready.take(130), ready.take(1), ready.take(4)), (Some(0), Some(3), None));
        let small = Ready::new(1);
        small.set(2);
        assert_eq!((small.take(3), small.take(3)), (Some(2), None));
    }

    #[test]
    fn a_task_that_runs_is_not_woken_and_one_that_sleeps_is() {
        let ready = Ready::new(10);
        let woken = Arc::new(Woken::default());
        let waker = ready.waker(7);
        assert!(ready.enter(&woken.clone().into()));
        waker.wake_by_ref();
        assert!(!woken.0.load(Ordering::SeqCst) && !ready.leave(), "it looks again");
        assert_eq!(ready.take(0), Some(7));
        assert!(ready.leave());
        waker.wake_by_ref();
        assert!(woken.0.load(Ordering::SeqCst));
    }
}

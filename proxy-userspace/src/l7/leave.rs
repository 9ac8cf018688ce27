//! The end of a listener, as its connections learn of it: they end in good order, and nobody waits for them in vain.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use slab::Slab;

/// Tells the connections of one worker that they should end: the listener is going, or the process is.
#[derive(Debug, Default)]
pub struct Leave {
    leaving: Cell<bool>,
    wakers: RefCell<Slab<Waker>>,
}

impl Leave {
    /// A connection without a request in flight may still get one when its end is near: closing it at once would lose
    /// that. It is answered with `Connection: close`, or GOAWAY; only who says nothing for this long is closed.
    pub const LINGER: Duration = Duration::from_secs(1);

    /// Tells them, and wakes them.
    pub fn leave(&self) {
        self.leaving.set(true);
        let wakers: Vec<_> = self.wakers.borrow().iter().map(|(_, waker)| waker.clone()).collect();
        wakers.iter().for_each(Waker::wake_by_ref);
    }

    /// Whether they should end.
    pub fn is_leaving(&self) -> bool {
        self.leaving.get()
    }

    /// Wakes this task when the time has come. Registered once a connection, not once a wait: the task that serves a
    /// connection keeps its waker.
    pub fn watch(self: &Rc<Self>, waker: Waker) -> Watch {
        Watch { key: self.wakers.borrow_mut().insert(waker), leave: Rc::clone(self) }
    }
}

/// A connection's view of its [`Leave`].
#[derive(Debug)]
pub struct Watch {
    leave: Rc<Leave>,
    key: usize,
}

impl Watch {
    /// Whether the connection should end.
    pub fn is_leaving(&self) -> bool {
        self.leave.is_leaving()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.leave.wakers.borrow_mut().remove(self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn those_who_watch_are_woken_once_and_those_who_have_gone_are_not() {
        let leave = Rc::new(Leave::default());
        let (stays, gone) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let watch = leave.watch(stays.clone().into());
        drop(leave.watch(gone.clone().into()));
        assert!(!watch.is_leaving());
        leave.leave();
        assert!(watch.is_leaving());
        assert_eq!((stays.0.load(Ordering::Relaxed), gone.0.load(Ordering::Relaxed)), (1, 0));
    }
}

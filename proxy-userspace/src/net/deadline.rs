//! Timers that are nearly always put off: a deadline that moves later costs no timer, only an earlier one does.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tokio::task::coop::unconstrained;
use tokio::time::{Sleep, sleep_until};

/// A time by which something must have happened.
#[derive(Debug, Default)]
pub struct Deadline {
    due: Option<Instant>,
    /// Wakes at `due` or before: it is put off only when it has woken.
    sleep: Option<Pin<Box<Sleep>>>,
    /// Who is woken.
    waker: Option<Waker>,
}

impl Deadline {
    /// Moves it.
    pub fn set(&mut self, due: Instant) {
        self.due = Some(due);
    }

    /// There is none.
    pub fn clear(&mut self) {
        self.due = None;
    }

    /// When it is.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether it has passed; `context` is woken when it has.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.due else { return Poll::Pending };
        let at = tokio::time::Instant::from_std(due);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() > at {
            sleep.as_mut().reset(at);
            self.waker = None;
        }
        // Most often nothing has changed since the last time.
        let known = self.waker.as_ref().is_some_and(|known| known.will_wake(context.waker()));
        if known && !sleep.is_elapsed() {
            return Poll::Pending;
        }
        // A task that has used up its turn would be told nothing, and the timer nothing of the task: a task that always has
        // would never come to its deadline, and one that then waits would wait for ever.
        while pin!(unconstrained(sleep.as_mut())).poll(context).is_ready() {
            if sleep.deadline() >= at {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
        if !known {
            self.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn it_passes_at_the_last_time_that_was_set() {
        let mut deadline = Deadline::default();
        let start = Instant::now();
        deadline.set(start + Duration::from_millis(5));
        assert!(poll_fn(|context| Poll::Ready(deadline.poll(context))).await.is_pending());
        deadline.set(start + Duration::from_millis(30));
        poll_fn(|context| deadline.poll(context)).await;
        assert!(start.elapsed() >= Duration::from_millis(30));
    }

    #[tokio::test]
    async fn it_passes_for_a_task_that_has_always_used_up_its_turn() {
        use tokio::task::coop::{consume_budget, has_budget_remaining};
        let mut deadline = Deadline::default();
        deadline.set(Instant::now() + Duration::from_millis(5));
        let passes = poll_fn(|context| {
            while has_budget_remaining() {
                // It wakes the task when nothing remains.
                let _ = pin!(consume_budget()).poll(context);
            }
            deadline.poll(context)
        });
        tokio::time::timeout(Duration::from_secs(10), passes).await.unwrap();
    }

    #[tokio::test]
    async fn it_can_be_moved_earlier() {
        let mut deadline = Deadline::default();
        let start = Instant::now();
        deadline.set(start + Duration::from_secs(3600));
        assert!(poll_fn(|context| Poll::Ready(deadline.poll(context))).await.is_pending());
        deadline.set(start + Duration::from_millis(5));
        poll_fn(|context| deadline.poll(context)).await;
    }
}

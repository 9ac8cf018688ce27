//! Where handing a connection over has come to: tests have a peer close or reset it there.

/// The steps, in their order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::l4) enum Step {
    /// It is quiet, and nothing was done yet.
    Begins,
    /// Its packets are held.
    Held,
    /// What was let through before has reached the sockets.
    Settled,
    /// The sockets are deaf, and under repair.
    Deaf,
    /// Their state was read.
    Read,
    /// Its packets are translated.
    Live,
    /// Those that were held have come in again.
    Replayed,
    /// Both peers were asked where they are.
    Asked,
}

#[cfg(not(test))]
pub(super) const fn reach(_: Step) {}

#[cfg(test)]
pub(super) use seam::reach;

#[cfg(test)]
pub(in crate::l4) mod seam {
    use super::Step;
    use std::cell::RefCell;

    type Act = Box<dyn FnOnce()>;

    thread_local! {
        static AT: RefCell<Option<(Step, Act)>> = const { RefCell::new(None) };
    }

    impl Step {
        pub(in crate::l4) const ALL: [Self; 8] = [
            Self::Begins,
            Self::Held,
            Self::Settled,
            Self::Deaf,
            Self::Read,
            Self::Live,
            Self::Replayed,
            Self::Asked,
        ];
    }

    /// The next time that this thread comes to this step, this is done.
    pub(in crate::l4) fn when(step: Step, act: impl FnOnce() + 'static) {
        AT.set(Some((step, Box::new(act))));
    }

    pub(in crate::l4::handoff) fn reach(step: Step) {
        if let Some((_, act)) = AT.with_borrow_mut(|at| at.take_if(|(at, _)| *at == step)) {
            act();
        }
    }
}

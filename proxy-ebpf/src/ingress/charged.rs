//! A step of limits.

use proxy_common::{addr::Address, drop_reason::DropReason, program::Program};

use crate::{
    verdict::{Outcome, Verdict, dropped, go_on},
    work::{Step, Work},
    world::{Tables, World},
};
use core::ops::ControlFlow::{Break, Continue};

/// What is too much is dropped; `work` notes whether it is told by a reset.
#[inline(always)]
pub(super) fn limited<W: World + Tables<A>, A: Address>(
    world: &W,
    work: &mut Work<A>,
    step: Step,
    number: u8,
) -> Outcome {
    if world.limit(work, step, number) { Continue(()) } else { dropped(DropReason::Limit) }
}

/// What is too much for a limit may be answered, by a program of its own.
#[inline(always)]
pub(super) fn or_reset<A: Address>(outcome: Outcome<Verdict>, work: &Work<A>) -> Outcome<Verdict> {
    match outcome {
        Break(Verdict::Drop(DropReason::Limit)) if work.limit.reset => go_on::<A, _>(Program::Reset),
        other => other,
    }
}

//! A step of limits.

use proxy_common::{addr::Address, drop_reason::DropReason};

use crate::{
    verdict::{Outcome, dropped},
    work::{Step, Work},
    world::{Tables, World},
};
use core::ops::ControlFlow::Continue;

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

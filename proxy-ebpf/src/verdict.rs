//! What the pipeline ends with, and the three outcomes of every stage.

use core::ops::ControlFlow;

use proxy_common::{addr::Address, drop_reason::DropReason, program::Program};

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// To the host's stack, as it came. Not ours.
    Pass,
    /// To the host's stack, rewritten, with a note to our TC program: the neighbour has to be resolved.
    Defer,
    /// Dropped, and counted under its reason.
    Drop(DropReason),
    /// Out of the interface it came in by.
    Transmit,
    /// Out of another interface, by its index.
    Redirect(u32),
    /// None yet: the program in this place ([`Program::slot`]) goes on, with what this one has left in its memory.
    GoOn(u32),
}

/// A stage's outcome: go on with `T`, or a verdict.
pub type Outcome<T = ()> = ControlFlow<Verdict, T>;

/// Ends the pipeline: dropped with a reason.
#[inline(always)]
pub const fn dropped<T>(reason: DropReason) -> Outcome<T> {
    ControlFlow::Break(Verdict::Drop(reason))
}

/// Ends the pipeline: not ours.
#[inline(always)]
pub const fn passed<T>() -> Outcome<T> {
    ControlFlow::Break(Verdict::Pass)
}

/// Goes on with what there is, or drops for a reason.
#[inline(always)]
pub fn some<T>(value: Option<T>, reason: DropReason) -> Outcome<T> {
    match value {
        Some(value) => ControlFlow::Continue(value),
        None => dropped(reason),
    }
}

/// Ends this program: another one goes on, by `ingress::resume`. The memory of the packet's way is what it is given.
#[inline(always)]
pub const fn go_on<A: Address, T>(program: Program) -> Outcome<T> {
    ControlFlow::Break(Verdict::GoOn(program.slot(A::FAMILY)))
}

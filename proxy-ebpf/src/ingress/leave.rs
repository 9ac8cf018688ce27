//! Out: the last checks, then the packet is rewritten and sent.

use proxy_common::{addr::Address, flow::FlowKind, program::Program};

use crate::{
    stage::{forward, rewrite},
    verdict::{Outcome, Verdict, go_on},
    work::Work,
    world::{Tables, World},
};
use core::ops::ControlFlow::Continue;

/// Sends the packet by `work.exit`, with what `work.rewrite` writes into it.
#[inline(always)]
pub(super) fn leave<W: World + Tables<A>, A: Address>(world: &mut W, work: &Work<A>) -> Outcome<Verdict> {
    may_leave(work)?;
    send(world, work)
}

/// Whether the packet has hops left, and its way out can carry it.
#[inline(always)]
pub(super) fn may_leave<A: Address>(work: &Work<A>) -> Outcome {
    rewrite::is_alive(&work.ip)?;
    if !work.exit.wait && rewrite::is_too_big(&work.ip, work.exit.hop.mtu) {
        return go_on::<A, _>(Program::TooBig);
    }
    Continue(())
}

/// Sends what may leave.
#[inline(always)]
pub(super) fn send<W: World + Tables<A>, A: Address>(world: &mut W, work: &Work<A>) -> Outcome<Verdict> {
    let returning = FlowKind::of(work.rewrite.kind) == FlowKind::NatReturn;
    world.count_traffic(work.rewrite.backend, work.ip.end, returning, work.fresh);
    rewrite::packet(world, &work.ip, &work.rewrite)?;
    forward::depart(world, work)
}

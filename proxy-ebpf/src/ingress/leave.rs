//! Out: the last checks, then the packet is rewritten and sent.

use proxy_common::{addr::Address, flow::FlowKind, program::Program};

use crate::{
    stage::{forward, rewrite},
    verdict::{Outcome, Verdict, go_on},
    work::Work,
    world::{Tables, World},
};

/// Sends the packet by `work.exit`, with what `work.rewrite` writes into it.
#[inline(always)]
pub(super) fn leave<W: World + Tables<A>, A: Address>(world: &mut W, work: &Work<A>) -> Outcome<Verdict> {
    rewrite::is_alive(&work.ip)?;
    if !work.exit.wait && rewrite::is_too_big(&work.ip, work.exit.hop.mtu) {
        return go_on::<A, _>(Program::TooBig);
    }
    let returning = FlowKind::of(work.rewrite.kind) == FlowKind::NatReturn;
    world.count_traffic(work.rewrite.backend, work.ip.end, returning, work.fresh);
    rewrite::packet(world, &work.ip, &work.rewrite)?;
    forward::depart(world, work)
}

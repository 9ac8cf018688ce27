//! Connections that are counted while they last.

use proxy_common::{
    addr::Address,
    flow::{Rewrite, SharedFlow},
};

use crate::{
    work::{Step, Work},
    world::{Tables, World},
};

/// A flow of the client in `work.limit`, in the client's direction, leaves its counts, unless it has.
#[inline(always)]
pub(super) fn leave<W: World + Tables<A>, A: Address>(world: &W, work: &mut Work<A>, flow: &SharedFlow<A>) {
    if flow.rewrite.counted != 0 && flow.leaves() {
        over(world, work, &flow.rewrite);
    }
}

/// A connection of the client in `work.limit` is over: one less in its set of counts.
#[inline(always)]
pub(super) fn over<W: World + Tables<A>, A: Address>(world: &W, work: &mut Work<A>, rewrite: &Rewrite<A>) {
    work.limit.backend = rewrite.backend;
    world.limit(work, Step::Leave, rewrite.counted);
}

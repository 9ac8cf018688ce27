//! What an established flow cannot settle by what it remembers: its way out has to be found, it is over, or limited, or its
//! client begins anew.

use proxy_common::{
    addr::Address,
    flow::{FlowKind, SharedFlow, state},
};

use super::{
    charged::{limited, or_reset},
    counted, guarded, leave,
};
use crate::{
    parsed::tcp,
    stage::{flow, forward},
    translation,
    verdict::{Outcome, Verdict},
    work::{Step, Work},
    world::{Tables, World},
};

/// The packet was found to be of the flow of its 5-tuple, and noted there; `work.rewrite` is the flow's.
#[inline(always)]
pub(super) fn resume<W: World + Tables<A>, A: Address>(
    world: &mut W,
    work: &mut Work<A>,
) -> Outcome<Verdict> {
    or_reset(go(world, work), work)
}

#[inline(always)]
fn go<W: World + Tables<A>, A: Address>(world: &mut W, work: &mut Work<A>) -> Outcome<Verdict> {
    if work.transport.is_bare_reset()
        && let Some(listener) = Tables::<A>::listener(world, &translation::place(&work.ip.key))
    {
        guarded::reset_to_backend(world, work, listener)?;
    }
    // Should it be gone by now, the backend's hop is known all the same.
    let known = world.flow(&work.ip.key);
    work.proved = known.is_some_and(|known| known.state() & state::UNPROVED == 0);
    if let Some(known) = known {
        if known.rewrite.counted != 0 && work.transport.flags & (tcp::FIN | tcp::RST) != 0 {
            ended(world, work, known);
        }
        if work.transport.flags & tcp::RST == 0 && known.state() & state::RST != 0 {
            known.revive();
        }
    }
    let hop = known.map(|known| &known.hop);
    forward::exit(world, work.ip.key.protocol, &work.rewrite, hop, &mut work.exit)?;
    if work.exit.hop.plan != 0 {
        limited(world, work, Step::Packet, work.exit.hop.plan)?;
    }
    leave::leave(world, work)
}

/// A packet that ends a flow, or half of it, whose counts it is in: once it is over it leaves them. What the client alone
/// says ends nothing: a backend need not believe it (RFC 5961). Nor does anything with `dsr`, where only that is seen. Such
/// flows leave their counts when they are forgotten.
#[inline(never)]
fn ended<W: World + Tables<A>, A: Address>(world: &W, work: &mut Work<A>, known: &SharedFlow<A>) {
    work.limit.client.assign(&work.ip.key.source);
    let kind = FlowKind::of(known.rewrite.kind);
    if kind == FlowKind::Dsr {
        return;
    }
    flow::other_way(&mut work.back, work.ip.key.protocol, &known.rewrite);
    let Some(other) = world.flow(&work.back) else { return };
    let (mine, theirs) = (known.state(), other.state());
    let backends = if kind == FlowKind::NatReturn { mine } else { theirs };
    if backends & state::RST == 0 && mine & theirs & state::FIN == 0 {
        return;
    }
    if kind == FlowKind::NatReturn {
        work.limit.client.assign(&work.back.source);
        counted::leave(world, work, other);
    } else {
        counted::leave(world, work, known);
    }
}

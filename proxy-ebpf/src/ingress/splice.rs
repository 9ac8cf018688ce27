//! Connections that userspace handed over: segments are translated, then they leave like those of any flow. While a
//! connection is being handed over its packets are kept back.

use proxy_common::{
    addr::Address,
    drop_reason::{DropReason, Notice},
    flow::{FlowKind, Rewrite, SharedFlow, state as flow_state},
    known,
    listener::Listener,
    splice::{Side, state},
};

use super::{charged::limited, leave};
use crate::{
    parsed::{Piece, UDP},
    stage::{flow, forward, splice},
    verdict::{Outcome, Verdict, dropped, passed, some},
    work::{Step, Work},
    world::{Tables, World},
};

/// Whether the packet in hand, to a socket of this host, is of a connection that has left its socket: a spliced one, or a flow
/// of datagrams, which has nothing to be translated.
#[inline(always)]
pub(super) fn was_handed_over<W: World + Tables<A>, A: Address>(
    world: &W,
    work: &Work<A>,
    listener: Listener,
) -> bool {
    listener.flags & Listener::HANDOFF != 0
        && world.may_be_known(known::hash(&work.ip.key))
        && Tables::<A>::flow(world, &work.ip.key)
            .is_some_and(|known| known.rewrite.is_spliced() || work.ip.key.protocol == UDP)
}

/// Who sends the packets of a flow.
#[inline(always)]
const fn side<A>(rewrite: &Rewrite<A>) -> Side {
    match FlowKind::of(rewrite.kind) {
        FlowKind::NatReturn => Side::Backend,
        FlowKind::NatForward | FlowKind::Dsr => Side::Client,
    }
}

/// A packet whose 5-tuple has the flow of a spliced connection. Nothing is written before it is known that it can leave.
#[inline(always)]
pub(super) fn resume<W: World + Tables<A>, A: Address>(
    world: &mut W,
    work: &mut Work<A>,
) -> Outcome<Verdict> {
    settle(world, work)?;
    if work.exit.hop.plan != 0 {
        work.proved = true;
        limited(world, work, Step::Packet, work.exit.hop.plan)?;
    }
    leave::may_leave(work)?;
    // A later fragment has nothing to be translated.
    if !matches!(work.ip.piece, Piece::Later(_)) {
        some(translate(world, work), DropReason::TcpHeader)?;
        some(splice::write(world, &work.translated), DropReason::Rewrite)?;
        if work.translated.unmark {
            some(splice::unmark(world, &work.ip), DropReason::Rewrite)?;
        }
    }
    leave::send(world, work)
}

/// What becomes of it, and how it leaves.
#[inline(never)]
fn settle<W: World + Tables<A>, A: Address>(world: &W, work: &mut Work<A>) -> Outcome {
    // Gone meanwhile, or nobody's: the host has no socket for it, and says so.
    let Some(known) = world.flow(&work.ip.key) else { return passed() };
    let number = known.born;
    let Some(splice) = world.splice(number) else { return passed() };
    let now = world.now();
    match splice.state_at(now) {
        state::LIVE => {}
        state::HELD => {
            if !world.hold(number) {
                world.notice(Notice::HandoffLost);
            }
            return dropped(DropReason::HandoffHeld);
        }
        _ => return passed(),
    }
    if work.transport.is_bare_syn() && is_over(world, work, known) {
        // The client begins anew.
        flow::forget(world, work, known);
        return passed();
    }
    work.splice = number;
    flow::touch(known, &work.transport, now);
    work.fresh = false;
    work.rewrite.copy_from(&known.rewrite);
    forward::exit(world, work.ip.key.protocol, &work.rewrite, Some(&known.hop), &mut work.exit)
}

/// Whether the client may begin anew: both sides have finished, or the backend has reset it. What looks like a reset of the
/// client's may be anybody's: until the backend agrees, a SYN asks it (see [`splice::translate`]).
#[inline(never)]
fn is_over<W: World + Tables<A>, A: Address>(world: &W, work: &mut Work<A>, known: &SharedFlow<A>) -> bool {
    if side(&known.rewrite) == Side::Backend {
        return false;
    }
    flow::other_way(&mut work.back, work.ip.key.protocol, &known.rewrite);
    let theirs = world.flow(&work.back).map_or(flow_state::RST, |other| other.state());
    theirs & flow_state::RST != 0 || known.state() & theirs & flow_state::FIN != 0
}

#[inline(never)]
fn translate<W: World + Tables<A>, A: Address>(world: &W, work: &mut Work<A>) -> Option<()> {
    let Work { ip, transport, rewrite, translated, splice: number, .. } = work;
    splice::translate(world, ip, transport, (*number, side(rewrite)), translated)
}

/// What the sequence number that an ICMP error quotes grows by on the error's way to the other side, which knows it as it
/// was before it was translated. `flow` is that whose packets
/// come the way the error came.
#[inline(always)]
pub(super) fn quoted<W: World, A: Address>(world: &W, flow: &SharedFlow<A>) -> u32 {
    if !flow.rewrite.is_spliced() {
        return 0;
    }
    world.splice(flow.born).map_or(0, |splice| splice.shifts[side(&flow.rewrite) as usize].acknowledgment)
}

//! SYNs of guarded listeners that are balanced, and what comes back from those who sent them.

use proxy_common::{
    addr::Address,
    drop_reason::{DropReason, Notice},
    flow::FlowKind,
    listener::Listener,
    settings::Settings,
};

use crate::{
    parsed::{TCP, tcp},
    stage::{cookie, guard, guard::Syn},
    verdict::{Outcome, dropped},
    work::Work,
    world::World,
};
use core::ops::ControlFlow::Continue;

/// A SYN to a listener that is balanced goes on, unless the listener is guarded, and nobody is known to be alive there:
/// then its sender is asked.
#[inline(never)]
pub(super) fn syn_to_backend<W: World, A: Address>(world: &W, work: &mut Work<A>, listener: Listener) -> Syn {
    let syn = judged(world, work, listener);
    if syn == Syn::Guarded
        && let Some(own) = world.guard_settings()
    {
        cookie::ask(work, own, world.now());
        world.notice(Notice::ProofAsked);
    }
    syn
}

/// Counts what begins a flow at a listener, by a source that is not known to be alive, and says whether the listener is guarded.
#[inline(always)]
fn judged<W: World, A: Address>(world: &W, work: &Work<A>, listener: Listener) -> Syn {
    let (Some(rule), Some(own), Some(settings)) =
        (world.guard_rule(listener.id), world.guard_settings(), world.settings())
    else {
        return Syn::Passes;
    };
    if rule.threshold == 0 || !own.usable() {
        return Syn::Passes;
    }
    let now = world.now();
    if guard::is_alive(world, work.ip.key.source, settings, own.seconds(now)) {
        if let Some(seen) = world.guard(u32::from(listener.id)) {
            // Those who are known may be the only ones left to see that it is over.
            guard::standing(world, seen, now, own.second);
        }
        return Syn::Passes;
    }
    guard::count(world, listener.id, rule, own)
}

/// A segment in the middle of a connection by `nat` that nothing is known of. It may be one whose flow was lost, and begins a
/// flow; so can anybody's who makes its source up, which takes a port as a SYN does: it is counted as one, and while the
/// listener is guarded it has to be of a source that is known to be alive. (Others are asked with their next SYN.) A reset
/// begins nothing. With `dsr` none of this costs a port, and the backend knows its connections: there all of it goes on by
/// the ring, also that of connections whose balancer was another one before.
#[inline(never)]
pub(super) fn stray_to_backend<W: World, A: Address>(
    world: &W,
    work: &Work<A>,
    listener: Listener,
) -> Outcome {
    if work.transport.flags & tcp::RST != 0 || judged(world, work, listener) == Syn::Guarded {
        return dropped(DropReason::FlowUnknown);
    }
    Continue(())
}

/// A reset to a listener that is balanced: the proof that its sender is there, if that was asked for.
#[inline(never)]
pub(super) fn reset_to_backend<W: World, A: Address>(
    world: &W,
    work: &Work<A>,
    listener: Listener,
) -> Outcome {
    let (Some(guard), Some(own), Some(settings)) =
        (world.guard(u32::from(listener.id)), world.guard_settings(), world.settings())
    else {
        return Continue(());
    };
    let now = world.now();
    if guard.state.load() == 0 || !own.usable() || !cookie::is_proof(work, own, now) {
        return Continue(());
    }
    guard::note_alive(world, work.ip.key.source, settings, own.seconds(now));
    dropped(DropReason::SynProof)
}

/// Whether the client of a flow that enters the flow table has proved to be alive: with `nat` by an acknowledgment of what only
/// the backend's answer could tell; else it has if it was asked before.
#[inline(always)]
pub(super) fn is_proved<W: World, A: Address>(world: &W, work: &Work<A>) -> bool {
    if work.ip.key.protocol == TCP && FlowKind::of(work.rewrite.kind) == FlowKind::NatForward {
        return true;
    }
    match (world.guard_settings(), world.settings()) {
        (Some(own), Some(settings)) if own.usable() => {
            guard::is_known(world, work.ip.key.source, settings, own.seconds(world.now()))
        }
        _ => false,
    }
}

/// A flow of `work` entered the flow table: with `nat` its client has shown that it is alive.
#[inline(always)]
pub(super) fn established<W: World, A: Address>(world: &W, work: &Work<A>, settings: &Settings) {
    if work.ip.key.protocol == TCP
        && FlowKind::of(work.rewrite.kind) == FlowKind::NatForward
        && let Some(own) = world.guard_settings()
        && own.second != 0
    {
        guard::note_alive(world, work.ip.key.source, settings, own.seconds(world.now()));
    }
}

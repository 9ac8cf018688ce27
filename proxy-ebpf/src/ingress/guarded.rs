//! SYNs of guarded listeners that are balanced, and what comes back from those who sent them.

use proxy_common::{
    addr::Address,
    drop_reason::{DropReason, Notice},
    flow::FlowKind,
    listener::Listener,
    settings::Settings,
};

use crate::{
    parsed::TCP,
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
    let syn = guard::count(world, listener.id, rule, own);
    if syn == Syn::Guarded {
        cookie::ask(work, own, now);
        world.notice(Notice::ProofAsked);
    }
    syn
}

/// A reset to a listener that is balanced, of no flow: the proof that its sender is there, if that was asked for.
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

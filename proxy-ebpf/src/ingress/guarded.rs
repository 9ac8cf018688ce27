//! SYNs of guarded listeners, and what comes back from those who sent them.

use proxy_common::{
    addr::Address,
    drop_reason::{DropReason, Notice},
    flow::FlowKind,
    guard::{GuardSettings, Standing},
    listener::{Forward, Listener, Ours, filter_bit},
    settings::Settings,
};

use super::charged::limited;
use crate::{
    parsed::{Piece, TCP, tcp},
    stage::{cookie, guard, guard::Syn, reply},
    translation,
    verdict::{Outcome, Verdict, dropped, passed, some},
    work::{Step, Work},
    world::{Socket, Tables, World},
};
use core::ops::ControlFlow::Continue;

/// The listener of the packet in hand, if its packets are the host's.
#[inline(always)]
pub(super) fn local_listener<W: World + Tables<A>, A: Address>(
    world: &W,
    work: &Work<A>,
) -> Option<Listener> {
    let (settings, filter, key) = (world.settings()?, world.filter()?, &work.ip.key);
    let may_be = settings.flags & Settings::LOCAL != 0
        && filter.has(filter_bit(Ours::Local, key.destination, key.destination_port, key.protocol));
    if !may_be {
        return None;
    }
    let listener = Tables::<A>::listener(world, &translation::place(key))?;
    (listener.forward == Forward::Local as u8).then_some(listener)
}

/// A packet to a socket of this host: passed, unless its listener is guarded, and it is none of a client that is there.
#[inline(never)]
pub(super) fn local<W: World + Tables<A>, A: Address>(
    world: &mut W,
    work: &mut Work<A>,
    listener: Listener,
) -> Outcome<Verdict> {
    if work.ip.key.protocol != TCP || !matches!(work.ip.piece, Piece::Whole) {
        return passed();
    }
    if listener.plan != 0 {
        limited(world, work, Step::Unproved, listener.plan)?;
    }
    if work.transport.is_bare_syn() {
        if listener.plan != 0 {
            // Workers charge new connections as they take them.
            limited(world, work, Step::Look, listener.plan)?;
        }
        return syn_to_socket(world, work, listener);
    }
    let Some(guard) = world.guard(u32::from(listener.id)) else { return passed() };
    // One word, where nothing was ever guarded.
    if guard.state.load() == 0 || work.transport.flags & tcp::ACK == 0 || work.transport.flags & tcp::RST != 0
    {
        return passed();
    }
    let Some(settings) = world.guard_settings().filter(|settings| settings.usable()) else { return passed() };
    match guard::standing(world, guard, world.now(), settings.second) {
        Standing::Open => passed(),
        standing => acknowledged(world, work, standing),
    }
}

#[inline(never)]
fn syn_to_socket<W: World + Tables<A>, A: Address>(
    world: &mut W,
    work: &mut Work<A>,
    listener: Listener,
) -> Outcome<Verdict> {
    let (Some(rule), Some(settings)) = (world.guard_rule(listener.id), world.guard_settings()) else {
        return passed();
    };
    let sockets = settings.flags & GuardSettings::SOCKETS != 0;
    if rule.threshold == 0 || !sockets || !settings.usable() {
        return passed();
    }
    if guard::count(world, listener.id, rule, settings) == Syn::Passes {
        return passed();
    }
    // Whoever is being served already, or was a moment ago, is known to the host.
    if Tables::<A>::socket(world, &work.ip.key) != Socket::Listens {
        return passed();
    }
    let now = world.now();
    some(cookie::options(world, &work.ip, &mut work.offer), DropReason::TcpHeader)?;
    let Some(settings) = world.guard_settings() else { return passed() };
    cookie::take(work, settings, now);
    world.notice(Notice::CookieGiven);
    reply::answer(world, work, DropReason::Rewrite)
}

/// An ACK to a listener that is guarded, or was: of a connection that is there, or that a cookie makes.
#[inline(never)]
fn acknowledged<W: World + Tables<A>, A: Address>(
    world: &mut W,
    work: &mut Work<A>,
    standing: Standing,
) -> Outcome<Verdict> {
    if Tables::<A>::socket(world, &work.ip.key) != Socket::Listens {
        return passed();
    }
    let now = world.now();
    let Some(settings) = world.guard_settings() else { return passed() };
    if !cookie::is_taken(world, work, settings, now) {
        // Once the guard is off the host says so itself, by a reset.
        return if standing == Standing::Guarded { dropped(DropReason::CookieInvalid) } else { passed() };
    }
    some(world.vouch(&work.ip, &work.offer), DropReason::CookieUnused)?;
    world.notice(Notice::CookieTaken);
    Continue(Verdict::Pass)
}

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

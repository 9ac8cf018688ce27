//! Packets to sockets of this host.

use proxy_common::{
    addr::Address,
    drop_reason::{DropReason, Notice},
    guard::{GuardSettings, Standing},
    listener::{Forward, Listener, Ours, filter_bit},
    program::Program,
    settings::Settings,
};

use super::{
    charged::{limited, or_reset},
    hello,
};
use crate::{
    parsed::{Piece, TCP, tcp},
    stage::{cookie, guard, guard::Syn, reply},
    translation,
    verdict::{Outcome, Verdict, dropped, go_on, passed, some},
    work::{Step, Work},
    world::{Socket, Tables, World},
};
use core::ops::ControlFlow::{Break, Continue};

/// The listener of the packet in hand, if its packets are the host's.
#[inline(always)]
pub(super) fn listener<W: World + Tables<A>, A: Address>(world: &W, work: &Work<A>) -> Option<Listener> {
    let (settings, filter, key) = (world.settings()?, world.filter()?, &work.ip.key);
    let may_be = settings.flags & Settings::LOCAL != 0
        && filter.has(filter_bit(Ours::Local, key.destination, key.destination_port, key.protocol));
    if !may_be {
        return None;
    }
    let listener = Tables::<A>::listener(world, &translation::place(key))?;
    (listener.forward == Forward::Local as u8).then_some(listener)
}

/// A packet to a socket of this host: passed, unless there is something to be asked about it.
#[inline(always)]
pub(super) fn packet<W: World, A: Address>(
    world: &W,
    work: &mut Work<A>,
    listener: Listener,
) -> Outcome<Verdict> {
    let (of, flags) = (work.transport, work.transport.flags);
    if work.ip.key.protocol != TCP {
        return passed();
    }
    if !is_whole(work) {
        // The host would make a SYN of it that nobody has counted; no stack sends one in pieces.
        if flags & tcp::SYN != 0 {
            return dropped(DropReason::FragmentMalformed);
        }
        work.listener = listener;
        return if listener.plan == 0 { passed() } else { go_on::<A, _>(Program::Local) };
    }
    let may_return_a_cookie = flags & (tcp::ACK | tcp::RST) == tcp::ACK;
    // One word, where nothing was ever guarded.
    let was_guarded = || world.guard(u32::from(listener.id)).is_some_and(|guard| guard.state.load() != 0);
    work.listener = listener;
    if listener.plan == 0 && !of.is_bare_syn() && !(may_return_a_cookie && was_guarded()) {
        return passed_to_socket(world, work);
    }
    go_on::<A, _>(Program::Local)
}

#[inline(always)]
const fn is_whole<A>(work: &Work<A>) -> bool {
    matches!(work.ip.piece, Piece::Whole)
}

/// Goes on to the socket, but for a ClientHello: that is looked at before.
#[inline(always)]
fn passed_to_socket<W: World, A: Address>(world: &W, work: &Work<A>) -> Outcome<Verdict> {
    if is_whole(work) && hello::is_due(world, work) {
        return go_on::<A, _>(Program::Peek);
    }
    passed()
}

/// Such a packet is passed unless it is too much for a limit, or its listener is guarded, and it is none of a client that is
/// there.
#[inline(always)]
pub(super) fn resume<W: World + Tables<A>, A: Address>(
    world: &mut W,
    work: &mut Work<A>,
) -> Outcome<Verdict> {
    match asked(world, work) {
        Break(Verdict::Pass) => passed_to_socket(world, work),
        other => or_reset(other, work),
    }
}

#[inline(always)]
fn asked<W: World + Tables<A>, A: Address>(world: &mut W, work: &mut Work<A>) -> Outcome<Verdict> {
    let listener = work.listener;
    if listener.plan != 0 {
        limited(world, work, Step::Unproved, listener.plan)?;
    }
    if !is_whole(work) {
        return passed();
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

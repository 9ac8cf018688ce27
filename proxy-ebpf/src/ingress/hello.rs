//! A ClientHello to a socket of this host: what its name decides before a socket exists. Whatever is not decided here goes
//! on to the worker, which reads it again, and whose word counts.

use proxy_common::{
    addr::Address,
    client_hello::outline::alpn,
    drop_reason::{DropReason, Notice},
    hash::{text_begin, text_word},
    listener::Listener,
    program::Program,
    sni::{Counted, NAME_WORDS, NameEntry, Note, action, decision},
};

use super::charged::limited;
use crate::{
    hello::MOST,
    stage::{client_hello, names, reply},
    verdict::{Outcome, Verdict, go_on, passed, some},
    work::{Step, Work},
    world::{Packet, Tables, World},
};

/// Where the payload of a TCP segment starts.
#[inline(always)]
fn payload<P: Packet, A: Address>(packet: &P, work: &Work<A>) -> Option<u32> {
    let [word] = packet.words::<1>(work.ip.l4 + 12)?;
    Some(work.ip.l4 + (u32::from_be(word) >> 28) * 4)
}

/// Whether a segment to a socket of this host is a ClientHello that is to be looked at.
#[inline(always)]
pub(super) fn is_due<P: Packet, A: Address>(packet: &P, work: &Work<A>) -> bool {
    if work.listener.flags & Listener::TLS == 0 || !work.transport.is_midstream() {
        return false;
    }
    let Some(at) = payload(packet, work) else { return false };
    at + 8 <= work.ip.end && packet.words::<2>(at).is_some_and(client_hello::begins)
}

/// The segment of `work` is one that [`is_due`].
#[inline(always)]
pub(super) fn resume<W: World + Tables<A>, A: Address>(
    world: &mut W,
    work: &mut Work<A>,
) -> Outcome<Verdict> {
    let Some(at) = payload(world, work) else { return passed() };
    let length = work.ip.end.saturating_sub(at);
    work.peek.have = if length < MOST { length } else { MOST };
    let have = work.peek.have;
    work.peek.looked_on = is_looked_on(world);
    if have == 0 || world.segment(&mut work.peek, at, have).is_none() {
        return left(world, work, Notice::PeekCut);
    }
    if let Err(why) = client_hello::read(world, A::FAMILY, &mut work.peek) {
        return left(world, work, why);
    }
    let listener = work.listener.id;
    let Some(rule) = world.peek_rule(listener).copied() else { return passed() };
    if work.peek.looked_on || rule.plan != 0 {
        work.peek.told.note.name.copy_from_slice(&work.peek.key.name);
    }
    let entry = names::find(world, &mut work.peek, listener, rule);
    // Whoever is not refused is read again by the worker, wholly.
    if work.peek.looked_on || entry.action != action::PASS {
        if let Err(why) = client_hello::outline(world, &mut work.peek) {
            return left(world, work, why);
        }
        work.peek.told.note.outline = work.peek.outline;
        work.peek.told.note.entry = entry.number;
        work.peek.told.note.at = world.now();
    }
    world.notice(Notice::PeekRead);
    let plan = rule.plan;
    // A proof of a name to a CA is answered by the worker, whatever becomes of the name's connections.
    if entry.action != action::PASS && work.peek.outline.alpn & alpn::ACME == 0 {
        return refused(world, work, entry);
    }
    if plan != 0
        && let Some(seed) = world.plan(plan).map(|plan| plan.seed)
    {
        work.limit.name = hash(&work.peek.told.note.name, work.peek.length, seed);
        if limited(world, work, Step::Look, plan).is_break() {
            world.count_name(entry.number, Counted::Limited);
            tell(world, work, decision::LIMITED, 0);
            return refuse(world, work, DropReason::Limit);
        }
    }
    world.count_name(entry.number, Counted::Passed);
    tell(world, work, decision::PASSED, 0);
    passed()
}

/// The worker has to read it.
#[inline(always)]
fn left<W: World, A: Address>(world: &W, work: &mut Work<A>, why: Notice) -> Outcome<Verdict> {
    world.notice(why);
    work.peek.told.note = Note::default();
    tell(world, work, decision::LEFT, why as u8);
    passed()
}

/// The table refuses it.
#[inline(always)]
fn refused<W: World + Tables<A>, A: Address>(
    world: &mut W,
    work: &mut Work<A>,
    entry: NameEntry,
) -> Outcome<Verdict> {
    world.count_name(entry.number, Counted::Refused);
    work.limit.reset = entry.action == action::RESET;
    tell(world, work, if work.limit.reset { decision::RESET } else { decision::DROPPED }, 0);
    refuse(world, work, DropReason::Sni)
}

/// Refuses what is in hand: the client is told by a reset, or the socket is, which is then gone without a word to the
/// client.
#[inline(always)]
fn refuse<W: World + Tables<A>, A: Address>(
    world: &mut W,
    work: &mut Work<A>,
    reason: DropReason,
) -> Outcome<Verdict> {
    if work.limit.reset {
        return go_on::<A, _>(Program::Reset);
    }
    world.count_drop(reason);
    some(reply::abort(world, &work.ip), reason)?;
    passed()
}

/// Whether somebody looks on.
#[inline(always)]
fn is_looked_on<W: World>(world: &W) -> bool {
    world.trace().is_some_and(|trace| trace.on != 0 && trace.until.wrapping_sub(world.now()) as i32 > 0)
}

/// Tells whoever looks on, and the worker.
#[inline(always)]
fn tell<W: World, A: Address>(world: &W, work: &mut Work<A>, decided: u8, reason: u8) {
    if !work.peek.looked_on {
        return;
    }
    let Some(trace) = world.trace() else { return };
    let told = &mut work.peek.told;
    let (mut any, mut same) = (0, 0);
    for i in 0..NAME_WORDS {
        any |= trace.name[i];
        same |= trace.name[i] ^ told.note.name[i];
    }
    if any != 0 && same != 0 && decided != decision::LEFT {
        return;
    }
    let words = work.ip.key.source.words();
    told.who.client = match *words.as_ref() {
        [v4] => [0, 0, 0xffff_u32.to_be(), v4],
        [a, b, c, d] => [a, b, c, d],
        _ => return,
    };
    told.who.port = work.ip.key.source_port.raw();
    told.who.listener = work.listener.id;
    (told.decision, told.reason) = (decided, reason);
    if decided == decision::PASSED {
        world.leave_note(&told.who, &told.note);
    }
    world.tell_hello(told);
}

/// A name's hash, as keys of limits have it.
#[inline(always)]
fn hash(name: &[u64; NAME_WORDS], length: u32, seed: u64) -> u64 {
    let mut hash = text_begin(seed, length as u64);
    for (i, word) in name.iter().enumerate() {
        if i as u32 * 8 < length {
            hash = text_word(hash, seed, u64::from_le(*word));
        }
    }
    hash
}

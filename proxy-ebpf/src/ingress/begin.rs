//! What the flow table does not settle: a SYN, a young flow, a backend's first answer, or nothing of ours.

use proxy_common::{
    addr::Address,
    backend::Backend,
    drop_reason::{DropReason, Notice},
    flow::{FlowKind, SharedFlow, state, young as bits},
    hash::flow_hash,
    hop::SharedHop,
    known,
    listener::{Forward, Listener},
    program::Program,
    settings::Settings,
};

use super::{
    charged::{limited, or_reset},
    counted, guarded, leave, returning,
};
use crate::{
    parsed::{TCP, UDP},
    stage::{admit, amplify, flow, forward, guard::Syn, reply, rewrite, select, young},
    translation,
    verdict::{Outcome, Verdict, dropped, go_on, passed},
    work::{Step, Work},
    world::{Tables, World},
};
use core::ops::ControlFlow::Continue;

/// What a packet is that the flow table does not settle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Begun {
    /// One of a flow that the table knows.
    Known,
    /// A backend's, to a young flow.
    Returns,
    /// A client's, of a young flow.
    Grown,
    /// The first of a flow.
    Fresh,
    /// It is answered.
    Answered,
    /// A SYN, of a connection that userspace handed over.
    Spliced,
}

/// A packet with ports that the flow table does not settle.
#[inline(always)]
pub(super) fn resume<W: World + Tables<A>, A: Address>(
    world: &mut W,
    work: &mut Work<A>,
) -> Outcome<Verdict> {
    or_reset(go(world, work), work)
}

#[inline(always)]
fn go<W: World + Tables<A>, A: Address>(world: &mut W, work: &mut Work<A>) -> Outcome<Verdict> {
    match settle(world, work)? {
        Begun::Answered => return reply::answer(world, work, DropReason::Rewrite),
        Begun::Spliced => return go_on::<A, _>(Program::Splice),
        _ => {}
    }
    if work.exit.hop.plan != 0 {
        limited(world, work, Step::Unproved, work.exit.hop.plan)?;
    }
    leave::leave(world, work)
}

/// Settles what is written into the packet and how it leaves.
#[inline(never)]
fn settle<W: World + Tables<A>, A: Address>(world: &W, work: &mut Work<A>) -> Outcome<Begun> {
    match begin(world, work)? {
        Begun::Known => {
            if let Some(known) = world.flow(&work.ip.key) {
                way_out(world, work, Some(&known.hop))?;
                return Continue(Begun::Known);
            }
        }
        begun @ (Begun::Answered | Begun::Spliced) => return Continue(begun),
        Begun::Returns => {}
        Begun::Grown => {
            prove(world, work)?;
            earn(world, work);
        }
        Begun::Fresh => {
            fresh(world, work)?;
            earn(world, work);
        }
    }
    way_out(world, work, None)?;
    Continue(Begun::Known)
}

/// A datagram may be answered by so much more.
#[inline(always)]
fn earn<W: World, A: Address>(world: &W, work: &Work<A>) {
    let factor = amplification(world, work);
    if factor != 0
        && let Some(settings) = world.settings()
    {
        amplify::earn(world, &work.ip, factor, settings);
    }
}

/// Bytes that may answer a byte of the datagram in hand; 0: nothing is said of that.
#[inline(always)]
fn amplification<W: World, A: Address>(world: &W, work: &Work<A>) -> u16 {
    if work.ip.key.protocol != UDP {
        return 0;
    }
    world.guard_rule(work.listener.id).map_or(0, |rule| rule.amplification)
}

/// A packet of a young flow may prove that its client is alive; then the flow may get its place in the flow table. That a
/// client writes again after an answer is no proof where answers are bounded: it need not have got any.
#[inline(always)]
fn prove<W: World + Tables<A>, A: Address>(world: &W, work: &mut Work<A>) -> Outcome {
    let proved = flow::is_proof(&work.young, &work.transport) && amplification(world, work) == 0;
    work.proved = proved && guarded::is_proved(world, work);
    let plan = plan::<W, A>(world, work.rewrite.backend);
    if proved && plan != 0 {
        limited(world, work, Step::Establish, plan)?;
    }
    stay(world, work, proved);
    Continue(())
}

/// Says what the packet is; a flow that begins has no backend yet.
#[inline(never)]
fn begin<W: World + Tables<A>, A: Address>(world: &W, work: &mut Work<A>) -> Outcome<Begun> {
    let Some(settings) = world.settings() else { return passed() };
    let listener = listener(world, work);
    let is_syn = work.transport.is_bare_syn();
    if let Some(listener) = listener.filter(|listener| listener.forward != Forward::Local as u8) {
        admit::source(&work.ip.key)?;
        rewrite::is_alive(&work.ip)?;
        // Before anything is asked about its 5-tuple: of a flood's SYN nothing else need be known.
        if is_syn && guarded::syn_to_backend(world, work, listener) == Syn::Guarded {
            return Continue(Begun::Answered);
        }
    }
    if is_syn {
        let known = known(world, work);
        work.has_flow = known.is_some();
        if known.is_some_and(|known| known.rewrite.is_spliced()) {
            return Continue(Begun::Spliced);
        }
    }
    let has_flow = work.has_flow;
    let Some(listener) = listener else {
        answer(world, work, settings)?;
        return Continue(Begun::Returns);
    };
    if listener.forward == Forward::Local as u8 {
        return passed();
    }
    if !has_flow && work.transport.is_bare_reset() {
        guarded::reset_to_backend(world, work, listener)?;
    }
    work.asked.copy_from(&work.ip.key);
    work.hash = flow_hash(&work.ip.key, settings.hash_seed);
    let is_young = young::of_client(world, work, settings, &listener);
    let is_stray = !has_flow && !is_young && work.ip.key.protocol == TCP && !work.transport.is_bare_syn();
    if is_stray && listener.forward == Forward::Nat as u8 {
        guarded::stray_to_backend(world, work, listener)?;
    }
    if has_flow
        && let Some(known) = world.flow(&work.ip.key)
        && !reuse(world, work, known, is_young, listener.id)
    {
        flow::touch(known, &work.transport, world.now());
        work.fresh = false;
        work.rewrite.copy_from(&known.rewrite);
        return Continue(Begun::Known);
    }
    work.fresh = !(is_young && grow(world, work, listener));
    work.listener = listener;
    Continue(if work.fresh { Begun::Fresh } else { Begun::Grown })
}

/// The flow of a SYN's 5-tuple. There hardly ever is one: that is asked of memory that a flood of SYNs keeps warm.
#[inline(always)]
fn known<'w, W: World + Tables<A>, A: Address>(world: &'w W, work: &Work<A>) -> Option<&'w SharedFlow<A>> {
    if !world.may_be_known(known::hash(&work.ip.key)) {
        return None;
    }
    world.flow(&work.ip.key)
}

/// Who listens where the packet goes.
#[inline(never)]
fn listener<W: World + Tables<A>, A: Address>(world: &W, work: &Work<A>) -> Option<Listener> {
    Tables::<A>::listener(world, &translation::place(&work.ip.key))
}

/// Forgets a flow of the client of the packet in hand.
#[inline(always)]
fn forget<W: World + Tables<A>, A: Address>(world: &W, work: &mut Work<A>, known: &SharedFlow<A>) {
    work.limit.client.assign(&work.ip.key.source);
    counted::leave(world, work, known);
    flow::forget(world, work, known);
}

/// Begins a flow, of the listener in `work`: a backend by the ring, what its limits say, and a place among the young.
#[inline(always)]
fn fresh<W: World + Tables<A>, A: Address>(world: &W, work: &mut Work<A>) -> Outcome {
    work.rewrite.backend = select::by_ring(world, work.listener.id, work.hash)?;
    let plan = plan::<W, A>(world, work.rewrite.backend);
    if plan != 0 && (work.ip.key.protocol != TCP || work.transport.is_bare_syn()) {
        limited(world, work, Step::Connection, plan)?;
    }
    birth(world, work)
}

/// How the packet leaves.
#[inline(never)]
fn way_out<W: World + Tables<A>, A: Address>(
    world: &W,
    work: &mut Work<A>,
    own: Option<&SharedHop>,
) -> Outcome {
    forward::exit(world, work.ip.key.protocol, &work.rewrite, own, &mut work.exit)
}

/// Whether a 5-tuple that has a flow begins anew. A SYN alone never harms a live flow: where the ring sends it
/// elsewhere it makes a young flow beside the old one, and only the client's proof of life ends the old one.
#[inline(never)]
fn reuse<W: World + Tables<A>, A: Address>(
    world: &W,
    work: &mut Work<A>,
    known: &SharedFlow<A>,
    is_young: bool,
    listener: u16,
) -> bool {
    if work.transport.is_bare_syn() {
        if flow::is_over(world, work, known) {
            forget(world, work, known);
            world.notice(Notice::FlowReused);
            return true;
        }
        // The flow's own SYN, sent again, belongs to it whatever the ring says by now.
        if is_young && young::began_with(work) && work.young.backend == known.rewrite.backend {
            return false;
        }
        return match select::by_ring(world, listener, work.hash) {
            Continue(id) if id != known.rewrite.backend => {
                known.mark(state::SYN_ELSEWHERE);
                true
            }
            _ => false,
        };
    }
    let proved = is_young
        && flow::continues(&work.young, &work.transport)
        && flow::is_proof(&work.young, &work.transport);
    if proved {
        forget(world, work, known);
        world.notice(Notice::FlowReused);
    }
    proved
}

/// The plan of a backend's listener.
#[inline(always)]
fn plan<W: World + Tables<A>, A: Address>(world: &W, backend: u16) -> u8 {
    Tables::<A>::backend(world, backend).map_or(0, |backend: &Backend<A>| backend.plan())
}

/// A packet of the young flow in `work.young`: the same backend, the same port. `false`: the young flow is of no use any
/// more, the packet begins a new one.
#[inline(never)]
fn grow<W: World + Tables<A>, A: Address>(world: &W, work: &mut Work<A>, listener: Listener) -> bool {
    let Some(backend) = Tables::<A>::backend(world, work.young.backend) else { return false };
    let usable = backend.flags & (Backend::<A>::IN_USE | Backend::<A>::LEAVING) == Backend::<A>::IN_USE;
    let ready = usable && backend.listener == listener.id;
    let is_nat = work.young.nat_port.raw() != 0;
    if !ready || is_nat != (listener.forward == Forward::Nat as u8) {
        return false;
    }
    let leaving = backend.flags & (Backend::<A>::DOWN | Backend::<A>::DRAINING) != 0;
    if work.transport.is_bare_syn() && (leaving || !young::began_with(work)) {
        return false;
    }
    if is_nat {
        let Some(source) = Tables::<A>::nat_source(world, backend.nat_source) else { return false };
        let port = work.young.nat_port;
        translation::backend_side(&mut work.there, &source.address, port, backend, work.ip.key.protocol);
        work.back.answer_to(&work.there);
        if world.settings().is_none_or(|settings| select::is_lost(world, work, settings)) {
            return false;
        }
        let Work { rewrite, ip, there, .. } = work;
        translation::nat(rewrite, &ip.key, there, FlowKind::NatForward, work.young.backend);
    } else {
        translation::dsr(&mut work.rewrite, &work.ip.key, work.young.backend, backend);
    }
    true
}

/// With a proof of life a flow gets its place in the flow table.
#[inline(never)]
fn stay<W: World + Tables<A>, A: Address>(world: &W, work: &mut Work<A>, proved: bool) {
    let Some(settings) = world.settings() else { return };
    if proved {
        if flow::establish(world, work) {
            guarded::established(world, work, settings);
            return;
        }
        if work.rewrite.counted != 0 {
            work.limit.client.assign(&work.ip.key.source);
            work.limit.backend = work.rewrite.backend;
            world.limit(work, Step::Leave, work.rewrite.counted);
        }
    }
    // What stays young, because the table is full or nothing is proved yet, is kept from growing old by its packets.
    // So is the way back: another young flow may have taken its place since, and answers must find this one.
    if work.young.nat_port.raw() == 0 {
        young::remember_word(world, work, settings);
    } else {
        young::remember(world, work, settings);
        flow::other_way(&mut work.back, work.ip.key.protocol, &work.rewrite);
        young::remember_return(world, &work.back, work.hash, settings.hash_seed);
    }
}

/// The first packet of a flow to the backend in `work.rewrite`: a port, and a place among the young.
#[inline(never)]
fn birth<W: World + Tables<A>, A: Address>(world: &W, work: &mut Work<A>) -> Outcome {
    let Some(settings) = world.settings() else { return passed() };
    let syn = work.transport.is_bare_syn();
    let key = &work.ip.key;
    if key.protocol == TCP && !syn {
        world.notice(Notice::FlowUnknown);
    }
    let id = work.rewrite.backend;
    let Some(backend) = Tables::<A>::backend(world, id) else { return dropped(DropReason::NoBackend) };
    work.young.become_of(key, id, work.transport.sequence, if syn { bits::SYN } else { 0 });
    if work.listener.forward == Forward::Dsr as u8 {
        translation::dsr(&mut work.rewrite, key, id, backend);
        young::remember_word(world, work, settings);
    } else {
        let source = select::source(world, backend)?;
        work.young.nat_port = select::port(world, work, backend, source)?;
        translation::nat(&mut work.rewrite, &work.ip.key, &work.there, FlowKind::NatForward, id);
        young::remember(world, work, settings);
        // After the lock of the slot, which would wait until this store has reached memory.
        young::remember_return(world, &work.back, work.hash, settings.hash_seed);
    }
    Continue(())
}

/// A packet from the backend of a young flow, or nothing of ours.
#[inline(never)]
fn answer<W: World + Tables<A>, A: Address>(world: &W, work: &mut Work<A>, settings: &Settings) -> Outcome {
    work.asked.copy_from(&work.ip.key);
    let Some(index) = young::of_backend(world, work, settings) else {
        return passed();
    };
    let backend = Tables::<A>::backend(world, work.young.backend);
    if work.ip.key.protocol == UDP
        && let Some(rule) = backend.and_then(|backend| world.guard_rule(backend.listener))
        && rule.amplification != 0
    {
        amplify::spend(world, &work.ip, work.young.client, settings)?;
    }
    // A connection whose handshake was not seen, or forgotten, is proved by an acknowledgment of the backend's data.
    let resumed = work.young.bits & bits::SYN == 0 && work.transport.is_midstream();
    if work.transport.is_answer_to_syn() || resumed || work.ip.key.protocol != TCP {
        let isn = work.transport.sequence.wrapping_sub(resumed as u32);
        let known = work.young.bits & bits::ANSWERED != 0 && work.young.backend_isn == isn;
        if !known {
            work.young.bits |= bits::ANSWERED;
            work.young.backend_isn = isn;
            young::update(world, &work.young, index);
        }
    }
    returning::returning(work);
    work.fresh = false;
    Continue(())
}

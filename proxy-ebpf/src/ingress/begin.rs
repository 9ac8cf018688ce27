//! What the flow table does not settle: a SYN, a young flow, a backend's first answer, or nothing of ours.

use proxy_common::{
    addr::{Address, Be16},
    backend::Backend,
    drop_reason::{DropReason, Notice},
    flow::{FlowKind, SharedFlow, state, young as bits},
    hash::flow_hash,
    hop::SharedHop,
    listener::{Forward, Listener},
    settings::Settings,
};

use super::guarded;
use crate::{
    parsed::{TCP, UDP},
    stage::{admit, amplify, flow, forward, guard::Syn, rewrite, select, young},
    translation,
    verdict::{Outcome, dropped, passed},
    work::Work,
    world::{Tables, World},
};
use core::ops::ControlFlow::Continue;

/// What becomes of what begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Begun {
    /// It leaves, by the way that was found.
    Leaves,
    /// It is answered.
    Answered,
}

/// Settles what is written into the packet and how it leaves. `has_flow`: the flow table knows the 5-tuple.
#[inline(never)]
pub(super) fn begin<W: World + Tables<A>, A: Address>(
    world: &W,
    work: &mut Work<A>,
    has_flow: bool,
) -> Outcome<Begun> {
    let Some(settings) = world.settings() else { return passed() };
    let Some(listener) = Tables::<A>::listener(world, &translation::place(&work.ip.key)) else {
        answer(world, work, settings)?;
        way_out(world, work, None)?;
        return Continue(Begun::Leaves);
    };
    if listener.forward == Forward::Local as u8 {
        return passed();
    }
    admit::source(&work.ip.key)?;
    rewrite::is_alive(&work.ip)?;
    if !has_flow && work.ip.key.protocol == TCP {
        if work.transport.is_bare_syn() && guarded::syn_to_backend(world, work, listener) == Syn::Guarded {
            return Continue(Begun::Answered);
        }
        if work.transport.is_bare_reset() {
            guarded::reset_to_backend(world, work, listener)?;
        }
    }
    work.asked.copy_from(&work.ip.key);
    work.hash = flow_hash(&work.ip.key, settings.hash_seed);
    let is_young = young::of_client(world, work, settings);
    if has_flow
        && let Some(known) = world.flow(&work.ip.key)
        && !reuse(world, work, known, is_young, listener.id)
    {
        flow::touch(known, &work.transport, world.now());
        work.fresh = false;
        work.rewrite.copy_from(&known.rewrite);
        way_out(world, work, Some(&known.hop))?;
        return Continue(Begun::Leaves);
    }
    work.fresh = !(is_young && grow(world, work, listener, settings));
    if work.fresh {
        birth(world, work, listener, settings)?;
    }
    if work.ip.key.protocol == UDP
        && let Some(rule) = world.guard_rule(listener.id)
        && rule.amplification != 0
    {
        amplify::earn(world, &work.ip, rule.amplification, settings);
    }
    way_out(world, work, None)?;
    Continue(Begun::Leaves)
}

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
            flow::forget(world, work, known);
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
        flow::forget(world, work, known);
        world.notice(Notice::FlowReused);
    }
    proved
}

/// A packet of the young flow in `work.young`: the same backend, the same port, and with a proof of life its place in
/// the flow table. `false`: the young flow is of no use any more, the packet begins a new one.
#[inline(never)]
fn grow<W: World + Tables<A>, A: Address>(
    world: &W,
    work: &mut Work<A>,
    listener: Listener,
    settings: &Settings,
) -> bool {
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
        let Work { rewrite, ip, there, .. } = work;
        translation::nat(rewrite, &ip.key, there, FlowKind::NatForward, work.young.backend);
    } else {
        translation::dsr(&mut work.rewrite, &work.ip.key, work.young.backend, backend);
    }
    // What stays young, because the table is full or nothing is proved yet, is kept from growing old by its packets.
    // So is the way back: another young flow may have taken its place since, and answers must find this one.
    if !flow::is_proof(&work.young, &work.transport) || !flow::establish(world, work) {
        young::remember(world, work, settings);
        if is_nat {
            flow::other_way(&mut work.back, work.ip.key.protocol, &work.rewrite);
            young::remember_return(world, &work.back, work.hash, settings.hash_seed);
        }
    } else {
        guarded::established(world, work, settings);
    }
    true
}

/// The first packet of a flow: a backend by the ring, a port, and a place among the young.
#[inline(never)]
fn birth<W: World + Tables<A>, A: Address>(
    world: &W,
    work: &mut Work<A>,
    listener: Listener,
    settings: &Settings,
) -> Outcome {
    let syn = work.transport.is_bare_syn();
    let key = &work.ip.key;
    if key.protocol == TCP && !syn {
        world.notice(Notice::FlowUnknown);
    }
    let id = select::by_ring(world, listener.id, work.hash)?;
    let Some(backend) = Tables::<A>::backend(world, id) else { return dropped(DropReason::NoBackend) };
    let young = &mut work.young;
    young.client.assign(&key.source);
    young.service.assign(&key.destination);
    young.client_port = key.source_port;
    young.service_port = key.destination_port;
    young.nat_port = Be16::default();
    young.backend = id;
    young.client_isn = work.transport.sequence;
    young.backend_isn = 0;
    young.protocol = key.protocol;
    young.bits = if syn { bits::SYN } else { 0 };
    if listener.forward == Forward::Dsr as u8 {
        translation::dsr(&mut work.rewrite, key, id, backend);
    } else {
        let source = select::source(world, backend)?;
        work.young.nat_port = select::port(world, work, backend, source)?;
        translation::nat(&mut work.rewrite, &work.ip.key, &work.there, FlowKind::NatForward, id);
    }
    young::remember(world, work, settings);
    if work.young.nat_port.raw() != 0 {
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
    returning(work);
    work.fresh = false;
    Continue(())
}

/// What is written into a packet under `work.asked`, from the backend of `work.young`.
#[inline(always)]
pub(super) fn returning<A: Address>(work: &mut Work<A>) {
    let Work { young, there, asked, rewrite, .. } = work;
    there.set(&young.service, &young.client, young.service_port, young.client_port, young.protocol);
    translation::nat(rewrite, asked, there, FlowKind::NatReturn, young.backend);
}

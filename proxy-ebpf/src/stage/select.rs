//! A backend for a new flow: the listener's ring, and for `nat` a port to leave from.

use proxy_common::{
    addr::{Address, Be16},
    backend::{Backend, NatSource},
    drop_reason::{DropReason, Notice},
    flow::{Rewrite, Slot, way_back},
    hash::{flow_hash, mix64, one_of},
    known,
    limits::PORT_PROBES,
    listener::{Ours, filter_bit},
    maglev::{NO_BACKEND, RING_SLOTS},
    settings::Settings,
};

use crate::{
    translation::backend_side,
    verdict::{Outcome, dropped},
    work::Work,
    world::{Tables, World},
};
use core::ops::ControlFlow::Continue;

/// The backend in the ring's slot of this hash.
#[inline(always)]
pub fn by_ring<W: World>(world: &W, listener: u16, hash: u64) -> Outcome<u16> {
    match world.ring_slot(listener, one_of(hash, RING_SLOTS)) {
        Some(id) if id != NO_BACKEND => Continue(id),
        _ => dropped(DropReason::NoBackend),
    }
}

/// The source address that a backend is reached from.
#[inline(always)]
pub fn source<'w, W: World + Tables<A>, A: Address>(
    world: &'w W,
    backend: &Backend<A>,
) -> Outcome<&'w NatSource<A>> {
    match Tables::<A>::nat_source(world, backend.nat_source) {
        Some(source) if source.port_count != 0 => Continue(source),
        _ => dropped(DropReason::PortsExhausted),
    }
}

/// A port from `source` towards `backend` that no listener and no established flow uses, and no fresh young flow; if such have
/// all that are looked at, that of the one that nobody has written to for longest: as everywhere, a newer young flow takes an
/// older one's place. Leaves the 5-tuple of the backend's side in `there`, that of its answers in `back`. Candidates follow
/// from the flow's hash, so that a retransmitted SYN tries the same ones in the same order.
#[inline(never)]
pub fn port<W: World + Tables<A>, A: Address>(
    world: &W,
    work: &mut Work<A>,
    backend: &Backend<A>,
    source: &NatSource<A>,
) -> Outcome<Be16> {
    let (Some(settings), Some(filter)) = (world.settings(), world.filter()) else {
        return dropped(DropReason::PortsExhausted);
    };
    let protocol = work.ip.key.protocol;
    let mut seed = work.hash;
    let (mut oldest, mut most) = (Be16::default(), 0);
    for _ in 0..PORT_PROBES {
        seed = mix64(seed);
        let candidate =
            Be16::new(source.port_low.wrapping_add(one_of(seed, source.port_count as u32) as u16));
        // An answer to an address that is listened on would be taken for a client's packet. A bit that is another's
        // costs a candidate.
        if filter.has(filter_bit(Ours::Listener, source.address, candidate, protocol)) {
            continue;
        }
        backend_side(&mut work.there, &source.address, candidate, backend, protocol);
        work.back.answer_to(&work.there);
        if is_established(world, work) {
            continue;
        }
        let age = anothers_age(world, work, settings);
        if age == 0 {
            return Continue(candidate);
        }
        if age > most {
            most = age;
            oldest = candidate;
        }
    }
    if most == 0 {
        return dropped(DropReason::PortsExhausted);
    }
    backend_side(&mut work.there, &source.address, oldest, backend, protocol);
    work.back.answer_to(&work.there);
    world.notice(Notice::PortRetaken);
    Continue(oldest)
}

/// Whether the port of the young flow of the client in hand, whose answers come under `work.back`, is another client's by now.
#[inline(never)]
pub fn is_lost<W: World + Tables<A>, A: Address>(world: &W, work: &mut Work<A>, settings: &Settings) -> bool {
    if anothers_age(world, work, settings) != 0 {
        return true;
    }
    let key = &work.ip.key;
    let own =
        |to: &Rewrite<A>| to.new_destination_port == key.source_port && to.new_destination == key.source;
    world.may_be_known(known::hash(&work.back))
        && world.flow(&work.back).is_some_and(|flow| !own(&flow.rewrite))
}

#[inline(always)]
fn is_established<W: World + Tables<A>, A: Address>(world: &W, work: &Work<A>) -> bool {
    world.may_be_known(known::hash(&work.back)) && world.flow(&work.back).is_some()
}

/// If a fresh young flow of another client gets its answers under `work.back`: for how long nobody has written to it, in
/// ticks and one more; else 0.
#[inline(never)]
fn anothers_age<W: World + Tables<A>, A: Address>(world: &W, work: &mut Work<A>, settings: &Settings) -> u32 {
    let hash = flow_hash(&work.back, settings.hash_seed);
    let cell = Tables::<A>::young_return(world, hash as u32);
    let Some(index) = cell.and_then(|cell| way_back::index(cell.load(), hash)) else { return 0 };
    let slot = Tables::<A>::young(world, index);
    let Some(touched) = slot.and_then(|slot| slot.read(&mut work.other)) else { return 0 };
    let (key, back, young) = (&work.ip.key, &work.back, &work.other);
    let age = world.now().wrapping_sub(touched);
    if young.nat_port != back.destination_port
        || young.protocol != back.protocol
        || age > settings.young_lifetime
        || (young.client_port == key.source_port && young.client == key.source)
    {
        return 0;
    }
    match Tables::<A>::backend(world, young.backend) {
        Some(other) if other.address == back.source && other.port == back.source_port => {
            age.saturating_add(1)
        }
        _ => 0,
    }
}

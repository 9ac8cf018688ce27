//! Young flows: what has not proved to be alive. One slot a hash; a newer one takes an older one's place.

use proxy_common::{
    addr::Address,
    backend::Backend,
    drop_reason::Notice,
    flow::{FlowKey, Slot, Young, way_back, young as bits},
    hash::flow_hash,
    listener::{Forward, Listener},
    settings::Settings,
    young_word::YoungWord,
};

use crate::{
    translation::backend_side,
    work::Work,
    world::{Tables, World},
};

/// Finds the young flow of a client's packet under `work.asked` to a listener and leaves it in `work.young`.
#[inline(always)]
pub fn of_client<W: World + Tables<A>, A: Address>(
    world: &W,
    work: &mut Work<A>,
    settings: &Settings,
    listener: &Listener,
) -> bool {
    if listener.forward == Forward::Dsr as u8 {
        by_word(world, work, settings)
    } else {
        by_slot(world, work, settings)
    }
}

/// The same with `dsr`.
#[inline(never)]
fn by_word<W: World, A: Address>(world: &W, work: &mut Work<A>, settings: &Settings) -> bool {
    let Some(cell) = world.young_word(work.hash) else { return false };
    let word = YoungWord(cell.load());
    if !word.is_of(work.hash) || word.age(world.now()) > settings.young_lifetime {
        return false;
    }
    // What follows a SYN begins one behind it.
    let syn = work.transport.is_bare_syn();
    let isn = word.isn(work.transport.sequence.wrapping_sub(!syn as u32));
    let bits = if word.began_with_syn() { bits::SYN } else { 0 };
    let Work { young, asked, .. } = work;
    young.become_of(asked, word.backend(), isn, bits);
    true
}

/// The same with `nat`.
#[inline(never)]
fn by_slot<W: World + Tables<A>, A: Address>(world: &W, work: &mut Work<A>, settings: &Settings) -> bool {
    let slot = Tables::<A>::young(world, work.hash as u32);
    let Some(touched) = slot.and_then(|slot| slot.read(&mut work.young)) else {
        return false;
    };
    let key = &work.asked;
    work.young.protocol == key.protocol
        && work.young.client == key.source
        && work.young.client_port == key.source_port
        && work.young.service == key.destination
        && work.young.service_port == key.destination_port
        && world.now().wrapping_sub(touched) <= settings.young_lifetime
}

/// Whether `work.young` began with the very SYN in hand.
#[inline(always)]
pub fn began_with<A: Address>(work: &Work<A>) -> bool {
    work.young.bits & bits::SYN != 0 && work.young.client_isn == work.transport.sequence
}

/// Finds the young flow that a backend's packet under `work.asked` answers, and leaves it in `work.young`. Returns
/// where it is.
#[inline(never)]
pub fn of_backend<W: World + Tables<A>, A: Address>(
    world: &W,
    work: &mut Work<A>,
    settings: &Settings,
) -> Option<u32> {
    let hash = flow_hash(&work.asked, settings.hash_seed);
    let index = way_back::index(Tables::<A>::young_return(world, hash as u32)?.load(), hash)?;
    let touched = Tables::<A>::young(world, index)?.read(&mut work.young)?;
    let backend: &Backend<A> = Tables::<A>::backend(world, work.young.backend)?;
    let source = Tables::<A>::nat_source(world, backend.nat_source)?;
    backend_side(&mut work.there, &source.address, work.young.nat_port, backend, work.young.protocol);
    work.back.answer_to(&work.there);
    (work.back == work.asked && world.now().wrapping_sub(touched) <= settings.young_lifetime).then_some(index)
}

/// Enters or renews `work.young`, a flow of `dsr`; whoever had the place is replaced.
#[inline(always)]
pub fn remember_word<W: World, A: Address>(world: &W, work: &Work<A>, settings: &Settings) {
    let Some(cell) = world.young_word(work.hash) else { return };
    let (now, young, old) = (world.now(), &work.young, YoungWord(cell.load()));
    if old.is_there() && !old.is_of(work.hash) && old.age(now) <= settings.young_lifetime {
        world.notice(Notice::YoungReplaced);
    }
    let syn = young.bits & bits::SYN != 0;
    cell.store(YoungWord::of(work.hash, young.backend, young.client_isn, syn, now).0);
}

/// Enters or renews `work.young`, a flow of `nat`; whoever had the slot is replaced.
#[inline(never)]
pub fn remember<W: World + Tables<A>, A: Address>(world: &W, work: &mut Work<A>, settings: &Settings) {
    let Some(slot) = Tables::<A>::young(world, work.hash as u32) else { return };
    let now = world.now();
    if let Some(touched) = slot.read(&mut work.other)
        && work.other.protocol != 0
        && (work.other.client_port != work.young.client_port || work.other.client != work.young.client)
        && now.wrapping_sub(touched) <= settings.young_lifetime
    {
        world.notice(Notice::YoungReplaced);
    }
    // Another CPU writing here at this instant wins the slot: this handshake costs a retransmission at worst.
    let _lost = slot.write(&work.young, now);
}

/// Lets the backend's answers find a young flow.
#[inline(always)]
pub fn remember_return<W: World + Tables<A>, A: Address>(world: &W, back: &FlowKey<A>, hash: u64, seed: u64) {
    let answer = flow_hash(back, seed);
    if let Some(cell) = Tables::<A>::young_return(world, answer as u32) {
        cell.store(way_back::to(answer, hash));
    }
}

/// Writes a young flow back at its place.
#[inline(never)]
pub fn update<W: World + Tables<A>, A: Address>(world: &W, young: &Young<A>, index: u32) {
    if let Some(slot) = Tables::<A>::young(world, index) {
        // A lost write costs a packet of proof: the next answer brings it again.
        let _lost = slot.write(young, world.now());
    }
}

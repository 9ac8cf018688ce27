//! Established flows: their state, the reuse of a 5-tuple, and the entry of a young flow that proved to be alive.

use proxy_common::{
    addr::Address,
    drop_reason::Notice,
    flow::{Flow, FlowKey, FlowKind, Rewrite, SharedFlow, Young, state, young},
    hop::Hop,
    known,
};

use crate::{
    parsed::{TCP, Transport, tcp},
    translation,
    work::Work,
    world::{Insert, Tables, World},
};

/// Notes a packet of a flow.
#[inline(always)]
pub fn touch<A: Address>(flow: &SharedFlow<A>, transport: &Transport, now: u32) {
    flow.touch(now);
    if transport.flags & (tcp::FIN | tcp::RST) != 0 {
        let fin = if transport.flags & tcp::FIN != 0 { state::FIN } else { 0 };
        let rst = if transport.flags & tcp::RST != 0 { state::RST } else { 0 };
        flow.mark(fin | rst);
    }
}

/// The key of a `nat` flow's other direction, from this direction's.
#[inline(always)]
pub fn other_way<A: Address>(other: &mut FlowKey<A>, protocol: u8, rewrite: &Rewrite<A>) {
    let (from, to) = (&rewrite.new_destination, &rewrite.new_source);
    other.set(from, to, rewrite.new_destination_port, rewrite.new_source_port, protocol);
}

/// Whether a TCP flow is over: reset, or finished both ways. With `dsr` only the client's side is seen. Anybody can say that
/// he is the client: its reset counts once nothing has come for a while.
#[inline(never)]
pub fn is_over<W: World + Tables<A>, A: Address>(
    world: &W,
    work: &mut Work<A>,
    flow: &SharedFlow<A>,
) -> bool {
    let mine = flow.state();
    if FlowKind::of(flow.rewrite.kind) == FlowKind::Dsr {
        return mine & (state::RST | state::FIN) != 0;
    }
    other_way(&mut work.back, work.ip.key.protocol, &flow.rewrite);
    let (seen, now) = (flow.seen(), world.now());
    let Some(other) = world.flow(&work.back) else { return true };
    let theirs = other.state();
    if theirs & state::RST != 0 || mine & theirs & state::FIN != 0 {
        return true;
    }
    let quiet = now.wrapping_sub(seen).min(now.wrapping_sub(other.seen()));
    mine & state::RST != 0 && world.settings().is_some_and(|settings| quiet > settings.young_lifetime >> 3)
}

/// Removes both directions.
#[inline(never)]
pub fn forget<W: World + Tables<A>, A: Address>(world: &W, work: &mut Work<A>, flow: &SharedFlow<A>) {
    if FlowKind::of(flow.rewrite.kind) != FlowKind::Dsr {
        other_way(&mut work.back, work.ip.key.protocol, &flow.rewrite);
        world.remove_flow(&work.back);
    }
    world.remove_flow(&work.ip.key);
}

/// Whether a packet of a young flow's client proves that the client is where it says. `nat`: it acknowledges what only
/// the backend's answer could tell (up to a window, for a lost first ACK), or writes again after an answer. `dsr`:
/// answers do not pass here, so a second matching packet has to do.
#[inline(always)]
pub fn is_proof<A: Address>(flow: &Young<A>, transport: &Transport) -> bool {
    const WINDOW: u32 = 1 << 20;
    let answered = flow.bits & young::ANSWERED != 0;
    match (flow.nat_port.raw() != 0, flow.protocol == TCP) {
        (true, true) => {
            let beyond = transport.acknowledgment.wrapping_sub(flow.backend_isn.wrapping_add(1));
            answered && transport.is_midstream() && beyond < WINDOW
        }
        (true, false) => answered,
        (false, true) => transport.is_midstream(),
        (false, false) => true,
    }
}

/// Whether a packet belongs to a connection that began with this young flow's SYN.
#[inline(always)]
pub fn continues<A: Address>(flow: &Young<A>, transport: &Transport) -> bool {
    flow.bits & young::SYN != 0 && transport.sequence == flow.client_isn.wrapping_add(1)
}

/// Enters a flow into the table, both directions of a `nat` flow, the answer's first: where the client's is, the
/// answer's is too. `false`: the table is full, or of flows that nobody has proved, and the flow stays young.
#[inline(never)]
pub fn establish<W: World + Tables<A>, A: Address>(world: &W, work: &mut Work<A>) -> bool {
    let now = world.now();
    let is_nat = FlowKind::of(work.rewrite.kind) == FlowKind::NatForward;
    if !work.proved && !Tables::<A>::take_room(world, 1 + is_nat as u64) {
        world.notice(Notice::UnprovedFull);
        return false;
    }
    work.flow.born = now;
    work.flow.activity = (now as u64) << 32 | if work.proved { 0 } else { state::UNPROVED as u64 };
    work.flow.hop = Hop::default();
    if is_nat {
        other_way(&mut work.back, work.ip.key.protocol, &work.rewrite);
        work.there.answer_to(&work.ip.key);
        translation::nat(
            &mut work.flow.rewrite,
            &work.back,
            &work.there,
            FlowKind::NatReturn,
            work.rewrite.backend,
        );
        work.flow.rewrite.counted = work.rewrite.counted;
        if enter(world, &work.back, &work.flow) != Insert::Done {
            return false;
        }
    }
    work.flow.rewrite.copy_from(&work.rewrite);
    if enter(world, &work.ip.key, &work.flow) != Insert::Done {
        if is_nat {
            world.remove_flow(&work.back);
        }
        return false;
    }
    // After the insert: what is cleared before it is entered is found by the daemon's walk (`proxy_common::known`).
    world.note_known(known::hash(&work.ip.key));
    if is_nat {
        world.note_known(known::hash(&work.back));
    }
    world.notice(Notice::FlowCreated);
    true
}

#[inline(always)]
fn enter<W: World + Tables<A>, A: Address>(world: &W, key: &FlowKey<A>, flow: &Flow<A>) -> Insert {
    let entered = world.insert_flow(key, flow);
    if entered == Insert::Full {
        world.notice(Notice::FlowTableFull);
    }
    entered
}

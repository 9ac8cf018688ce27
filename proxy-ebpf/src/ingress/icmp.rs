//! ICMP: what nobody asked for is kept to its rate, and errors about packets of flows go to the flow's other side.

use proxy_common::{
    addr::Address,
    drop_reason::{DropReason, Notice},
    flow::FlowKind,
    hash::flow_hash,
    listener::Forward,
    settings::Settings,
};

use super::{returning::returning, splice};
use crate::{
    stage::{admit, amplify, forward, icmp, icmp::Quoted, rewrite, select, young},
    translation,
    verdict::{Outcome, Verdict, passed, some},
    work::Work,
    world::{Tables, World},
};
use core::ops::ControlFlow::{Break, Continue};

/// What nobody asked for has a rate. Errors about flows are sent on.
#[inline(always)]
pub(super) fn resume<W: World + Tables<A>, A: Quoted>(world: &mut W, work: &mut Work<A>) -> Outcome<Verdict> {
    amplify::icmp(world, &work.ip)?;
    error(world, work)
}

/// Translates an error and sends it on. What is no error, or about nothing of ours, is passed on.
#[inline(never)]
fn error<W: World + Tables<A>, A: Quoted>(world: &mut W, work: &mut Work<A>) -> Outcome<Verdict> {
    if !admit::is_our_address(world, work.ip.key.destination) {
        return passed();
    }
    icmp::quote(world, &work.ip, &mut work.quote)?;
    find(world, work)?;
    rewrite::is_alive(&work.ip)?;
    work.outer = icmp::outer(&work.ip, &work.quote, &work.rewrite);
    icmp::translate(world, work)?;
    let outer = &work.outer;
    let written = rewrite::internet(world, &work.ip, outer.source, outer.destination, outer.delta);
    some(written, DropReason::Rewrite)?;
    world.notice(Notice::IcmpTranslated);
    forward::depart(world, work)
}

/// The flow whose packets come the way the error came, and the way out.
#[inline(never)]
fn find<W: World + Tables<A>, A: Address>(world: &W, work: &mut Work<A>) -> Outcome {
    let Some(settings) = world.settings() else { return passed() };
    work.quote_sequence = 0;
    work.asked.answer_to(&work.quote.key);
    if !whose(world, work, settings) {
        return passed();
    }
    forward::exit(world, work.asked.protocol, &work.rewrite, None, &mut work.exit)
}

/// The flow that a packet under `work.asked` would have: established, young, or with `dsr` what the ring says.
#[inline(never)]
fn whose<W: World + Tables<A>, A: Address>(world: &W, work: &mut Work<A>, settings: &Settings) -> bool {
    if let Some(known) = world.flow(&work.asked) {
        work.rewrite.copy_from(&known.rewrite);
        work.quote_sequence = splice::quoted(world, known);
        return true;
    }
    let Some(listener) = Tables::<A>::listener(world, &translation::place(&work.asked)) else {
        let young = young::of_backend(world, work, settings).is_some();
        if young {
            returning(work);
        }
        return young;
    };
    if listener.forward == Forward::Local as u8 {
        return false;
    }
    work.hash = flow_hash(&work.asked, settings.hash_seed);
    let is_young = young::of_client(world, work, settings, &listener);
    let is_dsr = listener.forward == Forward::Dsr as u8;
    let id = match select::by_ring(world, listener.id, work.hash) {
        _ if is_young => work.young.backend,
        Continue(id) if is_dsr => id,
        Continue(_) | Break(_) => return false,
    };
    let Some(backend) = Tables::<A>::backend(world, id) else { return false };
    if is_dsr {
        translation::dsr(&mut work.rewrite, &work.asked, id, backend);
        return true;
    }
    let Some(source) = Tables::<A>::nat_source(world, backend.nat_source) else { return false };
    let Work { young, there, asked, rewrite, .. } = work;
    translation::backend_side(there, &source.address, young.nat_port, backend, asked.protocol);
    translation::nat(rewrite, asked, there, FlowKind::NatForward, id);
    true
}

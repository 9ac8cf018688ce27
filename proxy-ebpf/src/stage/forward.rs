//! Out of which interface, to which neighbour: remembered per flow and per backend, looked up when neither knows.

use proxy_common::{
    addr::Address,
    drop_reason::{DropReason, Notice},
    flow::{FlowKind, Rewrite},
    hop::{HopView, REDIRECTED, SharedHop, VLAN_TAGGED},
    settings::Settings,
};

use crate::{
    parsed::Link,
    verdict::{Outcome, Verdict, dropped, some},
    work::{Exit, Work},
    world::{Packet, Route, RouteQuery, Tables, World},
};
use core::ops::ControlFlow::Continue;

/// Whether the flow's own memory has the way out.
#[inline(always)]
pub fn is_remembered<W: World, A>(world: &W, own: &SharedHop, exit: &mut Exit<A>) -> bool {
    let Some(settings) = world.settings() else { return false };
    let Some(hop) = own.load(settings.hop_epoch, world.now(), settings.hop_lifetime) else { return false };
    exit.hop = hop;
    exit.wait = false;
    true
}

/// The way out of a packet: the flow's own memory, then the backend's, then the routing table.
#[inline(always)]
pub fn exit<W: World + Tables<A>, A: Address>(
    world: &W,
    protocol: u8,
    rewrite: &Rewrite<A>,
    own: Option<&SharedHop>,
    exit: &mut Exit<A>,
) -> Outcome {
    let Some(settings) = world.settings() else { return dropped(DropReason::NoRoute) };
    let now = world.now();
    exit.wait = false;
    if let Some(hop) = own.and_then(|own| own.load(settings.hop_epoch, now, settings.hop_lifetime)) {
        exit.hop = hop;
        return Continue(());
    }
    let returning = FlowKind::of(rewrite.kind) == FlowKind::NatReturn;
    let shared = if returning { None } else { world.backend_hop(rewrite.backend) };
    if let Some(hop) = shared.and_then(|shared| shared.load(settings.hop_epoch, now, settings.hop_lifetime)) {
        exit.hop = hop;
    } else {
        look_up(world, protocol, rewrite, exit)?;
        exit.hop.plan = if returning { 0 } else { plan::<W, A>(world, rewrite.backend) };
        if settings.flags & Settings::REDIRECT != 0 {
            exit.hop.vlan |= REDIRECTED;
        }
        if exit.wait {
            return Continue(());
        }
        if let Some(shared) = shared {
            shared.store(&exit.hop, settings.hop_epoch, now);
        }
    }
    if let Some(own) = own {
        own.store(&exit.hop, settings.hop_epoch, now);
    }
    Continue(())
}

/// The plan of a backend's listener.
#[inline(always)]
fn plan<W: World + Tables<A>, A: Address>(world: &W, backend: u16) -> u8 {
    Tables::<A>::backend(world, backend).map_or(0, |backend| backend.plan())
}

/// Asks the routing table.
#[inline(never)]
fn look_up<W: World + Tables<A>, A: Address>(
    world: &W,
    protocol: u8,
    rewrite: &Rewrite<A>,
    exit: &mut Exit<A>,
) -> Outcome {
    world.notice(Notice::HopResolved);
    let query = RouteQuery {
        source: rewrite.new_source,
        destination: rewrite.new_destination,
        protocol,
        source_port: rewrite.new_source_port.raw(),
        destination_port: rewrite.new_destination_port.raw(),
    };
    match Tables::<A>::route(world, &query, exit) {
        Route::Way | Route::NoNeighbour
            if FlowKind::of(rewrite.kind) == FlowKind::Dsr && exit.neighbour != query.destination =>
        {
            dropped(DropReason::DsrNotOnLink)
        }
        // A kernel that does not look whether a neighbour has answered yet gives the address that it has not: zero.
        Route::Way if exit.hop.destination != 0 => Continue(()),
        Route::Way | Route::NoNeighbour => {
            exit.wait = true;
            Continue(())
        }
        Route::None => dropped(DropReason::NoRoute),
        Route::Refused => dropped(DropReason::RouteRefused),
        Route::ForwardingDisabled => dropped(DropReason::ForwardingDisabled),
    }
}

/// The link layer, and off.
#[inline(always)]
pub fn depart<W: World + Tables<A>, A: Address>(world: &mut W, work: &Work<A>) -> Outcome<Verdict> {
    if work.exit.wait {
        return defer(world, work.ip.link, work.exit.hop.ifindex, work.exit.neighbour);
    }
    emit(world, work.ip.link, &work.exit.hop)
}

/// Writes the link layer of a hop: addresses and the VLAN tag that its interface wants. A frame that leaves by the
/// interface it came in by, to a hop without a VLAN device, keeps its tags: it stays in its VLAN.
#[inline(always)]
fn emit<W: World>(world: &mut W, link: Link, hop: &HopView) -> Outcome<Verdict> {
    let stays = hop.ifindex == world.ingress();
    let tagged = hop.vlan & VLAN_TAGGED != 0;
    let wanted = if tagged {
        1
    } else if stays {
        link.tags
    } else {
        0
    };
    // The EtherType of the IP header stands right before it, however many tags come before.
    if wanted != link.tags {
        let by = (link.tags as i32 - wanted as i32) * 4;
        some(world.move_start(by), DropReason::Rewrite)?;
    }
    if tagged {
        some(world.set_half(12, 0x8100u16.to_be()), DropReason::Rewrite)?;
        some(world.set_half(14, (hop.vlan & 0x0fff).to_be()), DropReason::Rewrite)?;
    }
    some(write_macs(world, hop), DropReason::Rewrite)?;
    let transmits = stays && hop.vlan & REDIRECTED == 0;
    Continue(if transmits { Verdict::Transmit } else { Verdict::Redirect(hop.ifindex) })
}

/// Writes destination and source MAC.
#[inline(always)]
fn write_macs<P: Packet>(packet: &mut P, hop: &HopView) -> Option<()> {
    let words = [
        ((hop.destination >> 16) as u32).to_be(),
        ((hop.destination << 16) as u32 | (hop.source >> 32) as u32 & 0xffff).to_be(),
        (hop.source as u32).to_be(),
    ];
    packet.set_words(0, words)
}

/// Hands a rewritten packet to the host's stack with a note for the TC program, which resolves the neighbour.
#[inline(always)]
fn defer<W: World + Tables<A>, A: Address>(
    world: &mut W,
    link: Link,
    ifindex: u32,
    neighbour: A,
) -> Outcome<Verdict> {
    if link.tags != 0 {
        return dropped(DropReason::NoNeighbour);
    }
    some(Tables::<A>::defer(world, ifindex, neighbour), DropReason::NoNeighbour)?;
    world.notice(Notice::NeighbourPending);
    Continue(Verdict::Defer)
}

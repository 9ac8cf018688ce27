//! The ordered stages of a packet's way. This folder alone puts stages together.

use proxy_common::{
    addr::{Address, Ip4, Ip6},
    drop_reason::DropReason,
    flow::{FlowKind, state},
    known,
};

use crate::{
    parsed::{Link, Piece, Transport, tcp},
    stage::{
        admit, amplify, ban, flow, forward, fragment,
        icmp::Quoted,
        parse,
        parse::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, Payload},
        reply, rewrite, too_big,
    },
    verdict::{Outcome, Verdict, passed},
    work::{Step, Work},
    world::{Tables, World},
};
use begin::Begun;
use charged::limited;
use core::ops::ControlFlow::{Break, Continue};

/// What the flow table does not settle: SYNs, young flows, answers.
mod begin;
/// A step of limits.
mod charged;
/// ICMP errors about packets of flows.
mod error;
/// SYNs of guarded listeners.
mod guarded;

/// The way of a packet that came in. `v4` and `v6` are memory of this CPU's own.
#[inline(always)]
pub fn ingress<W: World>(world: &mut W, v4: &mut Work<Ip4>, v6: &mut Work<Ip6>) -> Verdict {
    match family(world, v4, v6) {
        Continue(verdict) | Break(verdict) => verdict,
    }
}

/// By family. A ban holds for the whole host: it comes before anything else is read. What is malformed is dropped only where its destination is ours; else the host may judge it.
#[inline(always)]
fn family<W: World>(world: &mut W, v4: &mut Work<Ip4>, v6: &mut Work<Ip6>) -> Outcome<Verdict> {
    let (link, ethertype) = parse::link(world)?;
    match ethertype {
        ETHERTYPE_IPV4 => {
            ipv4(world, link, v4)?;
            ban::source(world, &v4.ip.key.source)?;
            internet(world, v4)
        }
        ETHERTYPE_IPV6 => {
            ipv6(world, link, v6)?;
            ban::source(world, &v6.ip.key.source)?;
            internet(world, v6)
        }
        _ => passed(),
    }
}

#[inline(never)]
fn ipv4<W: World>(world: &W, link: Link, work: &mut Work<Ip4>) -> Outcome {
    let ours = || parse::ipv4_destination(world, link).is_some_and(|to| admit::is_our_address(world, to));
    parse::judge(parse::ipv4(world, link, &mut work.ip), ours)
}

#[inline(never)]
fn ipv6<W: World>(world: &W, link: Link, work: &mut Work<Ip6>) -> Outcome {
    let ours = || parse::ipv6_destination(world, link).is_some_and(|to| admit::is_our_address(world, to));
    parse::judge(parse::ipv6(world, link, &mut work.ip), ours)
}

/// By payload.
#[inline(never)]
fn internet<W: World + Tables<A>, A: Quoted>(world: &mut W, work: &mut Work<A>) -> Outcome<Verdict> {
    if let Piece::Later(identification) = work.ip.piece {
        if !parse::may_have_ports(&work.ip) || !admit::is_our_address(world, work.ip.key.destination) {
            return passed();
        }
        work.transport = Transport::default();
        fragment::follow(world, &mut work.ip, identification)?;
        return balance(world, work);
    }
    let payload = parse::payload(&work.ip)?;
    if payload == Payload::Icmp {
        amplify::icmp(world, &work.ip)?;
        return error::error(world, work);
    }
    parse::judge(parse::ports(world, &mut work.ip), || {
        admit::is_our_address(world, work.ip.key.destination)
    })?;
    // Most packets of a host that also does other things end here.
    let wanted = admit::filter(world, &work.ip.key);
    if let (Break(_), Piece::First(identification)) = (wanted, work.ip.piece)
        && admit::is_our_address(world, work.ip.key.destination)
    {
        // Its later fragments are the host's as it is; without ports of their own they would be dropped.
        fragment::remember(world, &work.ip, identification);
    }
    wanted?;
    work.transport =
        if payload == Payload::Tcp { parse::tcp(world, &work.ip)? } else { parse::udp(world, &work.ip)? };
    if let Piece::First(identification) = work.ip.piece {
        fragment::remember(world, &work.ip, identification);
    }
    if let Some(listener) = guarded::local_listener(world, work) {
        return guarded::local(world, work, listener);
    }
    balance(world, work)
}

/// What becomes of a packet with ports. What is too much for a limit may be answered.
#[inline(always)]
fn balance<W: World + Tables<A>, A: Address>(world: &mut W, work: &mut Work<A>) -> Outcome<Verdict> {
    match forwarded(world, work) {
        Break(Verdict::Drop(DropReason::Limit)) if work.limit.reset => {
            reply::reset(world, work, DropReason::Limit)
        }
        other => other,
    }
}

/// Flow table first: an established flow costs one look-up. Everything else is looked at once a flow.
#[inline(always)]
fn forwarded<W: World + Tables<A>, A: Address>(world: &mut W, work: &mut Work<A>) -> Outcome<Verdict> {
    // A SYN is hardly ever an established flow's: that is asked of memory that a flood of them keeps warm.
    let known = if work.transport.is_bare_syn() && !world.may_be_known(known::hash(&work.ip.key)) {
        None
    } else {
        world.flow(&work.ip.key)
    };
    match known {
        Some(known) if !(work.transport.is_bare_syn() || known.state() & state::SYN_ELSEWHERE != 0) => {
            flow::touch(known, &work.transport, world.now());
            if known.rewrite.counted != 0 && work.transport.flags & (tcp::FIN | tcp::RST) != 0 {
                begin::ended(world, work, known);
            }
            work.fresh = false;
            work.rewrite.copy_from(&known.rewrite);
            forward::exit(world, work.ip.key.protocol, &work.rewrite, Some(&known.hop), &mut work.exit)?;
            if work.exit.hop.plan != 0 {
                limited(world, work, Step::Packet, work.exit.hop.plan)?;
            }
        }
        known => {
            let has_flow = known.is_some();
            if begin::settle(world, work, has_flow)? == Begun::Answered {
                return reply::answer(world, work, DropReason::Rewrite);
            }
            if work.exit.hop.plan != 0 {
                limited(world, work, Step::Unproved, work.exit.hop.plan)?;
            }
        }
    }
    leave(world, work)
}

/// Out: the last checks, then the packet is rewritten and sent.
#[inline(always)]
fn leave<W: World + Tables<A>, A: Address>(world: &mut W, work: &Work<A>) -> Outcome<Verdict> {
    rewrite::is_alive(&work.ip)?;
    if !work.exit.wait && rewrite::is_too_big(&work.ip, work.exit.hop.mtu) {
        return too_big::answer(world, work);
    }
    let returning = FlowKind::of(work.rewrite.kind) == FlowKind::NatReturn;
    world.count_traffic(work.rewrite.backend, work.ip.end, returning, work.fresh);
    rewrite::packet(world, &work.ip, &work.rewrite)?;
    forward::depart(world, work)
}

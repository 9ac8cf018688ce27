//! The ordered stages of a packet's way. This folder alone puts stages together.

use proxy_common::{
    addr::{Address, Ip4, Ip6},
    drop_reason::DropReason,
    flow::state,
    program::Program,
};

use crate::{
    parsed::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, Link, Piece, Transport, tcp},
    stage::{
        admit, ban, flow, forward, fragment, icmp::Quoted, limit, parse, parse::Payload, plain, reply,
        too_big,
    },
    verdict::{Outcome, Verdict, go_on, passed},
    work::Work,
    world::{Tables, World},
};
use core::ops::ControlFlow::{Break, Continue};

/// What the flow table does not settle: SYNs, young flows, answers.
mod begin;
/// A step of limits.
mod charged;
/// Connections that are counted while they last.
mod counted;
/// Established flows that take more than what they remember.
mod established;
/// SYNs of guarded listeners.
mod guarded;
/// ClientHellos to sockets of this host.
mod hello;
/// ICMP.
mod icmp;
/// The way out.
mod leave;
/// Packets to sockets of this host.
mod local;
/// Answers to young flows.
mod returning;
/// Connections that userspace handed over.
mod splice;

/// The way of a packet that came in, to its verdict or to the program that goes on with it. `v4` and `v6` are memory of this
/// CPU's own.
#[inline(always)]
pub fn ingress<W: World>(world: &mut W, v4: &mut Work<Ip4>, v6: &mut Work<Ip6>) -> Verdict {
    match family(world, v4, v6) {
        Continue(verdict) | Break(verdict) => verdict,
    }
}

/// The way goes on where another program has stopped; `work` is as that one left it. What is to be known of the packet
/// is there; its bounds are looked at again wherever it is read.
#[inline(always)]
pub fn resume<W: World + Tables<A>, A: Quoted>(
    world: &mut W,
    work: &mut Work<A>,
    program: Program,
) -> Verdict {
    let outcome = match program {
        Program::Begin => begin::resume(world, work),
        Program::Flow => established::resume(world, work),
        Program::Local => local::resume(world, work),
        Program::Icmp => icmp::resume(world, work),
        Program::TooBig => too_big::answer(world, work),
        Program::Peek => hello::resume(world, work),
        Program::Splice => splice::resume(world, work),
        Program::Reset => reply::reset(world, work, DropReason::Limit),
    };
    match outcome {
        Continue(verdict) | Break(verdict) => verdict,
    }
}

/// By family. A ban holds for the whole host: it comes before anything else is said, also of what is malformed, of which
/// Linux takes more than we do. That is dropped only where its destination is ours; else the host may judge it.
#[inline(always)]
fn family<W: World>(world: &mut W, v4: &mut Work<Ip4>, v6: &mut Work<Ip6>) -> Outcome<Verdict> {
    if let Some(to) = plain::ipv4(world, &mut v4.ip, &mut v4.transport) {
        ban::source(world, &v4.ip.key.source)?;
        parse::station(to)?;
        admit::filter(world, &v4.ip.key)?;
        return settle(world, v4);
    }
    let (link, ethertype, to) = parse::link(world)?;
    match ethertype {
        ETHERTYPE_IPV4 => {
            let sound = ipv4(world, link, v4);
            ban::source(world, &v4.ip.key.source)?;
            sound?;
            parse::station(to)?;
            internet(world, v4)
        }
        ETHERTYPE_IPV6 => {
            let sound = ipv6(world, link, v6);
            ban::source(world, &v6.ip.key.source)?;
            sound?;
            parse::station(to)?;
            internet(world, v6)
        }
        _ => passed(),
    }
}

/// The header. Where it is not sound, at least who sent it is known, and to whom.
#[inline(never)]
fn ipv4<W: World>(world: &W, link: Link, work: &mut Work<Ip4>) -> Outcome {
    let sound = parse::ipv4(world, link, &mut work.ip);
    if sound.is_continue() {
        return sound;
    }
    let [source, destination] = parse::ipv4_addresses(world, link).unwrap_or_default();
    work.ip.key.source = source;
    parse::judge(sound, || admit::is_any_of_ours(world, destination))
}

/// Likewise.
#[inline(never)]
fn ipv6<W: World>(world: &W, link: Link, work: &mut Work<Ip6>) -> Outcome {
    let sound = parse::ipv6(world, link, &mut work.ip);
    if sound.is_continue() {
        return sound;
    }
    let [source, destination] = parse::ipv6_addresses(world, link).unwrap_or_default();
    work.ip.key.source = source;
    parse::judge(sound, || admit::is_any_of_ours(world, destination))
}

/// By payload.
#[inline(never)]
fn internet<W: World + Tables<A>, A: Quoted>(world: &mut W, work: &mut Work<A>) -> Outcome<Verdict> {
    if let Piece::Later(identification) = work.ip.piece {
        if !parse::may_have_ports(&work.ip) || !admit::follows_fragments(world, &work.ip.key) {
            return passed();
        }
        work.transport = Transport::default();
        fragment::follow(world, &mut work.ip, identification)?;
        admit::filter(world, &work.ip.key)?;
    } else {
        let payload = parse::payload(&work.ip)?;
        if payload == Payload::Icmp {
            return go_on::<A, _>(Program::Icmp);
        }
        parse::judge(parse::ports(world, &mut work.ip), || {
            admit::is_our_address(world, work.ip.key.destination)
        })?;
        // Most packets of a host that also does other things end here.
        let wanted = admit::filter(world, &work.ip.key);
        if let (Break(_), Piece::First(identification)) = (wanted, work.ip.piece)
            && admit::is_any_of_ours(world, work.ip.key.destination)
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
    }
    settle(world, work)
}

/// By who is meant: a socket of this host, or backends.
#[inline(never)]
fn settle<W: World + Tables<A>, A: Address>(world: &mut W, work: &mut Work<A>) -> Outcome<Verdict> {
    if let Some(listener) = local::listener(world, work)
        && !splice::was_handed_over(world, work, listener)
    {
        return local::packet(world, work, listener);
    }
    balance(world, work)
}

/// Flow table first: an established flow costs one look-up. Everything else is looked at once a flow; so is a SYN, which
/// hardly ever is an established flow's, and may be one of a flood's.
#[inline(always)]
fn balance<W: World + Tables<A>, A: Address>(world: &mut W, work: &mut Work<A>) -> Outcome<Verdict> {
    if work.transport.is_bare_syn() {
        return go_on::<A, _>(Program::Begin);
    }
    let known = world.flow(&work.ip.key);
    work.has_flow = known.is_some();
    let state = known.map_or(0, |known| known.state());
    match known {
        Some(known) if state & state::SYN_ELSEWHERE == 0 => {
            flow::touch(known, &work.transport, world.now());
            work.fresh = false;
            work.rewrite.take_over(&known.rewrite);
            if known.rewrite.is_spliced() {
                return go_on::<A, _>(Program::Splice);
            }
            // A reset may also be the answer of who begins a connection anew, and was asked for a proof.
            let ends = known.rewrite.counted != 0 && work.transport.flags & (tcp::FIN | tcp::RST) != 0
                || work.transport.is_bare_reset();
            let was_reset = state & state::RST != 0;
            if ends
                || was_reset
                || !forward::is_remembered(world, &known.hop, &mut work.exit)
                || !limit::is_within(world, work, work.exit.hop.plan)
            {
                work.rewrite.copy_from(&known.rewrite);
                return go_on::<A, _>(Program::Flow);
            }
            leave::leave(world, work)
        }
        Some(known) if known.rewrite.is_spliced() => go_on::<A, _>(Program::Splice),
        _ => go_on::<A, _>(Program::Begin),
    }
}

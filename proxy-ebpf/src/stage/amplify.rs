//! What is not to be answered at length: sources of datagrams that may be forged, and ICMP that nobody asked for.

use proxy_common::{
    addr::{Address, Ip4},
    drop_reason::DropReason,
    guard::{ICMP, credit},
    listener::{Ours, filter_bit},
    settings::Settings,
};

use crate::{
    parsed::Internet,
    verdict::{Outcome, dropped},
    world::{Packet, World},
};
use core::ops::ControlFlow::Continue;

/// A datagram of a client brings it credit.
#[inline(never)]
pub fn earn<W: World, A: Address>(world: &W, ip: &Internet<A>, factor: u16, settings: &Settings) {
    let place = credit::place(ip.key.source, settings.hash_seed);
    if let Some(cell) = world.credit(place) {
        let bytes = u64::from(ip.end - ip.link.l3) * u64::from(factor);
        credit::give(cell, bytes, world.now(), settings.young_lifetime);
    }
}

/// An answer to `client`, who has not shown that it is alive, is within its credit.
#[inline(never)]
pub fn spend<W: World, A: Address>(world: &W, ip: &Internet<A>, client: A, settings: &Settings) -> Outcome {
    let place = credit::place(client, settings.hash_seed);
    let Some(cell) = world.credit(place) else { return Continue(()) };
    let bytes = u64::from(ip.end - ip.link.l3);
    if credit::take(cell, bytes, world.now(), settings.young_lifetime) {
        Continue(())
    } else {
        dropped(DropReason::Amplification)
    }
}

/// Drops ICMP to our addresses that nobody asked for, above its rate. Errors and neighbour discovery never are.
#[inline(never)]
pub fn icmp<W: World, A: Address>(world: &W, ip: &Internet<A>) -> Outcome {
    let (Some(filter), Some(settings)) = (world.filter(), world.guard_settings()) else {
        return Continue(());
    };
    if settings.icmp_limit == 0 || settings.second == 0 || !is_unsolicited(world, ip) {
        return Continue(());
    }
    let ours = |kind| filter.has(filter_bit(kind, ip.key.destination, Default::default(), 0));
    if !ours(Ours::Address) && !ours(Ours::Host) {
        return Continue(());
    }
    let Some(guard) = world.guard(ICMP) else { return Continue(()) };
    // A CPU tells the others of a hundredth of the limit at a time.
    let batch = (settings.icmp_limit >> 7).clamp(1, 64);
    let many = world.gather(ICMP, batch);
    if guard.adds_up(many, world.now(), settings.second) > settings.icmp_limit {
        return dropped(DropReason::IcmpLimit);
    }
    Continue(())
}

/// Whether a message is neither an error (RFC 792, RFC 4443 §2.1), nor of neighbour or multicast discovery (RFC 4861,
/// RFC 2710, RFC 3810).
#[inline(always)]
fn is_unsolicited<P: Packet, A: Address>(packet: &P, ip: &Internet<A>) -> bool {
    let Some(head) = packet.half(ip.l4) else { return false };
    let kind = u16::from_be(head) >> 8;
    if A::FAMILY == Ip4::FAMILY {
        !matches!(kind, 3..=5 | 11 | 12)
    } else {
        !matches!(kind, 0..=127 | 130..=137 | 143)
    }
}

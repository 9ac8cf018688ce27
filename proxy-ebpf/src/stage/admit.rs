//! Is it ours at all, and can its sender be real.

use proxy_common::{
    addr::{Address, Be16},
    drop_reason::DropReason,
    flow::FlowKey,
    listener::{Ours, filter_bit},
};

use crate::{
    parsed::UDP,
    verdict::{Outcome, dropped, passed},
    world::World,
};
use core::ops::ControlFlow::Continue;

/// Whether an address is a listener's or one that we connect to backends from. May say yes wrongly, never no.
#[inline(always)]
pub fn is_our_address<W: World, A: Address>(world: &W, address: A) -> bool {
    match world.filter() {
        Some(filter) => filter.has(filter_bit(Ours::Address, address, Be16::default(), 0)),
        None => false,
    }
}

/// Likewise, or one where a socket of this host listens.
#[inline(never)]
pub fn is_any_of_ours<W: World, A: Address>(world: &W, address: A) -> bool {
    let has =
        |kind| world.filter().is_some_and(|filter| filter.has(filter_bit(kind, address, Be16::default(), 0)));
    has(Ours::Address) || has(Ours::Host)
}

/// Whether the later fragments to an address follow their first. To where only sockets of this host are, datagrams need
/// not: nothing is asked of them there.
#[inline(never)]
pub fn follows_fragments<W: World, A: Address>(world: &W, key: &FlowKey<A>) -> bool {
    let to = key.destination;
    is_our_address(world, to) || (key.protocol != UDP && is_any_of_ours(world, to))
}

/// Passes on what no listener and no flow can want, at the cost of one or two looks into a bitmap.
#[inline(always)]
pub fn filter<W: World, A: Address>(world: &W, key: &FlowKey<A>) -> Outcome {
    let (Some(filter), Some(settings)) = (world.filter(), world.settings()) else {
        return passed();
    };
    if filter.has(filter_bit(Ours::Listener, key.destination, key.destination_port, key.protocol)) {
        return Continue(());
    }
    let port = key.destination_port.get();
    let in_range = port.wrapping_sub(settings.nat_port_low) < settings.nat_port_count;
    if in_range && filter.has(filter_bit(Ours::NatSource, key.destination, Be16::default(), 0)) {
        return Continue(());
    }
    passed()
}

/// Drops what claims to come from where no client can be (RFC 1122 §3.2.1.3, RFC 4291 §2.5, RFC 3927 §7).
#[inline(always)]
pub fn source<A: Address>(key: &FlowKey<A>) -> Outcome {
    let words = key.source.words();
    let martian = match *words.as_ref() {
        [v4] => is_martian_v4(u32::from_be(v4)),
        [a, b, c, d] => is_martian_v6(u32::from_be(a), u32::from_be(b), u32::from_be(c), u32::from_be(d)),
        _ => true,
    };
    if martian || key.source == key.destination {
        return dropped(DropReason::MartianSource);
    }
    Continue(())
}

/// This network, loopback, link-local, multicast, reserved, broadcast.
#[inline(always)]
const fn is_martian_v4(address: u32) -> bool {
    matches!(address >> 24, 0 | 127) || address >> 28 >= 14 || address >> 16 == 0xa9fe
}

/// Unspecified, loopback, IPv4-mapped, link-local, multicast.
#[inline(always)]
const fn is_martian_v6(a: u32, b: u32, c: u32, d: u32) -> bool {
    let low = a == 0 && b == 0 && ((c == 0 && d <= 1) || c == 0xffff);
    low || a >> 22 == 0xfe80_0000 >> 22 || a >> 24 == 0xff
}

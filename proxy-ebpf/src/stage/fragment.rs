//! Fragments follow their first: it has the ports, the others are found by source, destination and identification.

use proxy_common::{
    addr::Address,
    drop_reason::{DropReason, Notice},
};

use crate::{
    parsed::Internet,
    verdict::{Outcome, some},
    world::{Tables, World},
};
use core::ops::ControlFlow::Continue;

/// Remembers a first fragment's ports for the later ones.
#[inline(never)]
pub fn remember<W: World + Tables<A>, A: Address>(world: &W, ip: &Internet<A>, identification: u32) {
    world.remember_fragment(&ip.fragments(identification), &ip.key);
}

/// Gives a later fragment its first one's ports, and the protocol that in IPv6 only the first one tells.
#[inline(never)]
pub fn follow<W: World + Tables<A>, A: Address>(
    world: &W,
    ip: &mut Internet<A>,
    identification: u32,
) -> Outcome {
    let first = some(world.fragment(&ip.fragments(identification)), DropReason::FragmentUnknown)?;
    ip.key.source_port = first.source_port;
    ip.key.destination_port = first.destination_port;
    ip.key.protocol = first.protocol;
    world.notice(Notice::FragmentFollowed);
    Continue(())
}

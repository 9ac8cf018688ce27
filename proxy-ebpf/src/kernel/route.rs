//! Questions to the routing table (`bpf_fib_lookup`, net/core/filter.c).

use aya_ebpf::{
    bindings::{
        BPF_FIB_LKUP_RET_BLACKHOLE, BPF_FIB_LKUP_RET_FWD_DISABLED, BPF_FIB_LKUP_RET_NO_NEIGH,
        BPF_FIB_LKUP_RET_PROHIBIT, BPF_FIB_LKUP_RET_SUCCESS, BPF_FIB_LKUP_RET_UNREACHABLE, bpf_fib_lookup,
    },
    helpers::generated,
};
use proxy_common::{
    addr::{Be32, Ip4, Ip6},
    hop::{HopView, VLAN_TAGGED},
};
use proxy_ebpf::{
    work::Exit,
    world::{Packet, Route, RouteQuery},
};

use super::{maps, packet::Frame};

/// Asks for an IPv4 destination.
#[inline(always)]
pub(crate) fn v4(frame: &Frame, query: &RouteQuery<Ip4>, exit: &mut Exit<Ip4>) -> Route {
    let mut asked = question(frame, 2, query.protocol, query.source_port, query.destination_port);
    asked.__bindgen_anon_3.ipv4_src = query.source.0.raw();
    asked.__bindgen_anon_4.ipv4_dst = query.destination.0.raw();
    let code = ask(frame, &mut asked);
    // SAFETY: the question was an IPv4 one; the helper leaves the next hop in the same member.
    exit.neighbour = Ip4(Be32::from_raw(unsafe { asked.__bindgen_anon_4.ipv4_dst }));
    hop(&asked, &mut exit.hop);
    answer(code)
}

/// Asks for an IPv6 destination.
#[inline(always)]
pub(crate) fn v6(frame: &Frame, query: &RouteQuery<Ip6>, exit: &mut Exit<Ip6>) -> Route {
    let mut asked = question(frame, 10, query.protocol, query.source_port, query.destination_port);
    asked.__bindgen_anon_3.ipv6_src = query.source.0.map(Be32::raw);
    asked.__bindgen_anon_4.ipv6_dst = query.destination.0.map(Be32::raw);
    let code = ask(frame, &mut asked);
    // SAFETY: the question was an IPv6 one; the helper leaves the next hop in the same member.
    exit.neighbour = Ip6(unsafe { asked.__bindgen_anon_4.ipv6_dst }.map(Be32::from_raw));
    hop(&asked, &mut exit.hop);
    answer(code)
}

#[inline(always)]
fn question(
    frame: &Frame,
    family: u8,
    protocol: u8,
    source_port: u16,
    destination_port: u16,
) -> bpf_fib_lookup {
    // SAFETY: plain numbers; all zero is a question about nothing.
    let mut asked: bpf_fib_lookup = unsafe { core::mem::zeroed() };
    asked.family = family;
    asked.l4_protocol = protocol;
    asked.sport = source_port;
    asked.dport = destination_port;
    // A total length of 0 leaves the size to us: the answer tells the MTU.
    asked.ifindex = frame.ingress();
    asked
}

#[inline(always)]
fn ask(frame: &Frame, asked: &mut bpf_fib_lookup) -> i64 {
    // SAFETY: the helper reads and writes the question, whose size it is told.
    unsafe {
        generated::bpf_fib_lookup(
            frame.ctx.cast(),
            core::ptr::from_mut(asked),
            size_of::<bpf_fib_lookup>() as i32,
            0,
        )
    }
}

#[inline(always)]
fn answer(code: i64) -> Route {
    match code as i32 as u32 {
        BPF_FIB_LKUP_RET_SUCCESS => Route::Way,
        BPF_FIB_LKUP_RET_NO_NEIGH => Route::NoNeighbour,
        BPF_FIB_LKUP_RET_BLACKHOLE | BPF_FIB_LKUP_RET_UNREACHABLE | BPF_FIB_LKUP_RET_PROHIBIT => {
            Route::Refused
        }
        BPF_FIB_LKUP_RET_FWD_DISABLED => Route::ForwardingDisabled,
        _ => Route::None,
    }
}

/// The hop of an answer. A VLAN device is left by its parent, with its tag.
#[inline(always)]
fn hop(asked: &bpf_fib_lookup, hop: &mut HopView) {
    let mac = |m: [u8; 6]| u64::from_be_bytes([0, 0, m[0], m[1], m[2], m[3], m[4], m[5]]);
    hop.destination = mac(asked.dmac);
    hop.source = mac(asked.smac);
    // SAFETY: the helper wrote the MTU over the total length.
    hop.mtu = unsafe { asked.__bindgen_anon_1.mtu_result };
    hop.ifindex = asked.ifindex;
    hop.vlan = 0;
    // SAFETY: read at once.
    if let Some(device) = unsafe { maps::VLAN_DEVICES.get(asked.ifindex) } {
        hop.ifindex = device.parent;
        hop.vlan = device.vlan_id & 0x0fff | VLAN_TAGGED;
    }
}

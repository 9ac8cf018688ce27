//! The note from XDP to TC on a packet whose neighbour has to be resolved: metadata in front of the frame.

use core::mem::size_of;

use aya_ebpf::{
    bindings::{TC_ACT_OK, bpf_redir_neigh, bpf_redir_neigh__bindgen_ty_1},
    helpers::generated,
    programs::TcContext,
};
use proxy_common::addr::Address;

use super::packet::Frame;
use super::socket::{self, Vouched};

/// Says that the metadata is ours.
const MAGIC: u32 = 0x706e_6f77;

#[repr(C)]
struct Note {
    magic: u32,
    ifindex: u32,
    family: u32,
    neighbour: [u32; 4],
}

const _: () = assert!(size_of::<Note>() <= 32, "XDP metadata is at most 32 bytes");

/// Leaves the note on a frame. `None`: the driver has no room for metadata.
#[inline(always)]
pub(crate) fn leave<A: Address>(frame: &mut Frame, ifindex: u32, neighbour: A) -> Option<()> {
    // SAFETY: the helper checks the room.
    if unsafe { generated::bpf_xdp_adjust_meta(frame.ctx, -(size_of::<Note>() as i32)) } != 0 {
        return None;
    }
    // SAFETY: `ctx` is the program's own context.
    let (meta, data) = unsafe { ((*frame.ctx).data_meta as usize, (*frame.ctx).data as usize) };
    if meta + size_of::<Note>() > data {
        return None;
    }
    let mut words = [0u32; 4];
    let address = neighbour.words();
    for (word, part) in words.iter_mut().zip(address.as_ref()) {
        *word = *part;
    }
    // SAFETY: the bounds were checked; the room is this program's.
    unsafe {
        *(meta as *mut Note) = Note { magic: MAGIC, ifindex, family: A::FAMILY as u32, neighbour: words }
    };
    Some(())
}

/// A note of a cookie that came back, if there is one.
#[inline(always)]
fn vouched(ctx: &TcContext) -> Option<Vouched> {
    let skb = ctx.skb.skb;
    // SAFETY: the program's own context.
    let (meta, data) = unsafe { ((*skb).data_meta as usize, (*skb).data as usize) };
    if meta + size_of::<Vouched>() > data {
        return None;
    }
    // SAFETY: the bounds were checked.
    let note = unsafe { *(meta as *const Vouched) };
    note.is_ours().then_some(note)
}

/// Obeys the note on a packet, if there is one: out of its interface, the neighbour resolved by the kernel.
#[inline(always)]
pub(crate) fn obey(ctx: &TcContext) -> i32 {
    let skb = ctx.skb.skb;
    if let Some(vouched) = vouched(ctx) {
        return socket::obey(skb, &vouched);
    }
    // SAFETY: the program's own context.
    let (meta, data) = unsafe { ((*skb).data_meta as usize, (*skb).data as usize) };
    if meta + size_of::<Note>() > data {
        return TC_ACT_OK as i32;
    }
    // SAFETY: the bounds were checked.
    let note = unsafe { &*(meta as *const Note) };
    if note.magic != MAGIC {
        return TC_ACT_OK as i32;
    }
    let mut to = bpf_redir_neigh {
        nh_family: note.family,
        __bindgen_anon_1: bpf_redir_neigh__bindgen_ty_1 { ipv6_nh: note.neighbour },
    };
    // SAFETY: `to` lives through the call.
    unsafe {
        generated::bpf_redirect_neigh(note.ifindex, &raw mut to, size_of::<bpf_redir_neigh>() as i32, 0)
            as i32
    }
}

//! Frames of connections that are just being handed over: copied for the daemon, which sends them on.

use aya_ebpf::{bindings::xdp_md, helpers::generated};
use proxy_common::splice::{HELD_FRAME, HELD_LONG, HeldFrame};

use super::maps;

/// Copies a frame. `false`: there is no room, or it is too long.
#[inline(never)]
pub(crate) fn copy(ctx: *mut xdp_md, number: u32) -> bool {
    // SAFETY: the helper reads the context only.
    let length = unsafe { generated::bpf_xdp_get_buff_len(ctx) };
    // The room is a constant for the verifier: most frames take the smaller one.
    if length > HELD_FRAME as u64 {
        copy_to::<HELD_LONG>(ctx, number, length)
    } else {
        copy_to::<HELD_FRAME>(ctx, number, length)
    }
}

#[inline(always)]
fn copy_to<const ROOM: usize>(ctx: *mut xdp_md, number: u32, length: u64) -> bool {
    if length == 0 || length > ROOM as u64 {
        return false;
    }
    let Some(mut entry) = maps::HELD.reserve_untyped::<HeldFrame<ROOM>>(0) else { return false };
    let held: *mut HeldFrame<ROOM> = entry.as_mut_ptr();
    // SAFETY: the memory is this CPU's until it is submitted, as long as its type; the length was checked.
    let copied = unsafe {
        (&raw mut (*held).splice).write(number);
        (&raw mut (*held).ingress).write((*ctx).ingress_ifindex);
        (&raw mut (*held).length).write(length as u32);
        (&raw mut (*held).pad).write(0);
        generated::bpf_xdp_load_bytes(ctx, 0, (&raw mut (*held).bytes).cast(), length as u32)
    };
    if copied == 0 {
        entry.submit(0);
    } else {
        entry.discard(0);
    }
    copied == 0
}

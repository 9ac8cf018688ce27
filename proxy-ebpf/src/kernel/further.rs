//! Programs that go on where another one stops. A jump is made from an entry point alone, never from a function that it
//! calls: so the stack begins anew, and no function has to keep count of jumps (`check_max_stack_depth`,
//! kernel/bpf/verifier.c).

use core::arch::asm;

use aya_ebpf::bindings::xdp_md;
use proxy_common::program::Program;

use super::maps;

/// Jumps to the program of a slot; returns only if there is none.
#[inline(always)]
fn jump<const SLOT: u32>(ctx: *mut xdp_md) {
    // SAFETY: the helper is given the program's own context and the map; what it may change is named. In assembly, so
    // that the slot stays a constant: then the kernel writes the jump itself into the program
    // (`BPF_POKE_REASON_TAIL_CALL`), where it would look it up otherwise.
    unsafe {
        asm!(
            "r3 = {slot}",
            "call 12",
            slot = const SLOT,
            inout("r1") ctx => _,
            inout("r2") &raw const maps::PROGRAMS => _,
            out("r0") _, out("r3") _, out("r4") _, out("r5") _,
            options(nostack)
        );
    }
}

macro_rules! places {
    ($slot:ident, $ctx:ident: $($place:literal),+) => {
        match $slot {
            $($place => jump::<$place>($ctx),)+
            _ => {}
        }
    };
}

/// Goes on with the program in a place of the array. Returns only if it is not there.
#[inline(always)]
pub(crate) fn jump_to(ctx: *mut xdp_md, slot: u32) {
    const { assert!(Program::SLOTS == 16, "a place for each") };
    places!(slot, ctx: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

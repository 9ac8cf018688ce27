//! Spliced connections: their entries, and a step of the walk over a segment's options as a global function, which the
//! verifier checks once.

use proxy_common::{addr::Address, addr::Ip6, splice::SharedSplice};
use proxy_ebpf::stage::splice;

use super::{maps, work};

/// The entry of a number.
#[inline(always)]
pub(crate) fn entry(number: u32) -> Option<&'static SharedSplice> {
    let entry = maps::SPLICES.get_ptr(number)?;
    // SAFETY: an array's value lives for the program's run; the bytes are the same (asserted beside them), and what changes
    // while a packet looks at it is a cell.
    Some(unsafe { &*entry.cast::<SharedSplice>() })
}

/// A step of the walk over the options that the family's way has.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn proxy_option(family: u32, number: u32) -> u64 {
    let (Some((v4, v6)), Some(splice)) = (work(), entry(number)) else { return 0 };
    let options =
        if family == Ip6::FAMILY as u32 { &mut v6.translated.options } else { &mut v4.translated.options };
    splice::step(splice, options);
    1
}

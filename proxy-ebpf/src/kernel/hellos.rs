//! ClientHellos: the tables of names, and the walks as global functions, which the verifier checks once each.

use core::{arch::asm, mem::offset_of};

use aya_ebpf::helpers::generated;
use proxy_common::{
    addr::{Address, Ip6},
    drop_reason::Notice,
    sni::{Counted, MOST_NAME, NameEntry, NameKey, Note, NoteKey, PeekRule, Told, Trace},
};
use proxy_ebpf::{
    hello::{self, MOST, Names, Peek, Reads, Walked, Walks},
    world::World,
};

use super::{keys::shared, maps, packet::Frame, work};

/// The memory that a ClientHello of this family is read in.
#[inline(always)]
fn memory(family: u32) -> Option<&'static mut Peek> {
    let (v4, v6) = work()?;
    Some(if family == Ip6::FAMILY as u32 { &mut v6.peek } else { &mut v4.peek })
}

/// Eight bytes from any place, the first one lowest: [`Peek::take`] with a third of the instructions. Loads from a map's
/// memory need not be aligned where the machine's need not be, as on those that we build for.
#[inline(always)]
fn take(peek: &Peek, at: u32) -> u64 {
    let segment = &raw const peek.segment;
    let taken: u64;
    // SAFETY: reads memory that is borrowed here: the place is below MOST, 2048, and there are 16 bytes behind that. The
    // compiler, which may know a better bound, must not remove the mask that the verifier wants to see.
    unsafe {
        asm!(
            "{0} &= 2047",
            "{0} += {1}",
            "{0} = *(u64 *)({0} + 0)",
            inout(reg) u64::from(at) => taken, in(reg) segment,
            options(nostack, readonly, pure)
        );
    }
    u64::from_le(taken)
}

/// The same of the key's name.
#[inline(always)]
fn take_named(peek: &Peek, at: u32) -> u64 {
    let key = &raw const peek.key;
    let taken: u64;
    // SAFETY: reads memory that is borrowed here: the place is below 64, and the key, which begins with the name, has 72
    // bytes. The mask is for the verifier, as above.
    unsafe {
        asm!(
            "{0} &= 63",
            "{0} += {1}",
            "{0} = *(u64 *)({0} + 0)",
            inout(reg) u64::from(at) => taken, in(reg) key,
            options(nostack, readonly, pure)
        );
    }
    u64::from_le(taken)
}

/// Both, as [`Reads`] has them.
macro_rules! reads {
    ($($reader:ty),*) => {$(
        impl Reads for $reader {
            #[inline(always)]
            fn take(&self, peek: &Peek, at: u32) -> u64 {
                take(peek, at)
            }
            #[inline(always)]
            fn take_named(&self, peek: &Peek, at: u32) -> u64 {
                take_named(peek, at)
            }
        }
    )*};
}

/// The memory, without a frame.
struct Memory;

reads!(Frame, Memory);

const _: () = assert!(MOST == 2048 && MOST_NAME == 64 && offset_of!(NameKey, name) == 0);

/// Blends in the numbers of cipher suites and extensions.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn proxy_numbers(family: u32) -> u64 {
    memory(family).map_or(Walked::Long as u64, |peek| hello::numbers(&Memory, peek))
}

/// Finds the extensions that are read.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn proxy_extensions(family: u32, at: u32) -> u64 {
    memory(family).map_or(Walked::Long as u64, |peek| hello::extensions(&Memory, peek, at))
}

/// Reads the protocols.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn proxy_protocols(family: u32) -> u64 {
    memory(family).map_or(Walked::Long as u64, |peek| hello::protocols(&Memory, peek))
}

/// Reads the versions.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn proxy_versions(family: u32) -> u64 {
    memory(family).map_or(Walked::Long as u64, |peek| hello::versions(&Memory, peek))
}

/// Reads a name into the key.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn proxy_name(family: u32, at: u32, length: u32) -> u64 {
    memory(family).map_or(hello::NO_NAME, |peek| hello::name(&Memory, peek, at, length))
}

/// Takes the front off a name.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn proxy_suffix(family: u32, off: u32, length: u32) -> u64 {
    memory(family).map_or(0, |peek| hello::suffix(&Memory, peek, off, length))
}

/// Has a walk done, in memory that the compiler must take to change.
#[inline(always)]
fn walk(peek: &mut Peek, walk: impl FnOnce(u32) -> u64) -> u64 {
    let family = peek.family;
    shared(peek);
    let walked = walk(family);
    shared(peek);
    walked
}

impl Walks for Frame {
    #[inline(always)]
    fn opaque(&self, number: u32) -> u32 {
        let mut opaque = u64::from(number);
        // SAFETY: changes nothing but the register it names, by nothing.
        unsafe { asm!("{0} += 0", inout(reg) opaque, options(pure, nomem, nostack)) };
        opaque as u32
    }
    #[inline(always)]
    fn numbers(&self, peek: &mut Peek) -> u64 {
        walk(peek, |family| proxy_numbers(family))
    }
    #[inline(always)]
    fn extensions(&self, peek: &mut Peek, at: u32) -> u64 {
        walk(peek, |family| proxy_extensions(family, at))
    }
    #[inline(always)]
    fn protocols(&self, peek: &mut Peek) -> u64 {
        walk(peek, |family| proxy_protocols(family))
    }
    #[inline(always)]
    fn versions(&self, peek: &mut Peek) -> u64 {
        walk(peek, |family| proxy_versions(family))
    }
    #[inline(always)]
    fn name(&self, peek: &mut Peek, at: u32, length: u32) -> u64 {
        walk(peek, |family| proxy_name(family, at, length))
    }
    #[inline(always)]
    fn suffix(&self, peek: &mut Peek, off: u32, length: u32) -> u64 {
        walk(peek, |family| proxy_suffix(family, off, length))
    }
}

impl Names for Frame {
    #[inline(always)]
    fn segment(&self, peek: &mut Peek, at: u32, length: u32) -> Option<()> {
        let mut bounded = u64::from(length);
        // SAFETY: touches the register it names, nothing else. The verifier wants to see that the length is from 1 to
        // MOST, and the compiler, which knows it already, must not remove what says so.
        unsafe { asm!("{0} += -1", inout(reg) bounded, options(pure, nomem, nostack)) };
        bounded = (bounded & u64::from(MOST - 1)) + 1;
        // SAFETY: as above.
        unsafe { asm!("{0} += 0", inout(reg) bounded, options(pure, nomem, nostack)) };
        let into = peek.segment.as_mut_ptr().cast();
        // SAFETY: the helper checks the frame's bounds; the memory has room for MOST bytes.
        let done = unsafe { generated::bpf_xdp_load_bytes(self.ctx, at, into, bounded as u32) };
        shared(peek);
        (done == 0).then_some(())
    }
    #[inline(always)]
    fn peek_rule(&self, listener: u16) -> Option<&PeekRule> {
        maps::SNI_RULES.get(u32::from(listener))
    }
    #[inline(always)]
    fn may_have_name(&self, bit: u32) -> bool {
        maps::SNI_FILTER.get(0).is_none_or(|filter| filter.has(bit))
    }
    #[inline(always)]
    fn name_entry(&self, key: &NameKey) -> Option<NameEntry> {
        // SAFETY: the entry is copied at once; a concurrent update writes words of the same type.
        unsafe { maps::SNI_NAMES.get(key) }.copied()
    }
    #[inline(always)]
    fn count_name(&self, number: u32, counted: Counted) {
        let Some(count) = maps::SNI_COUNTS.get_ptr_mut(number) else { return };
        // SAFETY: this CPU's own slot, and XDP does not preempt itself.
        unsafe { (*count).count(counted) };
    }
    #[inline(always)]
    fn leave_note(&self, who: &NoteKey, note: &Note) {
        // A note that finds no place is not missed: the worker reads the ClientHello itself.
        let _ = maps::SNI_NOTES.insert(who, note, 0);
    }
    #[inline(always)]
    fn trace(&self) -> Option<&Trace> {
        maps::SNI_TRACE.get(0)
    }
    #[inline(always)]
    fn tell_hello(&self, told: &Told) {
        if maps::SNI_EVENTS.output(told, 0).is_err() {
            self.notice(Notice::EventsLost);
        }
    }
}

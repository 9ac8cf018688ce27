//! Limits as global functions: the verifier checks each once, whoever calls it. They are given numbers, and find by
//! themselves the memory that the packet's way has on this CPU.

use core::arch::asm;

use aya_ebpf::helpers::bpf_get_smp_processor_id;
use proxy_common::{
    addr::{Address, Ip6},
    bucket::{self, Place, Right, SharedBucketSet},
    cell::Cell64,
};
use proxy_ebpf::{
    keys::{self, Ask, Buckets, Keys},
    stage::limit,
    work::Step,
};

use super::{maps, packet::Frame, work};

/// Says that what is here is read and written by others: a global function finds the same memory by itself, which the
/// compiler cannot know.
#[inline(always)]
pub(crate) fn shared<T: ?Sized>(what: &T) {
    let mut address = core::ptr::from_ref(what).cast::<u8>();
    // SAFETY: changes nothing; the compiler takes it to read and write what the address leads to.
    unsafe { asm!("{0} += 0", inout(reg) address, options(nostack)) };
    let _ = address;
}

/// The tables of keys.
pub(crate) struct OfKeys;

impl OfKeys {
    /// A set of the table of keys.
    #[inline(always)]
    pub(crate) fn set(&self, index: u32) -> Option<&'static SharedBucketSet> {
        let set = maps::BUCKETS.get_ptr(index)?;
        // SAFETY: an array's value lives for the program's run; both are the same bytes, and a set is cells throughout.
        Some(unsafe { &*set.cast::<SharedBucketSet>() })
    }
    /// A cell of the sketch.
    #[inline(always)]
    pub(crate) fn cell(&self, cell: u32) -> Option<&'static Cell64> {
        let cell = maps::SKETCH.get_ptr(cell)?;
        // SAFETY: as above; `Cell64` is a transparent u64.
        Some(unsafe { &*cell.cast::<Cell64>() })
    }
}

impl Keys for OfKeys {
    #[inline(always)]
    fn bucket_set(&self, index: u32) -> Option<&SharedBucketSet> {
        self.set(index)
    }
    #[inline(always)]
    fn sketch(&self, cell: u32) -> Option<&Cell64> {
        self.cell(cell)
    }
    #[inline(always)]
    fn claimant(&self) -> u16 {
        // SAFETY: the helper takes no argument and has no effect.
        bucket::claimant_of_cpu(unsafe { bpf_get_smp_processor_id() })
    }
    #[inline(always)]
    fn locate(&self, tag: u64, sets: u32) -> Option<Place> {
        Place::unpack(proxy_locate(tag, sets))
    }
    #[inline(always)]
    fn victim(&self, tag: u64, sets: u32, now: u64, right: Right) -> Option<Place> {
        Place::unpack(proxy_victim(tag, sets, now, right as u32))
    }
    #[inline(always)]
    fn is_alone(&self, tag: u64, sets: u32, own: Place) -> bool {
        proxy_alone(tag, sets, Place::pack(Some(own))) != 0
    }
}

/// The functions here have no frame.
#[inline(always)]
fn no_frame() -> Frame {
    Frame { ctx: core::ptr::null_mut() }
}

/// The question that the family's way has.
#[inline(always)]
fn question(family: u32) -> Option<&'static Ask> {
    let (v4, v6) = work()?;
    Some(if family == Ip6::FAMILY as u32 { &v6.limit.ask } else { &v4.limit.ask })
}

/// Answers a question that needs an entry.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn proxy_settle(family: u32) -> u64 {
    question(family).map_or(0, |ask| keys::settled(&OfKeys, ask))
}

/// Answers any other question.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn proxy_tell(family: u32) -> u64 {
    question(family).map_or(0, |ask| keys::told(&OfKeys, ask))
}

/// Where the entry with this tag is.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn proxy_locate(tag: u64, sets: u32) -> u64 {
    Place::pack(bucket::find_tag(&Buckets { world: &OfKeys, sets }, tag))
}

/// A way for this tag.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn proxy_victim(tag: u64, sets: u32, now: u64, right: u32) -> u64 {
    let right = if right == Right::Own as u32 { Right::Own } else { Right::Lent };
    Place::pack(bucket::victim(&Buckets { world: &OfKeys, sets }, tag, now, right))
}

/// Whether this tag has no other entry than the one at `own`.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn proxy_alone(tag: u64, sets: u32, own: u64) -> u64 {
    let Some(own) = Place::unpack(own) else { return 0 };
    bucket::is_alone(&Buckets { world: &OfKeys, sets }, tag, own) as u64
}

macro_rules! steps {
    ($work:pat => $one:ident, $charge:ident, $look:ident, $establish:ident, $leave:ident) => {
        /// Charges what is in hand. 1: it passes.
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub(crate) extern "C" fn $charge(step: u32, plan: u32) -> u64 {
            let Some($work) = work() else { return 1 };
            limit::charges(&no_frame(), $one, Step::of(step), plan as u8) as u64
        }
        /// Looks at what a worker will charge. 1: it passes.
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub(crate) extern "C" fn $look(plan: u32) -> u64 {
            let Some($work) = work() else { return 1 };
            limit::looks(&no_frame(), $one, plan as u8) as u64
        }
        /// Takes note of a client that is alive. 1: it may be established.
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub(crate) extern "C" fn $establish(plan: u32) -> u64 {
            let Some($work) = work() else { return 1 };
            limit::establishes(&no_frame(), $one, plan as u8) as u64
        }
        /// Counts one less.
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub(crate) extern "C" fn $leave(set: u32) -> u64 {
            let Some($work) = work() else { return 1 };
            limit::leave(&no_frame(), $one, set as u8);
            1
        }
    };
}

steps!((one, _) => one, proxy_charge4, proxy_look4, proxy_establish4, proxy_leave4);
steps!((_, one) => one, proxy_charge6, proxy_look6, proxy_establish6, proxy_leave6);

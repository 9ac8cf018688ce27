//! A 64-bit number that several CPUs read and write at once.
//!
//! The BPF target of rustc has no read-modify-write on `AtomicU64`, though the machine has (`BPF_ATOMIC`, `-C
//! target-cpu=v3`): there the compiler's intrinsics are called, on the host the standard atomics. Read-modify-writes
//! are full barriers on both; plain loads and stores are relaxed.
#![cfg_attr(
    target_arch = "bpf",
    expect(unsafe_code, reason = "atomics of the BPF target exist as intrinsics only")
)]

use core::sync::atomic::AtomicU64;

/// A 64-bit number in shared memory.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Cell64(AtomicU64);

impl Cell64 {
    /// A cell of one's own.
    pub const fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    /// Reads at once, ordered against every other ordered access of this CPU. x86 orders loads by itself; elsewhere a
    /// read-modify-write that changes nothing is the barrier that BPF has on every kernel.
    #[inline(always)]
    pub fn load_ordered(&self) -> u64 {
        use core::sync::atomic::{Ordering::SeqCst, compiler_fence};
        if cfg!(any(target_arch = "x86_64", bpf_target_arch = "x86_64")) {
            compiler_fence(SeqCst);
            let value = self.load();
            compiler_fence(SeqCst);
            value
        } else {
            self.fetch_or(0)
        }
    }
}

impl Cell64 {
    /// Writes at once, after everything that this CPU wrote before. x86 orders stores by itself; elsewhere a
    /// read-modify-write that changes nothing is the barrier.
    #[inline(always)]
    pub fn store_ordered(&self, value: u64) {
        use core::sync::atomic::{Ordering::SeqCst, compiler_fence};
        if cfg!(any(target_arch = "x86_64", bpf_target_arch = "x86_64")) {
            compiler_fence(SeqCst);
        } else {
            self.fetch_or(0);
        }
        self.store(value);
    }
}

#[cfg(not(target_arch = "bpf"))]
impl Cell64 {
    /// Reads at once, without order.
    pub fn load(&self) -> u64 {
        self.0.load(core::sync::atomic::Ordering::Relaxed)
    }

    /// Writes at once, without order.
    pub fn store(&self, value: u64) {
        self.0.store(value, core::sync::atomic::Ordering::Relaxed);
    }

    /// Sets bits; returns the value before. A full barrier.
    pub fn fetch_or(&self, bits: u64) -> u64 {
        self.0.fetch_or(bits, core::sync::atomic::Ordering::SeqCst)
    }

    /// Adds, around the end; returns the value before. A full barrier.
    pub fn fetch_add(&self, by: u64) -> u64 {
        self.0.fetch_add(by, core::sync::atomic::Ordering::SeqCst)
    }

    /// Subtracts, around the end; returns the value before. A full barrier.
    pub fn fetch_sub(&self, by: u64) -> u64 {
        self.0.fetch_sub(by, core::sync::atomic::Ordering::SeqCst)
    }

    /// Adds one to the lower half, whose upper half somebody else may write at this instant: neither harms the other. Where
    /// two count at once, one of them may not be counted.
    pub fn count(&self) {
        self.fetch_add(1);
    }

    /// Writes `new` if the value is `old`. A full barrier. Whether it did.
    pub fn replace_if(&self, old: u64, new: u64) -> bool {
        use core::sync::atomic::Ordering::SeqCst;
        self.0.compare_exchange(old, new, SeqCst, SeqCst).is_ok()
    }
}

#[cfg(target_arch = "bpf")]
impl Cell64 {
    /// Reads at once, without order.
    #[inline(always)]
    pub fn load(&self) -> u64 {
        // SAFETY: the pointer is this cell's own, aligned and valid; a volatile read is one load. LLVM's BPF backend
        // knows no relaxed atomic one.
        unsafe { self.0.as_ptr().read_volatile() }
    }

    /// Writes at once, without order.
    #[inline(always)]
    pub fn store(&self, value: u64) {
        // SAFETY: as above; one store.
        unsafe { self.0.as_ptr().write_volatile(value) };
    }

    /// Sets bits; returns the value before. A full barrier.
    #[inline(always)]
    pub fn fetch_or(&self, bits: u64) -> u64 {
        use core::intrinsics::{AtomicOrdering::SeqCst, atomic_or};
        // SAFETY: the pointer is this cell's own, aligned and valid; every other access to it is atomic too.
        unsafe { atomic_or::<u64, u64, { SeqCst }>(self.0.as_ptr(), bits) }
    }

    /// Adds, around the end; returns the value before. A full barrier.
    #[inline(always)]
    pub fn fetch_add(&self, by: u64) -> u64 {
        use core::intrinsics::{AtomicOrdering::SeqCst, atomic_xadd};
        // SAFETY: the pointer is this cell's own, aligned and valid; every other access to it is atomic too.
        unsafe { atomic_xadd::<u64, u64, { SeqCst }>(self.0.as_ptr(), by) }
    }

    /// Subtracts, around the end; returns the value before. A full barrier.
    #[inline(always)]
    pub fn fetch_sub(&self, by: u64) -> u64 {
        self.fetch_add(by.wrapping_neg())
    }

    /// Adds one to the lower half, whose upper half somebody else may write at this instant: neither harms the other. Where
    /// two count at once, one of them may not be counted.
    #[inline(always)]
    pub fn count(&self) {
        // SAFETY: the pointer is this cell's own, aligned and valid; the target is little-endian, and half of an aligned word
        // is read and written at once. A locked instruction would cost more than the rest of what is done there.
        unsafe {
            let low = self.0.as_ptr().cast::<u32>();
            low.write_volatile(low.read_volatile().wrapping_add(1));
        }
    }

    /// Writes `new` if the value is `old`. A full barrier. Whether it did.
    #[inline(always)]
    pub fn replace_if(&self, old: u64, new: u64) -> bool {
        use core::intrinsics::{AtomicOrdering::SeqCst, atomic_cxchg};
        // SAFETY: the pointer is this cell's own, aligned and valid; every other access to it is atomic too.
        let (before, _) = unsafe { atomic_cxchg::<u64, { SeqCst }, { SeqCst }>(self.0.as_ptr(), old, new) };
        before == old
    }
}

//! The only part that knows the kernel: maps, packet memory, helpers. Everything unsafe of this crate is here.
#![expect(unsafe_code, reason = "helpers and packet memory of the kernel")]

/// The maps.
pub(crate) mod maps;

/// The kernel's clock: jiffies, low 32 bits. Read inline by the JIT, where `bpf_ktime_get_ns` is a call of 30 ns.
#[inline(always)]
pub(crate) fn now() -> u32 {
    // SAFETY: the helper takes no argument and has no effect.
    unsafe { aya_ebpf::helpers::generated::bpf_jiffies64() as u32 }
}

//! The only part that knows the kernel: maps, packet memory, helpers. Everything unsafe of this crate is here.
#![expect(unsafe_code, reason = "helpers, maps and packet memory of the kernel")]

use proxy_common::addr::{Ip4, Ip6};
use proxy_ebpf::work::Work;

/// Tables of bans.
mod bans;
/// Programs that go on where another one stops.
pub(crate) mod further;
/// ClientHellos.
mod hellos;
/// Frames that are kept back.
mod hold;
/// What limits ask of their tables.
mod keys;
/// The maps.
pub(crate) mod maps;
/// The note from XDP to TC on a packet whose neighbour has to be resolved.
pub(crate) mod note;
/// The frame in hand.
pub(crate) mod packet;
/// Questions to the routing table.
mod route;
/// Sockets of this host.
pub(crate) mod socket;
/// Spliced connections.
mod splice;
/// Which worker takes a new connection.
pub(crate) mod steer;
/// The tables, over the maps.
mod tables;

/// The kernel's clock: jiffies, low 32 bits. Read inline by the JIT, where `bpf_ktime_get_ns` is a call of 30 ns.
#[inline(always)]
pub(crate) fn now() -> u32 {
    ticks() as u32
}

/// The kernel's clock: jiffies, all of them.
#[inline(always)]
pub(crate) fn ticks() -> u64 {
    // SAFETY: the helper takes no argument and has no effect.
    unsafe { aya_ebpf::helpers::generated::bpf_jiffies64() }
}

/// Counts a drop under its reason.
#[inline(always)]
pub(crate) fn count_drop(reason: proxy_common::drop_reason::DropReason) {
    count(&maps::DROPS, reason.index());
}

#[inline(always)]
fn count<const N: usize>(counters: &aya_ebpf::btf_maps::PerCpuArray<u64, N>, index: u32) {
    if let Some(counter) = counters.get_ptr_mut(index) {
        // SAFETY: this CPU's own slot, and XDP does not preempt itself.
        unsafe { *counter += 1 };
    }
}

/// This CPU's memory for a packet's way, of both families.
#[inline(always)]
pub(crate) fn work() -> Option<(&'static mut Work<Ip4>, &'static mut Work<Ip6>)> {
    let work = maps::WORK.get_ptr_mut(0)?;
    // SAFETY: this CPU's own slot, one borrow a run, and XDP does not preempt itself; a fresh map is all zeroes, which
    // `Work` says is valid.
    let (v4, v6) = unsafe { &mut *work };
    Some((v4, v6))
}

//! Gives a new connection to the worker of the CPU that its packet came in on.

use aya_ebpf::{
    btf_maps::{Array, ReusePortSockArray},
    helpers::bpf_get_smp_processor_id,
    macros::btf_map,
    programs::SkReuseportContext,
};
use proxy_common::limits::STEER_CPUS;
use proxy_ebpf::steer::keeps;

/// Sockets of one address, by the CPU of their worker.
#[btf_map]
static STEER: ReusePortSockArray<{ STEER_CPUS as usize }> = ReusePortSockArray::new();
/// By CPU: connections that its worker took. Then: how many came, and how many workers there are.
#[btf_map]
static STEER_COUNT: Array<u64, { STEER_CPUS as usize + 2 }> = Array::new();

/// Selects the worker's socket; where there is none, or it has more than its part, the kernel selects by hash.
#[inline(always)]
pub(crate) fn steer(ctx: &SkReuseportContext) {
    // SAFETY: the helper takes no argument and has no effect.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    if cpu >= STEER_CPUS {
        return;
    }
    let (Some(own), Some(all), Some(workers)) = (
        STEER_COUNT.get_ptr_mut(cpu),
        STEER_COUNT.get_ptr_mut(STEER_CPUS),
        STEER_COUNT.get_ptr_mut(STEER_CPUS + 1),
    ) else {
        return;
    };
    // SAFETY: slots of the map live as long as the program. Two CPUs at once lose a count of one: nobody minds.
    let (taken, came, workers) = unsafe {
        *all += 1;
        (*own, *all, *workers)
    };
    if keeps(taken, came, workers) && STEER.select_reuseport(ctx, cpu).is_ok() {
        // SAFETY: as above; this slot is written by its own CPU alone.
        unsafe { *own += 1 };
    }
}

//! The BPF object's entry points. Built for `bpfel-unknown-none`; on the host it is an empty program, so that the
//! workspace builds and is checked without a BPF toolchain.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]

/// The only part that knows the kernel.
#[cfg(target_arch = "bpf")]
mod kernel;

/// The entry points.
#[cfg(target_arch = "bpf")]
#[expect(unsafe_code, unreachable_pub, reason = "entry points are found by their section")]
mod entry {
    use aya_ebpf::{
        bindings::{sk_action::SK_PASS, xdp_action},
        macros::{classifier, sk_reuseport, xdp},
        programs::{SkReuseportContext, TcContext, XdpContext},
    };
    use proxy_ebpf::{ingress::ingress, verdict::Verdict};

    use crate::kernel::{count_drop, note, now, packet::Frame, steer::steer, work};

    /// The layout that this object was built with: read by the daemon before it loads it.
    #[unsafe(link_section = "proxy_abi")]
    #[unsafe(no_mangle)]
    pub static PROXY_ABI: u32 = proxy_common::ABI_VERSION;

    /// Every packet of an interface: balanced, dropped with a reason, or passed to the host.
    #[xdp(frags)]
    pub fn proxy_xdp(ctx: XdpContext) -> u32 {
        let mut frame = Frame { ctx: ctx.ctx };
        let Some((v4, v6)) = work() else { return xdp_action::XDP_PASS };
        match ingress(&mut frame, v4, v6) {
            Verdict::Pass | Verdict::Defer => xdp_action::XDP_PASS,
            Verdict::Drop(reason) => {
                count_drop(reason);
                xdp_action::XDP_DROP
            }
            Verdict::Transmit => xdp_action::XDP_TX,
            // SAFETY: the helper takes numbers only.
            Verdict::Redirect(ifindex) => unsafe {
                aya_ebpf::helpers::generated::bpf_redirect(ifindex, 0) as u32
            },
        }
    }

    /// What XDP rewrote but could not send, for want of a neighbour's address.
    #[classifier]
    pub fn proxy_tc(ctx: TcContext) -> i32 {
        note::obey(&ctx)
    }

    /// A new connection to an address where several workers wait: which of them takes it.
    #[sk_reuseport]
    pub fn proxy_steer(ctx: SkReuseportContext) -> u32 {
        steer(&ctx);
        // Without a selection the kernel takes one by hash.
        SK_PASS
    }

    /// Tells the daemon the kernel's clock: run by `BPF_PROG_TEST_RUN`, never attached.
    #[xdp]
    pub fn proxy_clock(_ctx: XdpContext) -> u32 {
        now()
    }
}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}

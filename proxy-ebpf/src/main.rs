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
    use proxy_common::{drop_reason::DropReason, program::Program};
    use proxy_ebpf::{
        ingress::{ingress, resume},
        verdict::Verdict,
    };

    use crate::kernel::{count_drop, further::jump_to, note, now, packet::Frame, steer::steer, work};

    /// The layout that this object was built with: read by the daemon before it loads it.
    #[unsafe(link_section = "proxy_abi")]
    #[unsafe(no_mangle)]
    pub static PROXY_ABI: u32 = proxy_common::ABI_VERSION;

    /// Every packet of an interface: balanced, dropped with a reason, or passed to the host.
    #[xdp(frags)]
    pub fn proxy_xdp(ctx: XdpContext) -> u32 {
        let Some((v4, v6)) = work() else { return xdp_action::XDP_PASS };
        let verdict = ingress(&mut Frame { ctx: ctx.ctx }, v4, v6);
        end(&ctx, verdict)
    }

    macro_rules! further {
        ($($program:ident: $v4:ident, $v6:ident;)+) => { $(
            #[doc = concat!("[`Program::", stringify!($program), "`] of IPv4.")]
            #[xdp(frags)]
            pub fn $v4(ctx: XdpContext) -> u32 {
                let Some((work, _)) = work() else { return xdp_action::XDP_PASS };
                let verdict = resume(&mut Frame { ctx: ctx.ctx }, work, Program::$program);
                end(&ctx, verdict)
            }
            #[doc = concat!("[`Program::", stringify!($program), "`] of IPv6.")]
            #[xdp(frags)]
            pub fn $v6(ctx: XdpContext) -> u32 {
                let Some((_, work)) = work() else { return xdp_action::XDP_PASS };
                let verdict = resume(&mut Frame { ctx: ctx.ctx }, work, Program::$program);
                end(&ctx, verdict)
            }
        )+ };
    }

    // Names as in `Program::names`.
    further! {
        Begin: proxy_begin4, proxy_begin6;
        Flow: proxy_flow4, proxy_flow6;
        Local: proxy_local4, proxy_local6;
        Icmp: proxy_icmp4, proxy_icmp6;
        TooBig: proxy_too_big4, proxy_too_big6;
        Reset: proxy_reset4, proxy_reset6;
        Peek: proxy_peek4, proxy_peek6;
        Splice: proxy_splice4, proxy_splice6;
    }

    /// What a verdict is to the kernel.
    #[inline(always)]
    fn end(ctx: &XdpContext, verdict: Verdict) -> u32 {
        match verdict {
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
            Verdict::GoOn(slot) => {
                jump_to(ctx.ctx, slot);
                count_drop(DropReason::ProgramMissing);
                xdp_action::XDP_DROP
            }
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

//! The BPF object's entry points. Built for `bpfel-unknown-none`; on the host it is an empty program, so that the
//! workspace builds and is checked without a BPF toolchain.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
/// The only part that knows the kernel.
mod kernel;

#[cfg(target_arch = "bpf")]
#[expect(unsafe_code, reason = "entry points are found by their section")]
/// The entry points.
mod entry {
    use crate::kernel::maps;
    use aya_ebpf::{
        bindings::xdp_action,
        macros::{classifier, xdp},
        programs::{TcContext, XdpContext},
    };

    /// The layout that this object was built with: read by the daemon before it loads it.
    #[unsafe(link_section = "proxy_abi")]
    #[unsafe(no_mangle)]
    pub static PROXY_ABI: u32 = proxy_common::ABI_VERSION;

    #[xdp(frags)]
    pub fn proxy_xdp(_ctx: XdpContext) -> u32 {
        let k = proxy_common::flow::FlowKey::<proxy_common::addr::Ip4>::default();
        let k6 = proxy_common::flow::FlowKey::<proxy_common::addr::Ip6>::default();
        let f = maps::FLOWS4.get_ptr(&k).is_some() as u32 + maps::FLOWS6.get_ptr(&k6).is_some() as u32;
        if let Some(r) = maps::RINGS.get_value(1, &0) {
            if r.slots[3] == 7 {
                return xdp_action::XDP_DROP;
            }
        }
        if f > 3 {
            return 1;
        }
        xdp_action::XDP_PASS
    }
    #[classifier]
    pub fn proxy_tc(_ctx: TcContext) -> i32 {
        0
    }
    #[xdp]
    pub fn proxy_clock(_ctx: XdpContext) -> u32 {
        crate::kernel::now()
    }
}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}

//! The frame in hand.

use core::arch::asm;

use aya_ebpf::{bindings::xdp_md, helpers::generated};
use proxy_ebpf::world::Packet;

/// A frame as an XDP program has it, with all the tables beside it.
pub(crate) struct Frame {
    pub(crate) ctx: *mut xdp_md,
}

impl Frame {
    /// The address of `size` bytes at `at`, if they are in the frame's first buffer.
    #[inline(always)]
    fn at(&self, at: u32, size: usize) -> Option<usize> {
        let mut offset = at as u64;
        // SAFETY: touches the register it names, nothing else. It tells the verifier a bound that the compiler,
        // which may know a better one, must not remove. `REACH` and the longest read behind it are well below.
        unsafe { asm!("{0} &= 2047", inout(reg) offset, options(pure, nomem, nostack)) };
        // SAFETY: `ctx` is the program's own context for as long as the program runs.
        let (start, end) = unsafe { ((*self.ctx).data as usize, (*self.ctx).data_end as usize) };
        let place = start + offset as usize;
        (place + size <= end).then_some(place)
    }
}

impl Frame {
    /// As [`Self::at`], the bounds read at this very place: a loop that read them once would keep them as numbers of 32
    /// bits, which are no pointers to the verifier any more.
    #[inline(always)]
    fn at_anew(&self, at: u32, size: usize) -> Option<usize> {
        let mut offset = at as u64;
        // SAFETY: as in `at`.
        unsafe { asm!("{0} &= 2047", inout(reg) offset, options(pure, nomem, nostack)) };
        let (start, end): (u64, u64);
        // SAFETY: two loads from the program's own context, whose first two words these are.
        unsafe {
            asm!(
                "{0} = *(u32 *)({2} + 0)",
                "{1} = *(u32 *)({2} + 4)",
                out(reg) start, out(reg) end, in(reg) self.ctx,
                options(nostack, readonly)
            );
        }
        let place = start as usize + offset as usize;
        (place + size <= end as usize).then_some(place)
    }
}

impl Packet for Frame {
    #[inline(always)]
    fn holds(&self, bytes: u32) -> bool {
        // SAFETY: as above.
        let linear = unsafe { (*self.ctx).data_end as u64 - (*self.ctx).data as u64 };
        // SAFETY: the helper reads the context only.
        linear >= bytes as u64 || unsafe { generated::bpf_xdp_get_buff_len(self.ctx) } >= bytes as u64
    }

    #[inline(always)]
    fn half(&self, at: u32) -> Option<u16> {
        // SAFETY: `at` checked the bounds. Packet fields are not always aligned; BPF loads need not be.
        Some(unsafe { *(self.at_anew(at, 2)? as *const u16) })
    }

    #[inline(always)]
    fn words<const N: usize>(&self, at: u32) -> Option<[u32; N]> {
        let place = if N == 2 { self.at_anew(at, 8) } else { self.at(at, N * 4) };
        // SAFETY: as above, for N words.
        Some(unsafe { *(place? as *const [u32; N]) })
    }

    #[inline(always)]
    fn set_half(&mut self, at: u32, value: u16) -> Option<()> {
        // SAFETY: `at` checked the bounds; the frame is this program's alone while it runs.
        unsafe { *(self.at(at, 2)? as *mut u16) = value };
        Some(())
    }

    #[inline(always)]
    fn set_words<const N: usize>(&mut self, at: u32, value: [u32; N]) -> Option<()> {
        // SAFETY: as above, for N words.
        unsafe { *(self.at(at, N * 4)? as *mut [u32; N]) = value };
        Some(())
    }

    #[inline(always)]
    fn move_start(&mut self, by: i32) -> Option<()> {
        // SAFETY: the helper checks the room; every later access takes the bounds anew.
        (unsafe { generated::bpf_xdp_adjust_head(self.ctx, by) } == 0).then_some(())
    }

    #[inline(always)]
    fn truncate(&mut self, length: u32) -> Option<()> {
        // SAFETY: the helpers read the context, and check what is left; every later access takes the bounds anew.
        let done = unsafe {
            let by = length as i64 - generated::bpf_xdp_get_buff_len(self.ctx) as i64;
            generated::bpf_xdp_adjust_tail(self.ctx, by as i32)
        };
        (done == 0).then_some(())
    }

    #[inline(always)]
    fn ingress(&self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.ctx).ingress_ifindex }
    }
}

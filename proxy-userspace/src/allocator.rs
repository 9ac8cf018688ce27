//! Where memory comes from: mimalloc. Why it is not the system's: docs/decisions/0016.
#![expect(unsafe_code, reason = "an allocator's functions are")]

use core::ffi::c_void;
use std::alloc::{GlobalAlloc, Layout};

use libmimalloc_sys as mi;

/// The allocator. What needs no more than the alignment that every piece has is asked for without one: to ask with one
/// costs six hundred instructions for pieces over a kilobyte, since mimalloc then takes a larger one and looks for the place
/// in it.
#[derive(Debug)]
pub(crate) struct Allocator;

/// Every piece is aligned to a word, and to two if it is that large (`MI_MAX_ALIGN_SIZE` of mimalloc/types.h).
const fn is_plain(size: usize, align: usize) -> bool {
    align <= 8 || (align <= 16 && size >= 16)
}

// SAFETY: mimalloc gives pieces of the size and alignment that were asked for, or a null pointer, and takes back what it gave
// whichever way it was asked for.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: the layout is valid.
        let piece = unsafe {
            if is_plain(size, align) { mi::mi_malloc(size) } else { mi::mi_malloc_aligned(size, align) }
        };
        piece.cast()
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: the layout is valid.
        let piece = unsafe {
            if is_plain(size, align) { mi::mi_zalloc(size) } else { mi::mi_zalloc_aligned(size, align) }
        };
        piece.cast()
    }

    unsafe fn dealloc(&self, piece: *mut u8, _: Layout) {
        // SAFETY: it is one of ours.
        unsafe { mi::mi_free(piece.cast::<c_void>()) };
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let (piece, align) = (piece.cast::<c_void>(), layout.align());
        // SAFETY: it is one of ours, and the new layout is valid.
        let moved = unsafe {
            if is_plain(size, align) {
                mi::mi_realloc(piece, size)
            } else {
                mi::mi_realloc_aligned(piece, size, align)
            }
        };
        moved.cast()
    }
}

unsafe extern "C" {
    /// Gives memory that was not used for a while back to the system; all that is unused if it is forced to
    /// (mimalloc.h).
    safe fn mi_collect(force: bool);
}

/// Gives memory that was not used for a while back to the system. mimalloc does so only while something is asked for:
/// of a daemon that has just started, and is idle, what its start has needed would stay.
pub(crate) fn give_back() {
    mi_collect(false);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_aligned_as_asked_for_and_keep_what_is_in_them() {
        for align in [1, 2, 4, 8, 16, 32, 64, 4096] {
            for size in [1, 7, 8, 15, 16, 17, 24, 40, 1000, 1024, 1040, 4520, 70_000] {
                let layout = Layout::from_size_align(size, align).unwrap();
                // SAFETY: each piece is written within its size, and given back once.
                unsafe {
                    let piece = Allocator.alloc(layout);
                    assert_eq!(piece.addr() % align, 0, "{size} {align}");
                    piece.write_bytes(7, size);
                    let larger = Allocator.realloc(piece, layout, size * 2);
                    assert_eq!(larger.addr() % align, 0, "{size} {align}");
                    assert!((0..size).all(|at| larger.add(at).read() == 7));
                    Allocator.dealloc(larger, Layout::from_size_align(size * 2, align).unwrap());
                    let zeroed = Allocator.alloc_zeroed(layout);
                    assert_eq!(zeroed.addr() % align, 0, "{size} {align}");
                    assert!((0..size).all(|at| zeroed.add(at).read() == 0));
                    Allocator.dealloc(zeroed, layout);
                }
            }
        }
    }
}

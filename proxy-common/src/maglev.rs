//! Maglev look-up tables (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, §3.4).

/// Slots of a ring: a prime, a hundred times the number of backends one can want with 1 % accuracy.
pub const RING_SLOTS: u32 = 65_537;

/// A slot without a backend.
pub const NO_BACKEND: u16 = u16::MAX;

/// One listener's look-up table: slot to `BackendId`. Swapped whole.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Ring {
    /// Backend of each slot, or [`NO_BACKEND`].
    pub slots: [u16; RING_SLOTS as usize],
    /// Fills the last word.
    pub pad: u16,
}

const _: () = assert!(size_of::<Ring>() == 131_076);

impl Ring {
    /// A ring without backends.
    pub const EMPTY: Self = Self { slots: [NO_BACKEND; RING_SLOTS as usize], pad: 0 };
}

impl core::fmt::Debug for Ring {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Ring({} slots)", self.slots.len())
    }
}

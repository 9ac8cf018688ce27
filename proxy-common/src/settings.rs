//! What the daemon tells the kernel programs, as a whole.

/// The one entry of the settings table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Settings {
    /// [`crate::ABI_VERSION`] of the daemon that wrote this.
    pub abi_version: u32,
    /// Hops resolved in another epoch are resolved anew. Never 0.
    pub hop_epoch: u16,
    /// [`Settings::ANSWER_TOO_BIG`] and kin.
    pub flags: u16,
    /// Seed of the flow hash: the same on balancers that share a router.
    pub hash_seed: u64,
    /// Jiffies after which a hop is resolved anew, whatever the epoch.
    pub hop_lifetime: u32,
    /// Jiffies for which a young flow without an answer keeps its port.
    pub young_lifetime: u32,
    /// First port that connections to backends may leave from (all sources).
    pub nat_port_low: u16,
    /// How many, from `nat_port_low` on.
    pub nat_port_count: u16,
    /// Zero.
    pub pad: u32,
}

impl Settings {
    /// Answer packets that are too big with ICMP.
    pub const ANSWER_TOO_BIG: u16 = 1;
    /// What leaves by the interface it came in by is redirected, not transmitted: veth takes `XDP_TX` and loses the
    /// frame, without an error, where the peer has no XDP program (`veth_xdp_flush` of drivers/net/veth.c).
    pub const REDIRECT: u16 = 1 << 1;
    /// There are listeners whose packets are the host's ([`crate::listener::Forward::Local`]).
    pub const LOCAL: u16 = 1 << 2;
}

const _: () = assert!(size_of::<Settings>() == 32);

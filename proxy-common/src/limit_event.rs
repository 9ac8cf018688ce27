//! What the kernel programs tell the daemon as it happens, through a ring buffer.

/// An event. At most one for each key of a limit and second.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Event {
    /// [`kind`].
    pub kind: u8,
    /// What `who` is: [`crate::bucket::Who`].
    pub who_kind: u8,
    /// [`crate::plan::measure`].
    pub measure: u8,
    /// [`crate::plan::action`].
    pub action: u8,
    /// The limit's number.
    pub limit: u16,
    /// The listener's number.
    pub listener: u16,
    /// So many since the key's last event.
    pub count: u32,
    /// The family of `source`: 4 or 6.
    pub family: u32,
    /// Whose key it is: [`crate::bucket::Key::who`].
    pub who: [u64; 2],
    /// The packet's source address, as the packet has it.
    pub source: [u64; 2],
}

/// Kinds of events.
pub mod kind {
    /// A limit was exceeded, by packets that may be forged.
    pub const LIMIT: u8 = 1;
    /// A limit was exceeded by a client of a `nat` flow of TCP: it has acknowledged what only the backend's answer told.
    pub const LIMIT_PROVED: u8 = 2;
}

const _: () = assert!(size_of::<Event>() == 48);

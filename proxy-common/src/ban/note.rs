//! What is remembered of bans beside their prefixes, so that a command line without a daemon can tell it, and the next
//! daemon knows it.

/// Who wants an entry of a table: its source.
pub mod source {
    /// An operator, or an automatic ban: its [`super::Note`] says more.
    pub const NOTED: u16 = 0;
    /// `[ban] deny`.
    pub const DENY: u16 = 1;
    /// `[ban] allow`.
    pub const ALLOW: u16 = 2;
    /// What the configuration itself needs: backends, gateways, the host's own addresses.
    pub const NEEDED: u16 = 3;
    /// The first list; its name is entry 0 of the names.
    pub const LISTS: u16 = 16;
}

/// Lists that can have a name of their own.
pub const LIST_NAMES: u32 = 256;

/// The name of a list in UTF-8, cut at 128 bytes, padded with NUL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct ListName(pub [u8; 128]);

/// A banned prefix.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(C)]
pub struct NoteKey {
    /// The prefix's first address; an IPv4 one as IPv6 has it (RFC 4291 §2.5.5.2).
    pub address: [u8; 16],
    /// Its length, of such an address.
    pub length: u8,
    /// Zero.
    pub pad: [u8; 7],
}

/// What is remembered of a ban that an operator or the daemon itself has made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Note {
    /// When it ends, in 64-bit jiffies; [`Note::FOR_EVER`]: never.
    pub until: u64,
    /// When it was made, in seconds since 1970.
    pub since: u64,
    /// Who made it; only of [`By::Operator`].
    pub uid: u32,
    /// [`By`].
    pub by: u8,
    /// Zero.
    pub pad: [u8; 3],
    /// Why, in UTF-8, cut and padded with NUL.
    pub why: [u8; 104],
}

impl Note {
    /// No moment ends it.
    pub const FOR_EVER: u64 = u64::MAX;
}

/// Who made a ban.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum By {
    /// `proxy-now ban add`.
    Operator = 0,
    /// `[auto-ban.NAME]`; why it was made begins with that name.
    Rule = 1,
}

const _: () = assert!(size_of::<NoteKey>() == 24);
const _: () = assert!(size_of::<Note>() == 128);

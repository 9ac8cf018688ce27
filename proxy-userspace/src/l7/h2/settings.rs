//! SETTINGS (RFC 9113 §6.5): what the peer says, and what we say.

use super::error::{ConnectionError, ErrorCode, broken};
use super::frame::MAX_FRAME;

/// Names of settings (§6.5.2; RFC 8441 §3; RFC 9218 §2.1).
pub mod name {
    pub const HEADER_TABLE_SIZE: u16 = 0x1;
    pub const ENABLE_PUSH: u16 = 0x2;
    pub const MAX_CONCURRENT_STREAMS: u16 = 0x3;
    pub const INITIAL_WINDOW_SIZE: u16 = 0x4;
    pub const MAX_FRAME_SIZE: u16 = 0x5;
    pub const MAX_HEADER_LIST_SIZE: u16 = 0x6;
    pub const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;
    pub const NO_RFC7540_PRIORITIES: u16 = 0x9;
}

/// Parameters of one frame: there are not ten that anybody needs.
pub const MOST_PARAMETERS: usize = 64;
/// No window is larger (§6.9.1).
pub const MAX_WINDOW: i64 = (1 << 31) - 1;
/// A window's size before anybody says otherwise (§6.9.2).
pub const DEFAULT_WINDOW: i64 = 65_535;

/// What the peer has set, as far as it concerns what we send.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The window of a new stream.
    pub initial_window: i64,
    /// The largest payload it takes, and we send.
    pub max_frame: usize,
    /// The size of our compression table.
    pub table: u32,
}

impl Default for Peer {
    fn default() -> Self {
        Self { initial_window: DEFAULT_WINDOW, max_frame: MAX_FRAME, table: 4096 }
    }
}

impl Peer {
    /// Takes the parameters of a frame, in order; unknown ones are ignored (§6.5.2).
    ///
    /// # Errors
    /// A value is not allowed.
    pub fn apply(&mut self, payload: &[u8]) -> Result<(), ConnectionError> {
        for &[n0, n1, v0, v1, v2, v3] in payload.as_chunks::<6>().0 {
            let value = u32::from_be_bytes([v0, v1, v2, v3]);
            match u16::from_be_bytes([n0, n1]) {
                name::HEADER_TABLE_SIZE => self.table = self.table.min(value),
                name::ENABLE_PUSH | name::ENABLE_CONNECT_PROTOCOL | name::NO_RFC7540_PRIORITIES
                    if value > 1 =>
                {
                    return broken(ErrorCode::Protocol, "a setting that must be 0 or 1 is neither");
                }
                name::INITIAL_WINDOW_SIZE if i64::from(value) > MAX_WINDOW => {
                    return broken(ErrorCode::FlowControl, "SETTINGS_INITIAL_WINDOW_SIZE is too large");
                }
                name::INITIAL_WINDOW_SIZE => self.initial_window = i64::from(value),
                name::MAX_FRAME_SIZE if !(MAX_FRAME..1 << 24).contains(&(value as usize)) => {
                    return broken(ErrorCode::Protocol, "SETTINGS_MAX_FRAME_SIZE is out of range");
                }
                _ => {}
            }
        }
        Ok(())
    }
}

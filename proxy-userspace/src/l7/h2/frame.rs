//! Frames (RFC 9113 §4.1, §6): their heads, and those that are written whole.

use bytes::{BufMut, BytesMut};

use super::error::ErrorCode;

/// What a client says first (§3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a frame's head.
pub const HEAD: usize = 9;
/// The largest payload we take, and send: the protocol's default (§6.5.2).
pub const MAX_FRAME: usize = 16_384;

/// Types of frames.
pub mod kind {
    pub const DATA: u8 = 0x0;
    pub const HEADERS: u8 = 0x1;
    pub const PRIORITY: u8 = 0x2;
    pub const RST_STREAM: u8 = 0x3;
    pub const SETTINGS: u8 = 0x4;
    pub const PUSH_PROMISE: u8 = 0x5;
    pub const PING: u8 = 0x6;
    pub const GOAWAY: u8 = 0x7;
    pub const WINDOW_UPDATE: u8 = 0x8;
    pub const CONTINUATION: u8 = 0x9;
}

/// Flags of frames.
pub mod flag {
    pub const ACK: u8 = 0x1;
    pub const END_STREAM: u8 = 0x1;
    pub const END_HEADERS: u8 = 0x4;
    pub const PADDED: u8 = 0x8;
    pub const PRIORITY: u8 = 0x20;
}

/// The head of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameHead {
    /// Bytes of the payload.
    pub length: usize,
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0: the connection.
    pub stream: u32,
}

impl FrameHead {
    /// Reads one. The reserved bit is ignored (§4.1).
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let &[l0, l1, l2, kind, flags, s0, s1, s2, s3] = bytes.first_chunk::<HEAD>()?;
        Some(Self {
            length: u32::from_be_bytes([0, l0, l1, l2]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
        })
    }

    /// As it is written.
    pub fn bytes(self) -> [u8; HEAD] {
        let [_, l0, l1, l2] = (self.length as u32).to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        [l0, l1, l2, self.kind, self.flags, s0, s1, s2, s3]
    }

    /// Writes one.
    pub fn write(self, out: &mut BytesMut) {
        out.put_slice(&self.bytes());
    }

    /// Whether a flag is set.
    pub fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// A frame without flags and with a payload of fixed size.
fn small<const N: usize>(out: &mut BytesMut, kind: u8, flags: u8, stream: u32, payload: [u8; N]) {
    FrameHead { length: N, kind, flags, stream }.write(out);
    out.put_slice(&payload);
}

/// RST_STREAM (§6.4).
pub fn reset(out: &mut BytesMut, stream: u32, code: ErrorCode) {
    small(out, kind::RST_STREAM, 0, stream, (code as u32).to_be_bytes());
}

/// WINDOW_UPDATE (§6.9).
pub fn window_update(out: &mut BytesMut, stream: u32, bytes: u32) {
    small(out, kind::WINDOW_UPDATE, 0, stream, bytes.to_be_bytes());
}

/// PING (§6.7).
pub fn ping(out: &mut BytesMut, ack: bool, data: [u8; 8]) {
    small(out, kind::PING, if ack { flag::ACK } else { 0 }, 0, data);
}

/// SETTINGS with these parameters (§6.5).
pub fn settings(out: &mut BytesMut, parameters: &[(u16, u32)]) {
    FrameHead { length: parameters.len() * 6, kind: kind::SETTINGS, flags: 0, stream: 0 }.write(out);
    for &(name, value) in parameters {
        out.put_u16(name);
        out.put_u32(value);
    }
}

/// The answer to SETTINGS.
pub fn settings_ack(out: &mut BytesMut) {
    small(out, kind::SETTINGS, flag::ACK, 0, []);
}

/// GOAWAY (§6.8).
pub fn goaway(out: &mut BytesMut, last: u32, code: ErrorCode, why: &str) {
    FrameHead { length: 8 + why.len(), kind: kind::GOAWAY, flags: 0, stream: 0 }.write(out);
    out.put_u32(last);
    out.put_u32(code as u32);
    out.put_slice(why.as_bytes());
}

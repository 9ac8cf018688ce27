//! Field blocks out. Nothing is put into the peer's table: what is sent holds no state, so it cannot be probed (RFC 7541
//! §7.1), and costs no look-up.

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::integer;
use super::table::static_index;

/// Writes the field blocks of one connection.
#[derive(Debug)]
pub struct Encoder {
    /// What the peer believes our table's size to be.
    told: usize,
    /// The smallest that the peer has allowed.
    allowed: usize,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { told: 4096, allowed: 4096 }
    }
}

impl Encoder {
    /// The peer has set SETTINGS_HEADER_TABLE_SIZE.
    pub fn allow(&mut self, bytes: u32) {
        self.allowed = self.allowed.min(bytes as usize);
    }

    /// The head of an answer. A block begins with the table's size, if the peer has made it smaller (RFC 9113 §4.3.1).
    pub fn head(&mut self, status: StatusCode, length: Option<u64>, fields: &HeaderMap, out: &mut BytesMut) {
        self.begin(out);
        let index = match status.as_u16() {
            200 => 8,
            204 => 9,
            206 => 10,
            304 => 11,
            400 => 12,
            404 => 13,
            500 => 14,
            _ => 0,
        };
        if index == 0 {
            out.put_u8(0x08);
            string(status.as_str().as_bytes(), out);
        } else {
            out.put_u8(0x80 | index);
        }
        if let Some(length) = length {
            let mut digits = [0; 20];
            out.put_slice(&[0x0f, 28 - 15]);
            string(decimal(length, &mut digits), out);
        }
        rest(fields, out);
    }

    /// The trailers of an answer.
    pub fn trailers(&mut self, fields: &HeaderMap, out: &mut BytesMut) {
        self.begin(out);
        rest(fields, out);
    }

    fn begin(&mut self, out: &mut BytesMut) {
        if self.allowed < self.told {
            integer::write(out, self.allowed, 5, 0x20);
            self.told = self.allowed;
        }
    }
}

fn rest(fields: &HeaderMap, out: &mut BytesMut) {
    for (name, value) in fields {
        field(name, value, out);
    }
}

/// A literal without indexing (§6.2.2), or never indexed (§6.2.3) if it is sensitive.
fn field(name: &HeaderName, value: &HeaderValue, out: &mut BytesMut) {
    let first = if value.is_sensitive() { 0x10 } else { 0 };
    if let Some(index) = static_index(name) {
        integer::write(out, index, 4, first);
    } else {
        out.put_u8(first);
        string(name.as_str().as_bytes(), out);
    }
    string(value.as_bytes(), out);
}

fn string(text: &[u8], out: &mut BytesMut) {
    integer::write(out, text.len(), 7, 0);
    out.put_slice(text);
}

fn decimal(mut value: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return &digits[at..];
        }
    }
}

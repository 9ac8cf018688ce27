//! HTTP/2, as far as short answers go (RFC 9113): windows so large that they never close.

use anyhow::{Context, Result, bail, ensure};

use super::talk::Talk as Protocol;

/// `:scheme: http` of the static table (RFC 7541, appendix A).
pub(super) const HTTP: u8 = 0x86;
/// `:scheme: https` of the static table.
pub(super) const HTTPS: u8 = 0x87;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;

/// A client of one connection.
pub(super) struct Talk {
    scheme: u8,
    incoming: Vec<u8>,
    settled: bool,
    begun: u64,
}

impl Talk {
    /// A client that knows that the server speaks HTTP/2. `scheme`: one of [`HTTP`] and [`HTTPS`].
    pub(super) fn new(scheme: u8) -> Self {
        Self { scheme, incoming: Vec::new(), settled: false, begun: 0 }
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8], to: &mut Reply<'_>) -> Result<()> {
        match kind {
            SETTINGS if flags & ACK == 0 => {
                self.settled = true;
                frame(to.out, SETTINGS, ACK, 0, &[]);
            }
            PING if flags & ACK == 0 => frame(to.out, PING, ACK, 0, payload),
            HEADERS => {
                // Size updates of the dynamic table (RFC 7541 §6.3) may stand before `:status`.
                let status = payload.iter().find(|byte| **byte & 0xe0 != 0x20);
                ensure!(status == Some(&0x88), "stream {stream} was not answered 200: {payload:02x?}");
            }
            RST_STREAM | GOAWAY => bail!("the server ends stream {stream}: {kind} {payload:02x?}"),
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            to.ended.push(u64::from(stream / 2));
        }
        Ok(())
    }
}

/// Where frames go, and which exchanges have ended.
struct Reply<'r> {
    out: &'r mut Vec<u8>,
    ended: &'r mut Vec<u64>,
}

impl Protocol for Talk {
    fn opening(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        // SETTINGS_INITIAL_WINDOW_SIZE, SETTINGS_ENABLE_PUSH.
        frame(out, SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff, 0, 2, 0, 0, 0, 0]);
        frame(out, WINDOW_UPDATE, 0, 0, &0x7fff_0000_u32.to_be_bytes());
    }

    fn ready(&self) -> bool {
        // A server says how many streams it takes before it is asked.
        self.settled
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        // `:method: GET`, the scheme, `:path: /` of the static table; `:authority` is put into the dynamic one.
        let first = [&[0x82, self.scheme, 0x84, 0x41, 10][..], b"bench.test"].concat();
        let block = if self.begun == 0 { &first[..] } else { &[0x82, self.scheme, 0x84, 0xbe] };
        let stream = (2 * self.begun + 1) as u32;
        self.begun += 1;
        frame(out, HEADERS, END_STREAM | 4, stream, block);
    }

    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>, ended: &mut Vec<u64>) -> Result<()> {
        let mut incoming = std::mem::take(&mut self.incoming);
        incoming.extend_from_slice(bytes);
        let mut at = 0;
        let mut reply = Reply { out, ended };
        while let Some(head) = incoming.get(at..at + 9) {
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let Some(payload) = incoming.get(at + 9..at + 9 + length) else { break };
            let stream = u32::from_be_bytes(head[5..9].try_into().context("four bytes")?) & 0x7fff_ffff;
            self.frame(head[3], head[4], stream, payload, &mut reply)?;
            at += 9 + length;
        }
        incoming.drain(..at);
        self.incoming = incoming;
        Ok(())
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

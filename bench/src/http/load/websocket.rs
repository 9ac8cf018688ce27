//! WebSockets (RFC 6455): one message of 1 KiB there and back.

use anyhow::{Result, ensure};

use super::talk::Talk as Protocol;

const LENGTH: u16 = 1024;
/// An answer: two bytes, two of length, the message.
const ANSWER: usize = 4 + LENGTH as usize;

/// A client of one connection.
pub(super) struct Talk {
    message: Vec<u8>,
    incoming: Vec<u8>,
    open: bool,
    ended: u64,
}

impl Talk {
    /// A client that has not shaken hands yet.
    pub(super) fn new() -> Self {
        // A whole binary message, masked (§5.3) with a mask that is as good as any here.
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let mut message = vec![0x82, 0x80 | 126];
        message.extend_from_slice(&LENGTH.to_be_bytes());
        message.extend_from_slice(&mask);
        message.extend((0..usize::from(LENGTH)).map(|at| b'x' ^ mask[at % 4]));
        Self { message, incoming: Vec::new(), open: false, ended: 0 }
    }
}

impl Protocol for Talk {
    fn opening(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"GET /echo HTTP/1.1\r\nHost: bench.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        );
    }

    fn ready(&self) -> bool {
        self.open
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.message);
    }

    fn take(&mut self, bytes: &[u8], _: &mut Vec<u8>, ended: &mut Vec<u64>) -> Result<()> {
        self.incoming.extend_from_slice(bytes);
        if !self.open {
            let Some(end) = self.incoming.windows(4).position(|four| four == b"\r\n\r\n") else {
                return Ok(());
            };
            let head = String::from_utf8_lossy(&self.incoming[..end]);
            ensure!(head.starts_with("HTTP/1.1 101"), "{head}");
            self.open = true;
            self.incoming.drain(..end + 4);
        }
        while self.incoming.len() >= ANSWER {
            ensure!(self.incoming.starts_with(&[0x82, 126, 4, 0, b'x']), "{:02x?}", &self.incoming[..8]);
            self.incoming.drain(..ANSWER);
            ended.push(self.ended);
            self.ended += 1;
        }
        Ok(())
    }
}

//! HTTP/1.1, as far as answers with a Content-Length go.

use anyhow::{Context, Result, ensure};

use super::talk::Talk as Protocol;

/// A client of one connection.
pub(super) struct Talk {
    request: Vec<u8>,
    head: Vec<u8>,
    /// Bytes of the body that are to come; none: the head is.
    body: Option<usize>,
    ended: u64,
}

/// A request for `path`.
pub(super) fn request(path: &str, close: bool) -> Vec<u8> {
    let close = if close { "Connection: close\r\n" } else { "" };
    format!("GET {path} HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: bench\r\nAccept: */*\r\n{close}\r\n")
        .into_bytes()
}

impl Talk {
    /// A client that sends this request again and again.
    pub(super) fn new(request: Vec<u8>) -> Self {
        Self { request, head: Vec::new(), body: None, ended: 0 }
    }
}

impl Protocol for Talk {
    fn opening(&mut self, _: &mut Vec<u8>) {}

    fn ready(&self) -> bool {
        true
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.request);
    }

    fn take(&mut self, mut bytes: &[u8], _: &mut Vec<u8>, ended: &mut Vec<u64>) -> Result<()> {
        while !bytes.is_empty() {
            let Some(left) = self.body else {
                bytes = self.take_head(bytes)?;
                continue;
            };
            let now = left.min(bytes.len());
            bytes = &bytes[now..];
            self.body = Some(left - now);
            if left == now {
                self.body = None;
                ended.push(self.ended);
                self.ended += 1;
            }
        }
        Ok(())
    }
}

impl Talk {
    /// Takes the head, and gives what is left.
    fn take_head<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8]> {
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let Some(end) = self.head.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(&[]) };
        let head = std::str::from_utf8(&self.head[..end])?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
        });
        self.body = Some(length.with_context(|| format!("no Content-Length in {head}"))??);
        self.head.clear();
        Ok(&bytes[end + 4 - before..])
    }
}

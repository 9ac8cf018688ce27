//! An echo of WebSockets: a thread a connection, whole messages back unmasked.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use anyhow::{Context, Result};

/// Waits at this port from now on. Its threads are on the CPU of the thread that calls, and end with the process.
pub(super) fn start(port: u16) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).context("the echo cannot listen")?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away is no failure.
            thread::spawn(move || drop(serve(stream)));
        }
    });
    Ok(())
}

/// Nobody checks the key: the answer is that of the key in RFC 6455 §1.3, which our clients send.
const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(64 * 1024);
    let head = loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        fill(&mut stream, &mut buffer)?;
    };
    buffer.drain(..head);
    stream.write_all(ANSWER)?;
    let mut out = Vec::new();
    loop {
        while let Some((whole, begin)) = frame(&buffer) {
            let mask = [buffer[begin - 4], buffer[begin - 3], buffer[begin - 2], buffer[begin - 1]];
            // The same head without the bit and the four bytes of the mask.
            out.extend_from_slice(&buffer[..begin - 4]);
            let length = out.len() - (begin - 4) + 1;
            out[length] &= 0x7f;
            out.extend(buffer[begin..whole].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
            buffer.drain(..whole);
        }
        stream.write_all(&out)?;
        out.clear();
        fill(&mut stream, &mut buffer)?;
    }
}

/// The first frame (RFC 6455 §5.2), if it is whole: where it ends, and where its payload begins. All are masked.
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let (length, begin) = match *bytes.get(1)? & 0x7f {
        126 => (usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])), 8),
        short => (usize::from(short), 6),
    };
    (bytes.len() >= begin + length).then_some((begin + length, begin))
}

fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<()> {
    let mut bytes = [0; 16 * 1024];
    let read = stream.read(&mut bytes)?;
    if read == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    buffer.extend_from_slice(&bytes[..read]);
    Ok(())
}

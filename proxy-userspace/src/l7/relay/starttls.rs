//! How backends are asked for TLS that do not begin with it, and how clients ask.

use std::future::poll_fn;
use std::io::{self, IoSlice};

use bytes::{Buf, BytesMut};

use crate::config::StartTls;
use crate::net::buffers;
use crate::net::stream::Stream;

/// Lines of SMTP are no longer (RFC 5321 §4.5.3.1.5), and answers have no more of them.
const MOST_LINE: usize = 512;
const MOST_LINES: usize = 64;
/// Commands of a client before STARTTLS.
const MOST_COMMANDS: usize = 16;
/// Requests of a client of PostgreSQL before its SSLRequest: one for GSS, which we refuse.
const MOST_REQUESTS: usize = 2;
/// `SSLRequest` (PostgreSQL, "Message Formats").
pub(in crate::l7) const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// `GSSENCRequest`.
const GSS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];
/// `ErrorResponse`: a client that does not ask for TLS is told why it is not served.
const NO_SSL: &[u8] =
    b"E\0\0\0\x4cSFATAL\0VFATAL\0C28000\0Mconnections here are by TLS: use sslmode=require\0\0";
/// Who we say that we are before TLS: names are a matter of the backend.
const GREETING: &[u8] = b"220 proxy-now ESMTP\r\n";
const EHLO: &[u8] = b"250-proxy-now\r\n250 STARTTLS\r\n";
const HELO: &[u8] = b"250 proxy-now\r\n";
const OK: &[u8] = b"250 OK\r\n";
const READY: &[u8] = b"220 Ready to start TLS\r\n";
const BYE: &[u8] = b"221 Bye\r\n";
const FIRST_TLS: &[u8] = b"530 Must issue a STARTTLS command first\r\n";

/// What a client that should ask for TLS does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::l7) enum Asked {
    /// It begins with TLS now.
    Begins,
    /// It does not want to. It was told, as far as that can be.
    Declines,
}

/// Lets a client ask for TLS. What it has said beyond that stays in `read`: a ClientHello, or the beginning of one.
pub(in crate::l7) async fn let_ask<S: Stream>(
    stream: &mut S,
    read: &mut BytesMut,
    how: StartTls,
) -> io::Result<Asked> {
    match how {
        StartTls::Postgres => postgres_client(stream, read).await,
        StartTls::Smtp => smtp_client(stream, read).await,
    }
}

/// Asks a backend for TLS.
pub(super) async fn ask<S: Stream>(stream: &mut S, how: StartTls) -> io::Result<()> {
    let mut read = BytesMut::new();
    match how {
        StartTls::Postgres => {
            write(stream, &SSL_REQUEST).await?;
            more(stream, &mut read).await?;
            match &read[..] {
                b"S" => Ok(()),
                // Whatever stands behind it was not said by TLS (CVE-2021-23222).
                [b'S', ..] => Err(io::Error::other("the backend says more than S to an SSLRequest")),
                _ => Err(io::Error::other("the backend does not speak TLS: it refuses an SSLRequest")),
            }
        }
        StartTls::Smtp => {
            answered(stream, &mut read, b"220").await?;
            write(stream, b"EHLO proxy-now\r\n").await?;
            answered(stream, &mut read, b"250").await?;
            write(stream, b"STARTTLS\r\n").await?;
            answered(stream, &mut read, b"220").await?;
            match read.is_empty() {
                true => Ok(()),
                // RFC 3207 §6: whatever was said before TLS counts for nothing (CVE-2021-38371).
                false => Err(io::Error::other("the backend goes on after its answer to STARTTLS")),
            }
        }
    }
}

async fn postgres_client<S: Stream>(stream: &mut S, read: &mut BytesMut) -> io::Result<Asked> {
    for _ in 0..MOST_REQUESTS {
        while read.len() < SSL_REQUEST.len() {
            // Clients since version 17 may begin with TLS (sslnegotiation=direct).
            if read.first() == Some(&22) {
                return Ok(Asked::Begins);
            }
            more(stream, read).await?;
        }
        if read[..8] == SSL_REQUEST {
            read.advance(8);
            // What follows at once was not asked for by TLS, and whoever put it there may be another (CVE-2021-23214).
            if !read.is_empty() {
                return Ok(Asked::Declines);
            }
            write(stream, b"S").await?;
            return Ok(Asked::Begins);
        }
        if read[0] == 22 {
            return Ok(Asked::Begins);
        }
        if read[..8] != GSS_REQUEST {
            break;
        }
        read.advance(8);
        write(stream, b"N").await?;
    }
    write(stream, NO_SSL).await?;
    Ok(Asked::Declines)
}

async fn smtp_client<S: Stream>(stream: &mut S, read: &mut BytesMut) -> io::Result<Asked> {
    write(stream, GREETING).await?;
    for _ in 0..MOST_COMMANDS {
        let line = line(stream, read).await?;
        let verb = line[..].split(|byte| *byte == b' ').next().unwrap_or_default().to_ascii_uppercase();
        let answer = match &verb[..] {
            b"EHLO" => EHLO,
            b"HELO" => HELO,
            b"NOOP" | b"RSET" => OK,
            b"STARTTLS" if read.is_empty() => {
                write(stream, READY).await?;
                return Ok(Asked::Begins);
            }
            // Commands that were sent along with it would count as sent by TLS (RFC 3207 §4.2, CVE-2011-0411).
            b"STARTTLS" => return Ok(Asked::Declines),
            b"QUIT" => {
                write(stream, BYE).await?;
                return Ok(Asked::Declines);
            }
            _ => FIRST_TLS,
        };
        write(stream, answer).await?;
    }
    Ok(Asked::Declines)
}

/// Reads an answer of SMTP (RFC 5321 §4.2.1), of any number of lines, and checks its code.
async fn answered<S: Stream>(stream: &mut S, read: &mut BytesMut, code: &[u8; 3]) -> io::Result<()> {
    for _ in 0..MOST_LINES {
        let line = line(stream, read).await?;
        if line.get(..3) != Some(code) {
            let said = String::from_utf8_lossy(&line).escape_debug().to_string();
            return Err(io::Error::other(format!("the backend does not speak TLS: it says {said}")));
        }
        if line.get(3) != Some(&b'-') {
            return Ok(());
        }
    }
    Err(io::Error::other("the backend's answer does not end"))
}

/// A line, without its end.
async fn line<S: Stream>(stream: &mut S, read: &mut BytesMut) -> io::Result<BytesMut> {
    loop {
        if let Some(end) = memchr::memchr(b'\n', read) {
            let mut line = read.split_to(end + 1);
            line.truncate(line.len() - 1);
            if line.last() == Some(&b'\r') {
                line.truncate(line.len() - 1);
            }
            return Ok(line);
        }
        if read.len() >= MOST_LINE {
            return Err(io::Error::other("a line is longer than 512 bytes"));
        }
        more(stream, read).await?;
    }
}

async fn more<S: Stream>(stream: &mut S, read: &mut BytesMut) -> io::Result<()> {
    poll_fn(|context| stream.poll_readable(context)).await?;
    buffers::room(read);
    match poll_fn(|context| stream.poll_read(context, read)).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

async fn write<S: Stream>(stream: &mut S, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = poll_fn(|context| stream.poll_write(context, &[IoSlice::new(bytes)])).await?;
        bytes = &bytes[count..];
    }
    poll_fn(|context| stream.poll_flush(context)).await
}

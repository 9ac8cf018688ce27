//! Heads as they are written: one normal form, towards clients and towards backends.

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, StatusCode, Version, header};

use crate::l7::field_block::FieldBlock;
use crate::l7::request::Request;

/// How a message's body is framed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Framing {
    /// None, and nothing is said of it.
    None,
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// It ends with the connection.
    UntilClose,
}

/// What an answer says of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Persistence {
    /// It stays, as is usual.
    Stays,
    /// It stays, which the client would not think.
    KeepAlive,
    /// It ends.
    Close,
}

/// Writes a request's head; with `expects`, it waits for a 100 (RFC 9110 §10.1.1). Its fields are end-to-end by contract; what frames a message is never taken from them.
pub(super) fn request(out: &mut BytesMut, request: &Request, host: &[u8], framing: Framing, expects: bool) {
    out.put_slice(request.method.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(request.target.as_bytes());
    out.put_slice(b" HTTP/1.1\r\nhost: ");
    out.put_slice(host);
    out.put_slice(b"\r\n");
    block(out, &request.headers);
    if let Some(lines) = request.record.presented.get() {
        out.put_slice(lines);
        if let Some(id) = &*request.record.id.borrow() {
            out.put_slice(b"x-request-id: ");
            out.put_slice(id.as_bytes());
            out.put_slice(b"\r\n");
        }
    }
    self::framing(out, framing);
    if expects {
        out.put_slice(b"expect: 100-continue\r\n");
    }
    match (&request.upgrade, request.trailers) {
        (Some(protocol), _) => {
            out.put_slice(b"connection: upgrade\r\nupgrade: ");
            out.put_slice(protocol.as_bytes());
            out.put_slice(b"\r\n");
        }
        (None, true) => out.put_slice(b"te: trailers\r\nconnection: te\r\n"),
        (None, false) => {}
    }
    out.put_slice(b"\r\n");
}

/// Writes an answer's head. `headers` may say the length of the body that an answer to HEAD, or a 304, does not have.
pub(super) fn answer(
    out: &mut BytesMut,
    status: StatusCode,
    headers: &FieldBlock,
    framing: Framing,
    persistence: Persistence,
) {
    status_line(out, status);
    block(out, headers);
    if framing == Framing::None {
        if let Some(length) = headers.value(&header::CONTENT_LENGTH) {
            field(out, &header::CONTENT_LENGTH, length.as_bytes());
        }
    } else {
        self::framing(out, framing);
    }
    match persistence {
        Persistence::Stays => {}
        Persistence::KeepAlive => out.put_slice(b"connection: keep-alive\r\n"),
        Persistence::Close => out.put_slice(b"connection: close\r\n"),
    }
    out.put_slice(b"\r\n");
}

/// Writes a 1xx.
pub(super) fn interim(out: &mut BytesMut, status: StatusCode, headers: &HeaderMap) {
    status_line(out, status);
    fields(out, headers);
    out.put_slice(b"\r\n");
}

/// Writes a 101.
pub(super) fn switched(out: &mut BytesMut, headers: &HeaderMap, protocol: &str) {
    status_line(out, StatusCode::SWITCHING_PROTOCOLS);
    fields(out, headers);
    out.put_slice(b"connection: upgrade\r\nupgrade: ");
    out.put_slice(protocol.as_bytes());
    out.put_slice(b"\r\n\r\n");
}

/// Writes what ends a chunked body.
pub(super) fn last_chunk(out: &mut BytesMut, trailers: Option<&HeaderMap>) {
    out.put_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        fields(out, trailers);
    }
    out.put_slice(b"\r\n");
}

/// Writes a chunk's size.
pub(super) fn chunk(out: &mut BytesMut, size: usize) {
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        out.put_u8(b"0123456789abcdef"[size >> (4 * digit) & 15]);
    }
    out.put_slice(b"\r\n");
}

fn status_line(out: &mut BytesMut, status: StatusCode) {
    if status == StatusCode::OK {
        out.put_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(status.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.put_slice(b"\r\n");
}

fn framing(out: &mut BytesMut, framing: Framing) {
    match framing {
        Framing::None | Framing::UntilClose => {}
        Framing::Length(length) => {
            out.put_slice(b"content-length: ");
            decimal(out, length);
            out.put_slice(b"\r\n");
        }
        Framing::Chunked => out.put_slice(b"transfer-encoding: chunked\r\n"),
    }
}

fn block(out: &mut BytesMut, headers: &FieldBlock) {
    // Of lines those that are ours were taken when they were read.
    if !headers.put_lines(out) {
        fields(out, headers);
    }
}

fn fields(out: &mut BytesMut, headers: &HeaderMap) {
    for (name, value) in headers {
        if !is_ours(name) {
            field(out, name, value.as_bytes());
        }
    }
}

fn field(out: &mut BytesMut, name: &HeaderName, value: &[u8]) {
    let name = name.as_str().as_bytes();
    out.reserve(name.len() + value.len() + 4);
    out.put_slice(name);
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

/// What frames a message or names its receiver is written here, and nowhere else.
fn is_ours(name: &HeaderName) -> bool {
    *name == header::CONTENT_LENGTH
        || *name == header::TRANSFER_ENCODING
        || *name == header::CONNECTION
        || *name == header::HOST
        || *name == header::UPGRADE
        || *name == header::TE
}

fn decimal(out: &mut BytesMut, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.put_slice(&digits[at..]);
}

/// How an answer is framed for a client of this version.
pub(super) fn framing_for(version: Version, length: Option<u64>) -> Framing {
    match length {
        Some(length) => Framing::Length(length),
        None if version == Version::HTTP_11 => Framing::Chunked,
        None => Framing::UntilClose,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_they_are_read() {
        for number in [0, 9, 10, 15, 16, 255, 256, 4096, 65_535, 1_234_567_890] {
            let mut out = BytesMut::new();
            decimal(&mut out, number);
            out.put_u8(b' ');
            chunk(&mut out, number as usize);
            assert_eq!(out, format!("{number} {number:x}\r\n"));
        }
    }

    #[test]
    fn a_request_says_who_it_is_from_once() {
        let request = crate::l7::testing::request("/a?b");
        let written = || {
            let mut out = BytesMut::new();
            super::request(&mut out, &request, b"h", Framing::None, false);
            String::from_utf8(out.to_vec()).unwrap()
        };
        *request.record.id.borrow_mut() = crate::l7::id::Id::given(http::HeaderValue::from_static("1"));
        assert_eq!(written(), "GET /a?b HTTP/1.1\r\nhost: h\r\n\r\n");
        request.record.presented.set(bytes::Bytes::from_static(b"via: x\r\n")).unwrap();
        assert_eq!(written(), "GET /a?b HTTP/1.1\r\nhost: h\r\nvia: x\r\nx-request-id: 1\r\n\r\n");
    }

    #[test]
    fn an_answer_has_one_form() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("x-a", "b"), ("content-length", "7"), ("transfer-encoding", "x"), ("upgrade", "y")]
        {
            headers.insert(HeaderName::from_static(name), http::HeaderValue::from_static(value));
        }
        let write = |framing, persistence| {
            let mut out = BytesMut::new();
            answer(&mut out, StatusCode::OK, &headers.clone().into(), framing, persistence);
            String::from_utf8(out.to_vec()).unwrap()
        };
        assert_eq!(
            write(Framing::Chunked, Persistence::Stays),
            "HTTP/1.1 200 OK\r\nx-a: b\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        assert_eq!(
            write(Framing::None, Persistence::Close),
            "HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: 7\r\nconnection: close\r\n\r\n"
        );
        assert_eq!(
            write(Framing::Length(3), Persistence::KeepAlive),
            "HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: 3\r\nconnection: keep-alive\r\n\r\n"
        );
    }
}

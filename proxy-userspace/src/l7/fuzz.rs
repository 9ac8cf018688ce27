//! What reads bytes of strangers, and what must hold whatever they are: tests mutate inputs for a second, or for as long as
//! `PROXY_NOW_FUZZ_SECONDS` says.

use super::{h1, h2};
use crate::net::proxy_protocol::{self, NoHeader};
use crate::net::quic;

/// One target.
#[derive(Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Fails by a panic.
    pub check: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of HTTP, and what is read before it.
pub const TARGETS: &[Target] = &[
    Target { name: "h1_request", check: h1::fuzz::request, seeds: requests },
    Target { name: "h1_answer", check: h1::fuzz::answer, seeds: answers },
    Target { name: "h1_chunks", check: h1::fuzz::chunks, seeds: chunks },
    Target { name: "h2_frames", check: h2::fuzz::frames, seeds: h2::fuzz::seeds },
    Target { name: "quic_initial", check: quic::fuzz::initial, seeds: quic::fuzz::seeds },
    Target { name: "proxy_protocol", check: proxy_header, seeds: proxy_headers },
];

/// A header of the PROXY protocol: what was read of it stands in it, and no part of it is one.
fn proxy_header(data: &[u8]) {
    let whole = proxy_protocol::read(data);
    let Ok(header) = whole else { return };
    assert!(header.length <= data.len());
    for part in 0..header.length {
        assert_eq!(proxy_protocol::read(&data[..part]), Err(NoHeader::Incomplete), "{part}");
    }
    assert_eq!(proxy_protocol::read(&data[..header.length]), whole);
}

fn requests() -> Vec<Vec<u8>> {
    let heads = [
        "GET /a%2Fb/../c?d=e&f HTTP/1.1\r\nHost: a.test:80\r\nAccept: */*\r\nCookie: a=b; c=d\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nConnection: TE\r\n\r\n",
        "GET http://[2001:db8::1]:8080/ HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\nX-A:\t b \r\n\r\n",
        "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "OPTIONS * HTTP/1.0\r\nConnection: close, x-b\r\nX-B: c\r\nForwarded: for=192.0.2.1\r\n\r\n",
    ];
    heads.iter().map(|head| [&[3], head.as_bytes()].concat()).collect()
}

fn answers() -> Vec<Vec<u8>> {
    let heads = [
        "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 3\r\nServer: x\r\n\r\n",
        "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\nTrailer: x\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.0 304 Not Modified\r\nETag: \"a\"\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    ];
    heads.iter().map(|head| [&[5], head.as_bytes()].concat()).collect()
}

fn chunks() -> Vec<Vec<u8>> {
    let bodies = [
        "5\r\nhello\r\n0\r\n\r\n",
        "a;x=y;z=\"q\"\r\n0123456789\r\n00\r\nX-A: b\r\nX-B: c\r\n\r\n",
        "FFFFFFFFF\r\n",
    ];
    bodies.iter().map(|body| [&[2], body.as_bytes()].concat()).collect()
}

fn proxy_headers() -> Vec<Vec<u8>> {
    let v2 = |rest: &[u8]| [b"\r\n\r\n\0\r\nQUIT\n", rest].concat();
    vec![
        b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\nGET / HTTP/1.1\r\n".to_vec(),
        b"PROXY TCP6 2001:db8::1 2001:db8::2 4711 443\r\n".to_vec(),
        b"PROXY UNKNOWN whatever there is\r\n".to_vec(),
        v2(&[0x21, 0x11, 0, 12, 192, 0, 2, 1, 192, 0, 2, 2, 18, 103, 0, 80, 71]),
        v2(&[&[0x21, 0x21, 0, 43][..], &[0x20; 36], &[4, 0, 4, 1, 2, 3, 4]].concat()),
        v2(&[0x20, 0, 0, 0]),
    ]
}

#[cfg(test)]
#[path = "fuzz_tests.rs"]
mod tests;

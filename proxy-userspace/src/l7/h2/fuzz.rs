//! What must hold of frames, whatever comes: pieces make no difference, and what is held is bounded. For tests and fuzz
//! targets.

use super::send::OUT_BYTES;
use super::wire::{Client, begin, data, get, headers, post, request, setting, window};
use crate::config::WebLimits;

/// Frames behind the preface. The first byte says how long pieces are.
pub fn frames(data: &[u8]) {
    let Some((step, rest)) = data.split_first() else { return };
    let bytes = [begin(), rest.to_vec()].concat();
    assert_eq!(come(&bytes, &[usize::from(*step).max(1)]), come(&bytes, &[]));
}

/// What frames look like.
pub fn seeds() -> Vec<Vec<u8>> {
    let trailers = headers(1, true, &super::wire::field("x-a", "b"));
    let tunnel = headers(3, false, &request("CONNECT", &[(":protocol", "websocket")]));
    [
        get(1),
        [post(1, &[("content-length", "5")]), data(1, true, b"hello")].concat(),
        [post(1, &[]), data(1, false, b"hello"), trailers].concat(),
        [get(1), tunnel, super::wire::cancel(1), window(3, 9), window(0, 9)].concat(),
        [setting(4, 70_000), setting(1, 0), setting(5, 16_384), get(1), get(3)].concat(),
        // Huffman, the table, a continuation, padding, PING, PRIORITY, GOAWAY.
        [
            &[0, 0, 18, 1, 5, 0, 0, 0, 1][..],
            &[
                0x82, 0x86, 0x84, 0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90,
                0xf4, 0xff,
            ],
            &[0x20],
        ]
        .concat(),
        vec![0, 0, 3, 1, 1, 0, 0, 0, 1, 0x82, 0x86, 0x84, 0, 0, 3, 9, 4, 0, 0, 0, 1, 0x41, 1, 0x61],
        vec![0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 5, 2, 0, 0, 0, 0, 1, 0, 0, 0, 3, 7],
        vec![0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0],
    ]
    .map(|frames| [&[7], &frames[..]].concat())
    .to_vec()
}

/// What was said and what has happened, when these bytes come in such pieces.
pub(super) fn come(bytes: &[u8], pieces: &[usize]) -> (Vec<String>, Vec<String>) {
    let limits = WebLimits { h2_idle_frames: 30, h2_resets: 5, ..WebLimits::default() };
    let mut client = Client::silent(&limits);
    let mut rest = bytes;
    let mut sizes = pieces.iter().cycle();
    while !rest.is_empty() {
        let (piece, left) = rest.split_at(sizes.next().map_or(rest.len(), |size| *size).clamp(1, rest.len()));
        client.send(piece);
        rest = left;
    }
    assert!(client.machine.open() <= limits.h2_streams as usize);
    assert!(client.machine.out.len() < OUT_BYTES);
    (client.said(), client.events)
}

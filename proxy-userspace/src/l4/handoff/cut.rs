//! A long TCP segment as several shorter ones (RFC 9293 §3.7): what a sender with a smaller MTU would have sent in its place.

use std::ops::Range;

use proxy_common::checksum::{fold, sum_bytes};

/// Bytes of an Ethernet header without tags, and of a tag.
const ETHERNET: usize = 14;
const TAG: usize = 4;
const TCP: u8 = 6;
/// IPv4: "more fragments", and where a fragment belongs; "don't fragment".
const IN_PIECES: u16 = 0x3fff;
const WHOLE: u16 = 0x4000;
/// Flags of TCP.
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const URG: u8 = 32;
const CWR: u8 = 128;

/// Where things are in a frame.
struct Layout {
    v4: bool,
    ip: usize,
    tcp: usize,
    payload: usize,
    end: usize,
}

/// Frames of `most` bytes at most that say the same. None: it is no segment that can be cut up, or a damaged one.
pub(super) fn up(frame: &[u8], most: usize) -> Option<Vec<Vec<u8>>> {
    let layout = layout(frame)?;
    let sum = pseudo_header(frame, &layout, layout.end - layout.tcp)?;
    let header_sum = if layout.v4 { sum_bytes(&frame[layout.ip..layout.tcp]) } else { 0xffff };
    // A damaged one would be taken for a sound one.
    if fold(sum + sum_bytes(&frame[layout.tcp..layout.end])) != 0xffff || fold(header_sum) != 0xffff {
        return None;
    }
    let room = most.checked_sub(layout.payload).filter(|room| *room > 0)?;
    let payload = &frame[layout.payload..layout.end];
    let pieces = (0..payload.len()).step_by(room).map(|from| from..(from + room).min(payload.len()));
    let pieces = pieces.enumerate().map(|(number, of)| piece(frame, &layout, number as u16, of));
    pieces.collect()
}

fn be16(frame: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?))
}

fn layout(frame: &[u8]) -> Option<Layout> {
    let mut ip = ETHERNET;
    while matches!(be16(frame, ip - 2)?, 0x8100 | 0x88a8) {
        ip += TAG;
    }
    let (tcp, end, protocol) = match be16(frame, ip - 2)? {
        0x0800 if be16(frame, ip + 6)? & IN_PIECES == 0 => {
            let header = usize::from(frame.get(ip)? & 15) * 4;
            (ip + header, ip + usize::from(be16(frame, ip + 2)?), *frame.get(ip + 9)?)
        }
        0x86dd => (ip + 40, ip + 40 + usize::from(be16(frame, ip + 4)?), *frame.get(ip + 6)?),
        _ => return None,
    };
    let payload = tcp + usize::from(frame.get(tcp + 12)? >> 4) * 4;
    let plain = frame.get(tcp + 13)? & (SYN | RST | URG) == 0;
    let sound = protocol == TCP
        && plain
        && tcp >= ip + 20
        && payload >= tcp + 20
        && payload < end
        && end <= frame.len();
    sound.then_some(Layout { v4: be16(frame, ip - 2)? == 0x0800, ip, tcp, payload, end })
}

/// The sum of what a segment's checksum covers beside it (RFC 9293 §3.1, RFC 8200 §8.1).
fn pseudo_header(frame: &[u8], layout: &Layout, length: usize) -> Option<u64> {
    let addresses = if layout.v4 { layout.ip + 12..layout.ip + 20 } else { layout.ip + 8..layout.ip + 40 };
    let rest = [[0, TCP], u16::try_from(length).ok()?.to_be_bytes()];
    Some(sum_bytes(frame.get(addresses)?) + sum_bytes(rest.as_flattened()))
}

/// The piece with these bytes of the payload.
fn piece(frame: &[u8], layout: &Layout, number: u16, of: Range<usize>) -> Option<Vec<u8>> {
    let Layout { v4, ip, tcp, payload, end } = *layout;
    let (head, bytes) = (&frame[..payload], &frame[payload..end][of.clone()]);
    let mut piece = [head, bytes].concat();
    let mut put = |at: usize, value: &[u8]| piece[at..at + value.len()].copy_from_slice(value);
    let length = |from: usize| u16::try_from(payload + bytes.len() - from).ok();
    if v4 {
        put(ip + 2, &length(ip)?.to_be_bytes());
        if be16(head, ip + 6)? & WHOLE == 0 {
            // Whoever cuts it further up must not mix it with the others (RFC 6864).
            let number = be16(head, ip + 4)?.wrapping_add(number);
            put(ip + 4, &number.to_be_bytes());
        }
        put(ip + 10, &[0, 0]);
    } else {
        put(ip + 4, &length(ip + 40)?.to_be_bytes());
    }
    let sequence = u32::from_be_bytes(head.get(tcp + 4..tcp + 8)?.try_into().ok()?);
    put(tcp + 4, &sequence.wrapping_add(of.start as u32).to_be_bytes());
    let (not_first, not_last) = (of.start > 0, payload + of.end < end);
    let cleared = (CWR * u8::from(not_first)) | ((FIN | PSH) * u8::from(not_last));
    put(tcp + 13, &[head.get(tcp + 13)? & !cleared]);
    put(tcp + 16, &[0, 0]);
    if v4 {
        let sum = !fold(sum_bytes(&piece[ip..tcp]));
        piece[ip + 10..ip + 12].copy_from_slice(&sum.to_ne_bytes());
    }
    let sum = pseudo_header(&piece, layout, piece.len() - tcp)? + sum_bytes(&piece[tcp..]);
    piece[tcp + 16..tcp + 18].copy_from_slice(&(!fold(sum)).to_ne_bytes());
    Some(piece)
}

#[cfg(test)]
#[path = "cut_tests.rs"]
mod tests;

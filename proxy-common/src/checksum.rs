//! Internet checksum arithmetic. All 16-bit words are taken as they lie in memory: the one's complement sum does not
//! care for byte order (RFC 1071 §2.B) as long as it is the same everywhere.

use crate::addr::Address;

/// Folds a sum of 16-bit words to 16 bits, carries added back in (RFC 1071 §4.1).
#[inline(always)]
pub const fn fold(mut sum: u64) -> u16 {
    sum = (sum & 0xffff_ffff) + (sum >> 32);
    sum = (sum & 0xffff_ffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// Whether the checksum of an IPv4 header without options holds (RFC 1071 §1): its words sum up to all ones.
#[inline(always)]
pub const fn is_sound(words: [u32; 5]) -> bool {
    let [a, b, c, d, e] = words;
    let mut sum = a as u64 + b as u64 + c as u64 + d as u64 + e as u64;
    // 35 bits, 33, 17, and then 0x10000 at most, which is no multiple of 0xffff.
    sum = (sum & 0xffff_ffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum == 0xffff
}

/// Folds a sum of at most 2^18 words: two carries are all there can be.
#[inline(always)]
const fn fold_short(mut sum: u32) -> u16 {
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// What a time to live that becomes one less changes a checksum by: its word shrinks by 0x0100.
pub const TTL_LESS: u16 = u16::from_ne_bytes([0xfe, 0xff]);

/// What a checksum changes by when the summed words `old` become `new`: `~m + m'` of RFC 1624 eqn. 3, folded.
/// Both arguments are sums of 16-bit words, not folded.
#[inline(always)]
pub const fn delta(old: u64, new: u64) -> u16 {
    fold_short(!fold(old) as u32 + fold(new) as u32)
}

/// The sum of two deltas.
#[inline(always)]
pub const fn combine(a: u16, b: u16) -> u16 {
    fold_short(a as u32 + b as u32)
}

/// A checksum field after a change: `HC' = ~(~HC + ~m + m')` (RFC 1624 eqn. 3).
#[inline(always)]
pub const fn update(field: u16, delta: u16) -> u16 {
    !fold_short(!field as u32 + delta as u32)
}

/// A UDP checksum field after a change: 0 means "none" and stays (RFC 768); a sum of 0 is sent as all ones.
#[inline(always)]
pub const fn update_udp(field: u16, delta: u16) -> u16 {
    if field == 0 {
        return 0;
    }
    match update(field, delta) {
        0 => 0xffff,
        sum => sum,
    }
}

/// The sum of an address's 16-bit words, not folded.
#[inline(always)]
pub fn sum_address<A: Address>(address: A) -> u64 {
    let mut sum = 0;
    for word in address.words().as_ref() {
        sum += *word as u64;
    }
    sum
}

/// The sum of a byte string's 16-bit words, an odd last byte padded with zero (RFC 1071 §4.1); not folded.
pub fn sum_bytes(bytes: &[u8]) -> u64 {
    let mut sum = 0u64;
    let mut chunks = bytes.chunks_exact(2);
    for pair in &mut chunks {
        sum += u16::from_ne_bytes([pair[0], pair[1]]) as u64;
    }
    if let [last] = chunks.remainder() {
        sum += u16::from_ne_bytes([*last, 0]) as u64;
    }
    sum
}

//! Keys of Initial packets: made of what the client calls the server, they prove nothing and hide nothing (RFC 9001 §5.2).

use rustls::Side;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::quic::{DirectionalKeys, Keys as Both, Version};

use super::fault::NoFlight;
use super::head::{Head, V2};

/// Bytes from the packet number to the sample that protects it (RFC 9001 §5.4.2).
const TO_SAMPLE: usize = 4;
/// Bits of the first byte that must be zero, once they can be read (RFC 9000 §17.2).
const RESERVED: u8 = 0x0c;

/// Keys of what a client sends.
pub(super) struct Keys {
    keys: DirectionalKeys,
    version: u32,
    id: Box<[u8]>,
    /// The highest number of a packet that was opened.
    largest: Option<u64>,
}

/// Both sides' keys.
pub(super) fn both(version: u32, id: &[u8], side: Side) -> Option<Both> {
    let suite = TLS13_AES_128_GCM_SHA256.tls13()?.quic_suite()?;
    let version = if version == V2 { Version::V2 } else { Version::V1 };
    Some(suite.keys(id, side, version))
}

impl Keys {
    /// Of a client's first packet.
    pub(super) fn of(head: &Head<'_>) -> Option<Self> {
        let keys = both(head.version, head.destination, Side::Server)?.remote;
        Some(Self { keys, version: head.version, id: head.destination.into(), largest: None })
    }

    /// Whether the packet may be for these.
    pub(super) fn are_of(&self, head: &Head<'_>) -> bool {
        self.version == head.version && *self.id == *head.destination
    }

    /// Opens a packet in place: its frames.
    pub(super) fn open<'a>(&mut self, head: &PlaceOf, packet: &'a mut [u8]) -> Result<&'a [u8], NoFlight> {
        let protection = &self.keys.header;
        let sample_at = head.number_at + TO_SAMPLE;
        let sample_end = sample_at + protection.sample_len();
        if packet.len() < sample_end {
            return Err(NoFlight::Malformed);
        }
        let (visible, sample) = packet.split_at_mut(sample_at);
        let (first, rest) = visible.split_first_mut().ok_or(NoFlight::Malformed)?;
        protection
            .decrypt_in_place(&sample[..sample_end - sample_at], first, &mut rest[head.number_at - 1..])
            .map_err(|_| NoFlight::Sealed)?;
        let bytes = usize::from(*first & 3) + 1;
        let reserved = *first & RESERVED != 0;
        let (header, payload) = packet.split_at_mut(head.number_at + bytes);
        let short = header[head.number_at..].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let number = whole(short, bytes as u32 * 8, self.largest);
        let frames =
            self.keys.packet.decrypt_in_place(number, header, payload).map_err(|_| NoFlight::Sealed)?;
        self.largest = self.largest.max(Some(number));
        if reserved { Err(NoFlight::Malformed) } else { Ok(frames) }
    }
}

/// Where a packet's number begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlaceOf {
    pub(super) number_at: usize,
}

/// The packet number of which these are the last bits (RFC 9000 §A.3).
fn whole(short: u64, bits: u32, largest: Option<u64>) -> u64 {
    let (expected, window) = (largest.map_or(0, |largest| largest + 1), 1 << bits);
    let half = window / 2;
    let candidate = expected & !(window - 1) | short;
    if candidate + half <= expected && candidate < (1 << 62) - window {
        candidate + window
    } else if candidate > expected + half && candidate >= window {
        candidate - window
    } else {
        candidate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_nearest_to_the_expected_one() {
        // RFC 9000 §A.3.
        assert_eq!(whole(0x9b32, 16, Some(0xa82f_30ea)), 0xa82f_9b32);
        assert_eq!(whole(2, 32, None), 2);
        assert_eq!(whole(0, 8, Some(255)), 256);
        assert_eq!(whole(255, 8, Some(256)), 255);
    }
}

//! Initial packets as clients make them, for tests and as first inputs of fuzzing.

use rustls::Side;

use super::head::{V1, V2};
use super::keys;

/// A number in the shortest form that holds it (RFC 9000 §16).
pub fn number(value: usize) -> Vec<u8> {
    match value {
        0..=0x3f => vec![value as u8],
        0x40..=0x3fff => (value as u16 | 0x4000).to_be_bytes().to_vec(),
        _ => (value as u32 | 0x8000_0000).to_be_bytes().to_vec(),
    }
}

/// A CRYPTO frame with a part of `message`.
pub fn crypto(message: &[u8], from: usize, to: usize) -> Vec<u8> {
    [&[6][..], &number(from), &number(to - from), &message[from..to]].concat()
}

/// Initial packets of one client.
#[derive(Clone, Debug)]
pub struct Client {
    /// [`V1`] or [`V2`].
    pub version: u32,
    /// What it calls the server.
    pub id: Vec<u8>,
    /// What a server gave it before.
    pub token: Vec<u8>,
}

impl Client {
    /// One that makes up this id.
    pub fn new(version: u32, id: &[u8]) -> Self {
        Self { version, id: id.to_vec(), token: Vec::new() }
    }

    /// A packet with these frames, and PADDING to so many bytes.
    pub fn packet(&self, packet_number: u32, frames: &[u8], bytes: usize) -> Vec<u8> {
        let mut head = vec![if self.version == V2 { 0xd3 } else { 0xc3 }];
        head.extend(self.version.to_be_bytes());
        head.extend(
            [&[self.id.len() as u8][..], &self.id, &[0], &number(self.token.len()), &self.token].concat(),
        );
        let least = head.len() + 2 + 4 + 16;
        let mut payload = frames.to_vec();
        payload.resize(frames.len().max(bytes.saturating_sub(least)).max(4), 0);
        head.extend(((4 + payload.len() as u16 + 16) | 0x4000).to_be_bytes());
        let number_at = head.len();
        head.extend(packet_number.to_be_bytes());
        let keys = keys::both(self.version, &self.id, Side::Client).expect("the suite has QUIC").local;
        let tag =
            keys.packet.encrypt_in_place(u64::from(packet_number), &head, &mut payload).expect("it fits");
        let mut packet = [head, payload, tag.as_ref().to_vec()].concat();
        let sample = packet[number_at + 4..number_at + 20].to_vec();
        let (first, rest) = packet.split_first_mut().expect("it has a head");
        let place = &mut rest[number_at - 1..number_at + 3];
        keys.header.encrypt_in_place(&sample, first, place).expect("the sample has its length");
        packet
    }

    /// Datagrams of 1200 bytes that bring a message from its front to its end.
    pub fn datagrams(&self, message: &[u8]) -> Vec<Vec<u8>> {
        let starts = (0..message.len()).step_by(1000);
        let frames = starts.map(|from| crypto(message, from, message.len().min(from + 1000)));
        frames.enumerate().map(|(number, frame)| self.packet(number as u32, &frame, 1200)).collect()
    }
}

/// One of each version.
pub fn clients() -> [Client; 2] {
    [V1, V2].map(|version| Client::new(version, &[0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08]))
}

//! What must hold of first flights, whatever comes: for tests and fuzz targets.

use proxy_common::client_hello::ClientHello;

use super::flight::{Flight, MOST_MESSAGE, Step};
use super::head::Head;
use super::testing::{self, Client, crypto};

/// Datagrams behind their lengths: read as they are. Then the same bytes as frames of a packet that opens, and as a message
/// cut into pieces. The first byte says how long pieces are.
pub fn initial(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let mut flight = Flight::default();
    let mut left = rest;
    while let Some((length, behind)) = left.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(behind.len());
        let (datagram, behind) = behind.split_at(length);
        left = behind;
        if let Ok(head) = Head::read(datagram) {
            assert!(head.number_at <= head.end && head.end <= datagram.len());
        }
        let step = flight.push(datagram);
        assert!(flight.memory() <= 4 * MOST_MESSAGE);
        assert_eq!(step == Step::Done, flight.message().is_some() && !matches!(step, Step::Refused(_)));
    }
    let client = &testing::clients()[usize::from(first & 1)];
    frames(client, rest);
    pieces(client, usize::from(first >> 1) + 1, rest);
}

/// Frames of anybody, sealed as a client seals its own.
fn frames(client: &Client, frames: &[u8]) {
    let frames = &frames[..frames.len().min(8000)];
    let datagram = client.packet(0, frames, 1200);
    let mut flight = Flight::default();
    let step = flight.push(&datagram);
    let mut again = Flight::default();
    assert_eq!(step, again.push(&datagram));
    if step == Step::Done {
        // PADDING behind them may have become a part of the last one.
        assert!(flight.message().is_some_and(|message| message.len() <= datagram.len()));
        let _ = flight.message().map(ClientHello::read);
    }
}

/// A message comes to the same, however it is cut, and in whatever order its pieces come.
fn pieces(client: &Client, step: usize, message: &[u8]) {
    let message = &message[..message.len().min(1000)];
    let starts: Vec<usize> = (0..message.len()).step_by(step.max(message.len() / 40 + 1)).collect();
    let size = step.max(message.len() / 40 + 1);
    let frame = |from: &usize| crypto(message, *from, message.len().min(from + size));
    let mut whole = Flight::default();
    let expected = whole.push(&client.packet(0, &crypto(message, 0, message.len()), 1200));
    let mut cut = Flight::default();
    let frames: Vec<u8> = starts.iter().rev().flat_map(frame).collect();
    let datagram = client.packet(0, &if frames.is_empty() { vec![1] } else { frames }, 1200);
    assert_eq!(cut.push(&datagram), expected);
    assert_eq!(cut.message(), whole.message());
}

/// First inputs.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut hello = vec![1, 0, 0, 0xed, 3, 3];
    hello.extend((0..0xeb).map(|at| at as u8));
    let mut seeds = vec![[&[2][..], &hello].concat(), [&[9, 1][..], &crypto(&hello, 0, 100)].concat()];
    for client in testing::clients() {
        let mut seed = vec![1];
        for datagram in client.datagrams(&hello.repeat(6)) {
            seed.extend((datagram.len() as u16).to_be_bytes());
            seed.extend(datagram);
        }
        seeds.push(seed);
    }
    // PING, ACK, CRYPTO, PADDING, CONNECTION_CLOSE.
    seeds.push([&[3, 1, 2, 5, 0, 1, 0, 0, 1][..], &crypto(&hello, 0, 200), &[0, 0, 0x1c, 0, 0, 0]].concat());
    seeds
}

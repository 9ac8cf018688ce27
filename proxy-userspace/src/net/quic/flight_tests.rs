//! First flights of the RFCs, and of clients that cut theirs in every way.

use super::super::testing::{Client, clients, crypto};
use super::super::{V1, V2};
use super::*;

/// The payload of RFC 9001 §A.2 and RFC 9369 §A.2, without PADDING.
const PAYLOAD: &str = "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c0000041301\
    1302010000c000000010000e00000b6578616d706c652e636f6dff01000100000a00080006001d0017001800100007000504616c706e000500050100\
    000000003300260024001d00209370b2c9caa47fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003020304000d0010000e0403\
    050306030203080408050806002d00020101001c00024001003900320408ffffffffffffffff05048000ffff07048000ffff08011001048000753009\
    01100f088394c8f03e51570806048000ffff";
/// How its packets begin, and how that of version 1 ends: in the tag, which all of it is in.
const BEGIN_V1: &str = "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11d242b123dc9bd8bab936b47d92ec356c\
    0bab7df5976d27cd449f63300099f399";
const END_V1: &str = "e221af44860018ab0856972e194cd934";
const BEGIN_V2: &str = "d76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485dd04de806071bf03dceebfa162e75d6c\
    96058bdbfb127cdfcbf903388e99ad04";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// A ClientHello's head, and as many bytes as it says.
fn message(length: usize) -> Vec<u8> {
    let mut message = (length as u32 - 4).to_be_bytes().to_vec();
    message[0] = 1;
    message.extend((4..length).map(|at| at as u8));
    message
}

fn read(datagrams: &[Vec<u8>]) -> (Vec<Step>, Option<Vec<u8>>) {
    let mut flight = Flight::default();
    let steps = datagrams.iter().map(|datagram| flight.push(datagram)).collect();
    (steps, flight.message().map(<[u8]>::to_vec))
}

#[test]
fn the_first_flights_of_the_rfcs_are_read() {
    for (client, begin, end) in
        clients().into_iter().zip([(BEGIN_V1, END_V1), (BEGIN_V2, "")]).map(|(c, (b, e))| (c, b, e))
    {
        let payload = bytes(PAYLOAD);
        let datagram = client.packet(2, &payload, 1200);
        assert_eq!(datagram.len(), 1200);
        assert!(datagram.starts_with(&bytes(begin)), "version {:#x}", client.version);
        assert!(datagram.ends_with(&bytes(end)), "version {:#x}", client.version);
        let (steps, message) = read(&[datagram]);
        assert_eq!(steps, [Step::Done]);
        let message = message.unwrap();
        assert_eq!(message, payload[4..]);
        let hello = proxy_common::client_hello::ClientHello::read(&message).unwrap();
        let name: Vec<u8> = hello.server_name().unwrap().lower().collect();
        assert_eq!(name, b"example.com");
        assert_eq!(hello.alpn().collect::<Vec<_>>(), [b"alpn"]);
    }
}

#[test]
fn a_message_over_many_datagrams_comes_in_any_order() {
    let message = message(4321);
    for client in clients() {
        let mut datagrams = client.datagrams(&message);
        assert_eq!(datagrams.len(), 5);
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..20 {
            random.shuffle(&mut datagrams);
            let (steps, read) = read(&datagrams);
            assert_eq!(steps.last(), Some(&Step::Done));
            assert!(steps[..4].iter().all(|step| *step == Step::NeedMore));
            assert_eq!(read.as_ref(), Some(&message));
        }
    }
}

#[test]
fn pieces_that_are_shuffled_among_other_frames_are_one_message() {
    // As browsers do, so that nobody gets used to an order.
    let message = message(1000);
    let mut pieces: Vec<Vec<u8>> =
        (0..1000).step_by(90).map(|from| crypto(&message, from, 1000.min(from + 90))).collect();
    fastrand::Rng::with_seed(3).shuffle(&mut pieces);
    let frames: Vec<u8> = pieces.into_iter().flat_map(|piece| [vec![1, 0, 0], piece].concat()).collect();
    let (steps, read) = read(&[clients()[0].packet(1, &frames, 1200)]);
    assert_eq!((steps, read), (vec![Step::Done], Some(message)));
}

#[test]
fn packets_in_one_datagram_are_all_read() {
    let message = message(300);
    let client = &clients()[0];
    let mut datagram = client.packet(0, &crypto(&message, 0, 150), 0);
    datagram.extend(client.packet(1, &crypto(&message, 150, 300), 0));
    // Early data, which says nothing here, fills the rest.
    let mut early = vec![0xd0, 0, 0, 0, 1, 8];
    early.extend(&client.id);
    early.extend([0, 0x44, 0]);
    early.resize(early.len() + 0x400, 7);
    datagram.extend(early);
    assert_eq!(read(&[datagram]), (vec![Step::Done], Some(message)));
}

#[test]
fn a_token_stands_before_the_packet_number() {
    let client = Client { token: vec![9; 100], ..clients()[1].clone() };
    let message = message(100);
    assert_eq!(read(&client.datagrams(&message)).0, [Step::Done]);
}

#[test]
fn what_does_not_open_is_refused_first_and_ignored_later() {
    let client = &clients()[0];
    let message = message(1500);
    let datagrams = client.datagrams(&message);
    let mut broken = datagrams[0].clone();
    broken[700] ^= 1;
    assert_eq!(read(&[broken.clone()]).0, [Step::Refused(NoFlight::Sealed)]);
    let other = Client::new(V1, b"somebody").packet(0, &crypto(&message, 0, 900), 1200);
    let all = [datagrams[0].clone(), broken, other, vec![0x40; 50], Vec::new(), datagrams[1].clone()];
    let steps = read(&all).0;
    assert_eq!(steps[1..5], [Step::NeedMore; 4]);
    assert_eq!(steps[5], Step::Done);
}

#[test]
fn what_opens_no_connection_says_why() {
    let client = &clients()[0];
    let hello = message(100);
    let first = |datagram: Vec<u8>| read(&[datagram]).0[0];
    let with = |frames: &[u8]| first(client.packet(0, frames, 1200));
    assert_eq!(first(Vec::new()), Step::Refused(NoFlight::NotInitial));
    assert_eq!(first(b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0".to_vec()), Step::Refused(NoFlight::NotInitial));
    assert_eq!(first(vec![0x40; 1200]), Step::Refused(NoFlight::NotInitial));
    let short = client.packet(0, &crypto(&hello, 0, 100), 1199);
    assert_eq!(first(short), Step::Refused(NoFlight::TooShort(1199)));
    let mut version = client.packet(0, &crypto(&hello, 0, 100), 1200);
    version[1..5].copy_from_slice(&0x1a2a_3a4a_u32.to_be_bytes());
    assert_eq!(first(version.clone()), Step::Refused(NoFlight::Version(0x1a2a_3a4a)));
    version[1..5].copy_from_slice(&[0; 4]);
    assert_eq!(first(version), Step::Refused(NoFlight::NotInitial));
    assert_eq!(with(&[0x1c, 0, 0, 0]), Step::Refused(NoFlight::Closed));
    // STREAM is no frame of an Initial packet.
    assert_eq!(with(&[0x08, 0, 0]), Step::Refused(NoFlight::Malformed));
    assert_eq!(with(&[6, 0x7f, 0xff, 1, 0]), Step::NeedMore);
    assert_eq!(with(&[6, 0x80, 1, 0, 0, 1, 0]), Step::Refused(NoFlight::TooLong));
    let server_hello = with(&crypto(&[2, 0, 0, 1, 0], 0, 5));
    assert!(matches!(server_hello, Step::Refused(NoFlight::Hello(_))), "{server_hello:?}");
    let few = Client::new(V2, b"seven77").packet(0, &crypto(&hello, 0, 100), 1200);
    assert_eq!(first(few), Step::Refused(NoFlight::Malformed));
}

#[test]
fn a_flight_that_never_ends_takes_little_memory() {
    let client = &clients()[0];
    let mut flight = Flight::default();
    let piece = vec![7; 1000];
    for number in 0..40 {
        let frame = [
            &[6][..],
            &super::super::testing::number(1 + number * 401),
            &super::super::testing::number(400),
            &piece[..400],
        ]
        .concat();
        flight.push(&client.packet(number as u32, &frame, 1200));
    }
    assert!(flight.memory() <= 40_000, "{}", flight.memory());
}

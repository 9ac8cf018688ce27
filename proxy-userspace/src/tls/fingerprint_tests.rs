//! Tests of `fingerprint`: what other programs make of what real clients say.

use std::io::Read;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::read::ZlibDecoder;
use proxy_common::client_hello::{Reassembly, Step};

use super::*;

const HELLOS: &str = include_str!("client_hellos.txt");

/// What a client has said, and what others call it.
struct Known {
    name: &'static str,
    ja4: &'static str,
    ja3: &'static str,
    message: Vec<u8>,
}

fn known() -> impl Iterator<Item = Known> {
    HELLOS.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap();
        let (name, ja4, ja3) = (word(), word(), word());
        let packed = BASE64_STANDARD.decode(word()).unwrap();
        let mut message = Vec::new();
        ZlibDecoder::new(&packed[..]).read_to_end(&mut message).unwrap();
        Known { name, ja4, ja3, message }
    })
}

fn of(name: &str) -> Vec<u8> {
    known().find(|known| known.name == name).unwrap().message
}

#[test]
fn clients_are_called_what_others_call_them() {
    let mut count = 0;
    for Known { name, ja4: expected, ja3: ja3_expected, message } in known() {
        let hello = ClientHello::read(&message).unwrap();
        assert_eq!(*ja4(&hello, Over::Tcp), *expected, "{name}");
        assert_eq!(*ja3(&hello), *ja3_expected, "{name}: {}", ja3_text(&hello));
        count += 1;
    }
    assert!(count >= 30, "{count}");
}

#[test]
fn the_examples_of_the_specification_come_out_as_they_stand_there() {
    let chrome = of("chrome100");
    let hello = ClientHello::read(&chrome).unwrap();
    assert_eq!(&*ja4(&hello, Over::Tcp), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    assert_eq!(&*ja4(&hello, Over::Quic), "q13d1516h2_8daaf6152771_e5627efa2ab1");
    let list = |text: &str| {
        let mut digest = String::new();
        push_digest(&mut digest, text);
        digest
    };
    assert_eq!(list("0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,0033,4469,ff01"), "6d807ffa2a79");
    assert_eq!(list(""), "000000000000");
}

#[test]
fn ja3_is_made_of_what_its_text_says() {
    let message = of("made_grease");
    let hello = ClientHello::read(&message).unwrap();
    assert_eq!(ja3_text(&hello), "771,4866-4865,43-16,,");
}

#[test]
fn whoever_shuffles_its_extensions_stays_who_it_is() {
    let message = of("chrome150");
    let hello = ClientHello::read(&message).unwrap();
    let mut extensions: Vec<_> = hello.extensions().collect();
    extensions.reverse();
    let list: Vec<u8> = extensions
        .iter()
        .flat_map(|extension| {
            let length = (extension.body.len() as u16).to_be_bytes();
            [&extension.id.to_be_bytes()[..], &length, extension.body].concat()
        })
        .collect();
    let shuffled = [&message[..message.len() - list.len()], &list].concat();
    let shuffled = ClientHello::read(&shuffled).unwrap();
    assert_eq!(ja4(&shuffled, Over::Tcp), ja4(&hello, Over::Tcp));
    assert_ne!(ja3(&shuffled), ja3(&hello));
}

#[test]
fn a_hello_that_comes_in_pieces_is_the_same() {
    let message = of("chrome150");
    let record = |content: &[u8]| [&[22, 3, 1, 0, content.len() as u8][..], content].concat();
    let stream: Vec<u8> = message.chunks(200).flat_map(record).collect();
    for pieces in [2, 10, stream.len()] {
        let (mut reassembly, mut got) = (Reassembly::default(), Vec::new());
        let mut last = Step::NeedMore;
        for piece in stream.chunks(stream.len().div_ceil(pieces)) {
            last = reassembly.push(piece, |some| got.extend_from_slice(some));
        }
        assert!(matches!(last, Step::Done(_)), "{last:?}");
        assert!(got == message, "in {pieces} pieces");
    }
}

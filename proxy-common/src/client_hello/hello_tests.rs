//! Tests of `hello`, and of what stands in extensions.

extern crate std;

use std::string::String;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::super::extension::id;
use super::super::testing::{browser, long, plain, server_name, short, words};
use super::*;

#[test]
fn everything_that_a_browser_says_is_read() {
    let message = browser().message();
    let hello = ClientHello::read(&message).unwrap();
    assert_eq!((hello.legacy_version(), hello.version()), (0x0303, 0x0304));
    assert_eq!((hello.session_id(), hello.compression_methods()), (&[5; 32][..], &[0][..]));
    assert_eq!(hello.cipher_suites().collect::<Vec<_>>(), [0x2a2a, 0x1301, 0x1302, 0xc02b]);
    assert_eq!(hello.cipher_suites().without_grease().count(), 3);
    let name = hello.server_name().unwrap();
    assert_eq!(name.as_bytes(), b"Shop.Example.COM");
    assert_eq!(name.lower().map(char::from).collect::<String>(), "shop.example.com");
    assert!(name.is("shop.example.com") && !name.is("shop.example.co"));
    assert_eq!(hello.alpn().collect::<Vec<_>>(), [&b"h2"[..], b"http/1.1"]);
    assert_eq!(hello.supported_versions().collect::<Vec<_>>(), [0x1a1a, 0x0304, 0x0303]);
    assert_eq!(hello.groups().without_grease().collect::<Vec<_>>(), [0x11ec, 29, 23]);
    assert_eq!(hello.signature_algorithms().collect::<Vec<_>>(), [0x0403, 0x0804]);
    assert_eq!(hello.point_formats(), [0]);
    let shares: Vec<_> = hello.key_shares().map(|share| (share.group, share.key.len())).collect();
    assert_eq!(shares, [(0x0a0a, 1), (0x11ec, 1216), (29, 32)]);
    assert_eq!(hello.ech(), Some(Ech::Outer));
    let ids = [0, 23, 0xff01, 10, 11, 16, 13, 51, 43, 0xfe0d];
    assert_eq!(hello.extension_ids().collect::<Vec<_>>(), ids);
    assert_eq!(hello.extensions().count(), 12);
}

#[test]
fn a_hello_without_extensions_ends_with_the_compression_methods() {
    let message = plain().message();
    let hello = ClientHello::read(&message).unwrap();
    assert_eq!((hello.version(), hello.extensions().count()), (0x0301, 0));
    assert!(hello.server_name().is_none() && !hello.has_server_name() && hello.ech().is_none());
    assert_eq!((hello.alpn().count(), hello.key_shares().count(), hello.groups().count()), (0, 0, 0));
}

#[test]
fn what_ends_early_is_told_from_what_contradicts_itself() {
    for message in [browser().message(), plain().message()] {
        for length in 0..message.len() {
            let error = ClientHello::read(&message[..length]).unwrap_err();
            assert!(matches!(error, NoHello::Truncated(at) if at <= length), "{length}: {error}");
        }
        let longer = [&message[..], &[0]].concat();
        assert_eq!(ClientHello::read(&longer).unwrap_err(), NoHello::Malformed(Part::Message));
    }
}

#[test]
fn lengths_that_contradict_each_other_are_told_by_part() {
    let wrong = |message: &[u8]| ClientHello::read(message).unwrap_err();
    let mut short = plain().message();
    short.truncate(20);
    short[3] = 16;
    assert_eq!(wrong(&short), NoHello::Malformed(Part::Message));
    let mut made = plain();
    made.session_id = vec![0; 33];
    assert_eq!(wrong(&made.message()), NoHello::Malformed(Part::SessionId));
    let mut made = plain();
    made.suites.clear();
    assert_eq!(wrong(&made.message()), NoHello::Malformed(Part::CipherSuites));
    let mut odd = plain().message();
    // Suites of one byte, and two compression methods of which one was the suites' second byte.
    let at = odd.len() - 6;
    odd[at..].copy_from_slice(&[0, 1, 0, 2, 0, 1]);
    assert_eq!(wrong(&odd), NoHello::Malformed(Part::CipherSuites));
    let mut none = plain().message();
    let last = none.len() - 2;
    none[last..].copy_from_slice(&[0, 0]);
    // No compression method, and a byte that is no length of extensions.
    assert_eq!(wrong(&none), NoHello::Malformed(Part::Extensions));
    let mut cut = browser().message();
    let end = cut.len();
    // The last extension claims more than there is.
    cut[end - 2] = 9;
    assert_eq!(wrong(&cut), NoHello::Malformed(Part::Extensions));
}

#[test]
fn an_extension_that_is_read_must_be_what_it_says() {
    let browser = browser();
    for (id, body) in [
        (id::SERVER_NAME, vec![]),
        (id::SERVER_NAME, server_name("")),
        (id::SERVER_NAME, server_name("a b")),
        (id::SERVER_NAME, server_name("a\u{e9}")),
        (id::SERVER_NAME, server_name(&"a".repeat(256))),
        // Two hosts.
        (id::SERVER_NAME, long(&[&server_name("a")[2..], &server_name("b")[2..]].concat())),
        (id::SERVER_NAME, [&server_name("a")[..], &[0]].concat()),
        (id::SUPPORTED_GROUPS, long(&[0, 29, 0])),
        (id::SUPPORTED_GROUPS, [&long(&words(&[29]))[..], &[0]].concat()),
        (id::EC_POINT_FORMATS, vec![2, 0]),
        (id::SIGNATURE_ALGORITHMS, vec![0, 4, 4, 3]),
        (id::ALPN, long(b"\x03h2")),
        (id::SUPPORTED_VERSIONS, short(&[3])),
        (id::KEY_SHARE, long(&[0, 29, 0, 2, 0])),
        (id::ENCRYPTED_CLIENT_HELLO, vec![]),
        (id::ENCRYPTED_CLIENT_HELLO, vec![2]),
    ] {
        let message = browser.with(id, body.clone()).message();
        let result = ClientHello::read(&message);
        assert_eq!(result.unwrap_err(), NoHello::Extension(id), "{body:?}");
    }
    let inner = browser.with(id::ENCRYPTED_CLIENT_HELLO, vec![1]).message();
    assert_eq!(ClientHello::read(&inner).unwrap().ech(), Some(Ech::Inner));
    // A kind of name that nobody has made yet is skipped.
    let names = long(&[&[7][..], &long(b"?"), &server_name("a.test")[2..]].concat());
    let other = browser.with(id::SERVER_NAME, names).message();
    assert!(ClientHello::read(&other).unwrap().server_name().unwrap().is("a.test"));
    let nobody = browser.with(id::SERVER_NAME, long(&[])).message();
    let hello = ClientHello::read(&nobody).unwrap();
    assert!(hello.server_name().is_none() && hello.has_server_name());
}

#[test]
fn an_extension_that_is_read_comes_once() {
    for (id, body) in browser().extensions {
        let mut made = browser();
        made.extensions.push((id, body));
        let message = made.message();
        let result = ClientHello::read(&message).map(drop);
        // Of the others nobody believes anything.
        let read = ![23, 0xff01, 0x4a4a, 0x5a5a].contains(&id);
        assert_eq!(result, if read { Err(NoHello::Repeated(id)) } else { Ok(()) });
    }
}

#[test]
fn sixteen_thousand_bytes_of_extensions_are_read() {
    let mut made = browser();
    made.extensions.extend((0..4096).map(|number| (0x6000 + number, vec![])));
    let message = made.message();
    let hello = ClientHello::read(&message).unwrap();
    assert_eq!(hello.extensions().count(), 12 + 4096);
    let padded = browser().with(21, vec![0; 16 << 10]).message();
    assert!(ClientHello::read(&padded).unwrap().server_name().unwrap().is("shop.example.com"));
}

#[test]
fn values_that_stand_for_nothing_are_told_from_others() {
    let grease: Vec<u16> = (0..=u16::MAX).filter(|&number| is_grease(number)).collect();
    let expected: Vec<u16> = (0..16).map(|high| high << 12 | 0x0a00 | high << 4 | 0x0a).collect();
    assert_eq!(grease, expected);
}

proptest! {
    #[test]
    fn garbage_is_refused_or_read_and_nothing_else(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let _ = ClientHello::read(&bytes);
        let mut message = browser().message();
        let at = at.index(message.len());
        message[at] = byte;
        if let Ok(hello) = ClientHello::read(&message) {
            // Whatever it hands out ends.
            prop_assert!(hello.extensions().count() <= message.len() / 4);
            prop_assert!(hello.alpn().count() + hello.key_shares().count() <= message.len());
        }
    }

    #[test]
    fn the_order_of_extensions_changes_no_content(order in Just(browser().extensions).prop_shuffle()) {
        let mut made = browser();
        made.extensions = order;
        let message = made.message();
        let hello = ClientHello::read(&message).unwrap();
        prop_assert!(hello.server_name().unwrap().is("shop.example.com"));
        prop_assert_eq!((hello.version(), hello.key_shares().count(), hello.alpn().count()), (0x0304, 3, 2));
    }
}

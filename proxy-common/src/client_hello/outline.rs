//! What can be said of a ClientHello in a few bytes, by the kernel programs and by the daemon alike.

use super::hello::ClientHello;
use super::lists::is_grease;

/// Protocols that are looked at, from the dearest on.
pub const MOST_PROTOCOLS: usize = 8;

/// What a client would speak, as bits.
pub mod alpn {
    /// HTTP/2.
    pub const H2: u8 = 1;
    /// HTTP/1.1.
    pub const HTTP_1_1: u8 = 1 << 1;
    /// HTTP/3.
    pub const H3: u8 = 1 << 2;
    /// A proof of a name to a CA (RFC 8737).
    pub const ACME: u8 = 1 << 3;
    /// Anything else.
    pub const OTHER: u8 = 1 << 4;
    /// More than are looked at.
    pub const MORE: u8 = 1 << 5;

    /// The bit of a protocol.
    pub const fn bit(protocol: &[u8]) -> u8 {
        match protocol {
            b"h2" => H2,
            b"http/1.1" => HTTP_1_1,
            b"h3" => H3,
            b"acme-tls/1" => ACME,
            _ => OTHER,
        }
    }

    /// Names of the bits, as they are sent.
    pub const NAMES: [(u8, &str); 6] = [
        (H2, "h2"),
        (HTTP_1_1, "http/1.1"),
        (H3, "h3"),
        (ACME, "acme-tls/1"),
        (OTHER, "other"),
        (MORE, "more"),
    ];
}

/// What is blended into the fingerprint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Part {
    /// The number of a cipher suite.
    Suite = 1 << 16,
    /// The number of an extension.
    Extension = 2 << 16,
}

/// The share of a number in the fingerprint: shares are added, so that the order changes nothing. What stands for
/// nothing (RFC 8701) has none.
#[inline(always)]
pub const fn share(part: Part, number: u16) -> u64 {
    if is_grease(number) {
        return 0;
    }
    let mixed = (part as u64 | number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 32
}

/// What can be said of a ClientHello in a few bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Outline {
    /// Of the cipher suites and extensions that it has, in whatever order.
    pub fingerprint: u64,
    /// The highest version that the client speaks.
    pub version: u16,
    /// What it would speak: [`alpn`].
    pub alpn: u8,
    /// Zero.
    pub pad: [u8; 5],
}

const _: () = assert!(size_of::<Outline>() == 16);

impl Outline {
    /// Of a ClientHello.
    pub fn of(hello: &ClientHello<'_>) -> Self {
        let suites = hello.cipher_suites().map(|number| share(Part::Suite, number));
        let extensions = hello.extension_ids().map(|number| share(Part::Extension, number));
        let mut protocols = hello.alpn();
        let mut set = protocols.by_ref().take(MOST_PROTOCOLS).fold(0, |set, name| set | alpn::bit(name));
        if protocols.next().is_some() {
            set |= alpn::MORE;
        }
        Self {
            fingerprint: suites.chain(extensions).fold(0, u64::wrapping_add),
            version: hello.version(),
            alpn: set,
            pad: [0; 5],
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::super::testing::{browser, long, short};
    use super::*;

    #[test]
    fn the_order_and_what_stands_for_nothing_change_no_outline() {
        let message = browser().message();
        let outline = Outline::of(&ClientHello::read(&message).unwrap());
        assert_eq!((outline.version, outline.alpn), (0x0304, alpn::H2 | alpn::HTTP_1_1));
        let mut other = browser();
        other.extensions.reverse();
        other.suites.reverse();
        other.suites.push(0x5a5a);
        let message = other.message();
        assert_eq!(Outline::of(&ClientHello::read(&message).unwrap()), outline);
        other.suites.push(0x1303);
        let message = other.message();
        assert_ne!(Outline::of(&ClientHello::read(&message).unwrap()), outline);
    }

    #[test]
    fn a_number_has_another_share_as_a_suite_than_as_an_extension() {
        assert_ne!(share(Part::Suite, 0x0a), share(Part::Extension, 0x0a));
        assert_eq!(share(Part::Suite, 0xfafa), 0);
    }

    #[test]
    fn more_protocols_than_are_looked_at_are_told() {
        let names = [short(b"h2"), short(b"x").repeat(7), short(b"http/1.1")].concat();
        let message = browser().with(16, long(&names)).message();
        let outline = Outline::of(&ClientHello::read(&message).unwrap());
        assert_eq!(outline.alpn, alpn::H2 | alpn::OTHER | alpn::MORE);
    }
}

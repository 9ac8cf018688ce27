//! The one form of a host that everything compares.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A host and port, as a request's authority names them (RFC 3986 §3.2).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Host {
    /// Canonical: lower case, no trailing dot, IPv6 without brackets and in its shortest form (RFC 5952). Empty if
    /// the authority is.
    pub name: Box<str>,
    /// The port, if it was written.
    pub port: Option<u16>,
}

/// Why an authority is refused: the answer is 400.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadHost {
    /// `user@host`: refused, since it serves to mislead (RFC 9110 §4.2.4).
    #[error("the host has user information")]
    User,
    /// A character that no host has.
    #[error("the host has a character that must not stand in it")]
    Character,
    /// An empty label, one of more than 63 bytes, or a name of more than 253 (RFC 1035 §2.3.4).
    #[error("the host has an empty or overlong label")]
    Label,
    /// Brackets without an IPv6 address.
    #[error("the host has brackets without an IPv6 address")]
    Address,
    /// No number up to 65535.
    #[error("the host's port is no number up to 65535")]
    Port,
}

/// Bytes of the longest name (RFC 1035 §2.3.4).
const NAME_BYTES: usize = 253;
/// Bytes of the longest label.
const LABEL_BYTES: usize = 63;

impl Host {
    /// Reads an authority, such as the value of Host or `:authority`.
    ///
    /// # Errors
    /// It is no host and port.
    pub fn parse(authority: &[u8]) -> Result<Self, BadHost> {
        if let Some(rest) = authority.strip_prefix(b"[") {
            let end = memchr::memchr(b']', rest).ok_or(BadHost::Address)?;
            let address =
                std::str::from_utf8(&rest[..end]).ok().and_then(|text| text.parse::<Ipv6Addr>().ok());
            let name = address.ok_or(BadHost::Address)?.to_string().into();
            return Ok(Self { name, port: port(&rest[end + 1..])? });
        }
        let end = memchr::memchr(b':', authority).unwrap_or(authority.len());
        Ok(Self { name: name(&authority[..end], authority.is_empty())?, port: port(&authority[end..])? })
    }

    /// Whether it is an address, not a name.
    pub fn is_address(&self) -> bool {
        self.name.parse::<Ipv4Addr>().is_ok() || self.name.contains(':')
    }

    /// As an authority is written: `[2001:db8::1]:8080`.
    pub fn to_authority(&self) -> String {
        let name = &self.name;
        let host = if name.contains(':') { format!("[{name}]") } else { name.to_string() };
        self.port.map_or(host.clone(), |port| format!("{host}:{port}"))
    }
}

fn name(name: &[u8], may_be_empty: bool) -> Result<Box<str>, BadHost> {
    if may_be_empty {
        return Ok("".into());
    }
    let name = name.strip_suffix(b".").unwrap_or(name);
    if name.len() > NAME_BYTES {
        return Err(BadHost::Label);
    }
    let mut label = 0;
    for &byte in name {
        match byte {
            b'.' if label == 0 => return Err(BadHost::Label),
            b'.' => label = 0,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' if label < LABEL_BYTES => label += 1,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => return Err(BadHost::Label),
            b'@' => return Err(BadHost::User),
            _ => return Err(BadHost::Character),
        }
    }
    if label == 0 {
        return Err(BadHost::Label);
    }
    let mut text: Box<str> = std::str::from_utf8(name).map_err(|_| BadHost::Character)?.into();
    text.make_ascii_lowercase();
    Ok(text)
}

/// The port of `:80`. An empty one is none (RFC 3986 §3.2.3).
fn port(text: &[u8]) -> Result<Option<u16>, BadHost> {
    let digits = match text {
        [] | [b':'] => return Ok(None),
        [b':', digits @ ..] if digits.iter().all(u8::is_ascii_digit) => digits,
        // `user:password@host`.
        _ if text.contains(&b'@') => return Err(BadHost::User),
        _ => return Err(BadHost::Port),
    };
    let number = digits.iter().try_fold(0u16, |number, digit| {
        number.checked_mul(10).and_then(|tens| tens.checked_add(u16::from(digit - b'0')))
    });
    number.map(Some).ok_or(BadHost::Port)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_canonical_host_stands_for_all_its_spellings() {
        for (text, name, port) in [
            ("example.com", "example.com", None),
            ("EXAMPLE.Com.", "example.com", None),
            ("example.com:80", "example.com", Some(80)),
            ("example.com.:8080", "example.com", Some(8080)),
            ("example.com:", "example.com", None),
            ("a_b.c-d", "a_b.c-d", None),
            ("127.0.0.1:1", "127.0.0.1", Some(1)),
            ("[2001:DB8:0:0::1]:443", "2001:db8::1", Some(443)),
            ("[::1]", "::1", None),
            ("localhost:00080", "localhost", Some(80)),
            ("", "", None),
        ] {
            let host = Host::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((&*host.name, host.port), (name, port), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long = format!("{}.com", "a".repeat(64));
        let longer = "a.".repeat(128);
        for (text, error) in [
            ("user@example.com", BadHost::User),
            ("user:password@example.com", BadHost::User),
            ("[::1]@example.com", BadHost::User),
            ("a b", BadHost::Character),
            ("a\r\nX: y", BadHost::Character),
            ("a\0", BadHost::Character),
            ("a/b", BadHost::Character),
            ("a%2eb", BadHost::Character),
            ("a,b", BadHost::Character),
            ("ä.example", BadHost::Character),
            ("a*b", BadHost::Character),
            (".a", BadHost::Label),
            ("a..b", BadHost::Label),
            (".", BadHost::Label),
            ("..", BadHost::Label),
            (":80", BadHost::Label),
            (&long, BadHost::Label),
            (&longer, BadHost::Label),
            ("[::1", BadHost::Address),
            ("[fe80::1%eth0]", BadHost::Address),
            ("[127.0.0.1]", BadHost::Address),
            ("[v1.x]", BadHost::Address),
            ("[]", BadHost::Address),
            ("a:b", BadHost::Port),
            ("a:80:80", BadHost::Port),
            ("a:+80", BadHost::Port),
            ("a:65536", BadHost::Port),
            ("[::1]80", BadHost::Port),
            ("2001:db8::1", BadHost::Port),
        ] {
            assert_eq!(Host::parse(text.as_bytes()), Err(error), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_canonical_authority_is_read_as_itself(text in "[a-zA-Z0-9.:@_\\[\\]-]{0,24}") {
            if let Ok(host) = Host::parse(text.as_bytes()) {
                prop_assert_eq!(Host::parse(host.to_authority().as_bytes()), Ok(host));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(text in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _judged = Host::parse(&text);
        }
    }
}

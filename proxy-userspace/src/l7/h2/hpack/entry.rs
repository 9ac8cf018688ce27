//! One field, as the tables hold it: checked once, when it is read; used as often as it is referred to.

use http::{HeaderName, HeaderValue};

/// The name of a field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Name {
    /// `:authority`.
    Authority,
    /// `:method`.
    Method,
    /// `:path`.
    Path,
    /// `:scheme`.
    Scheme,
    /// `:protocol` (RFC 8441 §4).
    Protocol,
    /// `:status`: not in requests.
    Status,
    /// A field's, lower case.
    Field(HeaderName),
    /// No name that may be sent (RFC 9113 §8.2.1), or a pseudo-field that nobody knows (§8.3).
    Malformed,
}

impl Name {
    /// What these bytes name.
    pub fn read(bytes: &[u8]) -> Self {
        match bytes {
            [b':', pseudo @ ..] => match pseudo {
                b"authority" => Self::Authority,
                b"method" => Self::Method,
                b"path" => Self::Path,
                b"scheme" => Self::Scheme,
                b"protocol" => Self::Protocol,
                b"status" => Self::Status,
                _ => Self::Malformed,
            },
            _ if !bytes.iter().copied().all(is_lower_token) => Self::Malformed,
            // Upper case is refused, not converted.
            _ => HeaderName::from_lowercase(bytes).map_or(Self::Malformed, Self::Field),
        }
    }
}

/// A field: its name, its value, and what it counts for (RFC 7541 §4.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The name.
    pub name: Name,
    /// Bytes of the name, as written.
    pub name_bytes: usize,
    /// The value; none: it holds what a value may not (RFC 9113 §8.2.1).
    pub value: Option<HeaderValue>,
    /// Bytes of the value, as written.
    pub value_bytes: usize,
}

impl Entry {
    /// What each entry counts beside its bytes.
    pub const OVERHEAD: usize = 32;

    /// What it counts for, in a table (RFC 7541 §4.1) and in a list (RFC 9113 §6.5.2).
    pub fn size(&self) -> usize {
        self.name_bytes + self.value_bytes + Self::OVERHEAD
    }
}

/// A value, if these bytes may be one (RFC 9113 §8.2.1): no control character, no space or tab at either end.
pub fn value(bytes: &[u8]) -> Option<HeaderValue> {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    if blank(bytes.first()) || blank(bytes.last()) {
        return None;
    }
    HeaderValue::from_bytes(bytes).ok()
}

/// A character of a token (RFC 9110 §5.6.2) that is no capital letter.
fn is_lower_token(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.'
        | b'^' | b'_' | b'`' | b'|' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_lower_case_token_or_a_known_pseudo_field() {
        assert_eq!(Name::read(b":path"), Name::Path);
        assert_eq!(Name::read(b"x-a"), Name::Field(HeaderName::from_static("x-a")));
        for bad in [
            &b""[..],
            b":",
            b":x",
            b":Path",
            b"X-a",
            b"x a",
            b"x:y",
            b"x\r\ny",
            b"x\0",
            b"x\x80",
            b"x\"",
            b"x(",
        ] {
            assert_eq!(Name::read(bad), Name::Malformed, "{bad:?}");
        }
    }

    #[test]
    fn a_value_holds_no_control_character_and_no_blank_at_its_ends() {
        assert!(value(b"").is_some() && value(b"a b").is_some() && value(b"a\xff").is_some());
        for bad in [&b" a"[..], b"a ", b"\ta", b"a\t", b"a\0", b"a\rb", b"a\nb", b" ", b"\x7f", b"\x01"] {
            assert!(value(bad).is_none(), "{bad:?}");
        }
    }
}

//! Paths of routes: they stand in the one form that requests are compared in.

use super::diagnostic::Fact;

/// Why a path would match no request.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum BadPath {
    /// It does not begin with a slash.
    #[error("a path begins with /")]
    NoSlash,
    /// It has something that no path has.
    #[error("a path has no {0:?}")]
    Character(char),
    /// `.` or `..`.
    #[error("no request has dot segments when it is compared")]
    Dots,
    /// `//`.
    #[error("no request has doubled slashes when it is compared")]
    Slashes,
    /// A percent sign that encodes nothing.
    #[error("a percent sign is followed by two hexadecimal digits")]
    Percent,
    /// An escape that a request is refused for.
    #[error("requests with {0} in their path are refused")]
    Refused(Box<str>),
    /// Encoded otherwise than requests are when they are compared.
    #[error("requests are compared with {found} written as {right}")]
    Encoded {
        /// As it stands there.
        found: Box<str>,
        /// As it should.
        right: Box<str>,
    },
}

impl Fact for BadPath {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::NoSlash => "write it as: \"/api/\"".to_owned(),
            Self::Character('?') => "the query has a key of its own: query".to_owned(),
            Self::Character('*') => {
                "a prefix is written without it: \"/api/\"; patterns go into path_regex".to_owned()
            }
            Self::Character(other) => {
                let mut bytes = [0; 4];
                let bytes = other.encode_utf8(&mut bytes).bytes();
                format!("write it as: {}", bytes.map(|byte| format!("%{byte:02X}")).collect::<String>())
            }
            Self::Dots | Self::Slashes => "write the path that they lead to".to_owned(),
            Self::Refused(_) => "remove it".to_owned(),
            Self::Percent => "for a percent sign itself write %25".to_owned(),
            Self::Encoded { right, .. } => format!("write {right}"),
        })
    }
}

/// Whether a path is in its one form.
pub(super) fn check_path(path: &str) -> Result<(), BadPath> {
    let inside = path.strip_prefix('/').ok_or(BadPath::NoSlash)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()+,;=:@/%*".contains(c);
    if let Some(other) = path.chars().find(|c| !allowed(*c)) {
        return Err(BadPath::Character(other));
    }
    check_escapes(path)?;
    if inside.contains("//") || inside.starts_with('/') {
        return Err(BadPath::Slashes);
    }
    // Requests are refused whose dot segments hide behind what some servers take for a slash or a parameter.
    let read = inside.replace("%2F", "/").replace("%5C", "/").replace("%3B", ";");
    let name = |segment: &'_ str| segment.split(';').any(|part| part == "." || part == "..");
    if read.split('/').any(name) { Err(BadPath::Dots) } else { Ok(()) }
}

/// Only what must be encoded is (RFC 3986 §6.2.2.2), in capitals (§6.2.2.1).
fn check_escapes(path: &str) -> Result<(), BadPath> {
    let mut before = (0, 0);
    for (at, _) in path.match_indices('%') {
        let found = path.get(at..at + 3).ok_or(BadPath::Percent)?;
        if !found[1..].bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(BadPath::Percent);
        }
        let byte = u8::from_str_radix(&found[1..], 16).map_err(|_| BadPath::Percent)?;
        let unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let right = if unreserved { char::from(byte).to_string() } else { format!("%{byte:02X}") };
        if right != found {
            return Err(BadPath::Encoded { found: found.into(), right: right.into() });
        }
        // More bytes than the character needs (RFC 3629 §10).
        let lead = if before.1 == at { before.0 } else { 0 };
        let overlong =
            matches!((lead, byte), (0xC0 | 0xC1, 0x80..=0xBF) | (0xE0, 0x80..=0x9F) | (0xF0, 0x80..=0x8F));
        if byte.is_ascii_control() || overlong {
            return Err(BadPath::Refused(found.into()));
        }
        before = (byte, at + 3);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_in_its_one_form_or_refused() {
        for path in ["/", "/api", "/api/", "/a.b/..c/~x", "/a%20b", "/a%2Fb", "/:id@x;v=1,2", "/%C3%A4"] {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
        let wrong = |path: &str| check_path(path).unwrap_err();
        assert_eq!(wrong(""), BadPath::NoSlash);
        assert_eq!(wrong("api"), BadPath::NoSlash);
        assert_eq!(wrong("/a?b"), BadPath::Character('?'));
        assert_eq!(wrong("/a b"), BadPath::Character(' '));
        assert_eq!(wrong("/ä"), BadPath::Character('ä'));
        assert_eq!(wrong("/ä").help().as_deref(), Some("write it as: %C3%A4"));
        assert_eq!(wrong("/a/../b"), BadPath::Dots);
        assert_eq!(wrong("/a/."), BadPath::Dots);
        assert_eq!(wrong("/a/..;x/b"), BadPath::Dots);
        assert_eq!(wrong("/a%2F.."), BadPath::Dots);
        assert_eq!(wrong("/a%00"), BadPath::Refused("%00".into()));
        assert_eq!(wrong("/%C0%AE"), BadPath::Refused("%AE".into()));
        assert_eq!(wrong("//"), BadPath::Slashes);
        assert_eq!(wrong("/a//b"), BadPath::Slashes);
        assert_eq!(wrong("/a%"), BadPath::Percent);
        assert_eq!(wrong("/a%2"), BadPath::Percent);
        assert_eq!(wrong("/a%+1"), BadPath::Percent);
        assert_eq!(wrong("/a%zz"), BadPath::Percent);
        assert_eq!(wrong("/%41"), BadPath::Encoded { found: "%41".into(), right: "A".into() });
        assert_eq!(wrong("/%2f"), BadPath::Encoded { found: "%2f".into(), right: "%2F".into() });
    }
}

//! Whether a name could have a certificate at all.

use std::net::IpAddr;

/// RFC 1035 §2.3.4.
const NAME_BYTES: usize = 253;
const LABEL_BYTES: usize = 63;

/// A host name of at least two labels, canonical: letters in lower case, digits, hyphens (RFC 5890 §2.3.1). Addresses
/// are not, and nothing that looks like one (RFC 3696 §2: the last label is not all digits).
pub(super) fn is_host(name: &str) -> bool {
    name.len() <= NAME_BYTES
        && name.parse::<IpAddr>().is_err()
        && name.split('.').all(is_label)
        && name.rsplit_once('.').is_some_and(|(_, last)| !last.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    let reserved = bytes.get(2..4) == Some(b"--") && !label.starts_with("xn--");
    (1..=LABEL_BYTES).contains(&bytes.len())
        && bytes.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !label.starts_with('-')
        && !label.ends_with('-')
        && !reserved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_from_whatever_else_a_client_may_say() {
        let long = format!("{}.example.com", "a".repeat(63));
        for name in ["a.example.com", "xn--bcher-kva.example", "1.2.3.com", "a-b.c", &long] {
            assert!(is_host(name), "{name}");
        }
        let (label, whole) = (format!("{}.com", "a".repeat(64)), format!("{}com", "a.".repeat(126)));
        for name in [
            "",
            ".",
            "localhost",
            "a..b",
            ".a.b",
            "a.b.",
            "10.0.0.1",
            "1.2.3",
            "::1",
            "2001:db8::1",
            "A.example.com",
            "*.example.com",
            "a_b.example.com",
            "-a.example.com",
            "a-.example.com",
            "ab--c.example.com",
            "a b.example.com",
            "bücher.example",
            "a/../b.example",
            "a\0.example",
            "a%00.example",
            &label,
            &whole,
        ] {
            assert!(!is_host(name), "{name:?}");
        }
    }
}

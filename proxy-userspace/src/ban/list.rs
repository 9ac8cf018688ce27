//! Lists of prefixes, as text: one a line, an address or a prefix; what is behind a space, `#` or `;` says what it is for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proxy_common::limits::BAN_PREFIXES;

/// Broken lines that are told one by one.
const TOLD: usize = 20;
/// Characters of a broken line that are shown.
const SHOWN: usize = 60;

/// A list, read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Parsed {
    /// What is in it.
    pub prefixes: Vec<IpNet>,
    /// The first lines that are no prefixes.
    pub broken: Vec<Broken>,
    /// How many more there are.
    pub more: usize,
}

/// A line that is no prefix.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {text:?} is no address and no prefix such as 192.0.2.0/24")]
pub struct Broken {
    /// From 1.
    pub line: usize,
    /// What stands there.
    pub text: Box<str>,
}

/// Reads a list. Lines that are broken, or too many, are told; the rest counts.
pub fn parse(text: &[u8]) -> Parsed {
    let mut parsed = Parsed::default();
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let end = line.iter().position(|byte| matches!(byte, b'#' | b';')).unwrap_or(line.len());
        let line = line[..end].trim_ascii();
        let end = line.iter().position(|byte| byte.is_ascii_whitespace() || *byte == b',');
        let word = &line[..end.unwrap_or(line.len())];
        if word.is_empty() {
            continue;
        }
        match std::str::from_utf8(word).ok().and_then(prefix) {
            Some(prefix) if (parsed.prefixes.len() as u64) < BAN_PREFIXES => parsed.prefixes.push(prefix),
            _ if parsed.broken.len() == TOLD => parsed.more += 1,
            _ => {
                let text: String = String::from_utf8_lossy(line).chars().take(SHOWN).collect();
                parsed.broken.push(Broken { line: number + 1, text: text.into() });
            }
        }
    }
    parsed
}

/// An address or a prefix. Bits behind its length do not count.
fn prefix(word: &str) -> Option<IpNet> {
    let (address, length) = match word.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u8>().ok()?)),
        None => (word, None),
    };
    // By family: twice as fast as to try both.
    if address.contains(':') {
        let address: Ipv6Addr = address.parse().ok()?;
        match address.to_canonical() {
            IpAddr::V4(v4) if length.is_none_or(|length| length >= 96) => {
                Some(Ipv4Net::new(v4, length.map_or(32, |length| length - 96)).ok()?.trunc().into())
            }
            _ => Some(Ipv6Net::new(address, length.unwrap_or(128)).ok()?.trunc().into()),
        }
    } else {
        let address: Ipv4Addr = address.parse().ok()?;
        Some(Ipv4Net::new(address, length.unwrap_or(32)).ok()?.trunc().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_comments_and_notes_are_told_apart() {
        let text = b"# bad people\n192.0.2.7\n198.51.100.9/24 ; SBL123\n\n  2001:db8::/32\tAS64500\r\n; end\n10.0.0.0/8,x\n::ffff:203.0.113.1\n";
        let parsed = parse(text);
        let wanted: Vec<IpNet> =
            ["192.0.2.7/32", "198.51.100.0/24", "2001:db8::/32", "10.0.0.0/8", "203.0.113.1/32"]
                .map(|text| text.parse().unwrap())
                .into();
        assert_eq!((parsed.prefixes, parsed.broken), (wanted, Vec::new()));
    }

    #[test]
    fn broken_lines_are_named_and_the_rest_counts() {
        let mut text = b"192.0.2.1/33\n192.0.2.2\nexample.com\n\xff\xfe\n1.2.3\n".to_vec();
        text.extend((0..30).flat_map(|_| *b"nonsense\n"));
        let parsed = parse(&text);
        assert_eq!(parsed.prefixes.len(), 1);
        assert_eq!((parsed.broken.len(), parsed.more), (20, 14));
        assert_eq!(
            parsed.broken[0].to_string(),
            "line 1: \"192.0.2.1/33\" is no address and no prefix such as 192.0.2.0/24"
        );
        assert_eq!(parsed.broken[1].line, 3);
    }
}

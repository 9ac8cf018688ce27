//! Reads what proxies before this one say of a client: X-Forwarded-For, and Forwarded (RFC 7239).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// What they say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Said {
    /// The client.
    pub(super) client: Option<IpAddr>,
    /// Whether it spoke TLS, as the nearest proxy has it.
    pub(super) https: Option<bool>,
}

/// The client of X-Forwarded-For: from the end, the first address that is no trusted proxy's. Behind what is no address
/// nothing is believed. `lines` of the field, the last first.
pub(super) fn client_of_list<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    nearest(lines.flat_map(|line| line.rsplit(|&byte| byte == b',')).map(node), is_trusted)
}

/// What Forwarded says. `lines` of the field, the last first.
pub(super) fn read<'a>(lines: impl Iterator<Item = &'a [u8]>, is_trusted: impl Fn(IpAddr) -> bool) -> Said {
    // Elements as the proxies wrote them, the nearest first.
    let mut elements = Vec::new();
    for line in lines {
        elements.extend(split(line, b',').into_iter().rev());
    }
    let https = elements.first().and_then(|element| parameter(element, b"proto"));
    let https = https.map(|proto| unquoted(proto).eq_ignore_ascii_case(b"https"));
    let addresses = elements.iter().map(|element| parameter(element, b"for").and_then(node));
    Said { client: nearest(addresses, is_trusted), https }
}

/// The first that is not trusted; if all are, the farthest.
fn nearest(
    addresses: impl Iterator<Item = Option<IpAddr>>,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    let mut farthest = None;
    for address in addresses {
        let Some(address) = address else { break };
        farthest = Some(address);
        if !is_trusted(address) {
            break;
        }
    }
    farthest
}

/// Splits where no quotes are open.
fn split(text: &[u8], at: u8) -> Vec<&[u8]> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (i, &byte) in text.iter().enumerate() {
        if escaped {
            escaped = false;
        } else if quoted && byte == b'\\' {
            escaped = true;
        } else if byte == b'"' {
            quoted = !quoted;
        } else if byte == at && !quoted {
            parts.push(&text[start..i]);
            start = i + 1;
        }
    }
    parts.push(&text[start..]);
    parts
}

/// The value of a parameter of an element.
fn parameter<'a>(element: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    split(element, b';').into_iter().find_map(|pair| {
        let at = pair.iter().position(|&byte| byte == b'=')?;
        pair[..at].trim_ascii().eq_ignore_ascii_case(name).then(|| pair[at + 1..].trim_ascii())
    })
}

fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

/// An address, with or without brackets, quotes and port.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(unquoted(text.trim_ascii())).ok()?;
    let plain = text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    plain.or_else(with_port).or_else(in_brackets).map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Proxies of this test have addresses that begin with 10.
    fn trusted(ip: IpAddr) -> bool {
        matches!(ip, IpAddr::V4(ip) if ip.octets()[0] == 10)
    }

    fn list(lines: &[&str]) -> Option<IpAddr> {
        client_of_list(lines.iter().rev().map(|line| line.as_bytes()), trusted)
    }

    fn forwarded(lines: &[&str]) -> Said {
        read(lines.iter().rev().map(|line| line.as_bytes()), trusted)
    }

    #[test]
    fn the_client_is_the_nearest_that_is_no_trusted_proxy() {
        assert_eq!(list(&["1.1.1.1, 2.2.2.2, 10.0.0.1"]), Some(ip("2.2.2.2")));
        assert_eq!(list(&["1.1.1.1", "10.0.0.2,10.0.0.1"]), Some(ip("1.1.1.1")));
        assert_eq!(list(&["10.0.0.2, 10.0.0.1"]), Some(ip("10.0.0.2")));
        assert_eq!(list(&["[2001:db8::1]:443"]), Some(ip("2001:db8::1")));
        assert_eq!(list(&["2001:db8::1, 10.0.0.1:80"]), Some(ip("2001:db8::1")));
    }

    #[test]
    fn behind_what_is_no_address_nothing_is_believed() {
        assert_eq!(list(&["1.1.1.1, unknown, 10.0.0.1"]), Some(ip("10.0.0.1")));
        assert_eq!(list(&["1.1.1.1, junk"]), None);
        assert_eq!(list(&[""]), None);
        assert_eq!(forwarded(&["for=1.1.1.1, for=_hidden, for=10.0.0.1"]).client, Some(ip("10.0.0.1")));
        assert_eq!(forwarded(&["for=1.1.1.1, by=10.0.0.1"]).client, None);
    }

    #[test]
    fn forwarded_is_read_with_its_quotes() {
        let said = forwarded(&["for=\"[2001:db8::1]:47\" ; proto=HTTPS;host=\"a,b;c\"", "For=10.0.0.1"]);
        assert_eq!(said, Said { client: Some(ip("2001:db8::1")), https: None });
        let said = forwarded(&["for=192.0.2.1;host=\"x\\\",for=6.6.6.6\";proto=https"]);
        assert_eq!(said, Said { client: Some(ip("192.0.2.1")), https: Some(true) });
        assert_eq!(forwarded(&["for=192.0.2.1;proto=http"]).https, Some(false));
    }
}

//! Hosts of routes: names, wildcards, addresses, in the one form that requests are compared in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::diagnostic::Fact;
use super::host_pattern::HostPattern;

/// Why a text is no host of a route.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum BadHost {
    /// A wildcard somewhere else than in front.
    #[error("a wildcard stands for the first labels only, and is followed by a name")]
    Wildcard,
    /// `*`.
    #[error("every host is meant where none is named")]
    Every,
    /// With a port.
    #[error("a host stands without a port: the listener's addresses have it")]
    Port(Box<str>),
    /// Letters beyond ASCII.
    #[error("clients send names beyond ASCII as A-labels (RFC 5890), and so they are written here")]
    NotAscii,
    /// Something else.
    #[error(
        "a host is a name or an address; a name has labels of 1 to 63 letters, digits, _ and -, with dots between"
    )]
    NoHost,
}

impl Fact for BadHost {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Wildcard => {
                "write it as: \"*.example.com\"; for more there is path_regex and header".to_owned()
            }
            Self::Every => "remove host".to_owned(),
            Self::Port(host) => format!("write it as: {host:?}"),
            Self::NotAscii => "write it as: \"xn--bcher-kva.example\" for bücher.example".to_owned(),
            Self::NoHost => "write it as: \"app.example.com\"".to_owned(),
        })
    }
}

/// Reads a host: lower case, without a trailing dot, an IPv6 address without brackets.
pub(super) fn parse_host(text: &str) -> Result<HostPattern, BadHost> {
    let (text, wildcard) = match text.strip_prefix('*') {
        Some("") => return Err(BadHost::Every),
        Some(rest) => (rest.strip_prefix('.').ok_or(BadHost::Wildcard)?, true),
        None => (text, false),
    };
    if text.contains('*') {
        return Err(BadHost::Wildcard);
    }
    if !text.is_ascii() {
        return Err(BadHost::NotAscii);
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<Ipv6Addr>() {
        return if wildcard {
            Err(BadHost::Wildcard)
        } else {
            Ok(HostPattern::Exact(address.to_string().into()))
        };
    }
    if let Some((host, port)) = text.rsplit_once(':')
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && parse_host(host).is_ok()
    {
        return Err(BadHost::Port(if wildcard { format!("*.{host}") } else { host.to_owned() }.into()));
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if text.parse::<Ipv4Addr>().map(IpAddr::V4).is_ok() && !wildcard {
        return Ok(HostPattern::Exact(name.into()));
    }
    if name.len() > 253 || !name.split('.').all(is_label) || ends_in_a_number(&name) {
        return Err(BadHost::NoHost);
    }
    Ok(if wildcard { HostPattern::Wildcard(name.into()) } else { HostPattern::Exact(name.into()) })
}

/// RFC 1123 §2.1, and underscores, which some networks use.
pub(super) fn is_label(label: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let edges = label.starts_with('-') || label.ends_with('-');
    (1..=63).contains(&label.len()) && !edges && label.bytes().all(allowed)
}

/// What ends in a number is an address, or none ("ends in a number" of the WHATWG's URL).
pub(super) fn ends_in_a_number(name: &str) -> bool {
    name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_form() {
        let exact = |text: &str| match parse_host(text) {
            Ok(HostPattern::Exact(host)) => host,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(&*exact("App.Example.COM."), "app.example.com");
        assert_eq!(&*exact("localhost"), "localhost");
        assert_eq!(&*exact("192.0.2.1"), "192.0.2.1");
        assert_eq!(&*exact("[2001:DB8:0::1]"), "2001:db8::1");
        assert_eq!(&*exact("2001:db8::1"), "2001:db8::1");
        assert_eq!(parse_host("*.Example.com"), Ok(HostPattern::Wildcard("example.com".into())));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let wrong = |text: &str| parse_host(text).unwrap_err();
        assert_eq!(wrong("*"), BadHost::Every);
        assert_eq!(wrong("*example.com"), BadHost::Wildcard);
        assert_eq!(wrong("a.*.example.com"), BadHost::Wildcard);
        assert_eq!(wrong("*.*.example.com"), BadHost::Wildcard);
        assert_eq!(wrong("app.example.com:80"), BadHost::Port("app.example.com".into()));
        assert_eq!(wrong("*.example.com:80"), BadHost::Port("*.example.com".into()));
        assert_eq!(wrong("[::1]:80"), BadHost::Port("[::1]".into()));
        assert_eq!(wrong("bücher.example"), BadHost::NotAscii);
        for text in
            ["", ".", "a..b", "-a.example", "192.0.2.256", "http://a.example", "a.example/x", "a b", "*."]
        {
            assert_eq!(wrong(text), BadHost::NoHost, "{text}");
        }
    }
}

//! How a client is presented to backends. Most requests of a connection, and many connections, are of one address and
//! name one host, so the texts are kept: each thread has a small table of those it made last.

use std::cell::RefCell;
use std::fmt::Write;
use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderValue, Version};

struct Presented {
    client: IpAddr,
    https: bool,
    host: HeaderValue,
    address: HeaderValue,
    element: HeaderValue,
    /// By the client's version.
    lines: [Option<Bytes>; 3],
}

/// Slots of a thread. A power of two.
const SLOTS: usize = 256;

thread_local! {
    static TABLE: RefCell<Vec<Option<Presented>>> = RefCell::new((0..SLOTS).map(|_| None).collect());
}

/// The client's address as X-Forwarded-For has it, and the element of Forwarded (RFC 7239).
pub(super) fn values(client: IpAddr, https: bool, host: &HeaderValue) -> (HeaderValue, HeaderValue) {
    with(client, https, host, |it| (it.address.clone(), it.element.clone()))
}

/// All fields that say who a request is from and which way it came, but for its id, as lines of HTTP/1.1.
pub(super) fn lines(client: IpAddr, https: bool, host: &HeaderValue, port: u16, version: Version) -> Bytes {
    let at = match version {
        Version::HTTP_10 => 0,
        Version::HTTP_2 => 2,
        _ => 1,
    };
    with(client, https, host, |it| match &it.lines[at] {
        Some(lines) => lines.clone(),
        None => {
            let lines = make_lines(it, port, via(version));
            it.lines[at] = Some(lines.clone());
            lines
        }
    })
}

/// What stands in Via (RFC 9110 §7.6.3) for the hop by which a message of this version came.
pub(super) fn via(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2 proxy-now",
        Version::HTTP_10 => "1.0 proxy-now",
        _ => "1.1 proxy-now",
    }
}

fn with<T>(client: IpAddr, https: bool, host: &HeaderValue, use_: impl FnOnce(&mut Presented) -> T) -> T {
    // Who chooses addresses that share a slot makes us write texts anew, no more.
    let slot = match client {
        IpAddr::V4(ip) => ip.to_bits() as usize,
        IpAddr::V6(ip) => (ip.to_bits() ^ ip.to_bits() >> 64) as usize,
    };
    TABLE.with_borrow_mut(|table| {
        let slot = &mut table[slot % SLOTS];
        match slot {
            Some(it) if it.client == client && it.https == https && it.host == host => use_(it),
            _ => use_(slot.insert(Presented {
                client,
                https,
                host: host.clone(),
                address: address(client),
                element: element(client, https, host),
                lines: [None, None, None],
            })),
        }
    })
}

fn make_lines(it: &Presented, port: u16, via: &str) -> Bytes {
    let proto = if it.https { "https" } else { "http" };
    let port = port.to_string();
    let fields = [
        ("x-forwarded-for", it.address.as_bytes()),
        ("forwarded", it.element.as_bytes()),
        ("x-forwarded-proto", proto.as_bytes()),
        ("x-forwarded-host", it.host.as_bytes()),
        ("x-forwarded-port", port.as_bytes()),
        ("via", via.as_bytes()),
    ];
    let mut lines = Vec::with_capacity(256);
    for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            lines.extend_from_slice(part);
        }
    }
    lines.into()
}

fn address(client: IpAddr) -> HeaderValue {
    // An address is a value.
    HeaderValue::try_from(client.to_canonical().to_string()).unwrap_or(HeaderValue::from_static("unknown"))
}

fn element(client: IpAddr, https: bool, host: &HeaderValue) -> HeaderValue {
    let mut text = String::with_capacity(64);
    // Writing to a string cannot fail.
    let _ = match client.to_canonical() {
        IpAddr::V4(ip) => write!(text, "for={ip}"),
        // RFC 7239 §6: brackets, and quotes around them.
        IpAddr::V6(ip) => write!(text, "for=\"[{ip}]\""),
    };
    if let Some(host) = host.to_str().ok().filter(|host| !host.is_empty() && !host.contains(['"', '\\'])) {
        let _ = write!(text, ";host=\"{host}\"");
    }
    text.push_str(if https { ";proto=https" } else { ";proto=http" });
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("for=unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_presented_as_rfc_7239_wants() {
        let of = |ip: &str, https, host| values(ip.parse().unwrap(), https, &HeaderValue::from_static(host));
        for _ in 0..2 {
            let (address, element) = of("192.0.2.1", false, "a.test:80");
            assert_eq!(address, "192.0.2.1");
            assert_eq!(element, "for=192.0.2.1;host=\"a.test:80\";proto=http");
            let (address, element) = of("2001:db8::1", true, "");
            assert_eq!(address, "2001:db8::1");
            assert_eq!(element, "for=\"[2001:db8::1]\";proto=https");
        }
        assert_eq!(of("::ffff:192.0.2.1", false, "a").0, "192.0.2.1");
        assert_eq!(of("192.0.2.1", false, "b").1, "for=192.0.2.1;host=\"b\";proto=http");
    }
}

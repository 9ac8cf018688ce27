//! How a client is presented to backends. Most requests of a connection, and many connections, are of one address and
//! name one host, so the texts are kept: each thread has a small table of those it made last.

use std::cell::RefCell;
use std::fmt::Write;
use std::net::IpAddr;

use http::HeaderValue;

struct Presented {
    client: IpAddr,
    https: bool,
    host: HeaderValue,
    address: HeaderValue,
    element: HeaderValue,
}

/// Slots of a thread. A power of two.
const SLOTS: usize = 256;

thread_local! {
    static TABLE: RefCell<Vec<Option<Presented>>> = RefCell::new((0..SLOTS).map(|_| None).collect());
}

/// The client's address as X-Forwarded-For has it, and the element of Forwarded (RFC 7239).
pub(super) fn of(client: IpAddr, https: bool, host: &HeaderValue) -> (HeaderValue, HeaderValue) {
    // Who chooses addresses that share a slot makes us write texts anew, no more.
    let slot = match client {
        IpAddr::V4(ip) => ip.to_bits() as usize,
        IpAddr::V6(ip) => (ip.to_bits() ^ ip.to_bits() >> 64) as usize,
    };
    TABLE.with_borrow_mut(|table| {
        let slot = &mut table[slot % SLOTS];
        let kept = slot.as_ref().filter(|it| it.client == client && it.https == https && it.host == host);
        if let Some(it) = kept {
            return (it.address.clone(), it.element.clone());
        }
        let (address, element) = (address(client), element(client, https, host));
        let (given, made) = (address.clone(), element.clone());
        *slot = Some(Presented { client, https, host: host.clone(), address, element });
        (given, made)
    })
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
        let of = |ip: &str, https, host| of(ip.parse().unwrap(), https, &HeaderValue::from_static(host));
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

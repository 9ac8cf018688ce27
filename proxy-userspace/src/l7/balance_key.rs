//! What a pool that is balanced by a key takes of a request.

use crate::config::{Balance, HashKey};
use crate::upstream;

use super::request::Request;
use super::template::cookie;

/// The hash of a request's key. Who has no such field or cookie is known by its address.
pub(super) fn of(balance: &Balance, request: &Request) -> u64 {
    let Balance::Maglev(key) = balance else { return 0 };
    let value = match key {
        HashKey::ClientIp => None,
        HashKey::Header(name) => request.headers.get(name).map(|value| value.as_bytes()),
        HashKey::Cookie(name) => cookie(&request.headers, name),
        HashKey::Uri => Some(&request.target.as_bytes()[..]),
    };
    match value {
        Some(value) => upstream::key(value),
        None => {
            let client = request.client_ip();
            match client.to_canonical() {
                std::net::IpAddr::V4(ip) => upstream::key(&ip.octets()),
                std::net::IpAddr::V6(ip) => upstream::key(&ip.octets()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    fn key(key: HashKey, request: &Request) -> u64 {
        of(&Balance::Maglev(key), request)
    }

    #[test]
    fn each_key_is_taken_from_its_place_and_the_client_stands_in_for_it() {
        let plain = testing::request("/a?b");
        let client = key(HashKey::ClientIp, &plain);
        assert_eq!(client, upstream::key(&[192, 0, 2, 7]));
        assert_eq!(key(HashKey::Cookie("id".into()), &plain), client);
        assert_eq!(key(HashKey::Header(http::header::USER_AGENT), &plain), client);
        assert_eq!(key(HashKey::Uri, &plain), upstream::key(b"/a?b"));
        let cookie = testing::with(testing::request("/"), "cookie", "a=b; id=7");
        assert_eq!(key(HashKey::Cookie("id".into()), &cookie), upstream::key(b"7"));
        let header = testing::with(testing::request("/"), "user-agent", "x");
        assert_eq!(key(HashKey::Header(http::header::USER_AGENT), &header), upstream::key(b"x"));
        plain.record.client.set(Some([198, 51, 100, 1].into()));
        assert_eq!(key(HashKey::ClientIp, &plain), upstream::key(&[198, 51, 100, 1]));
    }
}

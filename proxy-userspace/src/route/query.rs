//! What is asked of the router.

use std::borrow::Cow;
use std::fmt::Debug;
use std::net::IpAddr;

use http::{HeaderMap, Method};

use super::hello::Hello;
use super::target::RequestTarget;

/// A request, as far as routes can see it.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The name of the listener it came by.
    pub listener: &'a str,
    /// The canonical host: [`super::Host::name`]. Empty if the client named none.
    pub host: &'a str,
    /// Path and query.
    pub target: &'a RequestTarget,
    /// Its method.
    pub method: &'a Method,
    /// Its end-to-end fields.
    pub headers: &'a dyn Fields,
    /// The client, as trusted proxies say.
    pub client: IpAddr,
    /// What its ClientHello said, if somebody wants to know.
    pub hello: Option<&'a Hello>,
}

/// The fields of a request. Most routes ask for none, so they are taken apart only for those that do.
pub trait Fields: Debug {
    /// By name.
    fn map(&self) -> &HeaderMap;
}

impl Fields for HeaderMap {
    fn map(&self) -> &HeaderMap {
        self
    }
}

/// The parameters of a query, in order: names and values decoded (application/x-www-form-urlencoded).
pub(super) fn parameters(query: &str) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

/// `+` is a space; a `%` without digits stands for itself.
fn decode(text: &str) -> Cow<'_, [u8]> {
    let text = text.as_bytes();
    if memchr::memchr2(b'%', b'+', text).is_none() {
        return Cow::Borrowed(text);
    }
    let digit =
        |at: usize| text.get(at).and_then(|&byte| char::from(byte).to_digit(16)).map(|digit| digit as u8);
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let escaped = digit(at + 1).zip(digit(at + 2)).filter(|_| text[at] == b'%');
        decoded.push(match (text[at], escaped) {
            (_, Some((high, low))) => (high << 4) | low,
            (b'+', _) => b' ',
            (byte, _) => byte,
        });
        at += if escaped.is_some() { 3 } else { 1 };
    }
    Cow::Owned(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let read = |query: &str| -> Vec<(String, String)> {
            let text = |bytes: Cow<'_, [u8]>| String::from_utf8_lossy(&bytes).into_owned();
            parameters(query).map(|(name, value)| (text(name), text(value))).collect()
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(read("a=1&b&&c=x%20y+z"), [pair("a", "1"), pair("b", ""), pair("c", "x y z")]);
        assert_eq!(read("%61=100%&b=%4&c=%4g"), [pair("a", "100%"), pair("b", "%4"), pair("c", "%4g")]);
        assert_eq!(read("a=b=c"), [pair("a", "b=c")]);
        assert!(read("").is_empty());
    }
}

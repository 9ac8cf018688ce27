//! The static table and the dynamic table (RFC 7541 §2.3).

use std::collections::VecDeque;

use http::header::{
    ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_ORIGIN,
    AGE, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, CONTENT_TYPE, COOKIE, DATE, ETAG, EXPECT, EXPIRES, FROM,
    HOST, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, LINK,
    LOCATION, MAX_FORWARDS, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, RANGE, REFERER, REFRESH, RETRY_AFTER,
    SERVER, SET_COOKIE, STRICT_TRANSPORT_SECURITY, TRANSFER_ENCODING, USER_AGENT, VARY, VIA,
    WWW_AUTHENTICATE,
};
use http::{HeaderName, HeaderValue};

use super::entry::{Entry, Name};

/// The static table (Appendix A); index 1 is the first.
#[rustfmt::skip]
static STATIC: [Entry; 61] = [
    pseudo(Name::Authority, 10, ""),
    pseudo(Name::Method, 7, "GET"), pseudo(Name::Method, 7, "POST"),
    pseudo(Name::Path, 5, "/"), pseudo(Name::Path, 5, "/index.html"),
    pseudo(Name::Scheme, 7, "http"), pseudo(Name::Scheme, 7, "https"),
    pseudo(Name::Status, 7, "200"), pseudo(Name::Status, 7, "204"), pseudo(Name::Status, 7, "206"),
    pseudo(Name::Status, 7, "304"), pseudo(Name::Status, 7, "400"), pseudo(Name::Status, 7, "404"),
    pseudo(Name::Status, 7, "500"),
    field(ACCEPT_CHARSET, 14, ""), field(ACCEPT_ENCODING, 15, "gzip, deflate"), field(ACCEPT_LANGUAGE, 15, ""),
    field(ACCEPT_RANGES, 13, ""), field(ACCEPT, 6, ""), field(ACCESS_CONTROL_ALLOW_ORIGIN, 27, ""), field(AGE, 3, ""),
    field(ALLOW, 5, ""), field(AUTHORIZATION, 13, ""), field(CACHE_CONTROL, 13, ""),
    field(CONTENT_DISPOSITION, 19, ""), field(CONTENT_ENCODING, 16, ""), field(CONTENT_LANGUAGE, 16, ""),
    field(CONTENT_LENGTH, 14, ""), field(CONTENT_LOCATION, 16, ""), field(CONTENT_RANGE, 13, ""),
    field(CONTENT_TYPE, 12, ""), field(COOKIE, 6, ""), field(DATE, 4, ""), field(ETAG, 4, ""), field(EXPECT, 6, ""),
    field(EXPIRES, 7, ""), field(FROM, 4, ""), field(HOST, 4, ""), field(IF_MATCH, 8, ""),
    field(IF_MODIFIED_SINCE, 17, ""), field(IF_NONE_MATCH, 13, ""), field(IF_RANGE, 8, ""),
    field(IF_UNMODIFIED_SINCE, 19, ""), field(LAST_MODIFIED, 13, ""), field(LINK, 4, ""), field(LOCATION, 8, ""),
    field(MAX_FORWARDS, 12, ""), field(PROXY_AUTHENTICATE, 18, ""), field(PROXY_AUTHORIZATION, 19, ""),
    field(RANGE, 5, ""), field(REFERER, 7, ""), field(REFRESH, 7, ""), field(RETRY_AFTER, 11, ""),
    field(SERVER, 6, ""), field(SET_COOKIE, 10, ""), field(STRICT_TRANSPORT_SECURITY, 25, ""),
    field(TRANSFER_ENCODING, 17, ""), field(USER_AGENT, 10, ""), field(VARY, 4, ""), field(VIA, 3, ""),
    field(WWW_AUTHENTICATE, 16, ""),
];

const fn pseudo(name: Name, name_bytes: usize, value: &'static str) -> Entry {
    Entry { name, name_bytes, value: Some(HeaderValue::from_static(value)), value_bytes: value.len() }
}

const fn field(name: HeaderName, name_bytes: usize, value: &'static str) -> Entry {
    pseudo(Name::Field(name), name_bytes, value)
}

/// The index in the static table of a field's name, for what is sent.
pub fn static_index(name: &HeaderName) -> Option<usize> {
    Some(match name.as_str() {
        "accept-ranges" => 18,
        "access-control-allow-origin" => 20,
        "age" => 21,
        "allow" => 22,
        "cache-control" => 24,
        "content-disposition" => 25,
        "content-encoding" => 26,
        "content-language" => 27,
        "content-length" => 28,
        "content-location" => 29,
        "content-range" => 30,
        "content-type" => 31,
        "date" => 33,
        "etag" => 34,
        "expires" => 36,
        "last-modified" => 44,
        "link" => 45,
        "location" => 46,
        "proxy-authenticate" => 48,
        "refresh" => 52,
        "retry-after" => 53,
        "server" => 54,
        "set-cookie" => 55,
        "strict-transport-security" => 56,
        "vary" => 59,
        "via" => 60,
        "www-authenticate" => 61,
        _ => return None,
    })
}

/// The dynamic table of a direction, and the static one below it.
#[derive(Debug)]
pub struct Table {
    /// The newest first.
    entries: VecDeque<Entry>,
    size: usize,
    most: usize,
}

impl Table {
    /// An empty one of at most `most` (RFC 7541 §4.1 says how entries count).
    pub fn new(most: usize) -> Self {
        Self { entries: VecDeque::new(), size: 0, most }
    }

    /// The entry of an index (§2.3.3).
    pub fn get(&self, index: usize) -> Option<&Entry> {
        match index.checked_sub(STATIC.len() + 1) {
            Some(dynamic) => self.entries.get(dynamic),
            None => STATIC.get(index.checked_sub(1)?),
        }
    }

    /// Adds one, for which others go. One that is larger than the table empties it (§4.4).
    pub fn insert(&mut self, entry: Entry) {
        let size = entry.size();
        self.evict(self.most.saturating_sub(size));
        if size <= self.most {
            self.size += size;
            self.entries.push_front(entry);
        }
    }

    /// Changes how large it may be.
    pub fn resize(&mut self, most: usize) {
        self.most = most;
        self.evict(most);
    }

    fn evict(&mut self, most: usize) {
        while self.size > most {
            let Some(oldest) = self.entries.pop_back() else { break };
            self.size -= oldest.size();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &'static str, bytes: usize) -> Entry {
        Entry {
            name: Name::Field(HeaderName::from_static(name)),
            name_bytes: name.len(),
            value: None,
            value_bytes: bytes,
        }
    }

    #[test]
    fn the_static_table_has_the_lengths_of_its_names() {
        for (at, entry) in STATIC.iter().enumerate() {
            if let Name::Field(name) = &entry.name {
                assert_eq!(name.as_str().len(), entry.name_bytes);
                if let Some(index) = static_index(name) {
                    assert_eq!(index, at + 1, "{name}");
                }
            }
        }
        assert_eq!(Table::new(0).get(61).unwrap().name, Name::Field(WWW_AUTHENTICATE));
        assert_eq!(Table::new(0).get(16).unwrap().value, Some(HeaderValue::from_static("gzip, deflate")));
        assert!(Table::new(0).get(0).is_none() && Table::new(0).get(62).is_none());
    }

    #[test]
    fn the_oldest_go_for_the_new_and_one_too_large_empties_it() {
        let mut table = Table::new(100);
        table.insert(entry("a", 10));
        table.insert(entry("b", 10));
        assert_eq!(table.size, 86);
        table.insert(entry("c", 10));
        assert_eq!((table.entries.len(), table.get(62).unwrap().name_bytes), (2, 1));
        assert_eq!(table.get(63).unwrap().name, entry("b", 0).name);
        table.resize(50);
        assert_eq!(table.entries.len(), 1);
        table.insert(entry("d", 100));
        assert_eq!((table.entries.len(), table.size), (0, 0));
    }
}

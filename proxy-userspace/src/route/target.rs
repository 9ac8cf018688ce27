//! The one form of a request's path that everything compares and sends on.

use std::fmt;

use bytes::{BufMut as _, Bytes, BytesMut};

use super::canonical::{self, BadTarget};

/// Path and query of a request. The path is canonical: matched, rewritten and sent on in this form only.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestTarget {
    /// The path, then `?` and the query if there is one. ASCII.
    text: Bytes,
    /// Length of the path.
    path: usize,
    /// The path has escapes of reserved characters, such as `%2F`.
    two_readings: bool,
}

impl RequestTarget {
    /// Makes a path and query canonical; keeps the bytes if they are already.
    ///
    /// Escapes of unreserved characters are resolved, others stay, in upper case. Dot segments are followed, doubled
    /// slashes become one. `%2F` stays an escape: it is part of a segment's name. The query stays as it is.
    ///
    /// # Errors
    /// It is no path, or it could mean two things.
    pub fn parse(text: Bytes) -> Result<Self, BadTarget> {
        if text.first() != Some(&b'/') {
            return Err(BadTarget::NoSlash);
        }
        let path = memchr::memchr(b'?', &text).unwrap_or(text.len());
        // RFC 3986 §3.4 allows less; browsers send every visible character but `#`.
        if !text[path..].iter().all(|&byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(BadTarget::Character);
        }
        let canonical = canonical::canonical(&text[..path])?;
        let two_readings = canonical.two_readings;
        Ok(match canonical.path {
            None => Self { text, path, two_readings },
            Some(rewritten) => Self::join(&rewritten, &text[path..], two_readings),
        })
    }

    /// `*`: the server as a whole. For OPTIONS only (RFC 9112 §3.2.4).
    pub fn asterisk() -> Self {
        Self { text: Bytes::from_static(b"*"), path: 1, two_readings: false }
    }

    /// This query with another path, made canonical.
    ///
    /// # Errors
    /// It is no path: it has a `?`, for one.
    pub fn with_path(&self, path: &str) -> Result<Self, BadTarget> {
        if !path.starts_with('/') {
            return Err(BadTarget::NoSlash);
        }
        let canonical = canonical::canonical(path.as_bytes())?;
        let path = canonical.path.as_deref().unwrap_or(path.as_bytes());
        Ok(Self::join(path, &self.text[self.path..], canonical.two_readings))
    }

    fn join(path: &[u8], rest: &[u8], two_readings: bool) -> Self {
        let mut text = BytesMut::with_capacity(path.len() + rest.len());
        text.put_slice(path);
        text.put_slice(rest);
        Self { text: text.freeze(), path: path.len(), two_readings }
    }

    /// The canonical path. Begins with `/`, or is `*`.
    pub fn path(&self) -> &str {
        std::str::from_utf8(&self.text[..self.path]).unwrap_or("/")
    }

    /// The query, without `?`.
    pub fn query(&self) -> Option<&str> {
        std::str::from_utf8(self.text.get(self.path + 1..)?).ok()
    }

    /// Path and query.
    pub fn as_bytes(&self) -> &Bytes {
        &self.text
    }

    /// The path as a server reads it that takes escaped reserved characters for the characters: `/a/b` of `/a%2Fb`.
    /// None if it is the same path.
    pub fn other_reading(&self) -> Option<String> {
        let read = || canonical::reading(self.path().as_bytes());
        self.two_readings.then(|| String::from_utf8_lossy(&read()).into_owned())
    }
}

impl fmt::Debug for RequestTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.text).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<RequestTarget, BadTarget> {
        RequestTarget::parse(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn one_canonical_path_stands_for_all_its_spellings() {
        for (text, canonical) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("//", "/"),
            ("/a//b", "/a/b"),
            ("///a///b///", "/a/b/"),
            ("/./a", "/a"),
            ("/a/.", "/a/"),
            ("/a/..", "/"),
            ("/a/../b", "/b"),
            ("/a//../b", "/b"),
            ("/a/b/../../c", "/c"),
            ("/a/%2e%2e/b", "/b"),
            ("/a/.%2E/b", "/b"),
            ("/a/%2e/b", "/a/b"),
            ("/%61%7e%2D", "/a~-"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%5cb", "/a%5Cb"),
            ("/%c3%a4", "/%C3%A4"),
            ("/%e4", "/%E4"),
            ("/a|b", "/a%7Cb"),
            ("/a%7cb", "/a%7Cb"),
            ("/a%20b", "/a%20b"),
            ("/a%252e", "/a%252e"),
            ("/.well-known/x", "/.well-known/x"),
            ("/...", "/..."),
            ("/a/..b", "/a/..b"),
            ("/a;x=1/b", "/a;x=1/b"),
            ("/a?b=//../%zz", "/a?b=//../%zz"),
            ("/a/..?", "/?"),
            ("/?a|{}[]\"<>^`\\", "/?a|{}[]\"<>^`\\"),
        ] {
            let target = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(target.as_bytes(), canonical.as_bytes(), "{text}");
        }
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        for (text, error) in [
            ("", BadTarget::NoSlash),
            ("a", BadTarget::NoSlash),
            ("*", BadTarget::NoSlash),
            ("?a", BadTarget::NoSlash),
            ("http://a/", BadTarget::NoSlash),
            ("/a b", BadTarget::Character),
            ("/a\tb", BadTarget::Character),
            ("/a\0", BadTarget::Character),
            ("/a\r\n", BadTarget::Character),
            ("/a\x7f", BadTarget::Character),
            ("/a\\b", BadTarget::Character),
            ("/a#b", BadTarget::Character),
            ("/ä", BadTarget::Character),
            ("/?a b", BadTarget::Character),
            ("/?a\0", BadTarget::Character),
            ("/?a#b", BadTarget::Character),
            ("/?ä", BadTarget::Character),
            ("/%", BadTarget::Escape),
            ("/%4", BadTarget::Escape),
            ("/%4/a", BadTarget::Escape),
            ("/%zz", BadTarget::Escape),
            ("/%u002e", BadTarget::Escape),
            ("/%00", BadTarget::Control),
            ("/a%0d%0a", BadTarget::Control),
            ("/%7f", BadTarget::Control),
            ("/%c0%ae%c0%ae/a", BadTarget::Overlong),
            ("/%C0%AF", BadTarget::Overlong),
            ("/%e0%80%af", BadTarget::Overlong),
            ("/%F0%80%80%AF", BadTarget::Overlong),
            ("/..", BadTarget::AboveRoot),
            ("/../a", BadTarget::AboveRoot),
            ("/a/../../b", BadTarget::AboveRoot),
            ("/%2e%2e/", BadTarget::AboveRoot),
            ("//..", BadTarget::AboveRoot),
            ("/a/..%2Fb", BadTarget::HiddenDots),
            ("/a%2f..", BadTarget::HiddenDots),
            ("/a%2f../b", BadTarget::HiddenDots),
            ("/a%2F%2e%2e%2Fb", BadTarget::HiddenDots),
            ("/a/..%5cb", BadTarget::HiddenDots),
            ("/a%5C.%5Cb", BadTarget::HiddenDots),
            ("/a/..;/b", BadTarget::HiddenDots),
            ("/a/..;x=y/b", BadTarget::HiddenDots),
            ("/a/..%3B/b", BadTarget::HiddenDots),
            ("/.;/b", BadTarget::HiddenDots),
        ] {
            assert_eq!(parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_canonical_target_is_not_copied() {
        for text in ["/", "/a/b?c=d", "/.well-known/a", "/a%20b/%C3%A4", "/a%2Fb", "/a;b=c/"] {
            let bytes = Bytes::copy_from_slice(text.as_bytes());
            let target = RequestTarget::parse(bytes.clone()).unwrap();
            assert_eq!(target.as_bytes().as_ptr(), bytes.as_ptr(), "{text}");
        }
    }

    #[test]
    fn path_and_query_come_apart() {
        let parts = |text: &str| {
            parse(text).map(|target| (target.path().to_owned(), target.query().map(str::to_owned)))
        };
        assert_eq!(parts("/a"), Ok(("/a".to_owned(), None)));
        assert_eq!(parts("/a?"), Ok(("/a".to_owned(), Some(String::new()))));
        assert_eq!(parts("//a?b?c"), Ok(("/a".to_owned(), Some("b?c".to_owned()))));
        assert_eq!(RequestTarget::asterisk().path(), "*");
        assert_eq!(RequestTarget::asterisk().query(), None);
    }

    #[test]
    fn another_path_keeps_the_query_and_is_made_canonical() {
        let target = parse("/old?a=b").unwrap();
        assert_eq!(target.with_path("//new/../x").unwrap().as_bytes(), "/x?a=b".as_bytes());
        assert_eq!(target.with_path("/x?y"), Err(BadTarget::Character));
        assert_eq!(target.with_path("x"), Err(BadTarget::NoSlash));
    }

    #[test]
    fn an_escape_of_a_reserved_character_has_another_reading() {
        let other = |text: &str| parse(text).unwrap().other_reading();
        assert_eq!(other("/a%2fb").as_deref(), Some("/a/b"));
        assert_eq!(other("/a%5Cb").as_deref(), Some("/a/b"));
        assert_eq!(other("/a%2F/b").as_deref(), Some("/a/b"));
        assert_eq!(other("/%40a").as_deref(), Some("/@a"));
        for text in ["/a/b", "/a%20b", "/a%252Fb", "/a?%2F", "/%C3%A4"] {
            assert_eq!(other(text), None, "{text}");
        }
    }

    /// Texts of the pieces that paths are attacked with.
    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        const PIECES: &[&str] = &[
            "/", "//", ".", "..", "%2e", "%2E", "%2f", "%2F", "%5c", "%5C", "\\", ";", "%3b", "%", "%4",
            "%00", "%0a", "%c0", "%ae", "%AF", "%e0", "%80", "%41", "%25", "a", "b", "~", "|", "?", "#", " ",
            "\0", "%7C", "@", "%40",
        ];
        let piece = prop_oneof![
            8 => proptest::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
            1 => any::<u8>().prop_map(|byte| vec![byte]),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| [b"/".to_vec(), pieces.concat()].concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn a_canonical_target_stays_as_it_is(text in hostile()) {
            if let Ok(target) = RequestTarget::parse(text.into()) {
                let again = RequestTarget::parse(target.as_bytes().clone()).unwrap();
                prop_assert_eq!(again.as_bytes(), target.as_bytes());
            }
        }

        #[test]
        fn a_canonical_path_has_nothing_to_follow_or_to_hide(text in hostile()) {
            if let Ok(target) = RequestTarget::parse(text.into()) {
                let path = target.path();
                prop_assert!(path.starts_with('/'));
                prop_assert!(target.as_bytes().iter().all(u8::is_ascii_graphic));
                prop_assert!(!path.contains("//"));
                prop_assert!(!path.contains(['\\', '#', '?', '|']));
                let read = path.replace("%2F", "/").replace("%5C", "/").replace("%3B", ";");
                for segment in read.split('/') {
                    let name = segment.split(';').next().unwrap();
                    prop_assert!(name != "." && name != "..", "{}", path);
                }
            }
        }

        /// What a server resolves that decodes once, in whatever order, is below what the canonical path names.
        #[test]
        fn decoding_a_canonical_path_gives_no_dot_segment(text in hostile()) {
            if let Ok(target) = RequestTarget::parse(text.into()) {
                let other = target.other_reading().unwrap_or_else(|| target.path().to_owned());
                prop_assert!(!other.split('/').any(|segment| matches!(segment, "." | "..")), "{}", other);
            }
        }

        #[test]
        fn every_spelling_of_a_plain_path_gives_that_path(
            segments in proptest::collection::vec("[a-z.~_-]{1,6}", 1..5),
            noise in proptest::collection::vec(0_u8..6, 32),
        ) {
            prop_assume!(segments.iter().all(|segment| segment != "." && segment != ".."));
            let mut noise = noise.into_iter().cycle();
            let mut spelled = String::new();
            for segment in &segments {
                spelled += match noise.next().unwrap() { 0 => "//", 1 => "/./", 2 => "/x/../", 3 => "/x/%2e%2E/", _ => "/" };
                for byte in segment.bytes() {
                    match noise.next().unwrap() {
                        0 => spelled += &format!("%{byte:02x}"),
                        1 => spelled += &format!("%{byte:02X}"),
                        _ => spelled.push(byte.into()),
                    }
                }
            }
            let target = parse(&spelled).unwrap();
            prop_assert_eq!(target.path(), format!("/{}", segments.join("/")));
        }

        #[test]
        fn no_bytes_make_it_panic(text in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _judged = RequestTarget::parse(text.into());
        }
    }
}

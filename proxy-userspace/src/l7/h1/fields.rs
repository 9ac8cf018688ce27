//! The fields of a head: those that are for the connection apart from those that go on.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

use super::fault::Fault;

/// Fields that most heads do not have more of, with those that are added on the way: a map of more is a larger piece
/// of memory.
const EXPECTED: usize = 12;

/// Whose fields they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum From {
    /// A client.
    Client,
    /// A backend: a space before the colon is removed (RFC 9112 §5.1).
    Backend,
}

/// The fields of a head.
#[derive(Default, Debug)]
pub(super) struct Fields {
    /// Those that go on.
    pub(super) headers: HeaderMap,
    /// Host.
    pub(super) host: Option<HeaderValue>,
    /// Content-Length.
    pub(super) length: Option<u64>,
    /// Transfer-Encoding: chunked.
    pub(super) chunked: bool,
    /// Connection: close.
    pub(super) close: bool,
    /// Connection: keep-alive.
    pub(super) keep_alive: bool,
    /// Connection: upgrade.
    pub(super) upgrades: bool,
    /// Upgrade, its first line.
    pub(super) upgrade: Option<HeaderValue>,
    /// TE: trailers.
    pub(super) trailers: bool,
    /// Expect: 100-continue.
    pub(super) expects_continue: bool,
    /// What Connection names.
    named: SmallVec<[HeaderName; 2]>,
    hosts: usize,
}

/// What a field is for.
enum Kind {
    Host,
    Length,
    Encoding,
    Connection,
    Upgrade,
    Te,
    Expect,
    /// For the connection, and of no use.
    Dropped,
    Other,
}

impl Kind {
    fn of(name: &[u8]) -> Self {
        let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
        match name.len() {
            2 if is("te") => Self::Te,
            4 if is("host") => Self::Host,
            6 if is("expect") => Self::Expect,
            7 if is("upgrade") => Self::Upgrade,
            10 if is("connection") => Self::Connection,
            10 if is("keep-alive") => Self::Dropped,
            14 if is("content-length") => Self::Length,
            14 if is("http2-settings") => Self::Dropped,
            16 if is("proxy-connection") => Self::Dropped,
            17 if is("transfer-encoding") => Self::Encoding,
            _ => Self::Other,
        }
    }
}

impl Fields {
    /// Reads the lines of `head` from `start` to the empty one that ends it.
    pub(super) fn parse(head: &Bytes, start: usize, from: From) -> Result<Self, Fault> {
        let mut fields = Self { headers: HeaderMap::with_capacity(EXPECTED), ..Self::default() };
        for_each_line(head, start, from, |name, value| fields.take(name, value))?;
        for name in &fields.named {
            fields.headers.remove(name);
        }
        if fields.chunked && fields.length.is_some() {
            return Err(Fault::LengthAndEncoding);
        }
        if fields.hosts > 1 { Err(Fault::Host) } else { Ok(fields) }
    }

    fn take(&mut self, name: &[u8], value: Bytes) -> Result<(), Fault> {
        match Kind::of(name) {
            Kind::Other => {
                let name = HeaderName::from_bytes(name).map_err(|_| Fault::Field)?;
                let value = HeaderValue::from_maybe_shared(value).map_err(|_| Fault::Field)?;
                self.headers.try_append(name, value).map_err(|_| Fault::TooMany)?;
            }
            Kind::Host => {
                self.hosts += 1;
                self.host = Some(HeaderValue::from_maybe_shared(value).map_err(|_| Fault::Host)?);
            }
            Kind::Length => {
                // RFC 9112 §6.3: a list, even of the same number, may be read in two ways.
                if self.length.is_some() {
                    return Err(Fault::Length);
                }
                self.length = Some(number(&value).ok_or(Fault::Length)?);
            }
            Kind::Encoding => {
                if self.chunked {
                    return Err(Fault::Encoding);
                }
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Fault::EncodingUnknown);
                }
                self.chunked = true;
            }
            Kind::Connection => self.connection(&value)?,
            Kind::Upgrade => {
                let value = HeaderValue::from_maybe_shared(value).map_err(|_| Fault::Field)?;
                self.upgrade.get_or_insert(value);
            }
            Kind::Te => self.trailers |= tokens(&value).any(|word| word.eq_ignore_ascii_case(b"trailers")),
            Kind::Expect if value.eq_ignore_ascii_case(b"100-continue") => self.expects_continue = true,
            Kind::Expect => return Err(Fault::Expectation),
            Kind::Dropped => {}
        }
        Ok(())
    }

    /// RFC 9110 §7.6.1.
    fn connection(&mut self, value: &[u8]) -> Result<(), Fault> {
        for option in tokens(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrades = true;
            } else if matches!(Kind::of(option), Kind::Other) {
                self.named.push(HeaderName::from_bytes(option).map_err(|_| Fault::Field)?);
            }
        }
        Ok(())
    }
}

/// Reads trailers. Those that would change how the message is read, routed or believed are left out (RFC 9110
/// §6.5.1).
pub(super) fn trailers(block: &Bytes) -> Result<HeaderMap, Fault> {
    let mut trailers = HeaderMap::new();
    for_each_line(block, 0, From::Client, |name, value| {
        let name_read = HeaderName::from_bytes(name).map_err(|_| Fault::Field)?;
        let value = HeaderValue::from_maybe_shared(value).map_err(|_| Fault::Field)?;
        if matches!(Kind::of(name), Kind::Other) && may_trail(&name_read) {
            trailers.try_append(name_read, value).map_err(|_| Fault::TooMany)?;
        }
        Ok(())
    })?;
    Ok(trailers)
}

fn may_trail(name: &HeaderName) -> bool {
    const NEVER: &[HeaderName] = &[
        header::AUTHORIZATION,
        header::CACHE_CONTROL,
        header::CONTENT_ENCODING,
        header::CONTENT_RANGE,
        header::CONTENT_TYPE,
        header::COOKIE,
        header::FORWARDED,
        header::LOCATION,
        header::PROXY_AUTHORIZATION,
        header::RANGE,
        header::SET_COOKIE,
        header::TRAILER,
        header::VIA,
    ];
    !NEVER.contains(name) && !name.as_str().starts_with("x-forwarded-")
}

/// Gives each line's name and value, without the white space around it.
fn for_each_line(
    head: &Bytes,
    start: usize,
    from: From,
    mut each: impl FnMut(&[u8], Bytes) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut begin = start;
    while let Some(length) = memchr::memchr(b'\n', &head[begin..]) {
        let line = head[begin..begin + length].strip_suffix(b"\r").ok_or(Fault::BareLf)?;
        match line.first() {
            None => return Ok(()),
            Some(b' ' | b'\t') => return Err(Fault::Folded),
            Some(_) => {}
        }
        let colon = memchr::memchr(b':', line).ok_or(Fault::Field)?;
        let mut name = &line[..colon];
        if from == From::Backend {
            name = name.trim_ascii_end();
        }
        let value = trim(&line[colon + 1..]);
        // Only where it lies is asked, so that it can be shared.
        let at = begin + colon + 1 + offset(&line[colon + 1..], value);
        each(name, head.slice(at..at + value.len()))?;
        begin += length + 1;
    }
    Ok(())
}

/// How far `inner` begins into `outer`, from which it was trimmed.
fn offset(outer: &[u8], inner: &[u8]) -> usize {
    if inner.is_empty() {
        return 0;
    }
    outer.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

/// Without the optional white space around it (RFC 9110 §5.6.3): spaces and tabs alone.
pub(super) fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// The elements of a list (RFC 9110 §5.6.1), empty ones left out.
pub(super) fn tokens(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&byte| byte == b',').map(trim).filter(|token| !token.is_empty())
}

/// A number as Content-Length has it (RFC 9110 §8.6): digits, and no more than fit.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 18 {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &'static str) -> Result<Fields, Fault> {
        Fields::parse(&Bytes::from_static(text.as_bytes()), 0, From::Client)
    }

    #[test]
    fn what_connection_names_does_not_go_on() {
        let fields = parse(
            "Connection: close, X-Secret ,upgrade\r\nX-Secret: a\r\nX-Open: b\r\nKeep-Alive: 5\r\n\r\n",
        )
        .unwrap();
        assert!(fields.close && fields.upgrades && !fields.keep_alive);
        assert_eq!(fields.headers.len(), 1);
        assert_eq!(fields.headers["x-open"], "b");
    }

    #[test]
    fn white_space_around_values_is_removed() {
        let fields = parse("A: \t b c\t \r\nB:\r\nC:  \r\n\r\n").unwrap();
        assert_eq!(fields.headers["a"], "b c");
        assert_eq!(fields.headers["b"], "");
        assert_eq!(fields.headers["c"], "");
    }

    #[test]
    fn a_length_is_digits_and_stands_once() {
        for bad in ["", "+5", "-5", "0x5", "5, 5", "5 5", "99999999999999999999", "\u{b}5"] {
            let text: &'static str = format!("Content-Length: {bad}\r\n\r\n").leak();
            assert_eq!(parse(text).unwrap_err(), Fault::Length, "{bad:?}");
        }
        assert_eq!(parse("Content-Length: 5\r\nContent-Length: 5\r\n\r\n").unwrap_err(), Fault::Length);
        assert_eq!(parse("content-length: 005\r\n\r\n").unwrap().length, Some(5));
    }

    #[test]
    fn chunked_is_the_only_coding_and_stands_once_and_alone() {
        for bad in ["xchunked", "chunked, identity", "chunked, chunked", "", "\u{b}chunked", "gzip, chunked"]
        {
            let text: &'static str = format!("Transfer-Encoding: {bad}\r\n\r\n").leak();
            assert_eq!(parse(text).unwrap_err(), Fault::EncodingUnknown, "{bad:?}");
        }
        let twice = "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(parse(twice).unwrap_err(), Fault::Encoding);
        let both = "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(parse(both).unwrap_err(), Fault::LengthAndEncoding);
        assert!(parse("transfer-encoding: Chunked\r\n\r\n").unwrap().chunked);
    }

    #[test]
    fn malformed_fields_are_refused() {
        for bad in ["X : y", ": y", "X y", "X\0Y: z", "X: a\0b", "X: a\rb", "(X): y", "X\u{e9}: y"] {
            let text: &'static str = format!("{bad}\r\n\r\n").leak();
            assert_eq!(parse(text).unwrap_err(), Fault::Field, "{bad:?}");
        }
        assert_eq!(parse("X: a\r\n b\r\n\r\n").unwrap_err(), Fault::Folded);
        assert_eq!(parse(" X: a\r\n\r\n").unwrap_err(), Fault::Folded);
    }

    #[test]
    fn a_backend_may_put_a_space_before_the_colon() {
        let head = Bytes::from_static(b"X : y\r\n\r\n");
        assert_eq!(Fields::parse(&head, 0, From::Backend).unwrap().headers["x"], "y");
    }

    #[test]
    fn trailers_do_not_change_how_the_message_is_read() {
        let block =
            b"X-T: v\r\nContent-Length: 50\r\nHost: b\r\nAuthorization: x\r\nX-Forwarded-For: y\r\n\r\n";
        let trailers = trailers(&Bytes::from_static(block)).unwrap();
        assert_eq!(trailers.len(), 1);
        assert_eq!(trailers["x-t"], "v");
    }
}

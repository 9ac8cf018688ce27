//! The fields of a head: those that are for the connection apart from those that go on.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

use super::fault::Fault;
use crate::l7::field_block::{FieldBlock, Marks, Runs};
use crate::l7::headers::may_trail;

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
    pub(super) headers: FieldBlock,
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
    named: SmallVec<[HeaderName; 1]>,
    hosts: usize,
}

/// Where the lines that go on stand.
#[derive(Default)]
struct Kept {
    runs: Runs,
    marks: Marks,
    /// There is one that is not written as we would.
    odd: bool,
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
    /// The longest name of a kind of its own.
    const LONGEST: usize = 17;

    fn of(name: &[u8]) -> Self {
        let mut lower = [0; Self::LONGEST];
        let Some(lower) = lower.get_mut(..name.len()) else { return Self::Other };
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        Self::of_lower(lower)
    }

    /// Of a name in lower case.
    fn of_lower(name: &[u8]) -> Self {
        match name {
            b"te" => Self::Te,
            b"host" => Self::Host,
            b"expect" => Self::Expect,
            b"upgrade" => Self::Upgrade,
            b"connection" => Self::Connection,
            b"content-length" => Self::Length,
            b"transfer-encoding" => Self::Encoding,
            b"keep-alive" | b"http2-settings" | b"proxy-connection" => Self::Dropped,
            _ => Self::Other,
        }
    }
}

impl Fields {
    /// Reads the lines of `head` from `start` to the empty one that ends it. Their names become lower case.
    pub(super) fn parse(mut head: BytesMut, start: usize, from: From) -> Result<(Bytes, Self), Fault> {
        if has_control(head.get(start..).unwrap_or_default()) {
            return Err(Fault::Field);
        }
        let mut fields = Self::default();
        let mut kept = Kept::default();
        let (mut host, mut upgrade) = (None, None);
        let mut at = start;
        while let Some(line) = Line::read(&mut head, at, from)? {
            let (name, value) = (&head[line.name.clone()], &head[line.value.clone()]);
            match Kind::of_lower(name) {
                Kind::Other => kept.take(&line, name),
                Kind::Host => {
                    fields.hosts += 1;
                    host = Some(line.value);
                }
                Kind::Upgrade => {
                    upgrade.get_or_insert(line.value);
                }
                kind => fields.take(&kind, value)?,
            }
            at = line.end;
        }
        let head = head.freeze();
        let shared = |at: Option<Range<usize>>| at.map(|at| HeaderValue::from_maybe_shared(head.slice(at)));
        fields.host = shared(host).transpose().map_err(|_| Fault::Host)?;
        fields.upgrade = shared(upgrade).transpose().map_err(|_| Fault::Field)?;
        fields.headers = if kept.odd || !fields.named.is_empty() {
            fields.map(&head, start, from)?.into()
        } else {
            FieldBlock::of_lines(head.clone(), kept.runs, kept.marks)
        };
        if fields.chunked && fields.length.is_some() {
            return Err(Fault::LengthAndEncoding);
        }
        if fields.hosts > 1 { Err(Fault::Host) } else { Ok((head, fields)) }
    }

    /// Those that go on, taken apart.
    fn map(&self, head: &Bytes, start: usize, from: From) -> Result<HeaderMap, Fault> {
        let mut map = HeaderMap::new();
        for_each_line(head, start, from, |name, value| {
            if matches!(Kind::of(name), Kind::Other) {
                append(&mut map, name, value)?;
            }
            Ok(())
        })?;
        for name in &self.named {
            map.remove(name);
        }
        Ok(map)
    }

    fn take(&mut self, kind: &Kind, value: &[u8]) -> Result<(), Fault> {
        match kind {
            Kind::Length => {
                // RFC 9112 §6.3: a list, even of the same number, may be read in two ways.
                if self.length.is_some() {
                    return Err(Fault::Length);
                }
                self.length = Some(number(value).ok_or(Fault::Length)?);
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
            Kind::Connection => self.connection(value)?,
            Kind::Te => self.trailers |= tokens(value).any(|word| word.eq_ignore_ascii_case(b"trailers")),
            Kind::Expect if value.eq_ignore_ascii_case(b"100-continue") => self.expects_continue = true,
            Kind::Expect => return Err(Fault::Expectation),
            Kind::Dropped | Kind::Host | Kind::Upgrade | Kind::Other => {}
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

impl Kept {
    fn take(&mut self, line: &Line, name: &[u8]) {
        self.marks.see(name);
        self.odd |= line.odd;
        let (from, to) = (line.name.start as u32, line.end as u32);
        match self.runs.last_mut() {
            Some(last) if last.1 == from => last.1 = to,
            _ => self.runs.push((from, to)),
        }
    }
}

/// A line of a head: a field.
struct Line {
    name: Range<usize>,
    /// Without the white space around it.
    value: Range<usize>,
    /// Behind its LF.
    end: usize,
    /// It is not `name: value`.
    odd: bool,
}

impl Line {
    /// Reads the line at `at`; its name becomes lower case. None: it is empty.
    fn read(head: &mut [u8], at: usize, from: From) -> Result<Option<Self>, Fault> {
        // The head ends with an empty line, so there is one.
        let Some(length) = memchr::memchr(b'\n', &head[at..]) else { return Ok(None) };
        let line = head[at..at + length].strip_suffix(b"\r").ok_or(Fault::BareLf)?;
        match line.first() {
            None => return Ok(None),
            Some(b' ' | b'\t') => return Err(Fault::Folded),
            Some(_) => {}
        }
        let full = line.len();
        // Names are short: a byte at a time, all that is to be known of each at once.
        let mut colon = 0;
        for byte in &mut head[at..at + full] {
            match LOWER[*byte as usize] {
                0 => break,
                lower => *byte = lower,
            }
            colon += 1;
        }
        let mut rest = colon;
        if from == From::Backend {
            rest +=
                head[at + colon..at + full].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        }
        if colon == 0 || rest == full || head[at + rest] != b':' {
            return Err(Fault::Field);
        }
        let whole = &head[at + rest + 1..at + full];
        let value = trim(whole);
        let begin = at + rest + 1 + offset(whole, value);
        let odd = begin != at + colon + 2 || begin + value.len() != at + full || head[begin - 1] != b' ';
        Ok(Some(Self { name: at..at + colon, value: begin..begin + value.len(), end: at + length + 1, odd }))
    }
}

/// Whether lines hold what none may: control characters but HTAB, CR but before LF, DEL (RFC 9110 §5.5). All bytes are
/// looked at, sixteen or more at once: that is faster than one by one to the first.
fn has_control(lines: &[u8]) -> bool {
    let next = lines.get(1..).unwrap_or_default();
    let bad = lines.iter().zip(next).fold(0, |bad, (&byte, &next)| {
        let control = u8::from(byte < b' ') & u8::from(byte != b'\t') & u8::from(byte != b'\n');
        let end = u8::from(byte == b'\r') & u8::from(next == b'\n');
        bad | (control & !end) | u8::from(byte == 0x7f)
    });
    bad != 0
}

/// What a byte is in the lower case of a name (RFC 9110 §5.6.2); 0: in none.
const LOWER: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let letter = byte as u8;
        let special = matches!(
            letter,
            b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        );
        if letter.is_ascii_alphanumeric() || special {
            table[byte] = letter.to_ascii_lowercase();
        }
        byte += 1;
    }
    table
};

fn append(map: &mut HeaderMap, name: &[u8], value: Bytes) -> Result<(), Fault> {
    let name = HeaderName::from_bytes(name).map_err(|_| Fault::Field)?;
    let value = HeaderValue::from_maybe_shared(value).map_err(|_| Fault::Field)?;
    map.try_append(name, value).map_err(|_| Fault::TooMany)?;
    Ok(())
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
        Fields::parse(BytesMut::from(text), 0, From::Client).map(|(_, fields)| fields)
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
        for bad in ["", "+5", "-5", "0x5", "5, 5", "5 5", "99999999999999999999"] {
            let text: &'static str = format!("Content-Length: {bad}\r\n\r\n").leak();
            assert_eq!(parse(text).unwrap_err(), Fault::Length, "{bad:?}");
        }
        assert_eq!(parse("Content-Length: \u{b}5\r\n\r\n").unwrap_err(), Fault::Field);
        assert_eq!(parse("Content-Length: 5\r\nContent-Length: 5\r\n\r\n").unwrap_err(), Fault::Length);
        assert_eq!(parse("content-length: 005\r\n\r\n").unwrap().length, Some(5));
    }

    #[test]
    fn chunked_is_the_only_coding_and_stands_once_and_alone() {
        for bad in ["xchunked", "chunked, identity", "chunked, chunked", "", "gzip, chunked"] {
            let text: &'static str = format!("Transfer-Encoding: {bad}\r\n\r\n").leak();
            assert_eq!(parse(text).unwrap_err(), Fault::EncodingUnknown, "{bad:?}");
        }
        assert_eq!(parse("Transfer-Encoding: \u{b}chunked\r\n\r\n").unwrap_err(), Fault::Field);
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
        let head = BytesMut::from("X : y\r\nA: b\r\n\r\n");
        let (_, fields) = Fields::parse(head, 0, From::Backend).unwrap();
        assert_eq!(
            (&fields.headers["x"], &fields.headers["a"]),
            (&"y".parse().unwrap(), &"b".parse().unwrap())
        );
    }

    #[test]
    fn trailers_do_not_change_how_the_message_is_read() {
        let block = b"X-T: v\r\nContent-Length: 50\r\nHost: b\r\nAuthorization: x\r\nX-Forwarded-For: y\r\n\
              X-Real-IP: z\r\nX_Forwarded_For: y\r\nX-Client-Cert-Subject: z\r\nX-Request-Id: z\r\n\r\n";
        let trailers = trailers(&Bytes::from_static(block)).unwrap();
        assert_eq!(trailers.len(), 1);
        assert_eq!(trailers["x-t"], "v");
    }
}

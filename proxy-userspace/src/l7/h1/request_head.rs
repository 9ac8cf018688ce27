//! A request's head: read strictly (RFC 9112 §3, §5, §6), so that nobody behind us can read it in another way.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Version};

use super::fault::Fault;
use super::fields::{Fields, From, tokens};
use crate::l7::field_block::FieldBlock;
use crate::l7::request::Authority;
use crate::route::{Host, RequestTarget};

/// No method is longer.
const METHOD: usize = 32;

/// A request's head.
#[derive(Debug)]
pub(super) struct RequestHead {
    pub(super) method: Method,
    pub(super) authority: Authority,
    pub(super) target: RequestTarget,
    pub(super) version: Version,
    pub(super) headers: FieldBlock,
    pub(super) length: Length,
    pub(super) trailers: bool,
    pub(super) expects_continue: bool,
    pub(super) upgrade: Option<Box<str>>,
    /// The connection may be used again.
    pub(super) keep_alive: bool,
}

/// How long its body is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Length {
    /// So many bytes.
    Known(u64),
    /// It is chunked.
    Chunked,
}

/// Where the host and path of a target lie.
enum Form {
    /// `/path`.
    Origin(Bytes),
    /// `http://host/path`.
    Absolute { authority: Bytes, path: Bytes },
    /// `*`.
    Asterisk,
}

impl RequestHead {
    /// Reads a head, as [`super::scan`] found it.
    pub(super) fn parse(head: BytesMut, target_limit: usize) -> Result<Self, Fault> {
        let end = memchr::memchr(b'\n', &head).ok_or(Fault::FirstLine)?;
        let (method, target, version) = first_line(&head[..end.saturating_sub(1)], target_limit)?;
        let (head, mut fields) = Fields::parse(head, end + 1, From::Client)?;
        let form = form(head.slice(target), &method)?;
        let old = version == Version::HTTP_10;
        if old && fields.chunked {
            return Err(Fault::Encoding);
        }
        let host = fields.host.take();
        let (authority, target) = place(&method, form, host.as_ref(), old)?;
        let length = if fields.chunked { Length::Chunked } else { Length::Known(fields.length.unwrap_or(0)) };
        // With a body it would begin when that is over, which backends do not wait for: it is ignored (RFC 9110 §7.8).
        let upgrades = fields.upgrades && !old && length == Length::Known(0);
        Ok(Self {
            upgrade: upgrades.then(|| upgrade(fields.upgrade.as_ref())).flatten(),
            expects_continue: fields.expects_continue && !old && length != Length::Known(0),
            keep_alive: !fields.close && (!old || fields.keep_alive),
            trailers: fields.trailers,
            headers: fields.headers,
            method,
            authority,
            target,
            version,
            length,
        })
    }
}

/// RFC 9112 §3: exactly one space between its parts.
fn first_line(line: &[u8], target_limit: usize) -> Result<(Method, Range<usize>, Version), Fault> {
    let space = memchr::memchr(b' ', line).ok_or(Fault::FirstLine)?;
    let second = space + 1 + memchr::memchr(b' ', &line[space + 1..]).ok_or(Fault::FirstLine)?;
    let version = version(&line[second + 1..])?;
    if space > METHOD {
        return Err(Fault::Method);
    }
    let method = Method::from_bytes(&line[..space]).map_err(|_| Fault::FirstLine)?;
    if method == Method::CONNECT {
        return Err(Fault::Connect);
    }
    if second - space - 1 > target_limit {
        return Err(Fault::TargetTooLong);
    }
    Ok((method, space + 1..second, version))
}

fn version(text: &[u8]) -> Result<Version, Fault> {
    match text {
        b"HTTP/1.1" => Ok(Version::HTTP_11),
        b"HTTP/1.0" => Ok(Version::HTTP_10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Fault::Version)
        }
        _ => Err(Fault::FirstLine),
    }
}

/// RFC 9112 §3.2.
fn form(target: Bytes, method: &Method) -> Result<Form, Fault> {
    // Bytes that no URI holds; a fragment is for the client alone.
    if target.iter().any(|&byte| byte <= b' ' || byte >= 0x7f || byte == b'#') {
        return Err(Fault::Target);
    }
    match target.as_ref() {
        [b'/', ..] => Ok(Form::Origin(target)),
        b"*" if method == Method::OPTIONS => Ok(Form::Asterisk),
        _ => absolute(&target, method),
    }
}

fn absolute(target: &Bytes, method: &Method) -> Result<Form, Fault> {
    let scheme = ["http://", "https://"].into_iter().find(|scheme| {
        target.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme.as_bytes()))
    });
    let start = scheme.ok_or(Fault::Target)?.len();
    let end = target[start..].iter().position(|byte| matches!(byte, b'/' | b'?'));
    let end = end.map_or(target.len(), |end| start + end);
    let authority = target.slice(start..end);
    if authority.is_empty() {
        return Err(Fault::Host);
    }
    let path = match target.get(end) {
        Some(b'/') => target.slice(end..),
        // RFC 9112 §3.2.4: OPTIONS without a path is for the server as a whole.
        None if method == Method::OPTIONS => Bytes::from_static(b"*"),
        _ => [b"/", &target[end..]].concat().into(),
    };
    Ok(Form::Absolute { authority, path })
}

/// Host and path. An absolute target's host counts, and Host does not (RFC 9112 §3.2.2); but Host must be there and
/// be one (§3.2).
fn place(
    method: &Method,
    form: Form,
    host: Option<&HeaderValue>,
    old: bool,
) -> Result<(Authority, RequestTarget), Fault> {
    let written = match (host, old) {
        (Some(host), _) => host.clone(),
        (None, true) => HeaderValue::from_static(""),
        (None, false) => return Err(Fault::Host),
    };
    let mut authority = authority(written)?;
    let path = match form {
        Form::Origin(path) => path,
        Form::Asterisk => Bytes::from_static(b"*"),
        Form::Absolute { authority: named, path } => {
            authority = self::authority(HeaderValue::from_maybe_shared(named).map_err(|_| Fault::Host)?)?;
            path
        }
    };
    if authority.host.is_empty() && !old {
        return Err(Fault::Host);
    }
    let target = match path.as_ref() {
        b"*" if method == Method::OPTIONS => RequestTarget::asterisk(),
        _ => RequestTarget::parse(path).map_err(|_| Fault::Target)?,
    };
    Ok((authority, target))
}

fn authority(written: HeaderValue) -> Result<Authority, Fault> {
    let Host { name, port } = Host::parse(written.as_bytes()).map_err(|_| Fault::Host)?;
    Ok(Authority { written, host: name, port })
}

/// What the client wants to upgrade to. Never HTTP/2: it would be another way in (RFC 9113 §3.1 has dropped it).
fn upgrade(value: Option<&HeaderValue>) -> Option<Box<str>> {
    let first = tokens(value?.as_bytes())
        .find(|token| !token.eq_ignore_ascii_case(b"h2c") && !token.eq_ignore_ascii_case(b"h2"))?;
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(byte);
    let valid = first.iter().all(word);
    valid.then(|| String::from_utf8_lossy(first).to_ascii_lowercase().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RequestHead, Fault> {
        RequestHead::parse(BytesMut::from(text), 100)
    }

    fn line(line: &str) -> Result<RequestHead, Fault> {
        parse(&format!("{line}\r\nHost: a.test\r\n\r\n"))
    }

    #[test]
    fn a_request_is_read() {
        let head =
            parse("GET /a/b?c HTTP/1.1\r\nHost: A.test:8080\r\nAccept: x\r\nTE: trailers\r\n\r\n").unwrap();
        assert_eq!(head.method, Method::GET);
        assert_eq!(head.target.path(), "/a/b");
        assert_eq!(head.target.query(), Some("c"));
        assert_eq!((&*head.authority.host, head.authority.port), ("a.test", Some(8080)));
        assert_eq!(head.authority.written, "A.test:8080");
        assert_eq!(head.headers.len(), 1);
        assert_eq!(head.length, Length::Known(0));
        assert!(head.keep_alive && head.trailers && !head.expects_continue && head.upgrade.is_none());
    }

    #[test]
    fn first_lines_have_one_form() {
        for (bad, fault) in [
            ("GET  / HTTP/1.1", Fault::FirstLine),
            ("GET /\tHTTP/1.1", Fault::FirstLine),
            (" GET / HTTP/1.1", Fault::FirstLine),
            ("GET /a b HTTP/1.1", Fault::FirstLine),
            ("GET / HTTP/1.1 ", Fault::FirstLine),
            ("GET / http/1.1", Fault::FirstLine),
            ("GET /", Fault::FirstLine),
            ("GET", Fault::FirstLine),
            ("", Fault::FirstLine),
            ("G<T / HTTP/1.1", Fault::FirstLine),
            ("GET / HTTP/2.0", Fault::Version),
            ("GET / HTTP/1.2", Fault::Version),
            ("GET /\0 HTTP/1.1", Fault::Target),
            ("GET /\u{e9} HTTP/1.1", Fault::Target),
            ("GET /#a HTTP/1.1", Fault::Target),
            ("GET a.test HTTP/1.1", Fault::Target),
            ("GET * HTTP/1.1", Fault::Target),
            ("GET ftp://a.test/ HTTP/1.1", Fault::Target),
            ("GET http:/// HTTP/1.1", Fault::Host),
            ("GET http://u@a.test/ HTTP/1.1", Fault::Host),
            ("CONNECT a.test:80 HTTP/1.1", Fault::Connect),
        ] {
            assert_eq!(line(bad).unwrap_err(), fault, "{bad:?}");
        }
        assert_eq!(line(&format!("{} / HTTP/1.1", "G".repeat(33))).unwrap_err(), Fault::Method);
        assert_eq!(line(&format!("GET /{} HTTP/1.1", "a".repeat(100))).unwrap_err(), Fault::TargetTooLong);
    }

    #[test]
    fn an_absolute_target_names_the_host() {
        let head = line("GET http://b.test/x HTTP/1.1").unwrap();
        assert_eq!((&*head.authority.host, head.target.path()), ("b.test", "/x"));
        assert_eq!(line("GET HTTP://b.test?q HTTP/1.1").unwrap().target.as_bytes(), "/?q");
        assert_eq!(line("OPTIONS http://b.test HTTP/1.1").unwrap().target.path(), "*");
        assert_eq!(line("OPTIONS * HTTP/1.1").unwrap().target.path(), "*");
    }

    #[test]
    fn there_is_one_host() {
        for bad in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost:\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a test\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(parse(bad).unwrap_err(), Fault::Host, "{bad:?}");
        }
        assert_eq!(&*parse("GET / HTTP/1.0\r\n\r\n").unwrap().authority.host, "");
    }

    #[test]
    fn old_clients_close_unless_they_say_otherwise_and_have_no_chunks() {
        assert!(!parse("GET / HTTP/1.0\r\n\r\n").unwrap().keep_alive);
        assert!(parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").unwrap().keep_alive);
        assert!(!line("GET / HTTP/1.1\r\nConnection: close").unwrap().keep_alive);
        let chunks = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(parse(chunks).unwrap_err(), Fault::Encoding);
    }

    #[test]
    fn upgrades_are_asked_for_by_connection_and_never_to_h2c() {
        let ask = |fields: &str| line(&format!("GET / HTTP/1.1\r\n{fields}")).unwrap().upgrade;
        assert_eq!(ask("Connection: Upgrade\r\nUpgrade: WebSocket").as_deref(), Some("websocket"));
        assert_eq!(ask("Upgrade: websocket"), None);
        assert_eq!(ask("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x"), None);
        assert_eq!(ask("Connection: Upgrade\r\nUpgrade: h2c, foo").as_deref(), Some("foo"));
    }

    #[test]
    fn an_upgrade_with_a_body_is_none() {
        let ask = |fields: &str| {
            line(&format!("GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n{fields}")).unwrap().upgrade
        };
        assert_eq!(ask("Content-Length: 0").as_deref(), Some("x"));
        assert_eq!(ask("Content-Length: 1"), None);
        assert_eq!(ask("Transfer-Encoding: chunked"), None);
    }
}

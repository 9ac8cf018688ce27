//! An answer's head, as a backend sends it (RFC 9112 §4, §6).

use bytes::BytesMut;
use http::{HeaderValue, Method, StatusCode, header};

use super::fault::Fault;
use super::fields::{Fields, From};
use crate::l7::field_block::FieldBlock;

/// An answer's head.
#[derive(Debug)]
pub(super) struct AnswerHead {
    pub(super) status: StatusCode,
    pub(super) headers: FieldBlock,
    pub(super) length: AnswerLength,
    /// The protocol of a 101.
    pub(super) upgrade: Option<HeaderValue>,
    /// The connection may be used again, once the body has ended.
    pub(super) keep_alive: bool,
}

/// How long its body is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AnswerLength {
    /// So many bytes.
    Known(u64),
    /// It is chunked.
    Chunked,
    /// It ends with the connection.
    UntilClose,
}

impl AnswerHead {
    /// Reads a head, as [`super::scan`] found it. `method` is the request's.
    pub(super) fn parse(head: BytesMut, method: &Method) -> Result<Self, Fault> {
        let end = memchr::memchr(b'\n', &head).ok_or(Fault::FirstLine)?;
        let (status, old) = first_line(&head[..end.saturating_sub(1)])?;
        let (_, mut fields) = Fields::parse(head, end + 1, From::Backend)?;
        if old && fields.chunked {
            return Err(Fault::Encoding);
        }
        // RFC 9112 §6.3, first two cases. What such an answer says of its length is of another answer.
        let bodiless = method == Method::HEAD || status == 204 || status == 304 || status.is_informational();
        let length = match fields.length {
            _ if bodiless => AnswerLength::Known(0),
            Some(length) => AnswerLength::Known(length),
            None if fields.chunked => AnswerLength::Chunked,
            None => AnswerLength::UntilClose,
        };
        if let (Some(length), true) = (fields.length, method == Method::HEAD || status == 304) {
            fields.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        let stray = status == 204 && (fields.chunked || fields.length.is_some_and(|length| length > 0));
        Ok(Self {
            keep_alive: !fields.close
                && !stray
                && (!old || fields.keep_alive)
                && length != AnswerLength::UntilClose,
            upgrade: fields.upgrade,
            headers: fields.headers,
            status,
            length,
        })
    }
}

/// RFC 9112 §4. The reason, which nobody may use, need not be there, nor the space before it.
fn first_line(line: &[u8]) -> Result<(StatusCode, bool), Fault> {
    let (old, rest) = match line.split_at_checked(9) {
        Some((b"HTTP/1.1 ", rest)) => (false, rest),
        Some((b"HTTP/1.0 ", rest)) => (true, rest),
        _ => return Err(Fault::Version),
    };
    let (status, reason) = rest.split_at_checked(3).ok_or(Fault::FirstLine)?;
    let status = StatusCode::from_bytes(status).map_err(|_| Fault::FirstLine)?;
    let clean = reason.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f));
    if !clean || !matches!(reason.first(), None | Some(b' ')) || status.as_u16() > 599 {
        return Err(Fault::FirstLine);
    }
    Ok((status, old))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, method: &Method) -> Result<AnswerHead, Fault> {
        AnswerHead::parse(BytesMut::from(text), method)
    }

    fn length(fields: &str) -> (AnswerLength, bool) {
        let head = parse(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), &Method::GET).unwrap();
        (head.length, head.keep_alive)
    }

    #[test]
    fn an_answer_ends_where_its_fields_say() {
        assert_eq!(length("Content-Length: 5\r\n"), (AnswerLength::Known(5), true));
        assert_eq!(length("Transfer-Encoding: chunked\r\n"), (AnswerLength::Chunked, true));
        assert_eq!(length(""), (AnswerLength::UntilClose, false));
        assert_eq!(length("Content-Length: 5\r\nConnection: close\r\n"), (AnswerLength::Known(5), false));
    }

    #[test]
    fn some_answers_have_no_body_whatever_they_say() {
        let head = parse("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", &Method::HEAD).unwrap();
        assert_eq!((head.length, head.keep_alive), (AnswerLength::Known(0), true));
        assert_eq!(head.headers[header::CONTENT_LENGTH], "5");
        let head = parse("HTTP/1.1 304\r\nETag: a\r\n\r\n", &Method::GET).unwrap();
        assert_eq!((head.length, head.keep_alive), (AnswerLength::Known(0), true));
        let head = parse("HTTP/1.1 204 \r\nContent-Length: 5\r\n\r\n", &Method::GET).unwrap();
        assert_eq!((head.length, head.keep_alive), (AnswerLength::Known(0), false));
    }

    #[test]
    fn an_old_backend_closes_unless_it_says_otherwise() {
        let head = "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n";
        assert!(!parse(&format!("{head}\r\n"), &Method::GET).unwrap().keep_alive);
        assert!(parse(&format!("{head}Connection: keep-alive\r\n\r\n"), &Method::GET).unwrap().keep_alive);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (fields, fault) in [
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Fault::LengthAndEncoding),
            ("Content-Length: 5\r\nContent-Length: 6\r\n", Fault::Length),
            ("Transfer-Encoding: gzip, chunked\r\n", Fault::EncodingUnknown),
            ("A: b\r\n c\r\n", Fault::Folded),
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
            assert_eq!(parse(&text, &Method::GET).unwrap_err(), fault);
        }
        for line in
            ["HTTP/2 200", "ICY 200 OK", "HTTP/1.1 20", "HTTP/1.1 2000", "HTTP/1.1 200\0", "HTTP/1.1 999 a"]
        {
            assert!(parse(&format!("{line}\r\n\r\n"), &Method::GET).is_err(), "{line}");
        }
    }
}

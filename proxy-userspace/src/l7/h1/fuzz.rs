//! What must hold of heads and chunks, whatever comes: cuts between reads change nothing, and what is sent on is read by
//! the next one as it was read here. For tests and fuzz targets.

use bytes::BytesMut;
use http::Method;

use super::answer_head::AnswerHead;
use super::fault::Fault;
use super::reading::Reading;
use super::request_head::{Length, RequestHead};
use super::scan::{HeadLimits, Scan};
use super::write::{self, Framing};
use crate::l7::cut::BodyError;
use crate::l7::request::Request;
use crate::l7::testing;

pub(super) const LIMITS: HeadLimits = HeadLimits { bytes: 2000, fields: 20, target: 500 };

/// A request's head. The first byte says how long pieces are.
pub fn request(data: &[u8]) {
    let Some((step, text)) = data.split_first() else { return };
    let whole = read(text, text.len().max(1));
    let cut = read(text, usize::from(*step).max(1));
    assert_eq!(told(&whole), told(&cut));
    same_when_sent_on(text);
}

/// An answer's head. The first byte says how long pieces are, and whether HEAD was asked.
pub fn answer(data: &[u8]) {
    let Some((first, text)) = data.split_first() else { return };
    let method = if first & 0x80 == 0 { Method::GET } else { Method::HEAD };
    let read = |step: usize| {
        let (mut scan, mut buffer) = (Scan::default(), BytesMut::new());
        for piece in text.chunks(step) {
            buffer.extend_from_slice(piece);
            if let Some(end) = scan.end(&buffer, LIMITS)? {
                return AnswerHead::parse(buffer.split_to(end), &method).map(Some);
            }
        }
        Ok::<_, Fault>(None)
    };
    let (whole, cut) = (read(text.len().max(1)), read(usize::from(first & 0x7f).max(1)));
    assert_eq!(format!("{whole:?}"), format!("{cut:?}"));
}

/// A chunked body. The first byte says how long pieces are.
pub fn chunks(data: &[u8]) {
    let Some((step, text)) = data.split_first() else { return };
    let (whole, end) = body(text, text.len().max(1));
    let (cut, cut_end) = body(text, usize::from(*step).max(1));
    assert_eq!(end, cut_end);
    // Up to a fault, more may have been given away when it came in pieces.
    assert!(end.is_err() || whole == cut);
    assert!(whole.len() <= text.len());
}

/// Reads a head that comes in pieces of `step` bytes.
pub(super) fn read(text: &[u8], step: usize) -> Result<Option<RequestHead>, Fault> {
    let (mut scan, mut buffer) = (Scan::default(), BytesMut::new());
    for piece in text.chunks(step) {
        buffer.extend_from_slice(piece);
        if let Some(end) = scan.end(&buffer, LIMITS)? {
            return RequestHead::parse(buffer.split_to(end), LIMITS.target).map(Some);
        }
    }
    Ok(None)
}

/// A head, in words.
pub(super) fn told(head: &Result<Option<RequestHead>, Fault>) -> String {
    format!("{head:?}")
}

/// A chunked body that comes in pieces of `step` bytes: its data, and how it ended.
pub(super) fn body(text: &[u8], step: usize) -> (Vec<u8>, Result<bool, BodyError>) {
    let (mut reading, mut buffer) = (Reading::chunked(LIMITS), BytesMut::new());
    let mut data = Vec::new();
    for piece in text.chunks(step) {
        buffer.extend_from_slice(piece);
        loop {
            match reading.next(&mut buffer) {
                Err(error) => return (data, Err(error)),
                Ok(None) => break,
                Ok(Some(frame)) => data.extend(frame.into_data().unwrap_or_default()),
            }
        }
    }
    (data, Ok(reading.is_done()))
}

/// What is sent to a backend for this head.
fn sent_on(head: RequestHead) -> (BytesMut, Framing) {
    let framing = match head.length {
        Length::Known(0) => Framing::None,
        Length::Known(length) => Framing::Length(length),
        Length::Chunked => Framing::Chunked,
    };
    let request = Request {
        method: head.method,
        authority: head.authority,
        target: head.target,
        headers: head.headers,
        trailers: head.trailers,
        upgrade: head.upgrade,
        ..testing::request("/")
    };
    let mut out = BytesMut::new();
    let host = request.authority.written.clone();
    write::request(&mut out, &request, host.as_bytes(), framing, head.expects_continue);
    (out, framing)
}

/// A head that is one is sent on in one normal form, which is read again as the same.
pub(super) fn same_when_sent_on(text: &[u8]) {
    let Ok(Some(head)) = read(text, 100_000) else { return };
    let version_has_host = !head.authority.host.is_empty();
    let before = (
        head.method.clone(),
        head.authority.clone(),
        head.target.clone(),
        head.headers.clone(),
        head.length,
        head.upgrade.clone(),
        head.trailers && head.upgrade.is_none(),
        head.expects_continue,
    );
    let (out, _) = sent_on(head);
    assert_eq!(out.windows(4).filter(|four| four == b"\r\n\r\n").count(), 1);
    let again = read(&out, 100_000);
    if version_has_host {
        let again = again.expect("it is a head").expect("it is whole");
        let after = (
            again.method,
            again.authority,
            again.target,
            again.headers,
            again.length,
            again.upgrade,
            again.trailers,
            again.expects_continue,
        );
        assert_eq!(before, after);
    }
}

//! Properties of what is read: nothing panics, cuts between reads change nothing, and what is sent on is read by the
//! next one as it was read here.

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;

use super::answer_head::AnswerHead;
use super::fault::Fault;
use super::reading::Reading;
use super::request_head::{Length, RequestHead};
use super::scan::{HeadLimits, Scan};
use super::write::{self, Framing};
use crate::l7::cut::BodyError;
use crate::l7::request::Request;
use crate::l7::testing;

const LIMITS: HeadLimits = HeadLimits { bytes: 2000, fields: 20, target: 500 };

/// Pieces that heads, and what is nearly one, are made of.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "GET ",
        "POST ",
        "OPTIONS ",
        "/",
        "/a?b",
        "*",
        "http://h/",
        " HTTP/1.1\r\n",
        " HTTP/1.0\r\n",
        "Host: a\r\n",
        "Host: b:80\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Connection: close\r\n",
        "Connection: x-a, upgrade\r\n",
        "Upgrade: ws\r\n",
        "TE: trailers\r\n",
        "Expect: 100-continue\r\n",
        "X-A: b\r\n",
        "X-B:\t c \r\n",
        "\r\n",
        "\n",
        "\r",
        " ",
        "\t",
        ":",
        "\0",
        "\u{80}",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "a;x=y\r\n0123456789\r\n",
        "HTTP/1.1 200 OK\r\n",
        "204",
    ]);
    let piece =
        prop_oneof![8 => known.prop_map(|text| text.as_bytes().to_vec()), 1 => vec(any::<u8>(), 0..4)];
    let head =
        prop_oneof![Just("GET /a HTTP/1.1\r\nHost: a\r\n"), Just("POST / HTTP/1.1\r\nHost: a\r\n"), Just("")];
    (head, vec(piece, 0..12), prop_oneof![Just("\r\n"), Just("")])
        .prop_map(|(head, pieces, end)| [head.as_bytes(), &pieces.concat(), end.as_bytes()].concat())
}

/// Reads a head that comes in pieces of `step` bytes.
fn read(text: &[u8], step: usize) -> Result<Option<RequestHead>, Fault> {
    let (mut scan, mut buffer) = (Scan::default(), BytesMut::new());
    for piece in text.chunks(step) {
        buffer.extend_from_slice(piece);
        if let Some(end) = scan.end(&buffer, LIMITS)? {
            return RequestHead::parse(buffer.split_to(end), LIMITS.target).map(Some);
        }
    }
    Ok(None)
}

fn told(head: &Result<Option<RequestHead>, Fault>) -> String {
    format!("{head:?}")
}

/// A chunked body that comes in pieces of `step` bytes: its data, and how it ended.
fn body(text: &[u8], step: usize) -> (Vec<u8>, Result<bool, BodyError>) {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn cuts_between_reads_change_nothing(text in pieces(), step in 1_usize..9) {
        let whole = read(&text, text.len().max(1));
        let cut = read(&text, step);
        prop_assert_eq!(told(&whole), told(&cut));
    }

    #[test]
    fn chunks_are_the_same_however_they_are_cut(text in pieces(), step in 1_usize..9) {
        let (whole, end) = body(&text, text.len().max(1));
        let (cut, cut_end) = body(&text, step);
        prop_assert_eq!(end, cut_end);
        // Up to a fault, more may have been given away when it came in pieces.
        prop_assert!(end.is_err() || whole == cut);
    }

    #[test]
    fn what_is_sent_on_is_read_as_it_was_read_here(text in pieces()) {
        if let Ok(Some(head)) = read(&text, 100_000) {
            let version_has_host = !head.authority.host.is_empty();
            let before = (
                head.method.clone(), head.authority.clone(), head.target.clone(), head.headers.clone(),
                head.length, head.upgrade.clone(), head.trailers && head.upgrade.is_none(), head.expects_continue,
            );
            let (out, _) = sent_on(head);
            prop_assert_eq!(out.windows(4).filter(|four| four == b"\r\n\r\n").count(), 1);
            let again = read(&out, 100_000);
            if version_has_host {
                let again = again.unwrap().unwrap();
                let after = (
                    again.method, again.authority, again.target, again.headers, again.length, again.upgrade,
                    again.trailers, again.expects_continue,
                );
                prop_assert_eq!(before, after);
            }
        }
    }

    #[test]
    fn answers_never_panic(text in pieces()) {
        let text = [b"HTTP/1.1 200 OK\r\n", &text[..]].concat();
        if let Ok(Some(end)) = Scan::default().end(&text, LIMITS) {
            let _ = AnswerHead::parse(BytesMut::from(&text[..end]), &http::Method::GET);
        }
    }

    #[test]
    fn noise_never_panics(text in vec(any::<u8>(), 0..300), step in 1_usize..300) {
        let _ = read(&text, step);
        let _ = body(&text, step);
    }
}

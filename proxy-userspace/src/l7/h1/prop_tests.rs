//! Properties of what is read: nothing panics, cuts between reads change nothing, and what is sent on is read by the
//! next one as it was read here.

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;

use super::answer_head::AnswerHead;
use super::fuzz::{LIMITS, body, read, same_when_sent_on, told};
use super::scan::Scan;

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
        same_when_sent_on(&text);
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

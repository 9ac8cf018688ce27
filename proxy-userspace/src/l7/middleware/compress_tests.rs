//! Tests of `compress`.

use std::io::Read;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::Frame;
use proptest::prelude::*;

use super::*;
use crate::l7::cut::BodyError;
use crate::l7::testing::{Pieces, answering, collected, request, with};

const ALL: [(Encoding, &str); 3] =
    [(Encoding::Gzip, "gzip"), (Encoding::Brotli, "br"), (Encoding::Zstd, "zstd")];

fn compress() -> Compress {
    Compress::new(&CompressConfig {
        encodings: ALL.map(|(encoding, _)| encoding).to_vec(),
        min_bytes: 100,
        types: vec!["text/*".into(), "application/JSON".into()],
    })
}

fn decoded(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    match name {
        "gzip" => flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut text).map(drop),
        "br" => brotli::BrotliDecompress(&mut &*bytes, &mut text),
        _ => zstd::stream::copy_decode(bytes, &mut text),
    }
    .unwrap();
    text
}

/// What of an unfinished body can be read.
fn readable(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut reader: Box<dyn Read + '_> = match name {
        "gzip" => Box::new(flate2::read::GzDecoder::new(bytes)),
        "br" => Box::new(brotli::Decompressor::new(bytes, 4096)),
        _ => Box::new(zstd::stream::read::Decoder::new(bytes).unwrap()),
    };
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = reader.read(&mut piece) {
        text.extend_from_slice(&piece[..length]);
    }
    text
}

fn long() -> String {
    "All work and no play makes Jack a dull boy.\n".repeat(100)
}

async fn to(request: Request, fields: &'static [(&'static str, &'static str)], status: u16) -> Response {
    let inner = answering(move || {
        let mut response = Response::new(Body::full(long()));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        for (name, value) in fields {
            response.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        response
    });
    compress().answer(request, &inner).await
}

fn accepting(names: &str) -> Request {
    with(request("/"), "accept-encoding", names)
}

#[tokio::test]
async fn what_is_compressed_is_what_was_there() {
    for (_, name) in ALL {
        let response = to(accepting(name), &[("etag", "\"1\""), ("accept-ranges", "bytes")], 200).await;
        assert_eq!(response.headers()[CONTENT_ENCODING], name);
        assert_eq!(response.headers()[VARY], "Accept-Encoding");
        assert_eq!(response.headers()[ETAG], "W/\"1\"");
        assert!(!response.headers().contains_key(ACCEPT_RANGES));
        let bytes = response.body().as_full().expect("a whole body stays one").to_vec();
        assert!(bytes.len() < 500);
        assert_eq!(decoded(name, &bytes), long().as_bytes());
    }
}

#[tokio::test]
async fn what_must_stay_as_it_is_does() {
    const STAY: [&[(&str, &str)]; 6] = [
        &[("content-encoding", "gzip")],
        &[("cache-control", "public, no-transform")],
        &[("content-type", "image/png")],
        &[("content-type", "application/jsonp")],
        &[("content-range", "bytes 0-1/2")],
        &[("content-type", "tex")],
    ];
    for fields in STAY {
        let response = to(accepting("gzip"), fields, 200).await;
        assert_eq!(response.body().as_full(), Some(long().as_bytes()), "{fields:?}");
        assert!(!response.headers().contains_key(VARY), "{fields:?}");
    }
    let partial = to(accepting("gzip"), &[], 206).await;
    assert!(!partial.headers().contains_key(CONTENT_ENCODING));
}

#[tokio::test]
async fn caches_learn_of_it_from_answers_that_stay_too() {
    let response = to(request("/"), &[("vary", "Origin")], 200).await;
    let vary: Vec<_> = response.headers().get_all(VARY).iter().collect();
    assert_eq!(vary, ["Origin", "Accept-Encoding"]);
    assert_eq!(response.body().as_full(), Some(long().as_bytes()));
    let response = to(accepting("gzip"), &[("vary", "origin, ACCEPT-encoding")], 200).await;
    assert_eq!(response.headers()[VARY], "origin, ACCEPT-encoding");
}

#[tokio::test]
async fn short_bodies_stay() {
    let inner = answering(|| {
        let mut response = Response::new(Body::full("x".repeat(99)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    });
    let response = compress().answer(accepting("gzip"), &inner).await;
    assert_eq!(response.body().size_hint().exact(), Some(99));
}

#[tokio::test]
async fn head_is_told_the_same_as_get() {
    let mut request = accepting("gzip");
    request.method = Method::HEAD;
    let inner = answering(|| {
        let mut response = Response::new(Body::empty());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/css"));
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("5000"));
        response
    });
    let response = compress().answer(request, &inner).await;
    assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
    assert!(!response.headers().contains_key(CONTENT_LENGTH));
}

#[tokio::test]
async fn trailers_come_behind_the_compressed_body() {
    for (encoding, name) in ALL {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("1"));
        let frames =
            [Some(Ok(Frame::data(Bytes::from(long())))), Some(Ok(Frame::trailers(trailers.clone())))];
        let body = encoded(Body::stream(Pieces(frames.into())), encoding).unwrap();
        let (bytes, found) = collected(body).await.unwrap();
        assert_eq!(found, Some(trailers));
        assert_eq!(decoded(name, &bytes), long().as_bytes());
    }
}

#[tokio::test]
async fn a_body_that_is_cut_stays_cut() {
    let frames = [Some(Ok(Frame::data(Bytes::from(long())))), Some(Err(BodyError::Gone))];
    let body = encoded(Body::stream(Pieces(frames.into())), Encoding::Gzip).unwrap();
    assert_eq!(collected(body).await, Err(BodyError::Gone));
}

#[test]
fn what_waits_is_sent_on() {
    for (encoding, name) in ALL {
        let frames = [Some(Ok(Frame::data(Bytes::from_static(b"data: 1\n\n")))), None];
        let mut body = encoded(Body::stream(Pieces(frames.into())), encoding).unwrap();
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut context) else {
            panic!("{name}: nothing is sent on");
        };
        assert_eq!(readable(name, &frame.into_data().unwrap()), b"data: 1\n\n", "{name}");
    }
}

proptest! {
    // Encoders are slow where they are not optimised.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn bodies_come_out_as_they_went_in(
        pieces in proptest::collection::vec(
            proptest::option::weighted(0.8, proptest::collection::vec(any::<u8>(), 0..20_000)), 0..8),
        which in 0..ALL.len(),
    ) {
        let (encoding, name) = ALL[which];
        let whole = pieces.iter().flatten().flatten().copied().collect::<Vec<u8>>();
        let frames = pieces.into_iter().map(|piece| piece.map(|piece| Ok(Frame::data(Bytes::from(piece))))).collect();
        let body = encoded(Body::stream(Pieces(frames)), encoding).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (bytes, _) = runtime.block_on(collected(body)).unwrap();
        prop_assert_eq!(decoded(name, &bytes), whole);
    }
}

#[test]
fn caches_are_told_once() {
    let mut headers = HeaderMap::new();
    vary(&mut headers);
    vary(&mut headers);
    assert_eq!(headers.get_all(VARY).iter().count(), 1);
}

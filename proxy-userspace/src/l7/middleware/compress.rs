//! `compress`: bodies of answers are compressed if client, type and length suggest it.

use std::io;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body::Body as _;

use super::accept;
use super::encoded::Encoded;
use super::encoder::Encoder;
use super::place::Place;
use super::service::{LocalService, Step};
use crate::config::{CompressConfig, Encoding};
use crate::l7::body::Body;
use crate::l7::request::{Request, Response};

/// How bodies of answers are compressed.
#[derive(Debug)]
pub(super) struct Compress {
    encodings: Vec<Encoding>,
    min_bytes: u64,
    /// Lower case; what ends with `/` is the beginning of many.
    types: Vec<Box<str>>,
}

impl Compress {
    pub(super) fn new(config: &CompressConfig) -> Self {
        let plain = |media_type: &str| media_type.trim_end_matches('*').to_ascii_lowercase().into();
        Self {
            encodings: config.encodings.clone(),
            min_bytes: config.min_bytes,
            types: config.types.iter().map(|media_type| plain(media_type)).collect(),
        }
    }

    /// An answer that could be compressed, for whichever client.
    fn suits(&self, response: &Response, length: Option<u64>) -> bool {
        let (headers, status) = (response.headers(), response.status());
        let no_body = status.is_informational()
            || matches!(
                status,
                StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
            );
        // A range is one of the body as it is.
        let partial = status == StatusCode::PARTIAL_CONTENT || headers.contains_key(CONTENT_RANGE);
        let encoded = headers.get(CONTENT_ENCODING).is_some_and(|value| value != "identity");
        !(no_body || partial || encoded || response.body().is_tunnel())
            && length.is_none_or(|length| length >= self.min_bytes.max(1))
            && self.has_type(headers)
            && !no_transform(headers)
    }

    fn has_type(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(CONTENT_TYPE) else { return false };
        let bytes = value.as_bytes();
        let end = bytes.iter().position(|&byte| byte == b';').unwrap_or(bytes.len());
        let media_type = bytes[..end].trim_ascii();
        self.types.iter().any(|wanted| {
            let wanted = wanted.as_bytes();
            let many = wanted.is_empty() || wanted.ends_with(b"/");
            let begin = media_type.get(..wanted.len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(wanted))
                && (many || media_type.len() == wanted.len())
        })
    }
}

impl Step for Compress {
    async fn answer(&self, request: Request, next: &LocalService) -> Response {
        let encoding = accept::best(&request.headers, &self.encodings);
        let head = request.method == Method::HEAD;
        let mut response = next.answer(request).await;
        let length = length(&response, head);
        if !self.suits(&response, length) {
            return response;
        }
        vary(response.headers_mut());
        match encoding {
            Some(encoding) => encode(response, encoding, head),
            None => response,
        }
    }
}

/// The length of the body that an answer has, or would have if it were not one to HEAD.
fn length(response: &Response, head: bool) -> Option<u64> {
    if head {
        response.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    } else {
        response.body().size_hint().exact()
    }
}

fn encode(response: Response, encoding: Encoding, head: bool) -> Response {
    let (mut parts, body) = response.into_parts();
    let headers = &mut parts.headers;
    let body = if head {
        body
    } else {
        match encoded(body, encoding) {
            Ok(body) => body,
            // There is no room for an encoder: as it is, then.
            Err(body) => return Response::from_parts(parts, body),
        }
    };
    headers.insert(
        CONTENT_ENCODING,
        HeaderValue::from_static(match encoding {
            Encoding::Gzip => "gzip",
            Encoding::Brotli => "br",
            Encoding::Zstd => "zstd",
        }),
    );
    for name in &OF_THE_BYTES {
        headers.remove(name);
    }
    weaken(headers);
    Response::from_parts(parts, body)
}

/// Fields that are of the bytes as they were.
const OF_THE_BYTES: [HeaderName; 5] = [
    CONTENT_LENGTH,
    ACCEPT_RANGES,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
];

fn encoded(body: Body, encoding: Encoding) -> Result<Body, Body> {
    match body.into_full() {
        Ok(whole) => whole_encoded(&whole, encoding).map(Body::full).map_err(|_| Body::full(whole)),
        Err(body) => {
            let Some(place) = Place::take() else { return Err(body) };
            let Ok(encoder) = Encoder::new(encoding) else { return Err(body) };
            Ok(Body::stream(Encoded::new(body, encoder, place)))
        }
    }
}

fn whole_encoded(whole: &[u8], encoding: Encoding) -> io::Result<Bytes> {
    let mut encoder = Encoder::new(encoding)?;
    encoder.write(whole)?;
    encoder.finish()
}

/// RFC 9110 §12.5.5: caches ask what the client accepts.
fn vary(headers: &mut HeaderMap) {
    let lines = headers.get_all(VARY).iter();
    let mut names = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    let is_there = names.any(|name| {
        let name = name.trim_ascii();
        name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding")
    });
    if !is_there {
        headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}

/// RFC 9110 §8.8.1: other bytes, so not strongly the same.
fn weaken(headers: &mut HeaderMap) {
    let Some(tag) = headers.get(ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/")) else { return };
    if let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()) {
        headers.insert(ETAG, weak);
    }
}

/// RFC 9111 §5.2.2.6.
fn no_transform(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(CACHE_CONTROL).iter();
    let mut words = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    words.any(|word| word.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
}

#[cfg(test)]
#[path = "compress_tests.rs"]
mod tests;

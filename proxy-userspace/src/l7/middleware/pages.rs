//! `error_pages`: files that stand in for answers with some statuses.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, ETAG, LAST_MODIFIED,
};
use http::{HeaderName, HeaderValue, Method};

use super::service::{LocalService, Step};
use crate::config::StatusRange;
use crate::l7::body::Body;
use crate::l7::request::{Request, Response};
use crate::l7::respond::is_grpc;

/// Pages by status, the narrowest range first.
#[derive(Debug)]
pub(super) struct ErrorPages(Vec<(StatusRange, Page)>);

#[derive(Debug)]
struct Page {
    body: Bytes,
    media_type: &'static str,
}

/// Fields that are of the body that goes.
const OF_THE_BODY: [HeaderName; 12] = [
    ACCEPT_RANGES,
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    ETAG,
    LAST_MODIFIED,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("repr-digest"),
];

impl ErrorPages {
    /// Reads the files: once, so a page is there when everything else fails.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn read(pages: &BTreeMap<StatusRange, PathBuf>) -> Result<Self, (PathBuf, io::Error)> {
        let mut all = Vec::new();
        for (range, path) in pages {
            let body = fs::read(path).map_err(|error| (path.clone(), error))?;
            all.push((*range, Page { body: body.into(), media_type: media_type(path) }));
        }
        all.sort_by_key(|(range, _)| range.last.saturating_sub(range.first));
        Ok(Self(all))
    }

    fn of(&self, status: u16) -> Option<&Page> {
        self.0.iter().find(|(range, _)| (range.first..=range.last).contains(&status)).map(|(_, page)| page)
    }
}

impl Step for ErrorPages {
    async fn answer(&self, request: Request, next: &LocalService) -> Response {
        let head = request.method == Method::HEAD;
        let grpc = is_grpc(&request.headers);
        let mut response = next.answer(request).await;
        let tunnel = response.body().is_tunnel();
        let Some(page) = self.of(response.status().as_u16()).filter(|_| !grpc && !tunnel) else {
            return response;
        };
        let headers = response.headers_mut();
        for name in &OF_THE_BODY {
            headers.remove(name);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(page.media_type));
        if head {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(page.body.len()));
        } else {
            *response.body_mut() = Body::full(page.body.clone());
        }
        response
    }
}

fn media_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("json") => "application/json",
        Some("xml") => "application/xml",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::l7::testing::{answering, chunks, request, with};

    fn pages(name: &str) -> ErrorPages {
        let folder = std::env::temp_dir().join(format!("pn-pages-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut pages = BTreeMap::new();
        for (name, first, last) in [("all.html", 400, 599), ("missing.json", 404, 404)] {
            let path = folder.join(name);
            fs::write(&path, name).unwrap();
            pages.insert(StatusRange { first, last }, path);
        }
        let read = ErrorPages::read(&pages).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        read
    }

    fn failing(status: u16) -> LocalService {
        answering(move || {
            let mut response = Response::new(chunks(["a", "b"]));
            *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
            response.headers_mut().insert(ETAG, HeaderValue::from_static("\"x\""));
            response.headers_mut().insert("x-other", HeaderValue::from_static("stays"));
            response
        })
    }

    #[tokio::test]
    async fn the_page_of_the_narrowest_range_stands_in() {
        let pages = pages("narrowest");
        for (status, body, media_type) in
            [(404, "missing.json", "application/json"), (502, "all.html", "text/html; charset=utf-8")]
        {
            let response = pages.answer(request("/"), &failing(status)).await;
            assert_eq!(response.status(), status);
            assert_eq!(response.body().as_full(), Some(body.as_bytes()));
            assert_eq!(response.headers()[CONTENT_TYPE], media_type);
            assert_eq!(response.headers()["x-other"], "stays");
            assert!(!response.headers().contains_key(ETAG));
        }
    }

    #[tokio::test]
    async fn other_answers_and_those_to_grpc_stay() {
        let pages = pages("stay");
        assert!(pages.answer(request("/"), &failing(200)).await.body().as_full().is_none());
        let grpc = with(request("/"), "content-type", "application/grpc");
        assert!(pages.answer(grpc, &failing(404)).await.body().as_full().is_none());
    }

    #[tokio::test]
    async fn head_gets_the_length_of_the_page() {
        let mut request = request("/");
        request.method = Method::HEAD;
        let empty = answering(|| {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = http::StatusCode::NOT_FOUND;
            response
        });
        let response = pages("head").answer(request, &empty).await;
        assert_eq!(response.headers()[CONTENT_LENGTH], "12");
        assert_eq!(response.body().as_full(), Some(&[][..]));
    }

    #[test]
    fn a_page_that_is_not_there_is_named() {
        let path = PathBuf::from("/nonexistent/page.html");
        let pages = BTreeMap::from([(StatusRange { first: 500, last: 599 }, path.clone())]);
        assert_eq!(ErrorPages::read(&pages).unwrap_err().0, path);
    }
}

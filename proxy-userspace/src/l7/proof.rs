//! Answers to CAs that look for a proof by HTTP (RFC 8555 §8.3): at every listener, with TLS or without.

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};

use super::request::{Request, Response};
use super::respond;
use super::worker::Worker;

/// Below it stand the tokens.
const FOLDER: &str = "/.well-known/acme-challenge/";

/// The proof that a request asks for; none: it asks for something else, or for a proof of somebody behind us.
pub(super) fn answer(worker: &Worker, request: &Request) -> Option<Response> {
    let token = request.target.path().strip_prefix(FOLDER)?;
    let head = request.method == Method::HEAD;
    if !head && request.method != Method::GET {
        return None;
    }
    let proof = worker.snapshot().challenges.http(token)?;
    let mut response = respond::text(head, StatusCode::OK, proof.into_string());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Some(response)
}

//! Asks the API of a provider.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};

use crate::acme::http::{Client, HttpError};

/// No more of what an API says is passed on.
const SAID_BYTES: usize = 512;

/// Why an API did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum ApiError {
    #[error("`endpoint` of [acme.dns] is not a URL: {0}")]
    Url(#[from] http::Error),
    #[error("the credentials of [acme.dns] have characters that no header can have")]
    Credentials,
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("{url} answers with {status}: {said}")]
    Refused { url: Box<str>, status: StatusCode, said: Box<str> },
    #[error("what {url} answers is not understood")]
    Strange { url: Box<str> },
    #[error("no zone for {0} is found with these credentials")]
    NoZone(Box<str>),
    #[error("the records at {0} are changed by others all the time")]
    Contended(Box<str>),
    #[error("the change of {fqdn} was not done everywhere within {seconds} s")]
    NotInSync { fqdn: Box<str>, seconds: u64 },
}

/// A value that no log may show.
pub(super) fn secret(value: &str) -> Result<HeaderValue, ApiError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| ApiError::Credentials)?;
    value.set_sensitive(true);
    Ok(value)
}

/// A question with these headers, and its body of this type.
pub(super) fn request(
    method: Method,
    url: &str,
    authorization: HeaderValue,
    more: HeaderMap,
    (kind, body): (&'static str, Bytes),
) -> Result<Request<Bytes>, ApiError> {
    let mut request = Request::builder().method(method).uri(url).header(AUTHORIZATION, authorization);
    if !body.is_empty() {
        request = request.header(CONTENT_TYPE, kind);
    }
    let mut request = request.body(body)?;
    request.headers_mut().extend(more);
    Ok(request)
}

/// Asks.
pub(super) async fn send(client: &Client, request: Request<Bytes>) -> Result<Response<Bytes>, ApiError> {
    Ok(client.send(request).await?)
}

/// What an API says, cut short, in one line.
pub(super) fn said(text: &str) -> Box<str> {
    let end = text.floor_char_boundary(SAID_BYTES);
    text[..end].replace(char::is_control, " ").trim().into()
}

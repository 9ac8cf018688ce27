//! What the access log says of a request that is not there any more when its answer ends.

use bytes::Bytes;
use http::{HeaderValue, Method, Version};

/// Kept for the access log: the request as its client sent it, by reference.
#[derive(Debug)]
pub struct Seen {
    pub(super) method: Method,
    pub(super) uri: Bytes,
    pub(super) host: HeaderValue,
    pub(super) version: Version,
    pub(super) referer: Option<HeaderValue>,
    pub(super) agent: Option<HeaderValue>,
}

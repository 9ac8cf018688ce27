//! An answer, whatever version of HTTP it came in.

use http::{StatusCode, Version};

use super::body::Body;
use super::field_block::FieldBlock;

/// An answer. `headers` holds end-to-end fields only; Content-Length stands in the body's size hint (but in an answer
/// to HEAD, and in a 304, where the field says what the body would be). The body may be a tunnel.
#[derive(Debug)]
pub struct Response {
    parts: Parts,
    body: Body,
}

/// An answer without its body.
#[derive(Default, Debug)]
pub struct Parts {
    /// Its status.
    pub status: StatusCode,
    /// The version that it came in.
    pub version: Version,
    /// End-to-end fields.
    pub headers: FieldBlock,
}

impl Response {
    /// With status 200.
    pub fn new(body: Body) -> Self {
        Self { parts: Parts::default(), body }
    }

    /// Of both.
    pub fn from_parts(parts: Parts, body: Body) -> Self {
        Self { parts, body }
    }

    /// Both.
    pub fn into_parts(self) -> (Parts, Body) {
        (self.parts, self.body)
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.parts.status
    }

    /// Its status, to be changed.
    pub fn status_mut(&mut self) -> &mut StatusCode {
        &mut self.parts.status
    }

    /// The version that it came in.
    pub fn version(&self) -> Version {
        self.parts.version
    }

    /// The version, to be changed.
    pub fn version_mut(&mut self) -> &mut Version {
        &mut self.parts.version
    }

    /// Its fields.
    pub fn headers(&self) -> &FieldBlock {
        &self.parts.headers
    }

    /// Its fields, to be changed.
    pub fn headers_mut(&mut self) -> &mut FieldBlock {
        &mut self.parts.headers
    }

    /// Its body.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Its body, to be changed.
    pub fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    /// Its body alone.
    pub fn into_body(self) -> Body {
        self.body
    }
}

//! What is answered.

use http::StatusCode;
use serde_json::Value;

use super::problem::Problem;

/// An answer, without the fields that every answer has.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) kind: &'static str,
    pub(super) body: Vec<u8>,
    pub(super) location: Option<String>,
    pub(super) up: Option<String>,
}

impl Reply {
    pub(super) fn json(status: StatusCode, value: &Value) -> Self {
        let body = value.to_string().into_bytes();
        Self { status, kind: "application/json", body, location: None, up: None }
    }

    pub(super) fn ok(value: &Value) -> Self {
        Self::json(StatusCode::OK, value)
    }

    pub(super) fn empty(status: StatusCode) -> Self {
        Self { status, kind: "text/plain", body: Vec::new(), location: None, up: None }
    }

    pub(super) fn bytes(kind: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status: StatusCode::OK, kind, body: body.into(), location: None, up: None }
    }

    pub(super) fn problem(problem: &Problem) -> Self {
        Self { kind: "application/problem+json", ..Self::json(problem.kind.status(), &problem.json()) }
    }

    /// Where the thing is that this is about.
    pub(super) fn at(mut self, location: String) -> Self {
        self.location = Some(location);
        self
    }

    /// What this belongs to (RFC 8555 §7.5.1).
    pub(super) fn below(mut self, up: String) -> Self {
        self.up = Some(up);
        self
    }
}

//! What a client is told of limits: Retry-After (RFC 9110 §10.2.3), and RateLimit-Policy and RateLimit as
//! draft-ietf-httpapi-ratelimit-headers has them: lists, with an item a limit.

use std::fmt::Write;

use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue};

use super::live::{Live, quoted};
use crate::l7::response::Response;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// What a client is told of limits.
#[derive(Clone, Default, Debug)]
pub struct Fields {
    policy: String,
    state: String,
    /// In so many seconds it would do better.
    retry_after: Option<u64>,
}

impl Fields {
    /// It has passed; so many fractions are left.
    pub(super) fn passed(&mut self, live: &Live, left: u64) {
        let numbers = live.numbers();
        let remaining = numbers.left(left);
        // Until there is one more if there is none, else until all are back.
        let until = if remaining == 0 {
            numbers.gcra.cost(1).saturating_sub(left)
        } else {
            numbers.gcra.tolerance.saturating_sub(left)
        };
        self.add(live, &numbers.policy, remaining, numbers.seconds(until));
    }

    /// It was refused, and would not be after so many fractions.
    pub(super) fn refused(&mut self, live: &Live, wait: u64) {
        let numbers = live.numbers();
        let seconds = numbers.seconds(wait).max(1);
        // What others have left is of no use to it.
        *self = Self { retry_after: Some(seconds), ..Self::default() };
        self.add(live, &numbers.policy, 0, seconds);
    }

    fn add(&mut self, live: &Live, policy: &str, remaining: u64, seconds: u64) {
        for text in [&mut self.policy, &mut self.state] {
            if !text.is_empty() {
                text.push_str(", ");
            }
        }
        self.policy.push_str(policy);
        // Writing to a string cannot fail.
        let _ = write!(self.state, "{};r={remaining};t={seconds}", quoted(&live.name));
    }

    /// Puts them into an answer. What its backend says of its own limits stays, but a time to wait is ours.
    pub fn put(&self, response: &mut Response) {
        let headers = response.headers_mut();
        for (name, text) in [(POLICY, &self.policy), (STATE, &self.state)] {
            // Names and numbers are values.
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.add(name, value);
            }
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
    }
}

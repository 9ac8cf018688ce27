//! Remembers the head of a CA's last answer, which says more than instant-acme hands on: when to ask again, and where an
//! order is whose answer was not understood.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, LOCATION, RETRY_AFTER};
use instant_acme::HttpClient;

use super::super::clock::Clock;
use super::super::http::Client;

/// Nobody is waited for longer.
const LONGEST_WAIT: Duration = Duration::from_secs(86_400);

/// The HTTP client of one order: it asks one thing after the other.
#[derive(Clone, Debug)]
pub(crate) struct Tap {
    client: Client,
    clock: Clock,
    seen: Arc<Mutex<Seen>>,
}

/// An answer's head.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Seen {
    /// 0: there was none.
    pub(crate) status: u16,
    /// `Retry-After`.
    pub(crate) retry_after: Option<Duration>,
    /// `Location`.
    pub(crate) location: Option<Box<str>>,
}

impl Tap {
    pub(crate) fn new(client: Client, clock: Clock) -> Self {
        Self { client, clock, seen: Arc::default() }
    }

    /// The last answer's.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Seen {
    pub(crate) fn of(status: u16, head: &HeaderMap, clock: &Clock) -> Self {
        let text = |name| head.get(name).and_then(|value| value.to_str().ok());
        Self {
            status,
            retry_after: text(RETRY_AFTER).and_then(|value| retry_after(value.trim(), clock)),
            location: text(LOCATION).map(Into::into),
        }
    }
}

impl HttpClient for Tap {
    fn request(
        &self,
        request: http::Request<instant_acme::BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<instant_acme::BytesResponse, instant_acme::Error>> + Send>> {
        let tap = self.clone();
        Box::pin(async move {
            *tap.seen.lock().unwrap_or_else(PoisonError::into_inner) = Seen::default();
            let answer = HttpClient::request(&tap.client, request).await?;
            let seen = Seen::of(answer.parts.status.as_u16(), &answer.parts.headers, &tap.clock);
            *tap.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
            Ok(answer)
        })
    }
}

/// Seconds, or a date (RFC 9110 §10.2.3).
pub(crate) fn retry_after(value: &str, clock: &Clock) -> Option<Duration> {
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(value).ok()?;
            clock.until(date.timestamp().into())
        }
    };
    Some(wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::super::super::clock::from_unix;
    use super::*;

    #[test]
    fn both_forms_of_retry_after_are_understood_and_neither_is_endless() {
        let clock = Clock::fixed(from_unix(784_111_770));
        assert_eq!(retry_after("120", &clock), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT", &clock), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:00 GMT", &clock), Some(Duration::ZERO));
        assert_eq!(retry_after("99999999999", &clock), Some(LONGEST_WAIT));
        assert_eq!(retry_after("soon", &clock), None);
    }
}

//! `max_body`: how long the body of a request may be.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use super::service::{LocalService, Step};
use crate::l7::body::Body;
use crate::l7::cause::Cause;
use crate::l7::cut::BodyError;
use crate::l7::request::{Request, Response};
use crate::l7::respond::{Form, refuse};

/// Bytes that a body may have.
#[derive(Debug)]
pub(super) struct MaxBody(pub(super) u64);

impl Step for MaxBody {
    async fn answer(&self, mut request: Request, next: &LocalService) -> Response {
        match limit_body(&mut request, self.0) {
            Ok(()) => next.answer(request).await,
            Err(cause) => refuse(Form::of(&request), &request.record, cause),
        }
    }
}

/// Sees to it that a request's body is no longer than this. One whose length is not known fails with
/// [`BodyError::TooLong`] when it is.
///
/// # Errors
/// It is known to be longer.
pub fn limit_body(request: &mut Request, limit: u64) -> Result<(), Cause> {
    let size = request.body.size_hint();
    if size.lower() > limit {
        return Err(Cause::BodyTooLong);
    }
    // A length that was promised is kept: what reads the body sees to that.
    if size.upper().is_none_or(|upper| upper > limit) {
        let body = std::mem::replace(&mut request.body, Body::empty());
        request.body = Body::stream(Limited { body, left: limit });
    }
    Ok(())
}

struct Limited {
    body: Body,
    left: u64,
}

impl http_body::Body for Limited {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            match self.left.checked_sub(data.len() as u64) {
                Some(left) => self.left = left,
                None => return Poll::Ready(Some(Err(BodyError::TooLong))),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::l7::testing::{chunks, collected, request};

    #[test]
    fn a_body_known_to_be_too_long_is_refused() {
        let mut request = request("/");
        request.body = Body::full("12345");
        assert_eq!(limit_body(&mut request, 4), Err(Cause::BodyTooLong));
        assert_eq!(limit_body(&mut request, 5), Ok(()));
        assert!(request.body.as_full().is_some());
    }

    #[tokio::test]
    async fn a_body_that_becomes_too_long_fails() {
        let mut request = request("/");
        request.body = chunks(["12", "34", "5"]);
        limit_body(&mut request, 4).unwrap();
        assert_eq!(collected(request.body).await, Err(BodyError::TooLong));
    }

    #[tokio::test]
    async fn a_body_that_stays_within_passes() {
        let mut request = request("/");
        request.body = chunks(["12", "34", "5"]);
        limit_body(&mut request, 5).unwrap();
        assert_eq!(collected(request.body).await, Ok((b"12345".to_vec(), None)));
    }
}

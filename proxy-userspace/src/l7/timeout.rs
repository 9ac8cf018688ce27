//! The time that an exchange may take as a whole.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::body::Body;
use super::cause::Cause;
use super::cut::BodyError;
use super::request::Response;
use crate::net::deadline::Deadline;

/// The answer, unless it takes longer: its body too. A tunnel is no exchange any more.
pub(super) async fn whole(
    due: Instant,
    answer: impl Future<Output = Result<Response, Cause>>,
) -> Result<Response, Cause> {
    let mut answer =
        tokio::time::timeout_at(due.into(), answer).await.map_err(|_| Cause::RequestTimeout)??;
    let is_there = answer.body().is_tunnel() || answer.body().as_full().is_some();
    if is_there {
        return Ok(answer);
    }
    let mut deadline = Deadline::default();
    deadline.set(due);
    let body = std::mem::replace(answer.body_mut(), Body::empty());
    *answer.body_mut() = Body::stream(Limited { body, deadline });
    Ok(answer)
}

/// A body that is cut when its time is over.
struct Limited {
    body: Body,
    deadline: Deadline,
}

impl http_body::Body for Limited {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Pending => self.deadline.poll(context).map(|()| Some(Err(BodyError::TooSlow))),
            ready => ready,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

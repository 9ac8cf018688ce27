//! The answer of a stream of HTTP/2 as everybody else sees it.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::RecvStream;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, StatusCode};
use http_body::{Frame, SizeHint};

use super::streams::Stream;
use super::upload::{Going, Watch};
use crate::l7::body::Body;
use crate::l7::cut::BodyError;
use crate::l7::headers::remove_hop_by_hop;
use crate::l7::request::{Parts, Response};
use crate::net::deadline::Deadline;
use crate::upstream::Permit;

/// What an answer holds until its end; of the request's body what is left: a backend that has ended its answer does not
/// want it.
pub(super) type Held = (Stream, Permit, Option<Going>);

/// The answer to a request of this method.
pub(super) fn answer(
    answer: http::Response<RecvStream>,
    method: &Method,
    idle: Duration,
    held: Held,
    watch: Rc<Watch>,
) -> Response {
    let (mut head, body) = answer.into_parts();
    // RFC 9113 §8.2.2: none of them is allowed; nobody is told of them.
    remove_hop_by_hop(&mut head.headers);
    // Of these the field says what the body would be; of others the body itself does.
    let stated = *method == Method::HEAD || head.status == StatusCode::NOT_MODIFIED;
    let left = if stated { None } else { length(&head.headers) };
    if !stated {
        head.headers.remove(CONTENT_LENGTH);
    }
    let body = if body.is_end_stream() {
        Body::empty()
    } else {
        let deadline = Deadline::default();
        Body::stream(Answer { body, left, held: Some(held), watch, idle, deadline, since: None })
    };
    let parts = Parts { status: head.status, version: head.version, headers: head.headers.into() };
    Response::from_parts(parts, body)
}

/// The library has seen to it that there is one length only, and that it is kept.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The body of an answer.
struct Answer {
    body: RecvStream,
    /// Bytes until its end, if that was said.
    left: Option<u64>,
    held: Option<Held>,
    /// The request's body may still be on its way.
    watch: Rc<Watch>,
    /// Nothing may move either way for so long.
    idle: Duration,
    deadline: Deadline,
    since: Option<Instant>,
}

impl Answer {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if let Some(data) = ready!(self.body.poll_data(context)) {
            let data = data?;
            self.body.flow_control().release_capacity(data.len())?;
            self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let trailers = ready!(self.body.poll_trailers(context))?;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let frame = match this.poll_next(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                if this.watch.has_moved() {
                    this.since = None;
                }
                this.deadline.set(*this.since.get_or_insert_with(Instant::now) + this.idle);
                ready!(this.deadline.poll(context));
                return Poll::Ready(Some(Err(BodyError::TooSlow)));
            }
        };
        this.since = None;
        if !matches!(frame, Some(Ok(_))) || this.body.is_end_stream() {
            this.held = None;
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|_| BodyError::Gone)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

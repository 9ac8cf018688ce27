//! Fields that a route decides on do not come after the body either: there are backends that take trailers for fields.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderName;
use http_body::{Frame, SizeHint};

use crate::l7::body::Body;
use crate::l7::cut::BodyError;
use crate::l7::request::Request;

/// Sees to it that none of these is among the request's trailers.
pub(super) fn keep_out(request: &mut Request, names: &Arc<[HeaderName]>) {
    // What is there as a whole has none.
    if names.is_empty() || request.body.as_full().is_some() {
        return;
    }
    let body = std::mem::replace(&mut request.body, Body::empty());
    request.body = Body::stream(Without { body, names: Arc::clone(names) });
}

/// A body without some trailers.
struct Without {
    body: Body,
    names: Arc<[HeaderName]>,
}

impl http_body::Body for Without {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            for name in &*self.names {
                trailers.remove(name);
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
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::l7::testing::{Pieces, collected, request};

    #[tokio::test]
    async fn what_a_route_decides_on_does_not_come_after_the_body() {
        let mut trailers = HeaderMap::new();
        for name in ["x-user", "x-t"] {
            trailers.append(name, HeaderValue::from_static("root"));
        }
        let frames = [Frame::data("a".into()), Frame::trailers(trailers)];
        let mut request = request("/");
        request.body = Body::stream(Pieces(frames.into_iter().map(|frame| Some(Ok(frame))).collect()));
        keep_out(&mut request, &[HeaderName::from_static("x-user")].into());
        let (body, trailers) = collected(request.body).await.unwrap();
        assert_eq!(body, b"a");
        let trailers = trailers.unwrap();
        assert_eq!((trailers.len(), &trailers["x-t"]), (1, &HeaderValue::from_static("root")));
    }
}

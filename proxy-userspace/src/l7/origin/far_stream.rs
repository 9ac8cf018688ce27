//! A tunnel through a stream of HTTP/2 to a backend (RFC 8441).

use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY};
use http::{HeaderValue, StatusCode, Version};

use super::streams::Stream;
use crate::l7::body::Body;
use crate::l7::cut::BodyError;
use crate::l7::headers::remove_hop_by_hop;
use crate::l7::request::{Parts, Request, Response};
use crate::l7::tunnel::Tunnel;
use crate::net::deadline::Deadline;
use crate::upstream::Permit;

/// No more goes to the library at once.
const PIECE: usize = 16 << 10;
/// What a WebSocket server adds to the client's key (RFC 6455 §1.3).
const WEBSOCKET: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The stream, after its 2xx.
#[derive(Debug)]
pub(super) struct FarStream {
    to: SendStream<Bytes>,
    from: RecvStream,
    ended: bool,
    /// Nothing may move either way for so long.
    idle: Duration,
    deadline: Deadline,
    since: Option<Instant>,
    _held: (Stream, Permit),
}

/// The answer as HTTP/1.1 has it: what serves the client knows what its own protocol wants of that.
pub(super) fn switched(
    request: &Request,
    answer: http::Response<RecvStream>,
    to: SendStream<Bytes>,
    idle: Duration,
    held: (Stream, Permit),
) -> Response {
    let (mut head, from) = answer.into_parts();
    remove_hop_by_hop(&mut head.headers);
    head.headers.remove(CONTENT_LENGTH);
    head.headers.remove(SEC_WEBSOCKET_ACCEPT);
    if let Some(key) = request.headers.get(SEC_WEBSOCKET_KEY)
        && request.upgrade.as_deref() == Some("websocket")
    {
        head.headers.insert(SEC_WEBSOCKET_ACCEPT, accept(key));
    }
    let far =
        FarStream { to, from, ended: false, idle, deadline: Deadline::default(), since: None, _held: held };
    let parts = Parts {
        status: StatusCode::SWITCHING_PROTOCOLS,
        version: Version::HTTP_2,
        headers: head.headers.into(),
    };
    Response::from_parts(parts, Body::tunnel(Box::new(far)))
}

/// What proves that the key was read (RFC 6455 §4.2.2): of a backend by HTTP/2 nobody asks that.
fn accept(key: &HeaderValue) -> HeaderValue {
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key.as_bytes().trim_ascii());
    hash.update(WEBSOCKET);
    let text = STANDARD.encode(hash.finish());
    // Base64 is a value.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

impl Tunnel for FarStream {
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let Poll::Ready(data) = self.from.poll_data(context) else {
            ready!(self.poll_still(context));
            return Poll::Ready(Some(Err(BodyError::TooSlow)));
        };
        self.since = None;
        let Some(data) = data else { return Poll::Ready(None) };
        let data = data.and_then(|data| {
            self.from.flow_control().release_capacity(data.len())?;
            Ok(data)
        });
        Poll::Ready(Some(data.map_err(|_| BodyError::Gone)))
    }

    fn poll_send(&mut self, context: &mut Context<'_>, bytes: &mut Bytes) -> Poll<Result<(), BodyError>> {
        while !bytes.is_empty() {
            self.to.reserve_capacity(1);
            while self.to.capacity() == 0 {
                match ready!(self.to.poll_capacity(context)) {
                    Some(Ok(_)) => {}
                    _ => return Poll::Ready(Err(BodyError::Gone)),
                }
            }
            let piece = bytes.split_to(bytes.len().min(PIECE));
            self.to.send_data(piece, false).map_err(|_| BodyError::Gone)?;
            self.since = None;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_end(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        if std::mem::replace(&mut self.ended, true) {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(self.to.send_data(Bytes::new(), true).map_err(|_| BodyError::Gone))
    }

    fn poll_still(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.deadline.set(*self.since.get_or_insert_with(Instant::now) + self.idle);
        self.deadline.poll(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_answered_as_the_rfc_says() {
        // RFC 6455 §1.3.
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}

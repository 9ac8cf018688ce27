//! Requests for tests.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use http_body::Frame;
use http_body_util::BodyExt;

use super::body::Body;
use super::cut::BodyError;
use super::middleware::LocalService;
use super::request::{Authority, Connection, Record, Request, Response};
use crate::config::{GuardConfig, ListenerName, SteerConfig, WebBind, WebLimits, WebListenerConfig};
use crate::route::RequestTarget;

/// Where the client of [`request`] is.
pub(super) const CLIENT: &str = "192.0.2.7:4711";

/// A GET of this path from [`CLIENT`] to `example.com`, on a listener named `web`.
pub(super) fn request(path: &str) -> Request {
    from(CLIENT, &[], path)
}

/// A GET from this client, of which the listener trusts those in `trusted`.
pub(super) fn from(client: &str, trusted: &[&str], path: &str) -> Request {
    let client: SocketAddr = client.parse().unwrap();
    let trusted_proxies: Vec<ipnet::IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
    let trusted = trusted_proxies.iter().any(|net| net.contains(&client.ip()));
    let local: SocketAddr = "192.0.2.1:80".parse().unwrap();
    let listener = WebListenerConfig {
        name: ListenerName::from("web"),
        bind: vec![WebBind::Tcp(local)],
        http2: true,
        proxy_protocol: false,
        trusted_proxies,
        limits: WebLimits::default(),
        access_log: false,
        guard: GuardConfig::default(),
        tls: None,
        steer: SteerConfig::default(),
        redirect_https: None,
    };
    Request {
        method: Method::GET,
        authority: Authority {
            written: HeaderValue::from_static("example.com"),
            host: "example.com".into(),
            port: None,
        },
        target: RequestTarget::parse(Bytes::copy_from_slice(path.as_bytes())).unwrap(),
        version: Version::HTTP_11,
        headers: HeaderMap::new().into(),
        body: Body::empty(),
        trailers: false,
        expects_continue: false,
        upgrade: None,
        interim: None,
        connection: Rc::new(Connection { listener: Arc::new(listener), client, local, trusted, tls: None }),
        record: Rc::new(Record::begin(Instant::now())),
    }
}

/// The request with one more field.
pub(super) fn with(mut request: Request, name: &'static str, value: &str) -> Request {
    request.headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    request
}

/// A body whose length is not known, of these pieces.
pub(super) fn chunks<const N: usize>(pieces: [&'static str; N]) -> Body {
    Body::stream(Pieces(pieces.into_iter().map(|piece| Some(Ok(Frame::data(piece.into())))).collect()))
}

/// A body that gives these frames; where there is none, it waits once.
pub(super) struct Pieces(pub(super) VecDeque<Option<Result<Frame<Bytes>, BodyError>>>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.0.pop_front() {
            None => Poll::Ready(None),
            Some(Some(frame)) => Poll::Ready(Some(frame)),
            Some(None) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

/// A whole body, and its trailers.
pub(super) async fn collected(mut body: Body) -> Result<(Vec<u8>, Option<HeaderMap>), BodyError> {
    let (mut whole, mut trailers) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => whole.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((whole, trailers))
}

/// A service that gives this answer.
pub(super) fn answering(answer: impl Fn() -> Response + 'static) -> LocalService {
    LocalService::new(move |_| std::future::ready(answer()))
}

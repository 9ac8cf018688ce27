//! Requests for tests.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

use super::body::Body;
use super::request::{Authority, Connection, Record, Request};
use crate::config::{ListenerName, WebBind, WebLimits, WebListenerConfig};
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
        headers: HeaderMap::new(),
        body: Body::empty(),
        trailers: false,
        expects_continue: false,
        upgrade: None,
        interim: None,
        connection: Rc::new(Connection {
            listener: Arc::new(listener),
            client,
            local,
            trusted,
            https: false,
        }),
        record: Rc::new(Record::begin(Instant::now())),
    }
}

/// The request with one more field.
pub(super) fn with(mut request: Request, name: &'static str, value: &str) -> Request {
    request.headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    request
}

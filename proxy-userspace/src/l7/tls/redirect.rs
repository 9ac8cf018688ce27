//! Requests that came without TLS, for what is served by TLS: they are sent there.

use http::header::{CONTENT_LENGTH, LOCATION};
use http::{HeaderValue, Method, StatusCode};

use crate::config::RedirectHttps;
use crate::l7::answer;
use crate::l7::body::Body;
use crate::l7::request::{Request, Response};
use crate::l7::snapshot::Snapshot;
use crate::route::Query;

/// Where a request should have gone; none: it is served here. `route` is what wants it at its own listener.
pub(in crate::l7) fn wanted<'a>(
    snapshot: &Snapshot,
    request: &'a Request,
    route: Option<u32>,
) -> Option<&'a RedirectHttps> {
    let to = request.connection.listener.redirect_https.as_ref()?;
    // A proxy before us may have spoken TLS for us. Who named no host cannot be sent anywhere.
    if request.record.https.get() || request.authority.host.is_empty() {
        return None;
    }
    match route {
        // A route of this listener alone is meant to be served without TLS.
        Some(route) if !snapshot.config.routes[route as usize].listeners.contains(&to.listener) => None,
        Some(_) => Some(to),
        None => {
            let there = Query {
                listener: to.listener.as_str(),
                host: &request.authority.host,
                target: &request.target,
                method: &request.method,
                headers: &request.headers,
                client: request.client_ip(),
                hello: None,
            };
            snapshot.router.find(&there).map(|_| to)
        }
    }
}

/// The answer that sends it there: the method stays (RFC 9110 §15.4.9).
pub(in crate::l7) fn answer(request: &Request, to: &RedirectHttps) -> Response {
    let host = &request.authority.host;
    let mut url = Vec::with_capacity(host.len() + request.target.as_bytes().len() + 16);
    url.extend_from_slice(b"https://");
    match host.contains(':') {
        true => url.extend_from_slice(format!("[{host}]").as_bytes()),
        false => url.extend_from_slice(host.as_bytes()),
    }
    if to.port != 443 {
        url.extend_from_slice(format!(":{}", to.port).as_bytes());
    }
    // `*` of OPTIONS is no path.
    if request.target.as_bytes().starts_with(b"/") {
        url.extend_from_slice(request.target.as_bytes());
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(LOCATION, answer::location(&url));
    if request.method == Method::HEAD {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    response
}

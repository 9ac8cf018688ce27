//! Tests of `headers`.

use super::*;
use crate::l7::testing::{from, request, with};

const PROXY: &str = "10.0.0.1:99";
const TRUSTED: &[&str] = &["10.0.0.0/8"];

fn presented(mut request: Request) -> Request {
    arrive(&mut request).unwrap();
    present(&mut request, false);
    request
}

#[test]
fn a_backend_learns_who_asks_and_how() {
    let request = presented(request("/"));
    let headers = &request.headers;
    assert_eq!(headers[FOR], "192.0.2.7");
    assert_eq!(headers[FORWARDED], "for=192.0.2.7;host=\"example.com\";proto=http");
    assert_eq!(headers[PROTO], "http");
    assert_eq!(headers[HOST], "example.com");
    assert_eq!(headers[PORT], "80");
    assert_eq!(headers[VIA], "1.1 proxy-now");
    assert_eq!(headers[REQUEST_ID].len(), 32);
    assert_eq!(Some(&headers[REQUEST_ID]), request.record.id.borrow().as_ref().map(Id::value).as_ref());
}

#[test]
fn what_an_untrusted_client_says_of_itself_is_removed() {
    let mut request = request("/");
    for name in [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-real-ip",
        "x_forwarded_for",
        "x_real-ip",
        "x-request-id",
    ] {
        request = with(request, name, "6.6.6.6");
    }
    request = with(request, "forwarded", "for=6.6.6.6");
    request = with(request, "x-forwarding", "stays");
    arrive(&mut request).unwrap();
    assert_eq!(request.headers.len(), 1, "{:?}", request.headers);
    assert_eq!(request.client_ip().to_string(), "192.0.2.7");
}

#[test]
fn a_trusted_proxy_is_believed_and_added_to() {
    let request = with(from(PROXY, TRUSTED, "/"), "x-forwarded-for", "203.0.113.9");
    let request = with(request, "x-forwarded-proto", "https");
    let request = with(request, "x-forwarded-host", "front.example");
    let request = with(request, "x-request-id", "abc-1");
    let request = presented(with(request, "via", "1.1 front"));
    assert_eq!(request.client_ip().to_string(), "203.0.113.9");
    assert!(request.record.https.get());
    let headers = &request.headers;
    assert_eq!(headers[FOR], "203.0.113.9, 10.0.0.1");
    assert_eq!(headers[PROTO], "https");
    assert_eq!(headers[HOST], "front.example");
    assert_eq!(headers[PORT], "443");
    assert_eq!(headers[VIA], "1.1 front, 1.1 proxy-now");
    assert_eq!(headers[REQUEST_ID], "abc-1");
}

#[test]
fn an_address_that_a_client_put_before_the_proxys_is_not_believed() {
    let request = with(from(PROXY, TRUSTED, "/"), "x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.0.0.2");
    assert_eq!(presented(request).client_ip().to_string(), "203.0.113.9");
}

#[test]
fn of_two_stories_one_is_believed() {
    let request = with(from(PROXY, TRUSTED, "/"), "x-forwarded-for", "203.0.113.9");
    let request = presented(with(request, "forwarded", "for=6.6.6.6;proto=https"));
    assert_eq!(request.client_ip().to_string(), "203.0.113.9");
    assert!(!request.record.https.get());
    assert_eq!(request.headers[FORWARDED], "for=10.0.0.1;host=\"example.com\";proto=http");
}

#[test]
fn forwarded_alone_is_believed() {
    let request = presented(with(from(PROXY, TRUSTED, "/"), "forwarded", "for=203.0.113.9;proto=https"));
    assert_eq!(request.client_ip().to_string(), "203.0.113.9");
    assert!(request.record.https.get());
    assert!(
        request.headers[FORWARDED]
            .to_str()
            .unwrap()
            .starts_with("for=203.0.113.9;proto=https, for=10.0.0.1;")
    );
}

#[test]
fn ids_of_others_are_taken_only_if_they_are_ids() {
    for bad in ["", "a b", &"x".repeat(129)] {
        let request = presented(with(from(PROXY, TRUSTED, "/"), "x-request-id", bad));
        assert_eq!(request.headers[REQUEST_ID].len(), 32);
    }
}

#[test]
fn what_goes_round_in_circles_is_refused() {
    let mut request = with(request("/"), "via", &["1.1 proxy-now"; ROUNDS - 1].join(", "));
    assert_eq!(arrive(&mut request), Ok(()));
    let mut request = with(request, "via", "2 proxy-now");
    assert_eq!(arrive(&mut request), Err(Cause::Loop));
}

#[test]
fn fields_of_one_connection_are_removed_with_those_it_names() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("connection", "close, X-Secret"),
        ("connection", "keep-alive,,"),
        ("x-secret", "1"),
        ("keep-alive", "timeout=5"),
        ("te", "gzip"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("proxy-connection", "close"),
        ("x-other", "1"),
    ] {
        headers.append(name, HeaderValue::from_static(value));
    }
    remove_hop_by_hop(&mut headers);
    assert_eq!(headers.len(), 1);
    assert!(headers.contains_key("x-other"));
}

#[test]
fn an_answer_has_a_date_and_says_by_whom_it_went() {
    let mut own = Response::new(crate::l7::Body::empty());
    date(&mut own);
    assert_eq!(own.headers()[DATE].len(), 29);
    assert!(!own.headers().contains_key(VIA));
    let mut of_backend = Response::new(crate::l7::Body::empty());
    of_backend.headers_mut().insert(DATE, HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"));
    *of_backend.version_mut() = Version::HTTP_2;
    pass_on(&mut of_backend);
    date(&mut of_backend);
    assert_eq!(of_backend.headers()[DATE], "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(of_backend.headers()[VIA], "2 proxy-now");
}

/// The fields of lines.
fn fields(lines: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in std::str::from_utf8(lines).unwrap().split_terminator("\r\n") {
        let (name, value) = line.split_once(": ").unwrap();
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    headers
}

#[test]
fn lines_say_the_same_as_fields() {
    for (version, https, host, port) in [
        (Version::HTTP_11, false, "example.com", None),
        (Version::HTTP_2, true, "example.com:8443", Some(8443)),
        (Version::HTTP_10, false, "", None),
    ] {
        let make = || {
            let mut request = request("/");
            request.version = version;
            request.authority.written = HeaderValue::from_static(host);
            request.authority.port = port;
            arrive(&mut request).unwrap();
            request.record.https.set(https);
            request
        };
        let (mut plain, mut quick) = (make(), make());
        present(&mut plain, false);
        plain.headers.remove(REQUEST_ID);
        for _ in 0..2 {
            quick = make();
            present(&mut quick, true);
        }
        assert!(quick.headers.is_empty());
        assert_eq!(fields(quick.record.presented.get().unwrap()), *plain.headers);
    }
}

#[test]
fn what_would_be_added_to_is_made_as_fields() {
    let mut by_proxy = with(from(PROXY, TRUSTED, "/"), "x-forwarded-for", "203.0.113.9");
    let mut by_way = with(request("/"), "via", "1.1 front");
    for request in [&mut by_proxy, &mut by_way] {
        arrive(request).unwrap();
        present(request, true);
        assert!(request.record.presented.get().is_none());
    }
    assert_eq!(by_proxy.headers[FOR], "203.0.113.9, 10.0.0.1");
    assert_eq!(by_way.headers[VIA], "1.1 front, 1.1 proxy-now");
}

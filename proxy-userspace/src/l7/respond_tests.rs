//! Tests of `respond`.

use std::time::Instant;

use http_body::Body as _;

use super::*;

fn record() -> Record {
    Record::begin(Instant::now())
}

#[test]
fn every_cause_that_a_client_sees_has_its_line() {
    for cause in Cause::ALL.into_iter().filter(|&cause| cause != Cause::ClientGone) {
        let response = refuse(Form::default(), &record(), cause);
        let text = response.body().as_full().unwrap();
        assert!(text.starts_with(cause.status().as_str().as_bytes()), "{cause:?}: {text:?}");
        assert_eq!(response.body().size_hint().exact(), Some(text.len() as u64));
    }
}

#[test]
fn what_passes_says_when_to_come_back() {
    let record = record();
    let response = refuse(Form::default(), &record, Cause::QueueFull);
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()[RETRY_AFTER], "1");
    assert_eq!(record.cause.get(), Some("queue_full"));
    assert!(!bare(Cause::ConnectFailed).headers().contains_key(RETRY_AFTER));
}

#[test]
fn head_gets_the_length_and_no_body() {
    let response = refuse(Form { head: true, grpc: false }, &record(), Cause::NoRoute);
    assert_eq!(response.body().as_full(), Some(&[][..]));
    assert_eq!(response.headers()[CONTENT_LENGTH], "14");
}

#[test]
fn grpc_clients_get_a_status_of_their_own() {
    let form = Form { head: false, grpc: true };
    for (cause, status) in [
        (Cause::NoRoute, "12"),
        (Cause::Denied, "7"),
        (Cause::Unauthorized, "16"),
        (Cause::ConnectFailed, "14"),
        (Cause::QueueFull, "14"),
        (Cause::RequestTimeout, "4"),
        (Cause::BodyTooLong, "8"),
        (Cause::BadTarget, "13"),
        (Cause::Loop, "2"),
    ] {
        let response = refuse(form, &record(), cause);
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["grpc-status"], status, "{cause:?}");
        assert_eq!(response.headers()["grpc-message"], cause.word());
        assert_eq!(response.headers()[CONTENT_TYPE], "application/grpc");
        assert!(response.body().is_end_stream());
    }
}

#[test]
fn grpc_is_told_by_its_media_type() {
    let is = |value: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
        is_grpc(&headers)
    };
    assert!(is("application/grpc") && is("application/grpc+proto") && is("application/grpc;a=b"));
    assert!(!is("application/grpc-web") && !is("application/grpc-web+proto") && !is("text/plain"));
    assert!(!is_grpc(&HeaderMap::new()));
}

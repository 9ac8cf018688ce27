//! Requests whose clients take their time, or say too much in the end.

use std::time::Duration;

use http::StatusCode;

use super::client::{Client, run};
use super::wire::{data, field, headers, post};
use crate::config::WebLimits;
use crate::l7::cut::BodyError;
use crate::l7::testing::collected;
use crate::l7::{Body, Request, Response};

/// Waits for what the server says next.
pub(super) async fn until_something_is_said(client: &mut Client) -> Vec<String> {
    let said = async {
        loop {
            let said = client.hear().await;
            if !said.is_empty() {
                return said;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), said).await.expect("nothing is said")
}

#[test]
fn a_call_of_grpc_may_be_silent_where_one_is_heard_and_nowhere_else() {
    let read = async |request: Request| {
        request.record.talks.set(request.headers.contains_key("x-heard"));
        let mut response = Response::new(Body::empty());
        if collected(request.body).await == Err(BodyError::TooSlow) {
            *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
        }
        response
    };
    let hasty = WebLimits { body_timeout: Duration::from_millis(100), ..WebLimits::default() };
    run(hasty, read, async |mut client| {
        let grpc = ("content-type", "application/grpc");
        client.send(&[post(1, &[grpc]), post(3, &[grpc, ("x-heard", "1")])].concat());
        let said = until_something_is_said(&mut client).await;
        assert_eq!(said[0], "1: 408 content-length=0 end", "what its client says does not make it one");
        tokio::time::sleep(Duration::from_millis(300)).await;
        client.send(&data(3, true, b"at last"));
        assert_eq!(client.hear().await, ["3: 200 content-length=0 end"]);
    });
}

#[test]
fn trailers_say_nothing_that_only_heads_and_proxies_say() {
    let names = async |request: Request| {
        let (_, trailers) = collected(request.body).await.unwrap();
        let trailers = trailers.unwrap_or_default();
        let names: Vec<_> = trailers.keys().map(|name| name.as_str()).collect();
        Response::new(Body::full(names.join(" ")))
    };
    run(WebLimits::default(), names, async |mut client| {
        let sent = [
            "x-forwarded-for",
            "x_forwarded_for",
            "x-real-ip",
            "forwarded",
            "authorization",
            "cookie",
            "x-client-cert-subject",
            "client-cert",
            "x-request-id",
            "x-checksum",
        ];
        let block: Vec<_> = sent.iter().flat_map(|name| field(name, "1")).collect();
        client.send(&[post(1, &[]), data(1, false, b"x"), headers(1, true, &block)].concat());
        assert_eq!(client.hear().await, ["1: 200 content-length=10", "1: \"x-checksum\" end"]);
    });
}

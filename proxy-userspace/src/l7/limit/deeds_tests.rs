//! Tests of `deeds`.

use super::*;
use crate::l7::request::Request;
use crate::l7::testing::{self, CLIENT};
use crate::telemetry::abuse::{Events, channel};

const ALL: [Deed; 10] = [
    Deed::Limited,
    Deed::Unauthorized,
    Deed::Forbidden,
    Deed::NotFound,
    Deed::Answered,
    Deed::Handshake,
    Deed::UnknownSni,
    Deed::H2Attack,
    Deed::Malformed,
    Deed::Ja4,
];

fn told(events: &mut Events) -> Vec<(String, Deed)> {
    let event = |event: Event| {
        assert_eq!(&*event.listener, "web");
        (event.client.to_string(), event.deed)
    };
    std::iter::from_fn(|| events.waiting()).map(event).collect()
}

/// What is told of a request that ends with this status and cause.
fn of_request(request: &Request, status: u16, cause: Option<Cause>) -> Vec<(String, Deed)> {
    let (sink, mut events) = channel();
    request.record.status.set(status);
    request.record.cause.set(cause.map(Cause::word));
    super::request(&sink.wanting(ALL), &request.connection, &request.record);
    told(&mut events)
}

#[test]
fn answers_are_told_by_status_and_requests_that_are_none_by_cause() {
    let request = testing::request("/");
    let client = || "192.0.2.7".to_owned();
    assert_eq!(of_request(&request, 200, None), [(client(), Deed::Answered)]);
    for (status, deed) in [(401, Deed::Unauthorized), (403, Deed::Forbidden), (404, Deed::NotFound)] {
        assert_eq!(of_request(&request, status, None), [(client(), Deed::Answered), (client(), deed)]);
    }
    let limited = [(client(), Deed::Answered), (client(), Deed::Limited)];
    assert_eq!(of_request(&request, 429, Some(Cause::Limited)), limited);
    assert_eq!(of_request(&request, 0, Some(Cause::Limited)), limited[1..], "without an answer, too");
    let both = [(client(), Deed::Answered), (client(), Deed::Malformed)];
    assert_eq!(of_request(&request, 400, Some(Cause::BadRequest)), both);
    assert_eq!(of_request(&request, 408, Some(Cause::SlowHead)), both[..1]);
    assert!(of_request(&request, 0, Some(Cause::ClientGone)).is_empty());
}

#[test]
fn a_trusted_proxy_is_never_told_of_but_its_client_is() {
    let request = testing::from(CLIENT, &["192.0.2.0/24"], "/");
    assert!(of_request(&request, 404, Some(Cause::BadRequest)).is_empty());
    request.record.client.set(Some("::ffff:198.51.100.9".parse().unwrap()));
    assert_eq!(of_request(&request, 200, None), [("198.51.100.9".to_owned(), Deed::Answered)]);
    let (sink, _events) = channel();
    let listener = &request.connection.listener;
    let watched = |sink: &Sink, client: &str| Watched::of(sink, client.parse().unwrap(), listener);
    assert!(watched(&sink.wanting(ALL), "192.0.2.7").is_none());
    assert!(watched(&sink.wanting(ALL), "198.51.100.9").is_some());
    assert!(watched(&sink, "198.51.100.9").is_none(), "nothing is wanted");
}

#[test]
fn a_handshake_is_told_of_when_the_client_is_to_blame() {
    let request = testing::request("/");
    let (sink, mut events) = channel();
    let client = "198.51.100.9".parse().unwrap();
    let watched = Watched::of(&sink.wanting(ALL), client, &request.connection.listener).unwrap();
    for (why, deed) in [
        (Failure::Protocol, Some(Deed::Handshake)),
        (Failure::Timeout, Some(Deed::Handshake)),
        (Failure::ClientCertificate, Some(Deed::Handshake)),
        (Failure::UnknownName, Some(Deed::UnknownSni)),
        (Failure::NotPermitted, Some(Deed::UnknownSni)),
        // Ours, or nobody's.
        (Failure::NoCertificate, None),
        (Failure::Internal, None),
        (Failure::Alert, None),
        (Failure::Closed, None),
    ] {
        watched.failed(why);
        let expected: Vec<_> = deed.into_iter().map(|deed| (client.to_string(), deed)).collect();
        assert_eq!(told(&mut events), expected, "{why:?}");
    }
    watched.is_listed("t13d1516h2_8daaf6152771_e5627efa2ab1");
    let event = events.waiting().unwrap();
    assert_eq!((event.deed, event.ja4.as_deref().map(str::len)), (Deed::Ja4, Some(36)));
}

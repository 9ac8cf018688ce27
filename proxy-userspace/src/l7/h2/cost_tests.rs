//! What a client may cost: floods are ended, and what is held for it is bounded.

use std::time::Duration;

use super::frame::{flag, kind};
use super::wire::{Client, cancel, data, field, frame, get, headers, post, request, setting, window};
use crate::config::WebLimits;

const CALM: &str = " 11";

/// Sends what `make` gives until the connection ends, and gives how often.
fn until_it_ends(client: &mut Client, most: u32, make: impl Fn(u32) -> Vec<u8>) -> u32 {
    for count in 0..most {
        client.send(&make(count));
        if client.machine.is_over() {
            let said = client.said();
            assert!(
                said.last().is_some_and(|word| word.starts_with("goaway") && word.ends_with(CALM)),
                "{said:?}"
            );
            return count;
        }
        client.machine.out.advance(client.machine.out.len());
    }
    most
}

fn client() -> Client {
    Client::new(&WebLimits::default())
}

#[test]
fn resets_are_counted_whoever_sends_them() {
    let stream = |count| 2 * count + 1;
    // CVE-2023-44487.
    assert_eq!(until_it_ends(&mut client(), 1000, |n| [get(stream(n)), cancel(stream(n))].concat()), 100);
    // CVE-2025-8671: the server is made to reset.
    assert_eq!(until_it_ends(&mut client(), 1000, |n| [get(stream(n)), window(stream(n), 0)].concat()), 100);
    assert_eq!(
        until_it_ends(&mut client(), 1000, |n| [get(stream(n)), data(stream(n), true, b"x")].concat()),
        100
    );
    let malformed = request("GET", &[("connection", "close")]);
    assert_eq!(until_it_ends(&mut client(), 1000, |n| headers(stream(n), true, &malformed)), 100);
    // More streams than are allowed: those are refused before they cost anything.
    assert_eq!(until_it_ends(&mut client(), 1000, |n| get(stream(n))), 200);
}

#[test]
fn frames_without_progress_are_counted() {
    let before = |frames: &[u8]| {
        let mut client = client();
        client.send(frames);
        client.said();
        client
    };
    // SETTINGS and their ACK were counted at the beginning.
    let most = 998;
    assert_eq!(until_it_ends(&mut client(), 5000, |_| frame(kind::PING, 0, 0, b"12345678")), most);
    assert_eq!(until_it_ends(&mut client(), 5000, |_| setting(3, 100)), most);
    assert_eq!(until_it_ends(&mut client(), 5000, |_| frame(kind::SETTINGS, flag::ACK, 0, &[])), most);
    assert_eq!(
        until_it_ends(&mut client(), 5000, |n| frame(kind::PRIORITY, 0, 2 * n + 1, &[0, 0, 0, 0, 1])),
        most
    );
    assert_eq!(until_it_ends(&mut client(), 5000, |_| window(0, 1)), most);
    assert_eq!(until_it_ends(&mut client(), 5000, |_| frame(0xfa, 0, 0, b"")), most);
    assert_eq!(until_it_ends(&mut before(&post(1, &[])), 5000, |_| data(1, false, b"")), most);
    assert_eq!(
        until_it_ends(&mut before(&post(1, &[])), 5000, |_| frame(kind::DATA, 8, 1, b"\x02\0\0")),
        most
    );
    let open = frame(kind::HEADERS, flag::END_STREAM, 1, &request("GET", &[]));
    assert_eq!(until_it_ends(&mut before(&open), 5000, |_| frame(kind::CONTINUATION, 0, 1, b"")), most);
    assert_eq!(until_it_ends(&mut before(&[get(1), cancel(1)].concat()), 5000, |_| cancel(1)), most);
}

#[test]
fn budgets_are_whole_again_after_a_while_and_work_earns() {
    let mut client = client();
    for _ in 0..5 {
        for _ in 0..900 {
            client.send(&frame(kind::PING, 0, 0, b"12345678"));
        }
        client.machine.tick(Duration::from_secs(10), false);
        assert!(client.events.is_empty(), "{:?}", client.events);
        client.send(&get(client.machine.highest + 2 - (client.machine.highest + 1) % 2));
        client.events.clear();
    }
    let mut client = Client::new(&WebLimits { h2_idle_frames: 10, ..WebLimits::default() });
    client.send(&post(1, &[]));
    for _ in 0..1000 {
        client.send(&data(1, false, &[0; 300]));
        client.send(&frame(kind::PING, 0, 0, b"12345678").repeat(3));
    }
    assert_eq!(client.events.len(), 1, "pings that follow data are no attack");
}

#[test]
fn a_long_field_block_ends_the_connection_and_a_long_list_is_answered() {
    let mut client = client();
    client.send(&frame(kind::HEADERS, flag::END_STREAM, 1, &request("GET", &[])));
    let piece = frame(kind::CONTINUATION, 0, 1, &field("x-a", &"v".repeat(16_000)));
    assert_eq!(until_it_ends(&mut client, 1000, |_| piece.clone()), 8);

    // A list that is short on the wire and long when it is read.
    let mut client = self::client();
    let bomb = [request("GET", &[]), indexed("x-b", &"b".repeat(4000)), vec![0xbe; 8000]].concat();
    client.send(&headers(1, true, &bomb));
    assert_eq!(client.events, ["refused 0 431"]);
    let many: Vec<_> = (0..101).map(|_| ("x-a", "1")).collect();
    client.send(&headers(3, true, &request("GET", &many)));
    client.send(&headers(5, true, &request("GET", &many[..100])));
    assert_eq!(client.events[1..], ["refused 1 431", "request 2 GET ended"]);
    let mut client = Client::new(&WebLimits { uri_bytes: 100, ..WebLimits::default() });
    let path = format!("/{}", "a".repeat(100));
    let long = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", &path)];
    client.send(&headers(
        1,
        true,
        &long.iter().flat_map(|(name, value)| field(name, value)).collect::<Vec<_>>(),
    ));
    assert_eq!(client.events, ["refused 0 414"]);
}

fn indexed(name: &str, value: &str) -> Vec<u8> {
    let mut out = field(name, value);
    out[0] = 0x40;
    out
}

#[test]
fn trailers_are_bounded_too() {
    let mut client = client();
    let many: Vec<u8> = (0..101).flat_map(|_| field("x-a", "1")).collect();
    client.send(&[post(1, &[]), headers(1, true, &many)].concat());
    assert_eq!(client.said(), ["reset 1 11"]);
}

fn ticks(client: &mut Client, most: u32, partial: bool) -> u32 {
    let tick = client.machine.tick_length();
    (0..most)
        .find(|_| !client.machine.tick(tick, partial).is_empty() || client.machine.is_over())
        .unwrap_or(most)
}

#[test]
fn every_wait_has_an_end() {
    // Seconds, by the defaults: a head 5, idle 10, a body 10.
    let mut silent = Client::silent(&WebLimits::default());
    assert_eq!(ticks(&mut silent, 100, false), 4, "no preface");
    let mut idle = client();
    assert_eq!(ticks(&mut idle, 100, false), 9);
    assert_eq!(idle.said(), ["goaway 0 0"], "in good order");
    let mut half = client();
    half.send(&frame(kind::HEADERS, flag::END_STREAM, 1, &request("GET", &[])));
    assert_eq!(ticks(&mut half, 100, false), 4, "a field block");
    let mut piece = client();
    piece.send(&get(1)[..5]);
    assert_eq!(ticks(&mut piece, 100, true), 4, "a frame");
    let mut unread = client();
    unread.send(&[setting(4, 0), get(1)].concat());
    unread.machine.send_head(0, http::StatusCode::OK, None, &http::HeaderMap::new(), false);
    unread.machine.wait(0);
    unread.said();
    assert_eq!(ticks(&mut unread, 100, false), 9, "a window");
    assert_eq!(unread.said(), ["reset 1 11"]);
}

#[test]
fn settings_must_be_acknowledged() {
    let mut client = Client::silent(&WebLimits::default());
    client.send(&[&super::wire::begin()[..24 + 9], &get(1)].concat());
    assert_eq!(ticks(&mut client, 100, false), 9);
    assert!(client.said().contains(&"goaway 1 4".to_owned()));
}

#[test]
fn a_busy_connection_is_not_idle_between_its_requests() {
    let mut client = client();
    for stream in 0..50 {
        client.send(&get(2 * stream + 1));
        client.machine.send_head(0, http::StatusCode::OK, Some(0), &http::HeaderMap::new(), true);
        client.machine.tick(Duration::from_secs(1), false);
    }
    assert!(!client.machine.is_over());
}

#[test]
fn an_end_in_good_order_loses_no_request() {
    let mut client = client();
    client.send(&get(1));
    client.machine.leave();
    assert_eq!(client.said(), [format!("goaway {} 0", u32::MAX >> 1), "ping ".to_owned()], "§6.8");
    client.send(&get(3));
    assert_eq!(client.events.len(), 2, "the client did not know yet");
    client.send(&frame(kind::PING, flag::ACK, 0, b"goodbye."));
    assert_eq!(client.said(), ["goaway 3 0"]);
    client.send(&get(5));
    assert_eq!((client.events.len(), client.said().len()), (2, 0), "§6.8: ignored");
    for key in [0, 1] {
        assert!(!client.machine.is_over());
        client.machine.send_head(key, http::StatusCode::OK, Some(0), &http::HeaderMap::new(), true);
    }
    assert!(client.machine.is_over());
}

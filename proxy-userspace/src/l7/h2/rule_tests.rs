//! Each rule of RFC 9113 for what comes in: frames, and what is said to them.

use super::frame::{MAX_FRAME, flag, kind};
use super::settings::name;
use super::wire::{Client, begin, cancel, data, field, frame, get, headers, post, request, setting, window};
use crate::config::WebLimits;

const PROTOCOL: u32 = 1;
const FLOW_CONTROL: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE: u32 = 6;
const REFUSED: u32 = 7;
const COMPRESSION: u32 = 9;
const CALM: u32 = 11;

/// What is said to frames.
enum Said {
    /// GOAWAY with this code.
    Goaway(u32),
    /// RST_STREAM of stream 1 with this code, and the connection goes on.
    Reset(u32),
    /// Nothing, and the connection goes on.
    Nothing,
}

use Said::{Goaway, Nothing, Reset};

type Rule = (&'static str, Vec<Vec<u8>>, Said);

fn hold(rules: Vec<Rule>) {
    for (rule, frames, said) in rules {
        let mut client = Client::new(&WebLimits::default());
        client.send(&frames.concat());
        judge(rule, &mut client, &said);
        // However the bytes come, it is the same.
        let mut client = Client::new(&WebLimits::default());
        for byte in frames.concat() {
            client.send(&[byte]);
        }
        judge(rule, &mut client, &said);
    }
}

fn judge(rule: &str, client: &mut Client, said: &Said) {
    let words = client.said();
    match said {
        Goaway(code) => {
            assert!(
                words.iter().any(|word| word.ends_with(&format!(" {code}")) && word.starts_with("goaway")),
                "{rule}: {words:?}"
            );
            assert!(client.machine.is_over(), "{rule}");
        }
        Reset(code) => {
            assert!(words.contains(&format!("reset 1 {code}")), "{rule}: {words:?}");
            assert!(!words.iter().any(|word| word.starts_with("goaway")), "{rule}: {words:?}");
            goes_on(rule, client);
        }
        Nothing => {
            assert!(
                !words.iter().any(|word| word.starts_with("goaway") || word.starts_with("reset")),
                "{rule}: {words:?}"
            );
            goes_on(rule, client);
        }
    }
}

fn goes_on(rule: &str, client: &mut Client) {
    client.send(&frame(kind::PING, 0, 0, b"12345678"));
    assert_eq!(client.said(), ["ping ack"], "{rule}");
    client.send(&get(101));
    assert!(
        client.events.last().is_some_and(|event| event.ends_with("GET ended")),
        "{rule}: {:?}",
        client.events
    );
}

fn unread(stream: u32) -> std::rc::Rc<super::inbound::Inbound> {
    let reads = super::inbound::Reads::new(std::task::Waker::noop().clone());
    super::inbound::Inbound::new(stream, super::inbound::Terms::default(), &reads)
}

fn priority(stream: u32, on: u32) -> Vec<u8> {
    frame(kind::PRIORITY, 0, stream, &[&on.to_be_bytes()[..], &[16]].concat())
}

#[test]
fn the_preface_is_first_and_settings_follow() {
    // §3.4.
    let mut client = Client::silent(&WebLimits::default());
    assert_eq!(client.said(), ["settings", "window 0 2031617"], "the server's preface");
    client.send(b"PRI * HTTP/2.0\r\n\r\nSX");
    assert_eq!(client.said(), ["goaway 0 1"]);
    let mut client = Client::silent(&WebLimits::default());
    client.send(&[&begin()[..24], &frame(kind::PING, 0, 0, b"12345678")].concat());
    assert!(client.said().contains(&"goaway 0 1".to_owned()), "the first frame is not SETTINGS");
    let mut client = Client::new(&WebLimits::default());
    client.send(&setting(name::INITIAL_WINDOW_SIZE, 1));
    assert_eq!(client.said(), ["settings ack"], "§6.5.3");
}

#[test]
fn frames_have_the_sizes_and_streams_that_they_may_have() {
    let size = MAX_FRAME;
    let nine = [0; 9];
    hold(vec![
        ("§4.2: DATA too large", vec![post(1, &[]), data(1, false, &vec![0; size + 1])], Goaway(FRAME_SIZE)),
        ("§4.2: DATA as large as may be", vec![post(1, &[]), data(1, false, &vec![0; size])], Nothing),
        ("§4.2: HEADERS too large", vec![headers(1, true, &vec![0; size + 1])], Goaway(FRAME_SIZE)),
        ("§4.1: an unknown type is ignored", vec![frame(0xfa, 0xff, 0, b"12345678")], Nothing),
        ("§4.1: on a stream too", vec![get(1), frame(0xfa, 0xff, 1, b"12345678")], Nothing),
        ("§4.1: unknown flags are ignored", vec![frame(kind::PING, 0xfe, 0, b"12345678"), get(1)], Nothing),
        ("§4.1: the reserved bit is ignored", vec![frame(kind::PING, 0, 1 << 31, b"12345678")], Nothing),
        ("§5.5: not within a field block", vec![block_open(), frame(0xfa, 0, 0, &[])], Goaway(PROTOCOL)),
        ("§6.1: DATA of no stream", vec![data(0, false, b"x")], Goaway(PROTOCOL)),
        ("§6.2: HEADERS of no stream", vec![headers(0, true, &request("GET", &[]))], Goaway(PROTOCOL)),
        ("§6.3: PRIORITY of no stream", vec![priority(0, 1)], Goaway(PROTOCOL)),
        ("§6.3: its size", vec![post(1, &[]), frame(kind::PRIORITY, 0, 1, &nine[..4])], Reset(FRAME_SIZE)),
        ("§6.4: RST_STREAM of no stream", vec![cancel(0)], Goaway(PROTOCOL)),
        ("§6.4: of an idle one", vec![cancel(1)], Goaway(PROTOCOL)),
        ("§6.4: its size", vec![post(1, &[]), frame(kind::RST_STREAM, 0, 1, &nine[..3])], Goaway(FRAME_SIZE)),
        ("§6.5: SETTINGS of a stream", vec![frame(kind::SETTINGS, 0, 1, &[])], Goaway(PROTOCOL)),
        ("§6.5: an ACK with a payload", vec![frame(kind::SETTINGS, 1, 0, &nine[..6])], Goaway(FRAME_SIZE)),
        ("§6.5: a piece of a parameter", vec![frame(kind::SETTINGS, 0, 0, &nine[..5])], Goaway(FRAME_SIZE)),
        ("§6.6, §8.4: PUSH_PROMISE", vec![get(1), frame(kind::PUSH_PROMISE, 4, 1, &nine)], Goaway(PROTOCOL)),
        ("§6.7: PING of a stream", vec![frame(kind::PING, 0, 1, b"12345678")], Goaway(PROTOCOL)),
        ("§6.7: its size", vec![frame(kind::PING, 0, 0, b"1234567")], Goaway(FRAME_SIZE)),
        ("§6.7: an ACK is not answered", vec![frame(kind::PING, 1, 0, b"12345678")], Nothing),
        ("§6.8: GOAWAY of a stream", vec![frame(kind::GOAWAY, 0, 1, &nine[..8])], Goaway(PROTOCOL)),
        ("§6.8: its size", vec![frame(kind::GOAWAY, 0, 0, &nine[..7])], Goaway(FRAME_SIZE)),
        (
            "§6.9: WINDOW_UPDATE's size",
            vec![frame(kind::WINDOW_UPDATE, 0, 0, &nine[..3])],
            Goaway(FRAME_SIZE),
        ),
        ("§6.9: of an idle stream", vec![window(1, 1)], Goaway(PROTOCOL)),
    ]);
}

fn block_open() -> Vec<u8> {
    frame(kind::HEADERS, flag::END_STREAM, 1, &request("GET", &[]))
}

#[test]
fn field_blocks_are_not_interrupted_and_can_be_read() {
    let rest = field("x-a", "1");
    let more = |stream, flags| frame(kind::CONTINUATION, flags, stream, &rest);
    hold(vec![
        ("§6.10: in two pieces", vec![block_open(), more(1, 4)], Nothing),
        ("§6.10: in three", vec![block_open(), more(1, 0), more(1, 4)], Nothing),
        ("§6.10: CONTINUATION of no stream", vec![block_open(), more(0, 4)], Goaway(PROTOCOL)),
        ("§6.10: of another", vec![block_open(), more(3, 4)], Goaway(PROTOCOL)),
        ("§6.10: without HEADERS", vec![more(1, 4)], Goaway(PROTOCOL)),
        ("§6.10: after END_HEADERS", vec![get(1), more(1, 4)], Goaway(PROTOCOL)),
        ("§6.10: after DATA", vec![post(1, &[]), data(1, false, b"x"), more(1, 4)], Goaway(PROTOCOL)),
        ("§4.3: PRIORITY between", vec![block_open(), priority(3, 0), more(1, 4)], Goaway(PROTOCOL)),
        ("§4.3: HEADERS between", vec![block_open(), get(3)], Goaway(PROTOCOL)),
        ("§4.3: SETTINGS between", vec![block_open(), frame(kind::SETTINGS, 0, 0, &[])], Goaway(PROTOCOL)),
        ("§4.3: cannot be read", vec![headers(1, true, &[0x80])], Goaway(COMPRESSION)),
        ("§4.3: ends within a field", vec![headers(1, true, &[0x82, 0x40])], Goaway(COMPRESSION)),
        (
            "§4.3: of a closed stream too",
            vec![get(1), cancel(1), headers(1, true, &[0x80])],
            Goaway(COMPRESSION),
        ),
        (
            "RFC 7541 §6.3: a table larger than allowed",
            vec![headers(1, true, &[0x3f, 0xe2, 0x1f])],
            Goaway(COMPRESSION),
        ),
        ("RFC 7541 §4.2: a size at the end", vec![headers(1, true, &[0x82, 0x20])], Goaway(COMPRESSION)),
    ]);
}

#[test]
fn padding_is_within_its_frame_and_counts() {
    let padded = |kind, flags, payload: &[u8]| frame(kind, flags | flag::PADDED, 1, payload);
    let block = request("GET", &[]);
    let head = |padding: u8, bytes: usize| {
        padded(kind::HEADERS, 5, &[&[padding][..], &block, &vec![0; bytes]].concat())
    };
    hold(vec![
        ("§6.1: padded", vec![post(1, &[]), padded(kind::DATA, 0, b"\x02xx\0\0")], Nothing),
        ("§6.1: nothing but padding", vec![post(1, &[]), padded(kind::DATA, 0, b"\x04\0\0\0\0")], Nothing),
        (
            "§6.1: longer than its frame",
            vec![post(1, &[]), padded(kind::DATA, 0, b"\x05xx\0\0")],
            Goaway(PROTOCOL),
        ),
        ("§6.1: no room for its length", vec![post(1, &[]), padded(kind::DATA, 0, b"")], Goaway(PROTOCOL)),
        ("§6.2: padded", vec![head(3, 3)], Nothing),
        ("§6.2: longer than its frame", vec![head(255, 3)], Goaway(PROTOCOL)),
        ("§6.2: no room for its length", vec![padded(kind::HEADERS, 5, b"")], Goaway(PROTOCOL)),
        (
            "§6.2: ends within its priority",
            vec![frame(kind::HEADERS, flag::PRIORITY | 5, 1, &[0; 4])],
            Goaway(FRAME_SIZE),
        ),
    ]);
}

#[test]
fn streams_are_opened_and_closed_as_their_states_allow() {
    let ended = || vec![post(1, &[]), data(1, true, b"x")];
    let then = |mut frames: Vec<Vec<u8>>, last| {
        frames.push(last);
        frames
    };
    hold(vec![
        ("§5.1 idle: DATA", vec![data(1, true, b"x")], Goaway(PROTOCOL)),
        ("§5.1 idle: PRIORITY", vec![priority(1, 3)], Nothing),
        ("§5.1 half-closed: DATA", then(ended(), data(1, true, b"x")), Reset(STREAM_CLOSED)),
        ("§5.1 half-closed: HEADERS", then(ended(), get(1)), Reset(STREAM_CLOSED)),
        ("§5.1 half-closed: WINDOW_UPDATE", then(ended(), window(1, 1)), Nothing),
        ("§5.1 half-closed: PRIORITY", then(ended(), priority(1, 0)), Nothing),
        ("§5.1 half-closed: RST_STREAM", then(ended(), cancel(1)), Nothing),
        (
            "§5.1 after their reset: DATA",
            vec![post(1, &[]), cancel(1), data(1, true, b"x")],
            Reset(STREAM_CLOSED),
        ),
        ("§5.1 after their reset: HEADERS", vec![post(1, &[]), cancel(1), get(1)], Reset(STREAM_CLOSED)),
        (
            "§5.1 after their reset: others",
            vec![get(1), cancel(1), cancel(1), window(1, 1), priority(1, 0)],
            Nothing,
        ),
        ("§5.1.1: an even number", vec![get(2)], Goaway(PROTOCOL)),
        ("§5.1.1: a smaller number", vec![get(5), get(3)], Goaway(PROTOCOL)),
        ("RFC 7540 §5.3.1: PRIORITY on itself", vec![post(1, &[]), priority(1, 1)], Reset(PROTOCOL)),
        ("RFC 7540 §5.3.1: of an idle stream", vec![priority(1, 1)], Goaway(PROTOCOL)),
        (
            "RFC 7540 §5.3.1: HEADERS on itself",
            vec![frame(kind::HEADERS, 0x25, 1, &[&[0, 0, 0, 1, 16][..], &request("GET", &[])].concat())],
            Goaway(PROTOCOL),
        ),
    ]);
}

#[test]
fn what_follows_the_end_of_both_sides_is_an_error_and_what_follows_our_reset_is_not() {
    for (late, goaway) in [
        (data(1, true, b"x"), true),
        (get(1), true),
        (window(1, 1), false),
        (cancel(1), false),
        (priority(1, 0), false),
    ] {
        let mut client = Client::new(&WebLimits::default());
        client.send(&get(1));
        client.machine.send_head(0, http::StatusCode::OK, Some(0), &http::HeaderMap::new(), true);
        assert_eq!(client.said(), ["headers 1 end"]);
        client.send(&late);
        assert_eq!(client.said() == ["goaway 1 5"], goaway, "§5.1 closed: {late:?}");
    }
    let mut client = Client::new(&WebLimits::default());
    client.send(&post(1, &[("content-length", "100")]));
    client.machine.send_head(0, http::StatusCode::PAYLOAD_TOO_LARGE, Some(0), &http::HeaderMap::new(), true);
    assert_eq!(client.said(), ["headers 1 end", "reset 1 0"], "§8.1: an early answer");
    client.send(&[data(1, false, b"xxx"), headers(1, true, &field("x-t", "1")), cancel(1)].concat());
    assert_eq!(client.said(), [""; 0]);
    goes_on("§5.1: after our reset", &mut client);
}

#[test]
fn settings_have_the_values_that_they_may_have() {
    hold(vec![
        ("§6.5.2: ENABLE_PUSH", vec![setting(name::ENABLE_PUSH, 2)], Goaway(PROTOCOL)),
        (
            "§6.5.2: INITIAL_WINDOW_SIZE",
            vec![setting(name::INITIAL_WINDOW_SIZE, 1 << 31)],
            Goaway(FLOW_CONTROL),
        ),
        ("§6.5.2: MAX_FRAME_SIZE, too small", vec![setting(name::MAX_FRAME_SIZE, 16_383)], Goaway(PROTOCOL)),
        ("§6.5.2: MAX_FRAME_SIZE, too large", vec![setting(name::MAX_FRAME_SIZE, 1 << 24)], Goaway(PROTOCOL)),
        ("§6.5.2: an unknown one is ignored", vec![setting(0xff, u32::MAX)], Nothing),
        (
            "RFC 8441 §3: ENABLE_CONNECT_PROTOCOL",
            vec![setting(name::ENABLE_CONNECT_PROTOCOL, 2)],
            Goaway(PROTOCOL),
        ),
        (
            "RFC 9218 §2.1: NO_RFC7540_PRIORITIES",
            vec![setting(name::NO_RFC7540_PRIORITIES, 2)],
            Goaway(PROTOCOL),
        ),
        ("parameters that nobody needs", vec![frame(kind::SETTINGS, 0, 0, &[0; 65 * 6])], Goaway(CALM)),
        (
            "§6.9.2: a window above the most",
            vec![post(1, &[]), window(1, 0x7fff_0000), setting(name::INITIAL_WINDOW_SIZE, 0x7fff_ffff)],
            Goaway(FLOW_CONTROL),
        ),
    ]);
}

#[test]
fn windows_are_kept_on_both_sides() {
    let much = |stream, bytes: usize| {
        (0..bytes.div_ceil(MAX_FRAME))
            .map(|_| data(stream, false, &[0; MAX_FRAME]))
            .collect::<Vec<_>>()
            .concat()
    };
    hold(vec![
        ("§6.9: nothing, of a stream", vec![post(1, &[]), window(1, 0)], Reset(PROTOCOL)),
        ("§6.9: nothing, of the connection", vec![window(0, 0)], Goaway(PROTOCOL)),
        (
            "§6.9.1: too much, of a stream",
            vec![post(1, &[]), window(1, i32::MAX as u32)],
            Reset(FLOW_CONTROL),
        ),
        ("§6.9.1: too much, of the connection", vec![window(0, i32::MAX as u32)], Goaway(FLOW_CONTROL)),
    ]);
    // Bodies that nobody reads: first the stream's window ends, then, with several, the connection's.
    let mut client = Client::new(&WebLimits::default());
    for stream in 0..9 {
        client.send(&post(2 * stream + 1, &[]));
        let inbound = unread(2 * stream + 1);
        client.machine.attach(stream as usize, std::rc::Rc::clone(&inbound));
        std::mem::forget(inbound.body());
    }
    for stream in 0..8 {
        client.send(&much(2 * stream + 1, 256 << 10));
        assert_eq!(client.said(), [""; 0]);
    }
    client.send(&data(17, false, b"x"));
    assert!(client.said().contains(&"goaway 17 3".to_owned()), "§6.9.1: the connection's window");
    let mut client = Client::new(&WebLimits::default());
    client.send(&post(1, &[]));
    let inbound = unread(1);
    client.machine.attach(0, std::rc::Rc::clone(&inbound));
    std::mem::forget(inbound.body());
    client.send(&[much(1, 256 << 10), data(1, false, b"x")].concat());
    assert_eq!(client.said(), ["reset 1 3"], "§6.9.1: the stream's window");
}

#[test]
fn answers_keep_within_the_clients_windows_and_frames() {
    let ok = http::StatusCode::OK;
    let none = http::HeaderMap::new();
    let mut client = Client::new(&WebLimits::default());
    client.send(&[setting(name::INITIAL_WINDOW_SIZE, 3), get(1)].concat());
    client.machine.send_head(0, ok, None, &none, false);
    assert_eq!(client.machine.room(0), 3, "§6.9.2");
    client.machine.send_data(0, bytes::Bytes::from_static(b"123"), false);
    assert_eq!(client.machine.room(0), 0);
    client.send(&setting(name::INITIAL_WINDOW_SIZE, 2));
    assert_eq!(client.machine.room(0), 0, "§6.9.2: below nothing");
    client.events.clear();
    client.send(&window(1, 1));
    assert_eq!((client.machine.room(0), client.events.len()), (0, 0));
    client.send(&window(1, 70_000));
    assert_eq!(
        (client.machine.room(0), &client.events[..]),
        (65_532, &["writable 0".to_owned()][..]),
        "§6.9: both windows"
    );
    client.said();
    client.machine.send_data(0, vec![0; 40_000].into(), true);
    assert_eq!(client.said(), ["data 1 16384", "data 1 16384", "data 1 7232 end"], "§4.2");
    let mut fields = http::HeaderMap::new();
    fields.insert("x-long", http::HeaderValue::from_bytes(&[b'a'; 40_000]).unwrap());
    client.send(&get(3));
    client.machine.send_head(0, ok, None, &fields, true);
    assert_eq!(client.said(), ["headers 3 end", "continuation 3", "continuation 3"], "§4.3");
}

#[test]
fn a_request_is_well_formed_or_its_stream_is_reset() {
    let only = |fields: &[(&str, &str)]| {
        vec![headers(
            1,
            true,
            &fields.iter().flat_map(|(name, value)| field(name, value)).collect::<Vec<_>>(),
        )]
    };
    let with = |name, value| vec![headers(1, true, &request("GET", &[(name, value)]))];
    let (m, s, a, p) = ((":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/"));
    hold(vec![
        ("§8.3.1: well-formed", only(&[m, s, a, p]), Nothing),
        ("§8.3.1: Host alone", only(&[m, s, p, ("host", "a.test")]), Nothing),
        ("§8.3.1: Host is :authority", only(&[m, s, a, p, ("host", "A.test")]), Nothing),
        ("§8.3.1: Host is another", only(&[m, s, a, p, ("host", "b.test")]), Reset(PROTOCOL)),
        ("§8.3.1: neither", only(&[m, s, p]), Reset(PROTOCOL)),
        ("§8.3.1: empty :authority", only(&[m, s, (":authority", ""), p]), Reset(PROTOCOL)),
        ("§8.3.1: userinfo", only(&[m, s, (":authority", "u@a.test"), p]), Reset(PROTOCOL)),
        ("§8.3.1: no :method", only(&[s, a, p]), Reset(PROTOCOL)),
        ("§8.3.1: no :scheme", only(&[m, a, p]), Reset(PROTOCOL)),
        ("§8.3.1: no :path", only(&[m, s, a]), Reset(PROTOCOL)),
        ("§8.3.1: empty :path", only(&[m, s, a, (":path", "")]), Reset(PROTOCOL)),
        ("§8.3.1: :path without slash", only(&[m, s, a, (":path", "x")]), Reset(PROTOCOL)),
        ("§8.3.1: `*` of GET", only(&[m, s, a, (":path", "*")]), Reset(PROTOCOL)),
        ("§8.3.1: `*` of OPTIONS", only(&[(":method", "OPTIONS"), s, a, (":path", "*")]), Nothing),
        ("§8.3: :method twice", only(&[m, m, s, a, p]), Reset(PROTOCOL)),
        ("§8.3: :path twice", only(&[m, s, a, p, p]), Reset(PROTOCOL)),
        ("§8.3: unknown", only(&[m, s, a, p, (":x", "y")]), Reset(PROTOCOL)),
        ("§8.3: of answers", only(&[m, s, a, p, (":status", "200")]), Reset(PROTOCOL)),
        ("§8.3: after a field", only(&[m, s, a, ("x-a", "1"), p]), Reset(PROTOCOL)),
        ("§8.2.1: upper case", with("X-A", "1"), Reset(PROTOCOL)),
        ("§8.2.1: no name", with("", "1"), Reset(PROTOCOL)),
        ("§8.2.1: a name with a colon", with("a:b", "1"), Reset(PROTOCOL)),
        ("§8.2.1: a value with LF", with("x-a", "1\n2"), Reset(PROTOCOL)),
        ("§8.2.1: a value with a blank before", with("x-a", " 1"), Reset(PROTOCOL)),
        ("§8.2.1: a value with a blank behind", with("x-a", "1\t"), Reset(PROTOCOL)),
        ("§8.2.2: Connection", with("connection", "keep-alive"), Reset(PROTOCOL)),
        ("§8.2.2: Keep-Alive", with("keep-alive", "1"), Reset(PROTOCOL)),
        ("§8.2.2: Proxy-Connection", with("proxy-connection", "close"), Reset(PROTOCOL)),
        ("§8.2.2: Transfer-Encoding", with("transfer-encoding", "chunked"), Reset(PROTOCOL)),
        ("§8.2.2: Upgrade", with("upgrade", "h2c"), Reset(PROTOCOL)),
        ("§8.2.2: TE", with("te", "gzip"), Reset(PROTOCOL)),
        ("§8.2.2: TE: trailers", with("te", "trailers"), Nothing),
        ("§8.5: CONNECT", only(&[(":method", "CONNECT"), (":authority", "a.test:1")]), Nothing),
        ("§8.5: CONNECT with :path", only(&[(":method", "CONNECT"), a, p]), Reset(PROTOCOL)),
        ("§8.5: CONNECT with :scheme", only(&[(":method", "CONNECT"), a, s]), Reset(PROTOCOL)),
        ("§8.5: CONNECT without :authority", only(&[(":method", "CONNECT")]), Reset(PROTOCOL)),
        ("RFC 8441 §4", only(&[(":method", "CONNECT"), (":protocol", "websocket"), s, a, p]), Nothing),
        ("RFC 8441 §4: no :path", only(&[(":method", "CONNECT"), (":protocol", "x"), s, a]), Reset(PROTOCOL)),
        ("RFC 8441 §4: no CONNECT", only(&[m, (":protocol", "websocket"), s, a, p]), Reset(PROTOCOL)),
    ]);
}

#[test]
fn a_body_is_as_long_as_was_declared() {
    let body = |length, pieces: &[(&str, bool)]| {
        let mut frames = vec![post(1, &[("content-length", length)])];
        frames.extend(pieces.iter().map(|(piece, ended)| data(1, *ended, piece.as_bytes())));
        frames
    };
    let trailers = headers(1, true, &field("x-t", "1"));
    hold(vec![
        ("§8.1.1: as long", body("5", &[("he", false), ("llo", true)]), Nothing),
        ("§8.1.1: shorter", body("5", &[("he", false), ("ll", true)]), Reset(PROTOCOL)),
        ("§8.1.1: longer", body("5", &[("he", false), ("llo!", false)]), Reset(PROTOCOL)),
        ("§8.1.1: longer than nothing", body("0", &[("x", true)]), Reset(PROTOCOL)),
        (
            "§8.1.1: shorter, and trailers",
            [body("5", &[("he", false)]), vec![trailers]].concat(),
            Reset(PROTOCOL),
        ),
        (
            "§8.1.1: no body",
            vec![headers(1, true, &request("GET", &[("content-length", "5")]))],
            Reset(PROTOCOL),
        ),
        ("not a number", body("+5", &[]), Reset(PROTOCOL)),
        ("no number", body("", &[]), Reset(PROTOCOL)),
        ("a number too large", body("99999999999999999999", &[]), Reset(PROTOCOL)),
        ("two", vec![post(1, &[("content-length", "5"), ("content-length", "5")])], Reset(PROTOCOL)),
    ]);
}

#[test]
fn trailers_end_a_stream_and_hold_what_they_may() {
    let after =
        |ended, name, value| vec![post(1, &[]), data(1, false, b"x"), headers(1, ended, &field(name, value))];
    hold(vec![
        ("§8.1", after(true, "x-t", "1"), Nothing),
        ("§8.1: they do not end it", after(false, "x-t", "1"), Reset(PROTOCOL)),
        ("§8.1: a pseudo-field", after(true, ":path", "/evil"), Reset(PROTOCOL)),
        ("§8.2.1: upper case", after(true, "X-T", "1"), Reset(PROTOCOL)),
        ("§8.2.2: Connection", after(true, "connection", "close"), Reset(PROTOCOL)),
        ("RFC 9110 §6.5.1: Content-Length", after(true, "content-length", "99"), Reset(PROTOCOL)),
    ]);
}

#[test]
fn more_streams_than_allowed_are_refused() {
    let mut client = Client::new(&WebLimits { h2_streams: 2, ..WebLimits::default() });
    client.send(&[get(1), get(3), get(5)].concat());
    assert_eq!(client.said(), [format!("reset 5 {REFUSED}")], "§5.1.2");
    client.send(&[cancel(1), get(7)].concat());
    assert_eq!(client.said(), [""; 0], "one that is closed does not count");
}

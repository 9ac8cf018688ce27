//! For tests: frames by hand, and what a connection says to them.

use bytes::BytesMut;

use crate::config::WebLimits;

use super::frame::{FrameHead, HEAD, PREFACE, flag, kind};
use super::machine::{Event, Machine};

/// A frame.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = FrameHead { length: payload.len(), kind, flags, stream }.bytes().to_vec();
    out.extend_from_slice(payload);
    out
}

/// A literal field, plain.
pub(super) fn field(name: &str, value: &str) -> Vec<u8> {
    let mut out = vec![0];
    for text in [name, value] {
        super::hpack::integer::write(&mut out, text.len(), 7, 0);
        out.extend_from_slice(text.as_bytes());
    }
    out
}

/// The fields of a request, and these.
pub(super) fn request(method: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let fields = [(":method", method), (":scheme", "http"), (":authority", "a.test"), (":path", "/")];
    fields.iter().chain(more).flat_map(|(name, value)| field(name, value)).collect()
}

/// HEADERS with END_HEADERS of a request.
pub(super) fn headers(stream: u32, ended: bool, block: &[u8]) -> Vec<u8> {
    frame(kind::HEADERS, flag::END_HEADERS | u8::from(ended), stream, block)
}

/// A GET.
pub(super) fn get(stream: u32) -> Vec<u8> {
    headers(stream, true, &request("GET", &[]))
}

/// The head of a POST, whose body is to come.
pub(super) fn post(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    headers(stream, false, &request("POST", more))
}

/// DATA.
pub(super) fn data(stream: u32, ended: bool, payload: &[u8]) -> Vec<u8> {
    frame(kind::DATA, u8::from(ended), stream, payload)
}

/// RST_STREAM: CANCEL.
pub(super) fn cancel(stream: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, stream, &[0, 0, 0, 8])
}

/// WINDOW_UPDATE.
pub(super) fn window(stream: u32, increment: u32) -> Vec<u8> {
    frame(kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

/// SETTINGS of one parameter.
pub(super) fn setting(name: u16, value: u32) -> Vec<u8> {
    frame(kind::SETTINGS, 0, 0, &[&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

/// What a client says before anything else.
pub(super) fn begin() -> Vec<u8> {
    [&PREFACE[..], &frame(kind::SETTINGS, 0, 0, &[]), &frame(kind::SETTINGS, flag::ACK, 0, &[])].concat()
}

/// The far end of a connection.
pub(super) struct Client {
    pub(super) machine: Machine,
    pub(super) input: BytesMut,
    /// What has happened, in words.
    pub(super) events: Vec<String>,
}

impl Client {
    /// One that has said nothing.
    pub(super) fn silent(limits: &WebLimits) -> Self {
        Self { machine: Machine::new(limits), input: BytesMut::new(), events: Vec::new() }
    }

    /// One whose settings and ours are known.
    pub(super) fn new(limits: &WebLimits) -> Self {
        let mut client = Self::silent(limits);
        client.send(&begin());
        client.said();
        client
    }

    /// Sends these bytes.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        while let Some(event) = self.machine.receive(&mut self.input) {
            let event = match event {
                Event::Request { key, head, ended } => {
                    format!("request {key} {} {}", head.method, if ended { "ended" } else { "open" })
                }
                Event::Refused { key, status } => format!("refused {key} {}", status.as_u16()),
                Event::Reset { key } => format!("closed {key}"),
                Event::Writable { key } => format!("writable {key}"),
                Event::AllWritable => "all writable".to_owned(),
                Event::Failed(error) => format!("failed {:?}", error.code),
            };
            self.events.push(event);
        }
    }

    /// What the machine has written since, in words.
    pub(super) fn said(&mut self) -> Vec<String> {
        let mut all = BytesMut::new();
        while !self.machine.out.is_empty() {
            let mut slices = [std::io::IoSlice::new(&[]); super::output::Output::SLICES];
            let count = self.machine.out.slices(&mut slices);
            let bytes: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
            self.machine.out.advance(bytes.len());
            all.extend_from_slice(&bytes);
        }
        let mut said = Vec::new();
        while let Some(head) = FrameHead::read(&all) {
            let frame = all.split_to(HEAD + head.length);
            said.push(words(head, &frame[HEAD..]));
        }
        assert!(all.is_empty(), "half a frame is written");
        said
    }
}

fn words(head: FrameHead, payload: &[u8]) -> String {
    let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
    let stream = head.stream;
    match head.kind {
        kind::DATA => format!("data {stream} {}{}", payload.len(), end(head)),
        kind::HEADERS => format!("headers {stream}{}", end(head)),
        kind::CONTINUATION => format!("continuation {stream}"),
        kind::RST_STREAM => format!("reset {stream} {}", number(0)),
        kind::SETTINGS if head.has(flag::ACK) => "settings ack".to_owned(),
        kind::SETTINGS => "settings".to_owned(),
        kind::PING => format!("ping {}", if head.has(flag::ACK) { "ack" } else { "" }),
        kind::GOAWAY => format!("goaway {} {}", number(0), number(4)),
        kind::WINDOW_UPDATE => format!("window {stream} {}", number(0)),
        kind => format!("unknown {kind}"),
    }
}

fn end(head: FrameHead) -> &'static str {
    if head.has(flag::END_STREAM) { " end" } else { "" }
}

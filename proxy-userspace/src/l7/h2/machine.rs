//! The state of a connection, and what may be done with it whatever comes in. Knows no socket, no clock and no task.

use std::time::Duration;

use crate::config::WebLimits;
use crate::l7::cut::BodyError;

use super::budget::Budget;
use super::error::{ConnectionError, ErrorCode};
use super::fields::Head;
use super::frame;
use super::hpack::decode::Decoder;
use super::hpack::encode::Encoder;
use super::output::Output;
use super::settings::{DEFAULT_WINDOW, Peer, name};
use super::stream::{CONNECTION_WINDOW, Closed, STREAM_WINDOW, Streams};

/// What has come of what came in.
#[derive(Debug)]
pub enum Event {
    /// A request; `ended`: without a body.
    Request { key: usize, head: Box<Head>, ended: bool },
    /// A request that is answered with this status, whatever it wants.
    Refused { key: usize, status: http::StatusCode },
    /// A stream is no more: its key is free.
    Reset { key: usize },
    /// A stream may send that could not.
    Writable { key: usize },
    /// All streams that could not send may.
    AllWritable,
    /// The connection cannot go on; GOAWAY is written.
    Failed(ConnectionError),
}

/// Where a connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// The client's preface is awaited (§3.4).
    Preface,
    /// Its SETTINGS are.
    FirstSettings,
    /// Frames come.
    Open,
    /// What comes in is of no interest.
    Failed,
}

/// How far an end in good order has come (§6.8).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Leaving {
    No,
    /// The client was told that there will be an end; it may not know yet.
    Told,
    /// Streams above this are not served.
    Last(u32),
}

/// A field block that is coming.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) stream: u32,
    pub(super) ended: bool,
    pub(super) fragment: Vec<u8>,
}

/// A DATA frame that is coming: its payload is taken as it comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Data {
    /// The stream, if its body is still wanted.
    pub(super) key: Option<usize>,
    pub(super) payload: usize,
    pub(super) padding: usize,
    pub(super) ended: bool,
}

/// A connection.
#[derive(Debug)]
pub struct Machine {
    pub(super) limits: WebLimits,
    pub(super) phase: Phase,
    pub(super) leaving: Leaving,
    /// The peer has said GOAWAY.
    pub(super) peer_leaves: bool,
    pub(super) streams: Streams,
    /// The highest stream that the client has opened.
    pub(super) highest: u32,
    /// Requests so far.
    pub(super) requests: u64,
    pub(super) send_window: i64,
    pub(super) recv_window: i64,
    pub(super) unreleased: i64,
    pub(super) peer: Peer,
    pub(super) acknowledged: bool,
    pub(super) decoder: Decoder,
    pub(super) encoder: Encoder,
    pub(super) block: Option<Block>,
    pub(super) data: Option<Data>,
    pub(super) budget: Budget,
    pub(super) clock: Clock,
    /// What is to be written.
    pub out: Output,
}

/// How long things have lasted.
#[derive(Default, Debug)]
pub(super) struct Clock {
    /// Since the last whole frame or field block, while one is coming.
    pub(super) partial: Duration,
    /// Since there was a stream.
    pub(super) idle: Duration,
    /// Since our settings.
    pub(super) settings: Duration,
    /// Since GOAWAY.
    pub(super) leaving: Duration,
}

impl Machine {
    /// A connection that begins: our settings are written.
    pub fn new(limits: &WebLimits) -> Self {
        let mut machine = Self {
            limits: limits.clone(),
            phase: Phase::Preface,
            leaving: Leaving::No,
            peer_leaves: false,
            streams: Streams::default(),
            highest: 0,
            requests: 0,
            send_window: DEFAULT_WINDOW,
            recv_window: CONNECTION_WINDOW,
            unreleased: 0,
            peer: Peer::default(),
            acknowledged: false,
            decoder: Decoder::default(),
            encoder: Encoder::default(),
            block: None,
            data: None,
            budget: Budget::new(limits),
            clock: Clock::default(),
            out: Output::default(),
        };
        let settings = [
            (name::MAX_CONCURRENT_STREAMS, limits.h2_streams),
            (name::INITIAL_WINDOW_SIZE, STREAM_WINDOW as u32),
            (name::MAX_HEADER_LIST_SIZE, limits.header_bytes as u32),
            (name::ENABLE_CONNECT_PROTOCOL, 1),
        ];
        frame::settings(machine.out.frames(), &settings);
        frame::window_update(machine.out.frames(), 0, (CONNECTION_WINDOW - DEFAULT_WINDOW) as u32);
        machine
    }

    /// How many streams are open.
    pub fn open(&self) -> usize {
        self.streams.len()
    }

    /// Whether nothing more will come of it: what is written is all.
    pub fn is_over(&self) -> bool {
        let leaving = self.peer_leaves || matches!(self.leaving, Leaving::Last(_));
        self.phase == Phase::Failed || (leaving && self.streams.is_empty())
    }

    /// Whether the client's SETTINGS were seen.
    pub fn is_begun(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// The connection is to end in good order (§6.8): first the client learns of it, then it is told the last stream.
    pub fn leave(&mut self) {
        if self.leaving == Leaving::No {
            self.leaving = Leaving::Told;
            frame::goaway(self.out.frames(), (1 << 31) - 1, ErrorCode::NoError, "");
            // Its answer shows that the client knows.
            frame::ping(self.out.frames(), false, Self::LEAVE_PING);
        }
    }

    pub(super) const LEAVE_PING: [u8; 8] = *b"goodbye.";

    /// The client knows, or has had time to.
    pub(super) fn leave_now(&mut self) {
        if !matches!(self.leaving, Leaving::Last(_)) {
            self.leaving = Leaving::Last(self.highest);
            frame::goaway(self.out.frames(), self.highest, ErrorCode::NoError, "");
        }
    }

    /// Ends the connection for an error (§5.4.1).
    pub(super) fn fail(&mut self, error: ConnectionError) -> Event {
        if self.phase != Phase::Failed {
            frame::goaway(self.out.frames(), self.highest, error.code, error.why);
            self.abandon();
        }
        Event::Failed(error)
    }

    /// The connection is gone: bodies that come over it will not be whole.
    pub fn abandon(&mut self) {
        self.phase = Phase::Failed;
        for (_, stream) in self.streams.iter_mut() {
            if let Some(inbound) = stream.inbound.take() {
                inbound.fail(BodyError::Gone);
            }
        }
    }

    /// Resets a stream that is open (§5.4.2), and closes it.
    pub fn reset(&mut self, key: usize, code: ErrorCode, body: BodyError) {
        if let Some(stream) = self.close(key, Closed::ByUs, body) {
            frame::reset(self.out.frames(), stream, code);
        }
    }

    /// Closes a stream, and gives its number.
    pub(super) fn close(&mut self, key: usize, how: Closed, body: BodyError) -> Option<u32> {
        let stream = self.streams.remove(key, how)?;
        // What nobody will read any more is room for others.
        self.release_connection(STREAM_WINDOW - stream.recv_window - stream.unreleased);
        self.clock.idle = Duration::ZERO;
        if let Some(inbound) = stream.inbound {
            inbound.fail(body);
        }
        Some(stream.id)
    }

    /// Something was read of a stream's body.
    pub fn was_read(&mut self, stream: u32) {
        let Some(key) = self.streams.key(stream) else { return };
        let inbound = self.streams.get(key).and_then(|stream| stream.inbound.as_ref());
        if let Some(bytes) = inbound.map(|inbound| inbound.take_read()) {
            self.release(key, bytes);
        }
    }

    /// The key of an open stream.
    pub fn key(&self, stream: u32) -> Option<usize> {
        self.streams.key(stream)
    }

    /// The number of an open stream.
    pub fn number(&self, key: usize) -> Option<u32> {
        self.streams.get(key).map(|stream| stream.id)
    }

    /// Bytes of a stream's body will take no more room: the client may send as many more (§6.9).
    pub(super) fn release(&mut self, key: usize, bytes: usize) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.unreleased += bytes as i64;
        // Telling of little is not worth a frame. Who has ended will send no more.
        if stream.unreleased >= STREAM_WINDOW / 2 && !stream.remote_ended {
            frame::window_update(self.out.frames(), stream.id, stream.unreleased as u32);
            stream.recv_window += stream.unreleased;
            stream.unreleased = 0;
        }
        self.release_connection(bytes as i64);
    }

    /// A stream's answer is a tunnel: its sides end apart, and it may be silent.
    pub fn make_tunnel(&mut self, key: usize) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.tunnel = true;
        }
    }

    /// A stream's client sends when it has something to say: its body may be silent, as that of a tunnel.
    pub fn let_talk(&mut self, key: usize) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.talks = true;
        }
    }

    /// Both sides of a tunnel have ended, and nothing is left of it.
    pub fn close_tunnel(&mut self, key: usize) {
        self.close(key, Closed::Ended, BodyError::Gone);
    }

    pub(super) fn release_connection(&mut self, bytes: i64) {
        self.unreleased += bytes;
        if self.unreleased >= CONNECTION_WINDOW / 4 {
            frame::window_update(self.out.frames(), 0, self.unreleased as u32);
            self.recv_window += self.unreleased;
            self.unreleased = 0;
        }
    }
}

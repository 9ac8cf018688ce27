//! Field blocks and data in: requests, their bodies and trailers (RFC 9113 §6.1, §6.2, §6.10, §8.1).

use bytes::{Buf, BytesMut};
use http::StatusCode;

use crate::l7::cut::BodyError;

use super::error::{ConnectionError, ErrorCode, broken};
use super::fields::{BadFields, HeadReader, TrailerReader};
use super::frame::{self, FrameHead, HEAD, flag};
use super::hpack::decode::Fields;
use super::hpack::entry::Entry;
use super::machine::{Block, Data, Event, Leaving, Machine};
use super::receive::Step;
use super::stream::{Closed, STREAM_WINDOW};

/// The fields of a block that nobody wants: read all the same, for the tables' sake (§4.3).
struct Unwanted;

impl Fields for Unwanted {
    fn field(&mut self, _: &Entry, _: bool) {}
}

impl Machine {
    /// §6.2.
    pub(super) fn headers(&mut self, head: FrameHead, payload: &[u8]) -> Result<Step, ConnectionError> {
        if head.stream == 0 || head.stream.is_multiple_of(2) {
            return broken(ErrorCode::Protocol, "HEADERS of a stream that a client cannot open");
        }
        let mut fragment = unpadded(head, payload)?;
        let mut depends_on_itself = false;
        if head.has(flag::PRIORITY) {
            let Some((&[d0, d1, d2, d3, _], rest)) = fragment.split_first_chunk::<5>() else {
                return broken(ErrorCode::FrameSize, "HEADERS end within their priority");
            };
            fragment = rest;
            depends_on_itself = u32::from_be_bytes([d0 & 0x7f, d1, d2, d3]) == head.stream;
        }
        if depends_on_itself {
            // RFC 7540 §5.3.1. A stream error, which costs no more as one of the connection.
            return broken(ErrorCode::Protocol, "a stream depends on itself");
        }
        let ended = head.has(flag::END_STREAM);
        if head.has(flag::END_HEADERS) {
            return self.block(head.stream, ended, fragment);
        }
        self.block = Some(Block { stream: head.stream, ended, fragment: fragment.to_vec() });
        Ok(Step::Next)
    }

    /// §6.10. `check` has seen to it that it goes on with the block.
    pub(super) fn continuation(&mut self, head: FrameHead, payload: &[u8]) -> Result<Step, ConnectionError> {
        self.budget.idle()?;
        let Some(mut block) = self.block.take() else { return Ok(Step::Next) };
        // Coding does not make a block longer than the list that it stands for, or hardly.
        if block.fragment.len() + payload.len() > 2 * self.limits.header_bytes {
            return broken(
                ErrorCode::EnhanceYourCalm,
                "a field block is much longer than SETTINGS_MAX_HEADER_LIST_SIZE",
            );
        }
        block.fragment.extend_from_slice(payload);
        if head.has(flag::END_HEADERS) {
            return self.block(block.stream, block.ended, &block.fragment);
        }
        self.block = Some(block);
        Ok(Step::Next)
    }

    /// A field block, whole.
    fn block(&mut self, id: u32, ended: bool, block: &[u8]) -> Result<Step, ConnectionError> {
        if let Some(key) = self.streams.key(id) {
            return self.trailers(key, ended, block);
        }
        if id <= self.highest {
            return self.late_block(id, block);
        }
        self.highest = id;
        if matches!(self.leaving, Leaving::Last(last) if id > last) {
            // §6.8: the client knows, or will soon, that this was not looked at.
            self.budget.idle()?;
            return self.read(block, &mut Unwanted).map(|()| Step::Next);
        }
        if self.streams.len() >= self.limits.h2_streams as usize {
            // §5.1.2. Before it has seen our settings, a client cannot know.
            let spent = if self.acknowledged { self.budget.reset() } else { self.budget.idle() };
            spent?;
            self.read(block, &mut Unwanted)?;
            return Ok(self.refuse(id, ErrorCode::RefusedStream));
        }
        let mut reader = HeadReader::new(&self.limits, block.len());
        self.read(block, &mut reader)?;
        match reader.finish(ended) {
            Ok(head) => {
                let key = self.opened(id, ended);
                if let Some(stream) = self.streams.get_mut(key) {
                    stream.left = head.length;
                }
                Ok(Step::Event(Event::Request { key, head: Box::new(head), ended }))
            }
            Err(BadFields::Malformed(_)) => {
                self.budget.reset()?;
                Ok(self.refuse(id, ErrorCode::Protocol))
            }
            Err(BadFields::TooLarge) => {
                Ok(self.answered(id, ended, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE))
            }
            Err(BadFields::PathTooLong) => Ok(self.answered(id, ended, StatusCode::URI_TOO_LONG)),
            Err(BadFields::Unmet) => Ok(self.answered(id, ended, StatusCode::EXPECTATION_FAILED)),
        }
    }

    /// A stream whose request is answered whatever it is.
    fn answered(&mut self, id: u32, ended: bool, status: StatusCode) -> Step {
        Step::Event(Event::Refused { key: self.opened(id, ended), status })
    }

    fn opened(&mut self, id: u32, ended: bool) -> usize {
        let key = self.streams.insert(id, self.peer.initial_window);
        if let Some(stream) = self.streams.get_mut(key) {
            stream.remote_ended = ended;
        }
        self.clock.idle = std::time::Duration::ZERO;
        self.requests += 1;
        if self.requests >= self.limits.requests_per_connection {
            self.leave();
        }
        key
    }

    /// Resets a stream that was not opened.
    fn refuse(&mut self, id: u32, code: ErrorCode) -> Step {
        self.streams.remember(id, Closed::ByUs);
        frame::reset(self.out.frames(), id, code);
        Step::Next
    }

    /// A block for a stream that is closed (§5.1).
    fn late_block(&mut self, id: u32, block: &[u8]) -> Result<Step, ConnectionError> {
        match self.streams.closed(id) {
            Closed::ByUs => {
                self.budget.idle()?;
                self.read(block, &mut Unwanted).map(|()| Step::Next)
            }
            Closed::ByPeer => {
                self.budget.reset()?;
                self.read(block, &mut Unwanted)?;
                frame::reset(self.out.frames(), id, ErrorCode::StreamClosed);
                Ok(Step::Next)
            }
            Closed::Ended => broken(ErrorCode::StreamClosed, "HEADERS of a stream that has ended"),
            // §5.1.1: a stream that was skipped is closed.
            Closed::Unknown => {
                broken(ErrorCode::Protocol, "the number of a new stream is not higher than all before")
            }
        }
    }

    /// A block after the first of a stream: its trailers, and its end (§8.1).
    fn trailers(&mut self, key: usize, ended: bool, block: &[u8]) -> Result<Step, ConnectionError> {
        let mut reader = TrailerReader::new(&self.limits);
        self.read(block, &mut reader)?;
        let Some(stream) = self.streams.get(key) else { return Ok(Step::Next) };
        if stream.remote_ended {
            return self.stream_error(key, ErrorCode::StreamClosed, BodyError::Framing);
        }
        // Field blocks have no meaning in a tunnel (RFC 8441 §5, RFC 9113 §8.5).
        if !ended || stream.tunnel {
            return self.stream_error(key, ErrorCode::Protocol, BodyError::Framing);
        }
        match reader.finish() {
            Ok(trailers) => self.remote_ends(key, Some(trailers)),
            Err(BadFields::Malformed(_)) => self.stream_error(key, ErrorCode::Protocol, BodyError::Framing),
            Err(_) => self.stream_error(key, ErrorCode::EnhanceYourCalm, BodyError::Trailers),
        }
    }

    fn read(&mut self, block: &[u8], fields: &mut impl Fields) -> Result<(), ConnectionError> {
        self.decoder
            .decode(block, fields)
            .or_else(|_| broken(ErrorCode::Compression, "a field block cannot be read"))
    }

    /// §6.1: the head of a DATA frame.
    pub(super) fn data_begins(
        &mut self,
        head: FrameHead,
        input: &mut BytesMut,
    ) -> Result<Step, ConnectionError> {
        self.not_idle(head.stream)?;
        let padded = head.has(flag::PADDED);
        let mut padding = 0;
        if padded && head.length > 0 {
            let Some(&length) = input.get(HEAD) else { return Ok(Step::Starved) };
            padding = usize::from(length);
        }
        let overhead = padding + usize::from(padded);
        let Some(payload) = head.length.checked_sub(overhead) else {
            return broken(ErrorCode::Protocol, "padding is as long as its frame, or longer");
        };
        let ended = head.has(flag::END_STREAM);
        if payload == 0 && !ended {
            self.budget.idle()?;
        }
        // §6.9: a frame counts as a whole, wanted or not.
        self.recv_window -= head.length as i64;
        if self.recv_window < 0 {
            return broken(ErrorCode::FlowControl, "more data than the connection's window");
        }
        input.advance(HEAD + usize::from(padded));
        self.data = Some(Data { key: None, payload, padding, ended });
        let Some(key) = self.streams.key(head.stream) else {
            return self.late_data(head);
        };
        let Some(stream) = self.streams.get_mut(key) else { return Ok(Step::Next) };
        let length = payload as u64;
        let wrong = if stream.remote_ended {
            Some(ErrorCode::StreamClosed)
        } else if stream.recv_window < head.length as i64 {
            Some(ErrorCode::FlowControl)
        } else if stream.left.is_some_and(|left| length > left || (ended && length < left)) {
            // §8.1.1: the body is not as long as was declared.
            Some(ErrorCode::Protocol)
        } else {
            None
        };
        if let Some(code) = wrong {
            self.release_connection(head.length as i64);
            return self.stream_error(key, code, BodyError::Framing);
        }
        stream.recv_window -= head.length as i64;
        stream.left = stream.left.map(|left| left - length);
        self.data = Some(Data { key: Some(key), payload, padding, ended });
        self.release(key, overhead);
        Ok(Step::Next)
    }

    /// Data for a stream that is closed (§5.1).
    fn late_data(&mut self, head: FrameHead) -> Result<Step, ConnectionError> {
        self.release_connection(head.length as i64);
        match self.streams.closed(head.stream) {
            Closed::ByUs => {}
            Closed::ByPeer => {
                self.budget.reset()?;
                frame::reset(self.out.frames(), head.stream, ErrorCode::StreamClosed);
            }
            Closed::Unknown if matches!(self.leaving, Leaving::Last(last) if head.stream > last) => {}
            Closed::Ended | Closed::Unknown => {
                return broken(ErrorCode::StreamClosed, "DATA of a stream that has ended");
            }
        }
        Ok(Step::Next)
    }

    /// What has come of a DATA frame's payload and padding.
    pub(super) fn data_goes_on(&mut self, input: &mut BytesMut) -> Result<Step, ConnectionError> {
        let Some(mut data) = self.data.take() else { return Ok(Step::Next) };
        // Its stream may have been closed meanwhile.
        let now = input.len().min(data.payload);
        data.payload -= now;
        if now > 0 {
            let mut unread = 0;
            if let Some(stream) = data.key.and_then(|key| self.streams.get_mut(key)) {
                stream.receiving.count(now);
                unread = stream.inbound.as_ref().map_or(now, |inbound| inbound.push(&input[..now]));
            }
            if let Some(key) = data.key {
                self.release(key, unread);
            }
            input.advance(now);
            self.budget.earn(now);
        }
        let padding = input.len().min(data.padding);
        input.advance(padding);
        data.padding -= padding;
        if data.payload > 0 || data.padding > 0 {
            self.data = Some(data);
            return Ok(Step::Starved);
        }
        self.clock.partial = std::time::Duration::ZERO;
        match data.key {
            Some(key) if data.ended => self.remote_ends(key, None),
            _ => Ok(Step::Next),
        }
    }

    /// The client has ended its side.
    fn remote_ends(
        &mut self,
        key: usize,
        trailers: Option<http::HeaderMap>,
    ) -> Result<Step, ConnectionError> {
        let Some(stream) = self.streams.get_mut(key) else { return Ok(Step::Next) };
        if stream.left.is_some_and(|left| left > 0) {
            return self.stream_error(key, ErrorCode::Protocol, BodyError::Framing);
        }
        stream.remote_ended = true;
        if let Some(inbound) = &stream.inbound {
            inbound.finish(trailers);
        }
        Ok(Step::Next)
    }

    /// The reading end of a stream's body was made: what comes goes there.
    pub fn attach(&mut self, key: usize, inbound: std::rc::Rc<super::inbound::Inbound>) {
        if let Some(stream) = self.streams.get_mut(key) {
            debug_assert_eq!(stream.recv_window, STREAM_WINDOW, "before any data");
            stream.inbound = Some(inbound);
        }
    }
}

/// The payload without its padding (§6.1, §6.2).
fn unpadded(head: FrameHead, payload: &[u8]) -> Result<&[u8], ConnectionError> {
    if !head.has(flag::PADDED) {
        return Ok(payload);
    }
    let inner = payload.split_first().and_then(|(&padding, rest)| {
        rest.len().checked_sub(usize::from(padding)).map(|length| &rest[..length])
    });
    inner.map_or_else(|| broken(ErrorCode::Protocol, "padding is longer than its frame"), Ok)
}

//! Frames in (RFC 9113 §3.4, §4, §5.1, §6), but for field blocks and data.

use bytes::{Buf, BytesMut};

use super::error::{ConnectionError, ErrorCode, broken};
use super::frame::{self, FrameHead, HEAD, MAX_FRAME, PREFACE, flag, kind};
use super::machine::{Event, Leaving, Machine, Phase};
use super::settings::{MAX_WINDOW, MOST_PARAMETERS};
use super::stream::Closed;
use crate::l7::cut::BodyError;

/// What a piece of input came to.
pub(super) enum Step {
    /// Something is to be done.
    Event(Event),
    /// There may be more in the input.
    Next,
    /// More input is needed.
    Starved,
}

impl Machine {
    /// Takes what can be taken of `input`, up to the next event; none: more input is needed.
    pub fn receive(&mut self, input: &mut BytesMut) -> Option<Event> {
        loop {
            match self.step(input) {
                Ok(Step::Next) => {}
                Ok(Step::Event(event)) => return Some(event),
                Ok(Step::Starved) => return None,
                Err(error) => return Some(self.fail(error)),
            }
        }
    }

    fn step(&mut self, input: &mut BytesMut) -> Result<Step, ConnectionError> {
        match self.phase {
            Phase::Preface => return self.preface(input),
            Phase::Failed => {
                input.clear();
                return Ok(Step::Starved);
            }
            Phase::FirstSettings | Phase::Open => {}
        }
        if self.data.is_some() {
            return self.data_goes_on(input);
        }
        let Some(head) = FrameHead::read(input) else { return Ok(Step::Starved) };
        self.check(head)?;
        if head.kind == kind::DATA {
            return self.data_begins(head, input);
        }
        if input.len() < HEAD + head.length {
            return Ok(Step::Starved);
        }
        let step = self.frame(head, &input[HEAD..HEAD + head.length])?;
        input.advance(HEAD + head.length);
        if self.block.is_none() {
            self.clock.partial = std::time::Duration::ZERO;
        }
        Ok(step)
    }

    /// The client's preface (§3.4), as far as it has come.
    fn preface(&mut self, input: &mut BytesMut) -> Result<Step, ConnectionError> {
        let seen = input.len().min(PREFACE.len());
        if input[..seen] != PREFACE[..seen] {
            return broken(ErrorCode::Protocol, "this is not the preface of HTTP/2");
        }
        if seen < PREFACE.len() {
            return Ok(Step::Starved);
        }
        input.advance(PREFACE.len());
        self.phase = Phase::FirstSettings;
        Ok(Step::Next)
    }

    /// What is wrong with a frame whatever it holds.
    fn check(&self, head: FrameHead) -> Result<(), ConnectionError> {
        if head.length > MAX_FRAME {
            return broken(ErrorCode::FrameSize, "a frame is larger than SETTINGS_MAX_FRAME_SIZE");
        }
        if self.phase == Phase::FirstSettings && (head.kind != kind::SETTINGS || head.has(flag::ACK)) {
            return broken(ErrorCode::Protocol, "the first frame is not SETTINGS");
        }
        let continues = head.kind == kind::CONTINUATION;
        match &self.block {
            Some(block) if continues && block.stream == head.stream => Ok(()),
            Some(_) => broken(ErrorCode::Protocol, "a field block is interrupted"),
            None if continues => broken(ErrorCode::Protocol, "CONTINUATION without a field block"),
            None => Ok(()),
        }
    }

    fn frame(&mut self, head: FrameHead, payload: &[u8]) -> Result<Step, ConnectionError> {
        match head.kind {
            kind::HEADERS => self.headers(head, payload),
            kind::CONTINUATION => self.continuation(head, payload),
            kind::PRIORITY => self.priority(head, payload),
            kind::RST_STREAM => self.rst_stream(head, payload),
            kind::SETTINGS => self.settings(head, payload),
            kind::PUSH_PROMISE => broken(ErrorCode::Protocol, "a client cannot push"),
            kind::PING => self.ping(head, payload),
            kind::GOAWAY => self.goaway(head, payload),
            kind::WINDOW_UPDATE => self.window_update(head, payload),
            // §5.5: extensions that nobody knows are ignored.
            _ => self.budget.idle().map(|()| Step::Next),
        }
    }

    /// §6.3. Priorities are ignored; what RFC 7540 §5.3.1 forbids is still refused.
    fn priority(&mut self, head: FrameHead, payload: &[u8]) -> Result<Step, ConnectionError> {
        self.budget.idle()?;
        if head.stream == 0 {
            return broken(ErrorCode::Protocol, "PRIORITY of no stream");
        }
        let (code, why) = match payload {
            &[d0, d1, d2, d3, _] if u32::from_be_bytes([d0 & 0x7f, d1, d2, d3]) == head.stream => {
                (ErrorCode::Protocol, "a stream depends on itself")
            }
            [_, _, _, _, _] => return Ok(Step::Next),
            _ => (ErrorCode::FrameSize, "PRIORITY is not of five bytes"),
        };
        match self.streams.key(head.stream) {
            Some(key) => self.stream_error(key, code, BodyError::Framing),
            // A stream that is not open cannot be reset (§6.4).
            None => broken(code, why),
        }
    }

    /// §6.4.
    fn rst_stream(&mut self, head: FrameHead, payload: &[u8]) -> Result<Step, ConnectionError> {
        if payload.len() != 4 {
            return broken(ErrorCode::FrameSize, "RST_STREAM is not of four bytes");
        }
        self.not_idle(head.stream)?;
        let Some(key) = self.streams.key(head.stream) else {
            return self.budget.idle().map(|()| Step::Next);
        };
        self.close(key, Closed::ByPeer, BodyError::Gone);
        self.budget.reset()?;
        Ok(Step::Event(Event::Reset { key }))
    }

    /// §6.5.
    fn settings(&mut self, head: FrameHead, payload: &[u8]) -> Result<Step, ConnectionError> {
        if head.stream != 0 {
            return broken(ErrorCode::Protocol, "SETTINGS of a stream");
        }
        self.budget.idle()?;
        if head.has(flag::ACK) {
            if !payload.is_empty() {
                return broken(ErrorCode::FrameSize, "an acknowledgement of SETTINGS is not empty");
            }
            self.acknowledged = true;
            return Ok(Step::Next);
        }
        if !payload.len().is_multiple_of(6) {
            return broken(ErrorCode::FrameSize, "SETTINGS are not of six bytes each");
        }
        if payload.len() / 6 > MOST_PARAMETERS {
            return broken(ErrorCode::EnhanceYourCalm, "too many settings in one frame");
        }
        self.phase = Phase::Open;
        let before = self.peer.initial_window;
        self.peer.apply(payload)?;
        self.encoder.allow(self.peer.table);
        let change = self.peer.initial_window - before;
        for (_, stream) in self.streams.iter_mut() {
            // §6.9.2: a window may fall below nothing, and not rise above the most.
            stream.send_window += change;
            if stream.send_window > MAX_WINDOW {
                return broken(
                    ErrorCode::FlowControl,
                    "SETTINGS_INITIAL_WINDOW_SIZE makes a window too large",
                );
            }
        }
        frame::settings_ack(self.out.frames());
        Ok(if change > 0 { Step::Event(Event::AllWritable) } else { Step::Next })
    }

    /// §6.7.
    fn ping(&mut self, head: FrameHead, payload: &[u8]) -> Result<Step, ConnectionError> {
        if head.stream != 0 {
            return broken(ErrorCode::Protocol, "PING of a stream");
        }
        let Ok(data) = <[u8; 8]>::try_from(payload) else {
            return broken(ErrorCode::FrameSize, "PING is not of eight bytes");
        };
        self.budget.idle()?;
        if !head.has(flag::ACK) {
            frame::ping(self.out.frames(), true, data);
        } else if data == Self::LEAVE_PING && self.leaving == Leaving::Told {
            self.leave_now();
        }
        Ok(Step::Next)
    }

    /// §6.8.
    fn goaway(&mut self, head: FrameHead, payload: &[u8]) -> Result<Step, ConnectionError> {
        if head.stream != 0 {
            return broken(ErrorCode::Protocol, "GOAWAY of a stream");
        }
        if payload.len() < 8 {
            return broken(ErrorCode::FrameSize, "GOAWAY is shorter than eight bytes");
        }
        self.budget.idle()?;
        self.peer_leaves = true;
        Ok(Step::Next)
    }

    /// §6.9.
    fn window_update(&mut self, head: FrameHead, payload: &[u8]) -> Result<Step, ConnectionError> {
        let &[i0, i1, i2, i3] = payload else {
            return broken(ErrorCode::FrameSize, "WINDOW_UPDATE is not of four bytes");
        };
        let increment = i64::from(u32::from_be_bytes([i0 & 0x7f, i1, i2, i3]));
        self.budget.idle()?;
        if head.stream == 0 {
            if increment == 0 {
                return broken(ErrorCode::Protocol, "WINDOW_UPDATE of nothing");
            }
            self.send_window += increment;
            if self.send_window > MAX_WINDOW {
                return broken(ErrorCode::FlowControl, "the connection's window is too large");
            }
            let opened = self.send_window > 0 && self.send_window <= increment;
            return Ok(if opened { Step::Event(Event::AllWritable) } else { Step::Next });
        }
        self.not_idle(head.stream)?;
        let Some(key) = self.streams.key(head.stream) else { return Ok(Step::Next) };
        if increment == 0 {
            return self.stream_error(key, ErrorCode::Protocol, BodyError::Gone);
        }
        let Some(stream) = self.streams.get_mut(key) else { return Ok(Step::Next) };
        stream.send_window += increment;
        if stream.send_window > MAX_WINDOW {
            return self.stream_error(key, ErrorCode::FlowControl, BodyError::Gone);
        }
        let opened = stream.send_window > 0 && stream.send_window <= increment;
        Ok(if opened { Step::Event(Event::Writable { key }) } else { Step::Next })
    }

    /// A frame for a stream that never was is an error of the connection (§5.1, §5.1.1).
    pub(super) fn not_idle(&self, stream: u32) -> Result<(), ConnectionError> {
        if stream == 0 || stream.is_multiple_of(2) || stream > self.highest {
            return broken(ErrorCode::Protocol, "a frame for a stream that is idle or none");
        }
        Ok(())
    }

    /// Resets a stream because of what the peer did (§5.4.2).
    pub(super) fn stream_error(
        &mut self,
        key: usize,
        code: ErrorCode,
        body: BodyError,
    ) -> Result<Step, ConnectionError> {
        self.reset(key, code, body);
        self.budget.reset()?;
        Ok(Step::Event(Event::Reset { key }))
    }
}

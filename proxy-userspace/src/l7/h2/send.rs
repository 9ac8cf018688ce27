//! Frames out: answers (RFC 9113 §8.1), within the windows that the peer gives.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, StatusCode};

use crate::l7::cut::BodyError;

use super::error::ErrorCode;
use super::frame::{FrameHead, HEAD, flag, kind};
use super::machine::Machine;
use super::stream::Closed;
use super::turn::Turn;

/// Above this, streams wait until what is written has gone out.
pub const OUT_BYTES: usize = 128 << 10;

impl Machine {
    /// The head of an answer, or a 1xx; `ended`: it has no body.
    pub fn send_head(
        &mut self,
        key: usize,
        status: StatusCode,
        length: Option<u64>,
        fields: &HeaderMap,
        ended: bool,
    ) {
        if !status.is_informational() {
            self.let_talk(key);
        }
        let start = self.begin_block();
        self.encoder.head(status, length, fields, self.out.frames());
        self.end_block(key, start, ended);
    }

    /// The trailers of an answer, and its end.
    pub fn send_trailers(&mut self, key: usize, trailers: &HeaderMap) {
        let start = self.begin_block();
        self.encoder.trailers(trailers, self.out.frames());
        self.end_block(key, start, true);
    }

    /// How much of a body may go out now. Nothing: `wait` for it.
    pub fn room(&self, key: usize) -> usize {
        let window = self.streams.get(key).map_or(0, |stream| stream.send_window.min(self.send_window));
        (window.max(0) as usize).min(OUT_BYTES.saturating_sub(self.out.len()))
    }

    /// A stream has something to send, and no room: it waits for a window, or for what is written to go out.
    pub fn wait(&mut self, key: usize) -> Turn {
        let Some(stream) = self.streams.get_mut(key) else { return Turn::Over };
        stream.blocked = stream.send_window.min(self.send_window) <= 0;
        if stream.blocked { Turn::Waits } else { Turn::Blocked }
    }

    /// The streams that wait for a window.
    pub fn blocked(&self) -> impl Iterator<Item = usize> {
        self.streams.iter().filter(|(_, stream)| stream.blocked).map(|(key, _)| key)
    }

    /// A piece of an answer's body, which there is room for; `ended`: the last.
    pub fn send_data(&mut self, key: usize, mut data: Bytes, ended: bool) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let (id, bytes) = (stream.id, data.len());
        stream.send_window -= bytes as i64;
        stream.sending.count(bytes);
        stream.blocked = false;
        self.send_window -= bytes as i64;
        if bytes > 0 {
            self.budget.earn(bytes);
        }
        loop {
            let piece = data.split_to(data.len().min(self.peer.max_frame));
            let last = ended && data.is_empty();
            let flags = if last { flag::END_STREAM } else { 0 };
            FrameHead { length: piece.len(), kind: kind::DATA, flags, stream: id }.write(self.out.frames());
            self.out.payload(piece);
            if data.is_empty() {
                break;
            }
        }
        if ended {
            self.local_ends(key);
        }
    }

    /// Leaves room for the head of a frame, and says where.
    fn begin_block(&mut self) -> usize {
        let out = self.out.frames();
        let start = out.len();
        out.put_bytes(0, HEAD);
        start
    }

    /// Makes frames of the block that stands behind `start`: HEADERS, and CONTINUATION as far as it is too long.
    fn end_block(&mut self, key: usize, start: usize, ended: bool) {
        let most = self.peer.max_frame;
        let out = self.out.frames();
        let Some(stream) = self.streams.get(key) else { return out.truncate(start) };
        let id = stream.id;
        let length = out.len() - start - HEAD;
        let end_stream = if ended { flag::END_STREAM } else { 0 };
        let mut rest = if length > most { out.split_off(start + HEAD + most) } else { BytesMut::new() };
        let end_headers = if rest.is_empty() { flag::END_HEADERS } else { 0 };
        let head = FrameHead {
            length: length.min(most),
            kind: kind::HEADERS,
            flags: end_stream | end_headers,
            stream: id,
        };
        out[start..start + HEAD].copy_from_slice(&head.bytes());
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(most));
            let flags = if rest.is_empty() { flag::END_HEADERS } else { 0 };
            out.put_slice(
                &FrameHead { length: piece.len(), kind: kind::CONTINUATION, flags, stream: id }.bytes(),
            );
            out.put_slice(&piece);
        }
        if ended {
            self.local_ends(key);
        }
    }

    /// We have ended our side. A client that still sends may stop (§8.1).
    fn local_ends(&mut self, key: usize) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.local_ended = true;
        self.budget.earn_answer();
        match (stream.tunnel, stream.remote_ended) {
            // What relays it may not be done with the other side.
            (true, _) => {}
            (false, true) => {
                self.close(key, Closed::Ended, BodyError::Gone);
            }
            (false, false) => self.reset(key, ErrorCode::NoError, BodyError::Gone),
        }
    }
}

//! Frames that came while their connection was being handed over: the kernel part kept them back and copied them here.
//! Once it knows what is to become of them, they come in again as if for the first time.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use aya::maps::{Map, MapData, RingBuf};
use proxy_common::splice::{HELD_FRAME, HELD_HEAD};

use super::cut;
use crate::l4::sys;

/// Frames wait for one connection at most, and bytes of them: a window's worth.
const MOST: usize = 1024;
const MOST_BYTES: usize = 2 << 20;

/// The ring buffer, and the program that frames go through.
#[derive(Debug)]
pub(super) struct Held {
    program: OwnedFd,
    waiting: Mutex<Waiting>,
}

struct Waiting {
    ring: RingBuf<MapData>,
    /// Connections that are being handed over.
    busy: HashSet<u32>,
    frames: HashMap<u32, Line>,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").field("busy", &self.busy).finish_non_exhaustive()
    }
}

/// A frame, and the interface that it came in by.
#[derive(Debug)]
struct Frame {
    ingress: u32,
    bytes: Vec<u8>,
}

/// Frames of a connection, in their order.
#[derive(Default)]
struct Line {
    frames: Vec<Frame>,
    bytes: usize,
}

impl Line {
    fn push(&mut self, frame: Frame) {
        if self.frames.len() < MOST && self.bytes + frame.bytes.len() <= MOST_BYTES {
            self.bytes += frame.bytes.len();
            self.frames.push(frame);
        }
    }
}

/// The connection's number and the frame, as they lie in the ring buffer.
fn record(bytes: &[u8]) -> Option<(u32, Frame)> {
    let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let (number, ingress, length) = (word(0)?, word(4)?, word(8)? as usize);
    let bytes = bytes.get(HELD_HEAD..HELD_HEAD.checked_add(length)?)?.to_vec();
    Some((number, Frame { ingress, bytes }))
}

impl Waiting {
    /// Empties the ring buffer. Frames that nobody waits for any more.
    fn empty(&mut self) -> Vec<Frame> {
        let mut late = Vec::new();
        while let Some(item) = self.ring.next() {
            let Some((number, frame)) = record(&item) else { continue };
            if !self.busy.contains(&number) {
                late.push(frame);
                continue;
            }
            self.frames.entry(number).or_default().push(frame);
        }
        late
    }
}

impl Held {
    /// Takes the ring buffer over.
    pub(super) fn new(ring: OwnedFd, program: OwnedFd) -> io::Result<Self> {
        let map = MapData::from_fd(ring).map_err(io::Error::other)?;
        let ring = RingBuf::try_from(Map::RingBuf(map)).map_err(io::Error::other)?;
        let waiting = Waiting { ring, busy: HashSet::new(), frames: HashMap::new() };
        Ok(Self { program, waiting: Mutex::new(waiting) })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection's frames are about to be held.
    pub(super) fn begin(&self, number: u32) {
        self.lock().busy.insert(number);
    }

    /// What becomes of a connection is settled: its frames come in again, in their order.
    pub(super) fn end(&self, number: u32) -> io::Result<()> {
        let mut waiting = self.lock();
        let mut frames = waiting.empty();
        waiting.busy.remove(&number);
        frames.extend(waiting.frames.remove(&number).unwrap_or_default().frames);
        drop(waiting);
        self.inject(&frames)
    }

    /// Frames that came into the ring buffer when nobody looked any more come in again.
    pub(super) fn late(&self) -> io::Result<()> {
        let frames = self.lock().empty();
        self.inject(&frames)
    }

    fn inject(&self, frames: &[Frame]) -> io::Result<()> {
        let mut result = Ok(());
        for frame in frames {
            // The next one may find its way: its interface may be another.
            result = result.and(self.inject_one(frame));
        }
        result
    }

    fn inject_one(&self, Frame { ingress, bytes }: &Frame) -> io::Result<()> {
        if bytes.len() <= HELD_FRAME {
            return sys::inject(self.program.as_fd(), bytes, *ingress);
        }
        // What is longer cannot come in as it is: `BPF_PROG_TEST_RUN` takes no more than a page less its heads.
        let pieces = cut::up(bytes, HELD_FRAME).ok_or(io::ErrorKind::InvalidData)?;
        pieces.iter().try_for_each(|piece| sys::inject(self.program.as_fd(), piece, *ingress))
    }
}

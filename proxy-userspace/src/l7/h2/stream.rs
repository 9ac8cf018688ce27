//! One stream (RFC 9113 §5.1), and those that were.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

use slab::Slab;

use super::inbound::Inbound;
use super::pace::Pace;

/// The window of a stream: how much of a body waits for a slow backend.
pub const STREAM_WINDOW: i64 = 256 << 10;
/// The window of a connection: what all bodies together may hold here.
pub const CONNECTION_WINDOW: i64 = 2 << 20;

/// A stream that is not closed.
#[derive(Debug)]
pub struct Stream {
    /// Its number.
    pub id: u32,
    /// The client has ended its side.
    pub remote_ended: bool,
    /// We have ended ours.
    pub local_ended: bool,
    /// What we may send (§6.9.2: it may be below nothing).
    pub send_window: i64,
    /// What the client may send.
    pub recv_window: i64,
    /// What was read, and the client was not told of.
    pub unreleased: i64,
    /// Bytes until the end of its body, as declared.
    pub left: Option<u64>,
    /// Its body, if there is one and it is wanted.
    pub inbound: Option<Rc<Inbound>>,
    /// Bytes both ways without HTTP: it may be silent.
    pub tunnel: bool,
    /// Both talk in turn: the answer has begun, or it is a call of gRPC to a backend that speaks it. The client sends
    /// when it has something to say; that nothing is said for ever is the business of who asks the backend.
    pub talks: bool,
    /// There is something to send, and no window for it.
    pub blocked: bool,
    /// How its body comes.
    pub receiving: Pace,
    /// How the answer goes.
    pub sending: Pace,
}

/// Streams by number and by key. A key is small and stands for one stream while that is open.
#[derive(Default, Debug)]
pub struct Streams {
    slab: Slab<Stream>,
    keys: HashMap<u32, usize, BuildHasherDefault<ById>>,
    gone: Gone,
}

/// Numbers of streams are odd and count up: they need no more to be spread.
#[derive(Default, Debug)]
struct ById(u64);

impl Hasher for ById {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0 << 8 | u64::from(byte);
        }
    }

    fn write_u32(&mut self, id: u32) {
        self.0 = u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// How a stream was closed, as far as is remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closed {
    /// Both sides had ended.
    Ended,
    /// By our reset: what the client had sent before it knew is to be expected.
    ByUs,
    /// By the client's.
    ByPeer,
    /// Long ago, or it was never opened.
    Unknown,
}

/// The last streams that were closed.
#[derive(Default, Debug)]
struct Gone {
    ended: VecDeque<u32>,
    reset: VecDeque<(u32, Closed)>,
}

impl Gone {
    const ENDED: usize = 32;
    const RESET: usize = 256;
}

impl Streams {
    /// How many are open.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    /// Opens one.
    pub fn insert(&mut self, id: u32, send_window: i64) -> usize {
        let key = self.slab.insert(Stream {
            id,
            remote_ended: false,
            local_ended: false,
            send_window,
            recv_window: STREAM_WINDOW,
            unreleased: 0,
            left: None,
            inbound: None,
            tunnel: false,
            talks: false,
            blocked: false,
            receiving: Pace::default(),
            sending: Pace::default(),
        });
        self.keys.insert(id, key);
        key
    }

    /// The key of a number.
    pub fn key(&self, id: u32) -> Option<usize> {
        self.keys.get(&id).copied()
    }

    /// The stream of a key.
    pub fn get(&self, key: usize) -> Option<&Stream> {
        self.slab.get(key)
    }

    /// The stream of a key.
    pub fn get_mut(&mut self, key: usize) -> Option<&mut Stream> {
        self.slab.get_mut(key)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Stream)> {
        self.slab.iter()
    }

    /// All of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut Stream)> {
        self.slab.iter_mut()
    }

    /// Closes one.
    pub fn remove(&mut self, key: usize, how: Closed) -> Option<Stream> {
        let stream = self.slab.try_remove(key)?;
        self.keys.remove(&stream.id);
        self.remember(stream.id, how);
        Some(stream)
    }

    /// Remembers how a stream was closed.
    pub fn remember(&mut self, id: u32, how: Closed) {
        let Gone { ended, reset } = &mut self.gone;
        if how == Closed::Ended {
            if ended.len() == Gone::ENDED {
                ended.pop_front();
            }
            ended.push_back(id);
        } else {
            if reset.len() == Gone::RESET {
                reset.pop_front();
            }
            reset.push_back((id, how));
        }
    }

    /// How a stream that is not open was closed.
    pub fn closed(&self, id: u32) -> Closed {
        let reset = self.gone.reset.iter().rev().find(|(gone, _)| *gone == id);
        match reset {
            Some((_, how)) => *how,
            None if self.gone.ended.contains(&id) => Closed::Ended,
            None => Closed::Unknown,
        }
    }
}

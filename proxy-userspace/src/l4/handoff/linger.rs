//! Sockets whose connections were handed over stay open for a moment, deaf: a packet that was already on its way to one
//! of them must not find nobody, or the host would answer it with a reset.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::net::repair;

/// How long.
const MOMENT: Duration = Duration::from_millis(100);
/// Connections that are kept so at most: beyond that the oldest ones go at once.
const MOST: usize = 1024;

/// A connection's two sockets, and the next byte that each expects.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) number: u32,
    pub(super) ends: [(OwnedFd, u32); 2],
}

impl Sockets {
    /// Whether a socket has taken bytes after its state was read: they were acknowledged, and would reach nobody.
    fn took_more(&self) -> bool {
        let more = |(socket, expected): &(OwnedFd, u32)| {
            repair::numbers(socket.as_fd()).is_ok_and(|now| now.received != *expected)
        };
        self.ends.iter().any(more)
    }
}

/// Those that are still open.
#[derive(Debug, Default)]
pub(super) struct Linger(Mutex<VecDeque<(Instant, Sockets)>>);

impl Linger {
    /// Keeps a connection's sockets for a moment.
    pub(super) fn keep(&self, sockets: Sockets) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back((Instant::now(), sockets));
    }

    /// Closes those whose moment is over. The numbers of those that took bytes meanwhile.
    pub(super) fn close(&self) -> Vec<u32> {
        let mut over = Vec::new();
        {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            while all.front().is_some_and(|(since, _)| since.elapsed() >= MOMENT) || all.len() > MOST {
                over.extend(all.pop_front().map(|(_, sockets)| sockets));
            }
        }
        over.iter().filter(|sockets| sockets.took_more()).map(|sockets| sockets.number).collect()
    }
}

//! Pipes, by which bytes go from socket to socket without being looked at (splice(2)). Taken when there is much to move,
//! given back when they are empty: connections that are idle hold none.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

/// Bytes that a pipe holds.
pub const SIZE: usize = 256 << 10;
/// No more than this many are kept for each thread.
const KEPT: usize = 32;

thread_local! {
    static FREE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

/// A pipe.
#[derive(Debug)]
pub struct Pipe {
    out: OwnedFd,
    into: OwnedFd,
    held: usize,
    size: usize,
}

impl Pipe {
    /// An empty pipe.
    ///
    /// # Errors
    /// What the kernel says: there are no more files.
    pub fn take() -> io::Result<Self> {
        if let Some(pipe) = FREE.with_borrow_mut(Vec::pop) {
            return Ok(pipe);
        }
        let (out, into) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        // A user who has too many gets smaller ones (pipe(7), "/proc/sys/fs/pipe-user-pages-soft").
        let size = fcntl_setpipe_size(&into, SIZE).unwrap_or(16 << 10);
        Ok(Self { out, into, held: 0, size: size.min(SIZE) })
    }

    /// Gives it back. One that is not empty is closed.
    pub fn give(self) {
        FREE.with_borrow_mut(|free| {
            if self.held == 0 && free.len() < KEPT {
                free.push(self);
            }
        });
    }

    /// Nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Moves what a socket has into it, without waiting; 0: the peer has ended its side.
    ///
    /// # Errors
    /// What the kernel says: `WouldBlock` if there is nothing, too.
    pub fn fill(&mut self, socket: impl AsFd) -> io::Result<usize> {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        let count = splice(socket, None, &self.into, None, self.size - self.held, flags)?;
        self.held += count;
        Ok(count)
    }

    /// Moves what it holds into a socket, as far as that takes it.
    ///
    /// # Errors
    /// What the kernel says: `WouldBlock` if it takes nothing, too.
    pub fn drain(&mut self, socket: impl AsFd) -> io::Result<usize> {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        let count = splice(&self.out, None, socket, None, self.held, flags)?;
        self.held -= count.min(self.held);
        Ok(count)
    }
}

//! A pause that is made: on a connection on which bytes move without end, the windows of both senders are closed, what they
//! have sent is sent on, and then nothing is on its way through this process, for a moment.
//!
//! Bytes that came last stay in their socket's queue, so that nobody is told of room: they are sent on nevertheless.

use std::io;
use std::os::fd::BorrowedFd;
use std::task::Context;
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, recv};

use super::way::Way;
use crate::net::deadline::Deadline;
use crate::net::repair;
use crate::net::window::{self, Open};

/// Looked at so often.
const TICK: Duration = Duration::from_millis(1);
/// What the senders were offered before must have come by then: bytes move meanwhile, so that takes as long as they are many.
const NARROWS: Duration = Duration::from_secs(3);
/// After that, a pause that does not come about by then is given up.
const LONGEST: Duration = Duration::from_millis(500);
/// Bytes that may wait in a queue when its window is shut. There is not much more to come.
const QUEUE: usize = 32 << 10;
/// Bytes that may wait in a queue then: more would mean that its window was not closed.
const MOST: usize = 2 * QUEUE;

/// One of the two senders.
#[derive(Debug)]
struct Sender {
    open: Open,
    /// It may send no more at a time: it is nearly stopped.
    least: u32,
    /// Bytes of its queue that were sent on.
    ahead: usize,
}

/// The pause.
#[derive(Debug)]
pub(super) struct Closing {
    senders: [Sender; 2],
    /// No more is read.
    shut: bool,
    until: Instant,
    tick: Deadline,
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// To wait.
    Wait,
    /// Now nothing is on its way, but for so many bytes in the queues of the client and the backend that were sent on already.
    Now([usize; 2]),
    /// It does not come about.
    GiveUp,
}

impl Closing {
    /// The senders are offered little from now on.
    pub(super) fn begin(sockets: [BorrowedFd<'_>; 2]) -> io::Result<Self> {
        for socket in sockets {
            // Whoever may not ask that could not open the windows again.
            repair::window_left(socket)?;
        }
        let one = window::narrow(sockets[0])?;
        let other = window::narrow(sockets[1]).inspect_err(|_| drop(window::reopen(sockets[0], one.0)))?;
        let mut tick = Deadline::default();
        let now = Instant::now();
        tick.set(now + TICK);
        let senders = [one, other].map(|(open, least)| Sender { open, least, ahead: 0 });
        Ok(Self { senders, shut: false, until: now + NARROWS, tick })
    }

    /// No more is to be read.
    pub(super) fn is_shut(&self) -> bool {
        self.shut
    }

    /// Looks where it is, now and then. `ways` are those that the sockets are read for.
    pub(super) fn poll(
        &mut self,
        sockets: [BorrowedFd<'_>; 2],
        mut ways: [&mut Way; 2],
        context: &mut Context<'_>,
    ) -> Step {
        while self.tick.poll(context).is_ready() {
            let now = Instant::now();
            self.tick.set(now + TICK);
            match self.step(sockets, &mut ways) {
                Ok(Some(step)) => return step,
                Ok(None) if now < self.until => {}
                Ok(None) => return Step::GiveUp,
                Err(error) => {
                    tracing::debug!("a pause is given up: {error}");
                    return Step::GiveUp;
                }
            }
        }
        Step::Wait
    }

    fn step(&mut self, sockets: [BorrowedFd<'_>; 2], ways: &mut [&mut Way; 2]) -> io::Result<Option<Step>> {
        if !self.shut {
            let left = [repair::window_left(sockets[0])?, repair::window_left(sockets[1])?];
            let mut stopped = [false; 2];
            for (at, way) in ways.iter().enumerate() {
                stopped[at] = left[at] <= self.senders[at].least;
                // Who has stopped may have sent much before, which is not read yet.
                if repair::waits(sockets[at])? > QUEUE || (!stopped[at] && !way.is_quiet()) {
                    return Ok(None);
                }
            }
            for (at, socket) in sockets.into_iter().enumerate() {
                // Who may send much, and does not, is taken at its word.
                if stopped[at] {
                    window::shut(socket, left[at])?;
                }
            }
            (self.shut, self.until) = (true, Instant::now() + LONGEST);
            return Ok(None);
        }
        let mut moves = false;
        for ((sender, socket), way) in self.senders.iter_mut().zip(sockets).zip(ways) {
            let waits = repair::waits(socket)?;
            if way.is_empty() && waits > sender.ahead {
                way.feed(&peek(socket, waits)?[sender.ahead..]);
                sender.ahead = waits;
            }
            moves |= !way.is_empty();
        }
        for socket in sockets {
            moves |= repair::unacknowledged(socket)? > 0;
        }
        Ok((!moves).then(|| Step::Now(self.senders.each_ref().map(|sender| sender.ahead))))
    }

    /// Whether it took too long.
    pub(super) fn is_late(&self) -> bool {
        Instant::now() >= self.until
    }

    /// It came to nothing: everything is as it was.
    ///
    /// # Errors
    /// The first or the second socket is broken.
    pub(super) fn reopen(self, sockets: [BorrowedFd<'_>; 2]) -> Result<(), (usize, io::Error)> {
        let mut result = Ok(());
        for (at, (sender, socket)) in self.senders.iter().zip(sockets).enumerate() {
            let reopened = discard(socket, sender.ahead).and_then(|()| window::reopen(socket, sender.open));
            result = result.and(reopened.map_err(|error| (at, error)));
        }
        result
    }
}

/// The first bytes of a socket's queue, which stay there.
fn peek(socket: BorrowedFd<'_>, count: usize) -> io::Result<Vec<u8>> {
    if count > MOST {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    let mut bytes = vec![0; count];
    let (_, got) = recv(socket, bytes.as_mut_slice(), RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
    if got < count { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) }
}

/// Removes the first bytes of a socket's queue.
fn discard(socket: BorrowedFd<'_>, mut count: usize) -> io::Result<()> {
    let mut bytes = vec![0; count];
    while count > 0 {
        let (_, got) = recv(socket, &mut bytes[..count], RecvFlags::DONTWAIT)?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        count -= got;
    }
    Ok(())
}

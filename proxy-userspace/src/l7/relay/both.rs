//! Bytes both ways between a client and a backend, until both have ended, one is gone, or it took too long.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::hand_off::Moment;
use super::way::{Gone, Way};
use crate::net::deadline::Deadline;
use crate::net::stream::Stream;

/// Two ways of one connection hold no more than this in memory of ours or of pipes.
const _: () = assert!(2 * Way::MOST <= 1 << 20, "a backend that never reads costs no more");
/// How often a connection is looked at of which one side has ended: nobody reads from that side, where a reset would show.
const LOOK: Duration = Duration::from_secs(1);
/// So many bytes are bulk, for which a pause is made if none comes.
const BULK: u64 = 4 << 20;

/// So much moves between two moments at least, once one has come to nothing; twice as much the next time.
const STEP: u64 = 64 << 10;

/// How long it may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Without a byte either way.
    pub(super) idle: Duration,
    /// As a whole, from now on.
    pub(super) total: Option<Duration>,
}

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::l7) enum End {
    /// Both sides have ended.
    Done,
    /// The client has reset it.
    ClientGone,
    /// The backend has reset it.
    BackendGone,
    /// Nothing moved for too long.
    Idle,
    /// It was open for too long.
    Total,
    /// It left this process.
    HandedOff,
}

/// A connection that is relayed.
#[derive(Debug)]
pub(super) struct Relay<A, B> {
    pub(super) client: A,
    pub(super) backend: B,
    /// From the client.
    pub(super) up: Way,
    /// To the client.
    pub(super) down: Way,
    patience: Patience,
    due: Deadline,
    until: Option<Instant>,
    look: Deadline,
    /// What had moved when that was last looked at.
    seen: u64,
    moments: Moments,
}

/// What happens next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// It is over.
    End(End),
    /// It could leave this process now.
    Moment(Moment),
    /// So much has moved that it should be counted.
    Count,
}

/// Which moments are waited for.
#[derive(Clone, Copy, Debug)]
struct Moments {
    wanted: bool,
    /// The next pause is to be made when so much has moved.
    bulk_at: u64,
    /// A pause is being made.
    pausing: bool,
    /// Where the last one was.
    last: Option<u64>,
    /// None is wanted before so much has moved, and so much more each time that one came to nothing.
    after: u64,
    step: u64,
}

/// So much is counted at a time.
const COUNTED: u64 = 1 << 20;

impl<A: Stream, B: Stream> Relay<A, B> {
    /// A connection on which `first` is to be sent to the backend before all else.
    pub(super) fn new(client: A, backend: B, first: BytesMut, patience: Patience) -> Self {
        let now = Instant::now();
        Self {
            client,
            backend,
            up: Way::beginning(first),
            down: Way::default(),
            patience,
            due: Deadline::default(),
            until: patience.total.map(|total| now + total),
            look: Deadline::default(),
            seen: 0,
            moments: Moments {
                wanted: false,
                bulk_at: BULK,
                pausing: false,
                last: None,
                after: 0,
                step: STEP,
            },
        }
    }

    /// Moments at which it could leave this process are wanted.
    pub(super) fn want_moments(&mut self, wanted: bool) {
        self.moments.wanted = wanted;
        self.moments.pausing = false;
    }

    /// A moment has come to nothing. Others may come, if they could be better.
    pub(super) fn put_off(&mut self, again: bool) {
        self.want_moments(again && self.moments.wanted);
        self.moments.after = self.moved() + self.moments.step;
        self.moments.step = self.moments.step.saturating_mul(2);
    }

    /// Bytes both ways.
    fn moved(&self) -> u64 {
        self.up.moved + self.down.moved
    }

    /// Moves bytes until something is to be done about it.
    pub(super) async fn next(&mut self) -> Next {
        let mut last = self.moved();
        self.due.set(Instant::now() + self.patience.idle);
        poll_fn(|context| {
            let next = self.poll_next(context);
            let moved = self.moved();
            match next {
                Poll::Pending if moved - self.seen >= COUNTED => {
                    self.seen = moved;
                    Poll::Ready(Next::Count)
                }
                Poll::Pending => {
                    if moved != last {
                        last = moved;
                        self.due.set(Instant::now() + self.patience.idle);
                    }
                    self.poll_time(context).map(Next::End)
                }
                ready => ready,
            }
        })
        .await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        let pausing = self.moments.pausing;
        self.up.last = self.down.is_over();
        let up = self.up.poll((&mut self.client, &mut self.backend), pausing, context);
        self.down.last = self.up.is_over();
        let down = self.down.poll((&mut self.backend, &mut self.client), pausing, context);
        for (way, [sender, receiver]) in
            [(&up, [End::ClientGone, End::BackendGone]), (&down, [End::BackendGone, End::ClientGone])]
        {
            if let Poll::Ready(Err(gone)) = way {
                let (end, error) = match gone {
                    Gone::Sender(error) => (sender, error),
                    Gone::Receiver(error) => (receiver, error),
                };
                tracing::debug!("a relayed connection breaks: {end:?}: {error}");
                return Poll::Ready(Next::End(end));
            }
        }
        if self.up.is_over() && self.down.is_over() {
            return Poll::Ready(Next::End(End::Done));
        }
        match self.moment() {
            Some(moment) => Poll::Ready(Next::Moment(moment)),
            None => Poll::Pending,
        }
    }

    /// Whether this is a moment at which it could leave.
    fn moment(&mut self) -> Option<Moment> {
        let moments = &mut self.moments;
        let moved = self.up.moved + self.down.moved;
        if moved < moments.after {
            return None;
        }
        // Half of a connection is not handed over, and not before the client has been answered.
        if !moments.wanted || self.up.has_ended() || self.down.has_ended() || self.down.moved == 0 {
            moments.pausing = false;
            return None;
        }
        let moment = match moments.pausing && self.up.is_empty() && self.down.is_empty() {
            true => Some(Moment::Bulk),
            false => (self.up.is_quiet() && self.down.is_quiet()).then_some(Moment::Quiet),
        };
        if let Some(moment) = moment.filter(|_| moments.last != Some(moved)) {
            (moments.pausing, moments.last) = (false, Some(moved));
            moments.bulk_at = moved + BULK;
            return Some(moment);
        }
        moments.pausing = moved >= moments.bulk_at;
        None
    }

    /// Whether it took too long, or is not there any more.
    fn poll_time(&mut self, context: &mut Context<'_>) -> Poll<End> {
        if self.up.has_ended() || self.down.has_ended() {
            if self.look.due().is_none() {
                self.look.set(Instant::now() + LOOK);
            }
            while self.look.poll(context).is_ready() {
                if self.up.has_ended() && self.client.is_broken() {
                    return Poll::Ready(End::ClientGone);
                }
                if self.down.has_ended() && self.backend.is_broken() {
                    return Poll::Ready(End::BackendGone);
                }
                self.look.set(Instant::now() + LOOK);
            }
        }
        let total = self.until.filter(|until| self.due.due().is_none_or(|due| *until <= due));
        if let Some(until) = total {
            self.due.set(until);
        }
        match self.due.poll(context) {
            Poll::Ready(()) if total.is_some() => Poll::Ready(End::Total),
            Poll::Ready(()) => Poll::Ready(End::Idle),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Ends it: a side whose other end has gone, or that took too long, is told by a reset.
    pub(super) fn end(mut self, how: End) {
        match how {
            End::Done | End::HandedOff => {}
            End::ClientGone => self.backend.reset_at_end(),
            End::BackendGone => self.client.reset_at_end(),
            End::Idle | End::Total => {
                self.client.reset_at_end();
                self.backend.reset_at_end();
            }
        }
    }
}

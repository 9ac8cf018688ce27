//! Bytes both ways between a client and a backend, until both have ended, one is gone, or it took too long.

use std::future::poll_fn;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::closing::{Closing, Step};
use super::hand_off::Moment;
use super::way::{Gone, Way};
use crate::ban::View;
use crate::net::deadline::Deadline;
use crate::net::stream::Stream;

/// Two ways of one connection hold no more than this in memory of ours or of pipes.
const _: () = assert!(2 * Way::MOST <= 1 << 20, "a backend that never reads costs no more");
/// How often a connection is looked at of which one side has ended: nobody reads from that side, where a reset would show.
const LOOK: Duration = Duration::from_secs(1);
/// So many bytes are bulk, for which a pause is made if none comes; twice as many the next time.
const BULK: u64 = 4 << 20;
/// How long after a moment that has come to nothing the next one is; twice as long the next time. (A peer may take 40 ms and
/// more to acknowledge what it got.)
const SHORT: Duration = Duration::from_millis(1);
/// At most so long.
const LONG: Duration = Duration::from_millis(1024);

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
    /// It had not proved to be alive, and others came who might.
    Crowded,
    /// Its client was banned.
    Banned,
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
    /// Who its client is, and who knows whether that is kept out by now.
    judge: Option<(Arc<View>, IpAddr)>,
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
#[derive(Debug)]
struct Moments {
    wanted: bool,
    /// The next pause is to be made when so much has moved.
    bulk_at: u64,
    bulk: u64,
    /// A pause is being made.
    closing: Option<Closing>,
    /// It has broken one side.
    broken: Option<End>,
    /// None is wanted before.
    rest: Deadline,
    /// How long the next rest is.
    wait: Duration,
}

/// So much is counted at a time.
const COUNTED: u64 = 1 << 20;

/// The sockets of both sides.
fn sockets<'a>(client: &'a impl Stream, backend: &'a impl Stream) -> Option<[BorrowedFd<'a>; 2]> {
    Some([client.socket()?, backend.socket()?])
}

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
                bulk: BULK,
                closing: None,
                broken: None,
                rest: Deadline::default(),
                wait: SHORT,
            },
            judge: None,
        }
    }

    /// Nothing moves any more once this client is banned.
    pub(super) fn obey(&mut self, bans: Arc<View>, client: IpAddr) {
        self.judge = Some((bans, client));
    }

    /// Moments at which it could leave this process are wanted.
    pub(super) fn want_moments(&mut self, wanted: bool) {
        self.moments.wanted = wanted;
    }

    /// A moment has come to nothing. Others may come, if they could be better.
    pub(super) fn put_off(&mut self, again: bool) {
        self.moments.wanted &= again;
        if !again || self.moments.closing.as_ref().is_some_and(Closing::is_late) {
            self.open_again();
        }
        self.moments.rest.set(Instant::now() + self.moments.wait);
        self.moments.wait = (self.moments.wait * 2).min(LONG);
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
            if self.judge.as_ref().is_some_and(|(bans, client)| bans.keeps_out(*client)) {
                return Poll::Ready(Next::End(End::Banned));
            }
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
        let pausing = self.moments.closing.as_ref().is_some_and(Closing::is_shut);
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
        let moment = self.moment(context);
        match (self.moments.broken, moment) {
            (Some(end), _) => Poll::Ready(Next::End(end)),
            (None, Some(moment)) => Poll::Ready(Next::Moment(moment)),
            (None, None) => Poll::Pending,
        }
    }

    /// Whether this is a moment at which it could leave.
    fn moment(&mut self, context: &mut Context<'_>) -> Option<Moment> {
        // Half of a connection is not handed over, and not before the client has been answered.
        if !self.moments.wanted || self.up.has_ended() || self.down.has_ended() || self.down.moved == 0 {
            if self.moments.closing.is_some() {
                self.open_again();
                context.waker().wake_by_ref();
            }
            return None;
        }
        if let Some(closing) = &mut self.moments.closing {
            let sockets = sockets(&self.client, &self.backend)?;
            match closing.poll(sockets, [&mut self.up, &mut self.down], context) {
                Step::Wait => {}
                Step::Now(waits) => return Some(Moment::Bulk(waits)),
                Step::GiveUp => {
                    self.open_again();
                    context.waker().wake_by_ref();
                }
            }
            return None;
        }
        let moved = self.moved();
        let moments = &mut self.moments;
        if moments.rest.due().is_some() {
            if moments.rest.poll(context).is_pending() {
                return None;
            }
            moments.rest.clear();
        }
        if self.up.is_quiet() && self.down.is_quiet() {
            return Some(Moment::Quiet);
        }
        if moved >= moments.bulk_at {
            moments.closing = sockets(&self.client, &self.backend).and_then(|both| Closing::begin(both).ok());
            moments.bulk_at = if moments.closing.is_some() { moved + moments.bulk } else { u64::MAX };
            context.waker().wake_by_ref();
        }
        None
    }

    /// A pause that was made has come to nothing: bytes move again.
    fn open_again(&mut self) {
        let Some(closing) = self.moments.closing.take() else { return };
        self.moments.bulk = self.moments.bulk.saturating_mul(2);
        self.moments.bulk_at = self.moved().saturating_add(self.moments.bulk);
        let Some(sockets) = sockets(&self.client, &self.backend) else { return };
        if let Err((at, error)) = closing.reopen(sockets) {
            let end = [End::ClientGone, End::BackendGone][at];
            tracing::debug!("a relayed connection breaks in a pause: {end:?}: {error}");
            self.moments.broken = Some(end);
        }
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
            End::Idle | End::Total | End::Crowded | End::Banned => {
                self.client.reset_at_end();
                self.backend.reset_at_end();
            }
        }
    }
}

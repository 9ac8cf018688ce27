//! The time between requests: the next head is waited for, and timers end what is silent or drips.

use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};

use super::fault::Fault;
use super::scan::{HeadLimits, Scan};
use super::wire::Wire;
use crate::l7::leave::{Leave, Watch};
use crate::net::stream::Stream;

/// Empty lines that may stand before a request (RFC 9112 §2.2).
const EMPTY_LINES: u32 = 2;

/// A wait for the next head.
#[derive(Debug)]
pub(super) struct AwaitHead {
    scan: Scan,
    empty_lines: u32,
    /// When the wait began.
    since: Instant,
    /// When the head's first byte was there.
    started: Option<Instant>,
    /// When the connection was told to leave.
    left: Option<Instant>,
    idle: Duration,
}

/// How the wait ended.
#[derive(Debug)]
pub(super) enum Next {
    /// With a head, whose first byte was there at this time.
    Head(BytesMut, Instant),
    /// With the connection's end.
    Closed,
    /// With something that is no head.
    Fault(Fault),
}

impl AwaitHead {
    /// Waits from now on, so long for the first byte.
    pub(super) fn new(since: Instant, idle: Duration) -> Self {
        Self { scan: Scan::default(), empty_lines: 0, since, started: None, left: None, idle }
    }

    pub(super) fn poll<S: Stream>(
        &mut self,
        wire: &mut Wire<S>,
        watch: &Watch,
        context: &mut Context<'_>,
    ) -> Poll<Next> {
        let limits = HeadLimits {
            bytes: wire.limits().header_bytes,
            fields: wire.limits().header_count,
            target: wire.limits().uri_bytes,
        };
        loop {
            match self.head(wire, limits) {
                Ok(None) => {}
                Ok(Some((head, started))) => return Poll::Ready(Next::Head(head, started)),
                Err(fault) => return Poll::Ready(Next::Fault(fault)),
            }
            match wire.poll_fill(context) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Next::Closed),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => return self.poll_timers(wire, watch, context),
            }
        }
    }

    fn head<S: Stream>(
        &mut self,
        wire: &mut Wire<S>,
        limits: HeadLimits,
    ) -> Result<Option<(BytesMut, Instant)>, Fault> {
        if wire.buffer.is_empty() {
            return Ok(None);
        }
        let started = *self.started.get_or_insert_with(Instant::now);
        while wire.buffer.starts_with(b"\r\n") {
            self.empty_lines += 1;
            if self.empty_lines > EMPTY_LINES {
                return Err(Fault::EmptyLines);
            }
            wire.buffer.advance(2);
            self.scan = Scan::default();
        }
        let end = self.scan.end(&wire.buffer, limits)?;
        Ok(end.map(|end| (wire.buffer.split_to(end), started)))
    }

    /// A head that has begun must end in time, in total; until then the connection may be idle for a while.
    fn poll_timers<S: Stream>(
        &mut self,
        wire: &mut Wire<S>,
        watch: &Watch,
        context: &mut Context<'_>,
    ) -> Poll<Next> {
        if let Some(started) = self.started {
            ready!(wire.poll_due(started + wire.limits().header_timeout, context));
            return Poll::Ready(Next::Fault(Fault::TooSlow));
        }
        let mut due = self.since + self.idle;
        if watch.is_leaving() {
            due = due.min(*self.left.get_or_insert_with(Instant::now) + Leave::LINGER);
        }
        ready!(wire.poll_due(due, context));
        Poll::Ready(Next::Closed)
    }
}

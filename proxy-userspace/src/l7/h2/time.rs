//! What time does to a connection: every wait of it has an end.

use std::time::Duration;

use crate::l7::cut::BodyError;

use super::error::{ConnectionError, ErrorCode};
use super::machine::{Event, Leaving, Machine};
use super::pace::Demand;

impl Machine {
    /// The longest time between two looks at the clock, while anything is going on.
    pub fn tick_length(&self) -> Duration {
        let limits = &self.limits;
        let shortest = limits.header_timeout.min(limits.idle_timeout).min(limits.body_timeout) / 4;
        shortest.clamp(Duration::from_millis(10), Duration::from_secs(1))
    }

    /// How long nothing needs to be looked at.
    pub fn next_tick(&self, partial: bool) -> Duration {
        let waits =
            partial || !self.is_begun() || !self.acknowledged || self.block.is_some() || self.data.is_some();
        if waits || !self.streams.is_empty() || self.leaving != Leaving::No || self.clock.idle.is_zero() {
            return self.tick_length();
        }
        self.limits.idle_timeout.saturating_sub(self.clock.idle).max(self.tick_length())
    }

    /// Time has passed. `partial`: a piece of a frame is in the input. Gives what is over because of it.
    pub fn tick(&mut self, elapsed: Duration, partial: bool) -> Vec<Event> {
        self.budget.tick(elapsed);
        let mut over = Vec::new();
        if let Some(error) = self.overdue(elapsed, partial) {
            over.push(self.fail(error));
            return over;
        }
        self.slow_streams(elapsed, &mut over);
        match self.leaving {
            // The client has had a round trip, or will never have one.
            Leaving::Told => {
                self.clock.leaving += elapsed;
                if self.clock.leaving >= self.tick_length() {
                    self.leave_now();
                }
            }
            Leaving::No if self.streams.is_empty() => {
                self.clock.idle += elapsed;
                if self.clock.idle >= self.limits.idle_timeout {
                    self.leave_now();
                }
            }
            _ => self.clock.idle = Duration::ZERO,
        }
        over
    }

    /// Whether the client owes us something since too long.
    fn overdue(&mut self, elapsed: Duration, partial: bool) -> Option<ConnectionError> {
        if !self.acknowledged {
            self.clock.settings += elapsed;
        }
        if !self.is_begun() || self.block.is_some() || (partial && self.data.is_none()) {
            self.clock.partial += elapsed;
        } else {
            self.clock.partial = Duration::ZERO;
        }
        let timeout = self.limits.header_timeout;
        if self.clock.partial >= timeout {
            return Some(ConnectionError {
                code: ErrorCode::EnhanceYourCalm,
                why: "a head does not come to its end",
            });
        }
        (!self.acknowledged && self.clock.settings >= timeout.max(self.limits.idle_timeout)).then_some(
            ConnectionError { code: ErrorCode::SettingsTimeout, why: "our settings are not acknowledged" },
        )
    }

    /// Streams whose client neither sends what it has promised nor takes what it has asked for.
    fn slow_streams(&mut self, elapsed: Duration, over: &mut Vec<Event>) {
        let demand = Demand { silence: self.limits.body_timeout, rate: self.limits.body_min_rate };
        let mut stalled = Vec::new();
        for (key, stream) in self.streams.iter_mut() {
            // A tunnel may be silent; what it is sent must be taken.
            let awaits = !stream.tunnel && !stream.talks && !stream.remote_ended;
            let awaited = awaits && stream.inbound.as_ref().is_some_and(|inbound| inbound.is_awaited());
            if stream.receiving.tick(awaited, elapsed, demand)
                && let Some(inbound) = &stream.inbound
            {
                // Who reads it makes an answer of it.
                inbound.fail(BodyError::TooSlow);
            }
            if stream.sending.tick(stream.blocked, elapsed, demand) {
                stalled.push(key);
            }
        }
        for key in stalled {
            self.reset(key, ErrorCode::EnhanceYourCalm, BodyError::TooSlow);
            over.push(Event::Reset { key });
        }
    }
}

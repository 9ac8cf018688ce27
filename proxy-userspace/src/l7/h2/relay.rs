//! A tunnel over a stream (RFC 8441 §5): DATA both ways, whose sides end apart.

use std::task::{Context, Poll};

use bytes::Bytes;

use crate::l7::cut::BodyError;
use crate::l7::request::Record;
use crate::l7::tunnel::Tunnel;

use super::error::ErrorCode;
use super::inbound::Inbound;
use super::machine::Machine;
use super::turn::Turn;

/// What is on its way, each way.
#[derive(Debug)]
pub(super) struct Relay {
    tunnel: Box<dyn Tunnel>,
    /// Towards the far end.
    up: Side,
    /// Towards the client.
    down: Side,
}

#[derive(Debug)]
enum Side {
    Open(Bytes),
    /// The giving side has ended; the taking one is to know.
    Ending,
    Ended,
}

impl Relay {
    /// To this far end.
    pub(super) fn new(tunnel: Box<dyn Tunnel>) -> Self {
        Self { tunnel, up: Side::Open(Bytes::new()), down: Side::Open(Bytes::new()) }
    }

    /// Moves what can be moved.
    pub(super) fn poll(
        &mut self,
        record: &Record,
        inbound: Option<&Inbound>,
        machine: &mut Machine,
        key: usize,
        context: &mut Context<'_>,
    ) -> Turn {
        let up = self.poll_up(inbound, context);
        let down = self.poll_down(record, machine, key, context);
        let open = !matches!((&self.up, &self.down), (Side::Ended, Side::Ended));
        // Who has ended its side is not asked any more, and that asking has the time.
        let given_up = open && matches!(self.down, Side::Ended) && self.tunnel.poll_still(context).is_ready();
        match (up, down) {
            (Err(_), _) | (_, Err(_)) => Self::reset(machine, key),
            _ if given_up => Self::reset(machine, key),
            (_, Ok(turn)) if open => turn,
            _ => {
                machine.close_tunnel(key);
                Turn::Over
            }
        }
    }

    /// As TCP would be (RFC 8441 §5).
    fn reset(machine: &mut Machine, key: usize) -> Turn {
        machine.reset(key, ErrorCode::Cancel, BodyError::Gone);
        Turn::Over
    }

    fn poll_up(&mut self, inbound: Option<&Inbound>, context: &mut Context<'_>) -> Result<(), BodyError> {
        loop {
            match &mut self.up {
                Side::Open(bytes) if bytes.is_empty() => {
                    match inbound.map_or(Poll::Ready(None), |inbound| inbound.poll_next(context)) {
                        Poll::Pending => return Ok(()),
                        Poll::Ready(Some(frame)) => *bytes = frame?.into_data().unwrap_or_default(),
                        Poll::Ready(None) => self.up = Side::Ending,
                    }
                }
                Side::Open(bytes) => {
                    if self.tunnel.poll_send(context, bytes)?.is_pending() {
                        return Ok(());
                    }
                }
                Side::Ending => {
                    if self.tunnel.poll_end(context)?.is_pending() {
                        return Ok(());
                    }
                    self.up = Side::Ended;
                }
                Side::Ended => return Ok(()),
            }
        }
    }

    fn poll_down(
        &mut self,
        record: &Record,
        machine: &mut Machine,
        key: usize,
        context: &mut Context<'_>,
    ) -> Result<Turn, BodyError> {
        loop {
            match &mut self.down {
                Side::Open(bytes) if bytes.is_empty() => match self.tunnel.poll_receive(context) {
                    Poll::Pending => return Ok(Turn::Waits),
                    Poll::Ready(Some(received)) => *bytes = received?,
                    Poll::Ready(None) => self.down = Side::Ending,
                },
                Side::Open(bytes) => {
                    let room = machine.room(key).min(bytes.len());
                    if room == 0 {
                        return Ok(machine.wait(key));
                    }
                    record.sent.set(record.sent.get() + room as u64);
                    machine.send_data(key, bytes.split_to(room), false);
                }
                Side::Ending => {
                    machine.send_data(key, Bytes::new(), true);
                    self.down = Side::Ended;
                }
                Side::Ended => return Ok(Turn::Waits),
            }
        }
    }
}

//! Bytes both ways between a client and a tunnel.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::IoSlice;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};

use super::pace::Pace;
use super::wire::Wire;
use crate::l7::tunnel::Tunnel;
use crate::net::stream::Stream;

/// What is on its way.
struct Relay {
    /// The head of the 101, then nothing more.
    head: BytesMut,
    /// From the client to the tunnel.
    up: Bytes,
    up_ended: bool,
    /// From the tunnel to the client.
    down: Bytes,
    down_ended: bool,
    sent: u64,
    received: u64,
    pace: Pace,
}

/// One of the ends has gone.
struct Gone;

/// Writes `head`, then moves bytes until both sides have ended or one has gone. Gives the bytes to the client and from
/// it.
pub(super) async fn relay<S: Stream>(
    wire: &Rc<RefCell<Wire<S>>>,
    head: BytesMut,
    mut tunnel: Box<dyn Tunnel>,
) -> (u64, u64) {
    let mut relay = Relay {
        head,
        up: Bytes::new(),
        up_ended: false,
        down: Bytes::new(),
        down_ended: false,
        sent: 0,
        received: 0,
        pace: Pace::default(),
    };
    poll_fn(|context| {
        let wire = &mut *wire.borrow_mut();
        let down = match relay.poll_down(wire, &mut *tunnel, context) {
            Poll::Ready(Err(Gone)) => return Poll::Ready(()),
            down => down.is_ready(),
        };
        match relay.poll_up(wire, &mut *tunnel, context) {
            Poll::Ready(Err(Gone)) => Poll::Ready(()),
            Poll::Ready(Ok(())) if down => Poll::Ready(()),
            // Who has ended its side is not asked any more, and that asking has the time.
            _ if relay.down_ended => tunnel.poll_still(context),
            _ => Poll::Pending,
        }
    })
    .await;
    (relay.sent, relay.received)
}

impl Relay {
    fn poll_up<S: Stream>(
        &mut self,
        wire: &mut Wire<S>,
        tunnel: &mut dyn Tunnel,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Gone>> {
        loop {
            while !self.up.is_empty() {
                ready!(tunnel.poll_send(context, &mut self.up)).map_err(|_| Gone)?;
            }
            if self.up_ended {
                return tunnel.poll_end(context).map_err(|_| Gone);
            }
            if wire.buffer.is_empty() {
                match ready!(wire.poll_fill(context)) {
                    Err(_) => return Poll::Ready(Err(Gone)),
                    Ok(0) => self.up_ended = true,
                    Ok(_) => {}
                }
            }
            self.up = wire.buffer.split().freeze();
            self.received += self.up.len() as u64;
            crate::net::buffers::give_if_empty(&mut wire.buffer);
        }
    }

    fn poll_down<S: Stream>(
        &mut self,
        wire: &mut Wire<S>,
        tunnel: &mut dyn Tunnel,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Gone>> {
        loop {
            ready!(self.poll_write(wire, context))?;
            if self.down_ended {
                return wire.stream.poll_shutdown(context).map_err(|_| Gone);
            }
            match ready!(tunnel.poll_receive(context)) {
                None => self.down_ended = true,
                Some(Err(_)) => return Poll::Ready(Err(Gone)),
                Some(Ok(bytes)) => {
                    self.sent += bytes.len() as u64;
                    self.down = bytes;
                }
            }
        }
    }

    fn poll_write<S: Stream>(
        &mut self,
        wire: &mut Wire<S>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Gone>> {
        while !self.head.is_empty() || !self.down.is_empty() {
            let part: &mut dyn Buf = if self.head.is_empty() { &mut self.down } else { &mut self.head };
            match wire.stream.poll_write(context, &[IoSlice::new(part.chunk())]) {
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Gone)),
                Poll::Ready(Ok(count)) => {
                    part.advance(count);
                    self.pace.moved(count as u64);
                }
                Poll::Pending => {
                    let due = self.pace.due(wire.limits());
                    wire.write_by.set(due);
                    ready!(wire.write_by.poll(context));
                    return Poll::Ready(Err(Gone));
                }
            }
        }
        wire.stream.poll_flush(context).map_err(|_| Gone)
    }
}

//! Bodies and tunnels, as slow as their limits want.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use smallvec::SmallVec;

use super::meter::Meter;
use super::requests::Asking;
use super::rule::Rule;
use crate::l7::body::Body;
use crate::l7::cut::BodyError;
use crate::l7::request::{Request, Response};
use crate::l7::tunnel::Tunnel;

/// The limits of what moves for one request, both ways.
#[derive(Debug)]
pub struct Bandwidth(Meter);

impl Bandwidth {
    /// Of a request; none: it has none.
    pub fn of(rules: &[Arc<Rule>], asking: Asking<'_>) -> Option<Self> {
        let (caller, listener) = (asking.caller(), &asking.request.connection.listener.name);
        let client: IpAddr = caller.client;
        let holds = |rule: &&Arc<Rule>| rule.is_of(listener) && !rule.exempts(client, asking.worker);
        let charges: SmallVec<_> =
            rules.iter().filter(holds).map(|rule| (Arc::clone(rule), rule.key(&caller))).collect();
        Meter::new(charges, asking.worker).map(Self)
    }

    /// The request's body comes no faster.
    pub fn slow_request(&self, request: &mut Request) {
        let body = std::mem::replace(&mut request.body, Body::empty());
        request.body = self.body(body);
    }

    /// The answer's body goes no faster; what a tunnel moves neither.
    pub fn slow_answer(&self, response: &mut Response) {
        let body = std::mem::replace(response.body_mut(), Body::empty());
        *response.body_mut() = match body.into_tunnel() {
            Ok(tunnel) => Body::tunnel(Box::new(Slow {
                tunnel,
                up: self.0.again(),
                down: self.0.again(),
                allowed: 0,
                held: Bytes::new(),
            })),
            Err(body) => self.body(body),
        };
    }

    /// A body that comes no faster.
    pub fn body(&self, body: Body) -> Body {
        if body.is_end_stream() {
            return body;
        }
        Body::stream(Paced { body, meter: self.0.again(), held: Bytes::new() })
    }
}

/// A body that waits.
struct Paced {
    body: Body,
    meter: Meter,
    /// What has come, and may not pass yet.
    held: Bytes,
}

impl http_body::Body for Paced {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        while this.held.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(context)).transpose()?.map(Frame::into_data) {
                Some(Ok(data)) => this.held = data,
                Some(Err(frame)) => return Poll::Ready(Some(Ok(frame))),
                None => return Poll::Ready(None),
            }
            if this.held.is_empty() && this.body.is_end_stream() {
                return Poll::Ready(None);
            }
        }
        let piece = ready!(this.meter.poll_take(this.held.len(), context));
        Poll::Ready(Some(Ok(Frame::data(this.held.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (held, mut hint) = (self.held.len() as u64, self.body.size_hint());
        match hint.exact() {
            Some(rest) => SizeHint::with_exact(rest + held),
            None => {
                hint.set_lower(hint.lower() + held);
                hint
            }
        }
    }
}

/// A tunnel that waits.
#[derive(Debug)]
struct Slow {
    tunnel: Box<dyn Tunnel>,
    up: Meter,
    down: Meter,
    /// Bytes towards the far end that were charged, and not taken yet.
    allowed: usize,
    /// What has come from the far end, and may not pass yet.
    held: Bytes,
}

impl Tunnel for Slow {
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        while self.held.is_empty() {
            match ready!(self.tunnel.poll_receive(context)) {
                Some(Ok(bytes)) => self.held = bytes,
                end => return Poll::Ready(end),
            }
        }
        let piece = ready!(self.down.poll_take(self.held.len(), context));
        Poll::Ready(Some(Ok(self.held.split_to(piece))))
    }

    fn poll_send(&mut self, context: &mut Context<'_>, bytes: &mut Bytes) -> Poll<Result<(), BodyError>> {
        while !bytes.is_empty() {
            if self.allowed == 0 {
                self.allowed = ready!(self.up.poll_take(bytes.len(), context));
            }
            let whole = self.allowed.min(bytes.len());
            let mut piece = bytes.slice(..whole);
            let sent = self.tunnel.poll_send(context, &mut piece);
            let taken = whole - piece.len();
            self.allowed -= taken;
            *bytes = bytes.slice(taken..);
            ready!(sent)?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        self.tunnel.poll_end(context)
    }

    fn poll_still(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.tunnel.poll_still(context)
    }
}

//! A request on its way to a pool: a place at a backend, a connection, the exchange, and another try if that helps.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::balance_key;
use super::body::Body;
use super::cause::Cause;
use super::h1::client::{self, exchange};
use super::h1::link::Link;
use super::h1::send_error::SendError;
use super::limit::{self, Asking, BackendRules, Bandwidth};
use super::origin::{Offer, Origins, Unanswered, Unconnected, turned_away};
use super::replay::Replay;
use super::request::{Request, Response};
use super::respond::{Form, refuse};
use super::retry::{self, Trouble};
use super::timeout;
use crate::config::{UpstreamProtocol, WebPoolConfig};
use crate::upstream::{Ask, Backend, BackendStream, NoPlace, Permit, Pool, Spoken, Wire};

/// So many connections of a request may be found closed without being counted as tries.
const CLOSED: u32 = 8;

/// What a route says of how its requests are sent on.
#[derive(Clone, Copy, Default, Debug)]
pub struct Terms<'a> {
    /// The time for the whole exchange; none: the pool's.
    pub time: Option<Duration>,
    /// Limits that count by backend, and who asks for them.
    pub limits: Option<&'a BackendRules>,
}

/// Gives a pool's answer to a request, or the proxy's own if there is none.
///
/// What is needed seldom is boxed: every busy connection has room for the rest of this, and moves it.
pub async fn forward(
    origins: &Rc<Origins>,
    pool: &Arc<Pool>,
    terms: Terms<'_>,
    request: &mut Request,
) -> Response {
    let web = pool.web();
    let record = Rc::clone(&request.record);
    let body = std::mem::replace(&mut request.body, Body::empty());
    let kept = if retry::keeps(&web.retry, &request.method) { web.retry.body_bytes } else { 0 };
    let mut sending = Sending {
        origins,
        pool,
        web,
        body: Replay::new(body, kept),
        key: balance_key::of(&web.balance, request),
        terms: client::Terms {
            host: web.host.clone(),
            first_byte_timeout: web.first_byte_timeout,
            idle_timeout: web.idle_timeout,
        },
        request,
        limits: terms.limits,
        charged: false,
        bandwidth: None,
        tried: SmallVec::new(),
        left: web.retry.attempts,
        closed: 0,
        budget: None,
    };
    let answer = match terms.time.or(web.request_timeout) {
        None => sending.tries().await,
        Some(limit) => Box::pin(timeout::whole(record.started + limit, sending.tries())).await,
    };
    answer.unwrap_or_else(|cause| refuse(Form::of(sending.request), &record, cause))
}

/// A request, and what has been tried with it.
struct Sending<'a> {
    origins: &'a Rc<Origins>,
    pool: &'a Arc<Pool>,
    web: &'a WebPoolConfig,
    request: &'a mut Request,
    body: Replay,
    terms: client::Terms,
    limits: Option<&'a BackendRules>,
    /// The request was charged.
    charged: bool,
    /// Limits of what moves to and from the backend that is tried.
    bandwidth: Option<Box<Bandwidth>>,
    key: u64,
    /// Backends that have failed.
    tried: SmallVec<[Arc<Backend>; 2]>,
    /// Tries that are left.
    left: u32,
    /// Connections that were found closed.
    closed: u32,
    /// Since the second try.
    budget: Option<Budget<'a>>,
}

impl Sending<'_> {
    /// Tries until there is an answer, or nothing that could help.
    async fn tries(&mut self) -> Result<Response, Cause> {
        loop {
            let (permit, now) = self.place().await?;
            let backend = Arc::clone(permit.backend());
            *self.request.record.backend.borrow_mut() = Some(backend.target.clone());
            self.limit(&backend)?;
            let mut outcome = self.send(permit).await;
            self.judge(&backend, &outcome, now);
            if !self.again(&outcome) {
                if let (Some(bandwidth), Ok(answer)) = (&self.bandwidth, &mut outcome) {
                    bandwidth.slow_answer(answer);
                }
                return outcome.map_err(|trouble| trouble.cause());
            }
            if !matches!(outcome, Err(Trouble::Closed | Trouble::Reset { worn: true })) {
                self.tried.push(backend);
            }
        }
    }

    /// Charges the request to the limits of the backend that it goes to first; what moves is charged to the one it moves to.
    fn limit(&mut self, backend: &Backend) -> Result<(), Cause> {
        let Some(rules) = self.limits else { return Ok(()) };
        let (worker, target) = (self.origins.worker(), Some(&backend.target));
        let asking = Asking { request: self.request, route: "", backend: target, worker };
        if !std::mem::replace(&mut self.charged, true) {
            limit::charge(&rules.requests, asking)?;
        }
        self.bandwidth = Bandwidth::of(&rules.bandwidth, asking).map(Box::new);
        Ok(())
    }

    /// The request's body, for another try.
    fn upload(&self) -> Body {
        let body = self.body.body();
        match &self.bandwidth {
            Some(bandwidth) => bandwidth.body(body),
            None => body,
        }
    }

    /// A place at a backend, in turn if all are taken; and when it was there.
    async fn place(&self) -> Result<(Permit, Instant), Cause> {
        let now = Instant::now();
        let ask = Ask { now, key: self.key };
        let place = match self.pool.enter(&ask, &self.tried) {
            Ok(Some(permit)) => return Ok((permit, now)),
            Ok(None) => Box::pin(self.pool.wait(&ask)).await,
            Err(none) => Err(none),
        };
        let permit = place.map_err(|none| match none {
            NoPlace::NoBackend => Cause::NoBackend,
            NoPlace::QueueFull => Cause::QueueFull,
            NoPlace::QueueTimeout => Cause::QueueTimeout,
        })?;
        Ok((permit, Instant::now()))
    }

    /// Sends the request to the permit's backend.
    async fn send(&mut self, permit: Permit) -> Result<Response, Trouble> {
        match self.web.protocol {
            UpstreamProtocol::Http1 => self.send_h1(permit, Offer::Http1).await,
            UpstreamProtocol::H2c => Box::pin(self.send_h2(permit)).await,
            UpstreamProtocol::Auto => Box::pin(self.send_as_agreed(permit)).await,
        }
    }

    /// Sends the request by what its backend has chosen.
    async fn send_as_agreed(&mut self, mut permit: Permit) -> Result<Response, Trouble> {
        let backend = Arc::clone(permit.backend());
        loop {
            match backend.spoken() {
                Some(Spoken::Http1) => return self.send_h1(permit, Offer::All).await,
                Some(Spoken::Http2) => {
                    // Few backends know RFC 8441, and nearly all know Upgrade.
                    if self.request.upgrade.is_some() && !self.has_tunnels(&permit).await {
                        return self.send_h1(permit, Offer::Http1).await;
                    }
                    let answer = self.send_h2(permit).await;
                    if matches!(answer, Err(Trouble::Unconnected(Unconnected::NoHttp2))) {
                        // It has changed its mind.
                        backend.speaks(Spoken::Http1);
                        return Err(Trouble::Closed);
                    }
                    return answer;
                }
                None => {}
            }
            let agreed = self.origins.agree(&mut permit, self.web, self.request).await;
            if let Some(wire) = agreed.map_err(Trouble::Unconnected)? {
                return self.send_on(permit, wire, true).await;
            }
        }
    }

    /// Whether a tunnel can go by HTTP/2. Of a backend that cannot be asked, the try by HTTP/1.1 says what is wrong.
    async fn has_tunnels(&self, permit: &Permit) -> bool {
        self.origins.has_tunnels(permit, self.web, self.request).await.unwrap_or(false)
    }

    async fn send_h2(&self, permit: Permit) -> Result<Response, Trouble> {
        let answer = self.origins.exchange_h2(permit, self.web, self.request, self.upload());
        answer.await.map_err(|error| match error {
            Unanswered::Unconnected(error) => Trouble::Unconnected(error),
            Unanswered::Unprocessed => Trouble::Closed,
            Unanswered::Broken => Trouble::Reset { worn: false },
            Unanswered::Late => Trouble::TooSlow,
            Unanswered::Answer => Trouble::Protocol,
            Unanswered::Request => Trouble::Request,
            Unanswered::Cut(error) => Trouble::Body(error),
        })
    }

    async fn send_h1(&mut self, mut permit: Permit, offer: Offer) -> Result<Response, Trouble> {
        let (wire, new) = match permit.idle(self.origins.worker()) {
            Some(wire) => (wire, false),
            None => Box::pin(self.origins.connect(&mut permit, self.web, &self.request.connection, offer))
                .await
                .map_err(Trouble::Unconnected)?,
        };
        if wire.stream.spoken() == Spoken::Http2 {
            // It has changed its mind.
            permit.backend().speaks(Spoken::Http2);
            return Err(Trouble::Closed);
        }
        self.send_on(permit, wire, new).await
    }

    async fn send_on(&mut self, permit: Permit, wire: Wire, new: bool) -> Result<Response, Trouble> {
        let backend = Arc::clone(permit.backend());
        let home = self.home(permit);
        self.request.body = self.upload();
        let link = Link::from_parts(wire.stream, wire.deadline);
        exchange(link, self.request, &self.terms, home).await.map_err(|error| match error {
            SendError::Unsent(error) | SendError::Broken(error)
                if new && let Some(unwelcome) = turned_away(&error) =>
            {
                backend.refused(&unwelcome);
                Trouble::Unconnected(unwelcome)
            }
            SendError::Unsent(_) if !new => Trouble::Closed,
            SendError::Unsent(_) | SendError::Broken(_) => Trouble::Reset { worn: !new },
            SendError::Late => Trouble::TooSlow,
            SendError::Answer(_) => Trouble::Protocol,
            SendError::Request(error) => Trouble::Body(error),
        })
    }

    /// Where the connection goes when the answer has ended: to its backend's idle ones, and the permit to whoever waits.
    fn home(&self, permit: Permit) -> impl FnOnce(Link<BackendStream>) + Unpin + use<> {
        let worker = self.origins.worker();
        // What was said of one client at a connection's begin is not true of another.
        let shared = self.web.send_proxy_protocol.is_none();
        let most = if shared { self.web.keepalive_connections as usize } else { 0 };
        let seconds = u32::try_from(self.web.keepalive.as_secs()).unwrap_or(u32::MAX);
        move |link| {
            let (stream, deadline) = link.into_parts();
            permit.park(worker, Wire { stream, deadline }, seconds, most);
        }
    }

    /// What the outcome of a try says of the backend.
    fn judge(&self, backend: &Backend, outcome: &Result<Response, Trouble>, sent: Instant) {
        let now = Instant::now();
        let failed = match outcome {
            Ok(answer) => {
                if backend.tls.is_some() {
                    backend.accepted();
                }
                let record = &self.request.record;
                let first_byte = now.saturating_duration_since(record.started).as_micros();
                record.first_byte_us.set(Some(u32::try_from(first_byte).unwrap_or(u32::MAX)));
                retry::blames(answer.status())
            }
            Err(trouble) => trouble.blames(),
        };
        if failed {
            self.pool.failed(backend, now);
        } else if outcome.is_ok() {
            self.pool.answered(backend, now.saturating_duration_since(sent), now);
        }
    }

    /// Whether there is another try; if so it is counted.
    fn again(&mut self, outcome: &Result<Response, Trouble>) -> bool {
        let (retry, method) = (&self.web.retry, &self.request.method);
        let wanted = match outcome {
            Ok(answer) => retry::refused(retry, method, answer.status()),
            Err(trouble) => trouble.again(retry, method),
        };
        if !wanted || !self.body.is_there() {
            return false;
        }
        if matches!(outcome, Err(Trouble::Closed)) && self.closed < CLOSED {
            // Not a try: the backend has seen nothing of it.
            self.closed += 1;
            return true;
        }
        if self.left == 0 {
            return false;
        }
        if self.budget.is_none() {
            self.budget = Budget::of(self.pool);
        }
        let record = &self.request.record;
        let again = self.budget.is_some();
        self.left -= u32::from(again);
        record.retries.set(record.retries.get() + u32::from(again));
        again
    }
}

/// A share of what a pool may have under way in retries.
struct Budget<'a>(&'a Pool);

impl<'a> Budget<'a> {
    fn of(pool: &'a Pool) -> Option<Self> {
        pool.may_retry().then_some(Self(pool))
    }
}

impl Drop for Budget<'_> {
    fn drop(&mut self) {
        self.0.retried();
    }
}

#[cfg(test)]
#[path = "forward_tests.rs"]
mod tests;

//! The way of a request: ordered stages.

use std::future::Future;
use std::rc::Rc;

use super::cause::Cause;
use super::finish;
use super::forward::{Terms, forward};
use super::handler::Handler;
use super::headers;
use super::limit::UnderLimits;
use super::middleware::{LocalService, limit_body};
use super::proof;
use super::request::{Connection, Record, Request, Response};
use super::respond::{Form, refuse};
use super::snapshot::Action;
use super::tls::redirect;
use super::worker::{Held, Worker};
use crate::config::{Balance, HashKey, ListenerName, UpstreamProtocol};
use crate::route::{Query, Steered};

impl Handler for Rc<Worker> {
    /// The request stays where it is on its way: each further owner would have room for one of its own.
    #[expect(clippy::manual_async_fn, reason = "an async fn has room for its arguments twice")]
    fn handle(&self, mut request: Request) -> impl Future<Output = Response> {
        async move {
            let connection = Rc::clone(&request.connection);
            let mut under = None;
            let mut response = match begin(self, &mut request, &mut under) {
                Ok(Next::Route(held, route)) if held.routes[route].stack.is_empty() => {
                    act(self, &held, route, &mut request).await
                }
                Ok(Next::Route(held, route)) => {
                    held.service(route, || service(self, &held, route)).answer(request).await
                }
                Ok(Next::Answer(response)) => response,
                Err(cause) => refuse(Form::of(&request), &request.record, cause),
            };
            if let Some(under) = under {
                under.answer(&mut response);
            }
            headers::date(&mut response);
            headers::secure(&mut response, &connection);
            response
        }
    }

    fn finished(&self, connection: &Connection, record: &Record) {
        finish::finished(self, connection, record);
    }
}

/// How a request goes on.
enum Next {
    /// By this route.
    Route(Rc<Held>, usize),
    /// It is answered.
    Answer(Response),
}

/// From the request's arrival to its route.
fn begin(
    worker: &Rc<Worker>,
    request: &mut Request,
    under: &mut Option<Box<UnderLimits>>,
) -> Result<Next, Cause> {
    // Before everything that could keep a CA from its proof.
    if let Some(proof) = proof::answer(worker, request) {
        return Ok(Next::Answer(proof));
    }
    // A place first: what there is no place for must cost nothing more.
    let place = worker.shared.crowd.begin().ok_or(Cause::Overload)?;
    *request.record.place.borrow_mut() = Some(place);
    // One snapshot for the whole way: a reload does not change a request's mind.
    let held = worker.snapshot();
    // The access log says what the client said, whatever becomes of it.
    if request.connection.listener.access_log && held.config.server.access_log.is_some() {
        request.keep_seen();
    }
    // Who it is from, before anything asks for that.
    headers::arrive(request)?;
    request.record.generation.set(held.generation);
    // The kernel has seen the last proxy's address alone, and nothing of what was asked on a connection before a ban.
    if held.bans.keeps_out(request.client_ip()) {
        return Err(Cause::Banned);
    }
    // It may have another name by now, or be gone while its last connections end.
    let listener = held.heir(&request.connection.listener).ok_or(Cause::Stopping)?;
    // What a connection is not for must not be answered on it, whatever it is.
    if !is_for_its_host(&held, listener, request) {
        return Err(Cause::Misdirected);
    }
    let query = Query {
        listener: listener.as_str(),
        host: &request.authority.host,
        target: &request.target,
        method: &request.method,
        headers: &request.headers,
        client: request.client_ip(),
        hello: request.connection.tls.as_ref().and_then(|tls| tls.hello.as_deref()),
    };
    let route = held.router.find(&query).map(|found| found.route);
    // Whatever becomes of it: it was asked.
    limit(worker, &held, request, route, under)?;
    // Nothing of it is used before it has come the right way.
    if let Some(to) = redirect::wanted(&held, request, route) {
        return Ok(Next::Answer(redirect::answer(request, to)));
    }
    let route = route.ok_or(Cause::NoRoute)?;
    request.record.route.set(Some(route));
    // Before the route's middleware, which has the last word.
    if let Action::Pool(pool) = held.routes[route as usize].action {
        request.record.pool.set(Some(pool));
        let web = held.pools[pool as usize].web();
        let is_looked_at = matches!(web.balance, Balance::Maglev(HashKey::Header(_)));
        let plain = held.routes[route as usize].stack.is_empty() && !is_looked_at;
        headers::present(request, plain && web.protocol == UpstreamProtocol::Http1);
    }
    if held.config.server.request_metrics || held.config.server.access_log.is_some() {
        *request.record.counts.borrow_mut() = Some(worker.counts(&held, Some(route), listener));
    }
    // A route's own limit stands in its middleware.
    if let Some(limit) = request.connection.listener.limits.body_bytes
        && held.config.routes[route as usize].middleware.max_body.is_none()
    {
        limit_body(request, limit)?;
    }
    Ok(Next::Route(held, route as usize))
}

/// Charges a request to the limits that hold for it. Most often there are none.
fn limit(
    worker: &Worker,
    held: &Held,
    request: &mut Request,
    route: Option<u32>,
    under: &mut Option<Box<UnderLimits>>,
) -> Result<(), Cause> {
    let Some(rules) = held.limits.of_route(route) else { return Ok(()) };
    let route = route.map_or("", |route| &held.config.routes[route as usize].name);
    under.insert(Box::new(UnderLimits::new(request))).begin(rules, request, route, worker.number)
}

/// Whether the connection's TLS is for the host that the request names (RFC 9110 §7.4).
fn is_for_its_host(held: &Held, listener: &ListenerName, request: &Request) -> bool {
    let Some(tls) = &request.connection.tls else { return true };
    let host = &*request.authority.host;
    // By the rules in force: those of the handshake may have been less strict.
    let rules = &held.tls_of(listener).unwrap_or(&tls.listener).rules;
    match host {
        "" => rules.serves_nobody(&tls.served),
        host => rules.serves(&tls.served, host) && !goes_elsewhere(held, listener, request, host),
    }
}

/// Whether connections of this host are not decrypted here: a certificate may cover it all the same, and a client that
/// trusts that must not get past the route.
fn goes_elsewhere(held: &Held, listener: &ListenerName, request: &Request, host: &str) -> bool {
    let connection = &request.connection;
    let hello = connection.tls.as_ref().and_then(|tls| tls.hello.as_deref());
    let (Some(names), Some(hello)) = (held.steering.of(listener), hello) else {
        return false;
    };
    let steered = names.find(host, connection.client.ip(), hello);
    matches!(steered, Some(Steered::Pass(_) | Steered::Refuse(..)))
}

/// The route's middleware around what answers, kept for the worker's next requests.
fn service(worker: &Rc<Worker>, held: &Rc<Held>, route: usize) -> LocalService {
    // What is kept must not keep what keeps it.
    let (worker, kept) = (Rc::downgrade(worker), Rc::downgrade(held));
    let inner = LocalService::new(move |mut request: Request| {
        let alive = worker.upgrade().zip(kept.upgrade());
        async move {
            match alive {
                Some((worker, held)) => act(&worker, &held, route, &mut request).await,
                None => refuse(Form::of(&request), &request.record, Cause::Stopping),
            }
        }
    });
    held.routes[route].stack.service(inner)
}

/// Does what the route says.
async fn act(worker: &Rc<Worker>, held: &Rc<Held>, route: usize, request: &mut Request) -> Response {
    match &held.routes[route].action {
        Action::Answer(answer) => answer.to(request, &held.config.routes[route].name),
        Action::Pool(pool) => {
            let terms = Terms {
                time: held.config.routes[route].request_timeout,
                limits: held.limits.of_route(Some(route as u32)).map(|rules| &rules.backend),
            };
            let mut response = forward(&worker.origins, &held.pools[*pool as usize], terms, request).await;
            // Only what a backend has answered came by another hop.
            if request.record.cause.get().is_none() {
                headers::pass_on(&mut response);
            }
            response
        }
    }
}

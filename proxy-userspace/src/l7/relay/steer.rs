//! What becomes of a connection, by its ClientHello: it is decrypted here, relayed as it is, or refused.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::time::timeout_at;

use super::flight::{self, Flight, NoFlight};
use super::pass::{self, About, Onward, Outcome, To};
use super::starttls::{self, Asked};
use crate::config::{Refuse, RouteAction, WebListenerConfig};
use crate::l7::crowd::ListenerCrowd;
use crate::l7::limit::ConnectionRules;
use crate::l7::limit::deeds::Watched;
use crate::l7::refuse::{self, Alert};
use crate::l7::snapshot::Action;
use crate::l7::tls::TlsListener;
use crate::l7::worker::{Held, Worker};
use crate::net::proxy_protocol::Addresses;
use crate::net::stream::Stream;
use crate::route::{Hello, Names, Steered};
use crate::telemetry::abuse::Deed;
use crate::telemetry::handshakes::Failure;
use crate::telemetry::hellos::Decided;
use crate::telemetry::steering::Refused;

/// No first flight may take longer, whatever `header_timeout` says.
const LONGEST: Duration = Duration::from_secs(10);

/// A client whose ClientHello is looked at.
#[derive(Debug)]
pub(in crate::l7) struct Comer<S> {
    pub(in crate::l7) stream: S,
    /// What it has said already.
    pub(in crate::l7) read: BytesMut,
    pub(in crate::l7) started: Instant,
    /// Who it is, and what it has come to.
    pub(in crate::l7) peer: SocketAddr,
    pub(in crate::l7) local: SocketAddr,
    pub(in crate::l7) listener: Arc<WebListenerConfig>,
    pub(in crate::l7) tls: Arc<TlsListener>,
    pub(in crate::l7) crowd: Arc<ListenerCrowd>,
    pub(in crate::l7) limits: Option<Arc<ConnectionRules>>,
}

/// A connection that is decrypted here.
#[derive(Debug)]
pub(in crate::l7) struct Decrypt<S> {
    pub(in crate::l7) stream: S,
    /// Its first flight, as it came.
    pub(in crate::l7) read: BytesMut,
    /// What it says, if that could be read.
    pub(in crate::l7) known: Option<Box<Hello>>,
    /// Where it goes then, if it has no requests.
    pub(in crate::l7) onward: Onward,
}

/// Where a connection goes.
enum Next<S> {
    Decrypt(Decrypt<S>),
    Pass(Box<(S, BytesMut, About, To)>),
}

/// Decides what becomes of a connection, and relays it if it goes on as it is. None: it is over.
pub(in crate::l7) async fn steer<S: Stream>(comer: Comer<S>, worker: &Rc<Worker>) -> Option<Decrypt<S>> {
    // What it was decided by is let go of first: it may be replaced many times before the connection ends.
    match Box::pin(decide(comer, worker)).await? {
        Next::Decrypt(decrypt) => Some(decrypt),
        Next::Pass(passing) => {
            let (stream, read, about, to) = *passing;
            Box::pin(pass::pass(stream, read, about, to, None)).await;
            None
        }
    }
}

async fn decide<S: Stream>(mut comer: Comer<S>, worker: &Rc<Worker>) -> Option<Next<S>> {
    let held = worker.snapshot();
    let Some(names) = held.steering.of(&comer.listener.name) else {
        return Some(Next::Decrypt(decrypt(comer)));
    };
    let mut about = about(&comer, worker);
    let flight = match first_flight(&mut comer, names).await {
        Ok(flight) => flight,
        Err(NoFlight { why, alert }) => {
            if !comer.listener.is_raw() {
                let failure = match why {
                    // Who decrypts has words for whoever does not speak TLS.
                    Refused::NotTls => return Some(Next::Decrypt(decrypt(comer))),
                    Refused::Timeout => Failure::Timeout,
                    Refused::Closed => Failure::Closed,
                    // It may be understood there, and would get past all routes that ask what it says.
                    _ => Failure::Protocol,
                };
                comer.crowd.handshakes.failed(failure);
            }
            tell(&comer, worker, None, ("refused", Some(why.word())), None);
            refused(comer, &about, why, alert, &held);
            return None;
        }
    };
    about.sni.clone_from(&flight.sni);
    about.ja4.clone_from(&flight.hello.ja4);
    about.alpn = flight.hello.alpn.first().cloned();
    go(comer, worker, &held, names, flight, about)
}

/// A connection of which nothing is known.
fn decrypt<S>(comer: Comer<S>) -> Decrypt<S> {
    Decrypt { stream: comer.stream, read: comer.read, known: None, onward: None }
}

/// Does what the routes say.
fn go<S: Stream>(
    comer: Comer<S>,
    worker: &Worker,
    held: &Held,
    names: &Names,
    flight: Flight,
    about: About,
) -> Option<Next<S>> {
    // The proof of a name is ours to show, wherever its connections go.
    let proof = flight.proof && comer.tls.rules.proves(&flight.sni);
    let steered = names.find(&flight.sni, comer.peer.ip(), &flight.hello).filter(|_| !proof);
    let (decision, route) = match steered {
        _ if proof => (("terminated", None), None),
        Some(Steered::Terminate(route)) => (("terminated", None), Some(route)),
        Some(Steered::Pass(route)) => (("passed", None), Some(route)),
        Some(Steered::Refuse(route, _)) => (("refused", Some(Refused::Rule.word())), Some(route)),
        None if !comer.listener.is_raw() => (("terminated", None), None),
        None => (("refused", Some(Refused::NoRoute.word())), None),
    };
    tell(
        &comer,
        worker,
        Some(&flight),
        decision,
        route.map(|route| &*held.config.routes[route as usize].name),
    );
    let route = match steered {
        Some(Steered::Terminate(route)) => Some(route),
        Some(Steered::Pass(route)) => {
            let comer = admitted(comer, worker, held, &about)?;
            let to = to(held, route)?;
            return Some(Next::Pass(Box::new((comer.stream, comer.read, about, to))));
        }
        Some(Steered::Refuse(route, how)) => {
            let comer = admitted(comer, worker, held, &about)?;
            refuse_by(comer, &held.config.routes[route as usize].name, how, &about, held);
            return None;
        }
        None if proof || !comer.listener.is_raw() => None,
        None => {
            let (why, alert) = match (flight.sni.is_empty(), names.knows(&flight.sni)) {
                (_, true) => (Refused::NoRoute, Alert::AccessDenied),
                (true, false) => (Refused::NoSni, Alert::UnrecognizedName),
                (false, false) => (Refused::UnknownSni, Alert::UnrecognizedName),
            };
            refused(comer, &about, why, Some(alert), held);
            return None;
        }
    };
    comer.crowd.steered.terminated.fetch_add(1, Ordering::Relaxed);
    let onward = route.filter(|_| comer.listener.is_raw()).and_then(|route| to(held, route));
    let onward = onward.map(|to| Box::new((about, to)));
    let known = Some(Box::new(flight.hello));
    Some(Next::Decrypt(Decrypt { stream: comer.stream, read: comer.read, known, onward }))
}

/// A client that is not decrypted here, if limits let it in. Of one that is, the handshake asks them.
fn admitted<S: Stream>(comer: Comer<S>, worker: &Worker, held: &Held, about: &About) -> Option<Comer<S>> {
    let watched = Watched::of(&held.abuse, comer.peer.ip(), &comer.listener);
    if let (Some(watched), Some(ja4)) = (&watched, &about.ja4)
        && comer.tls.listed_ja4.contains(ja4)
    {
        watched.is_listed(ja4);
    }
    let Some(rules) = comer.limits.as_deref().and_then(ConnectionRules::hellos) else { return Some(comer) };
    let sni = Some(&*about.sni).filter(|sni| !sni.is_empty());
    let Err(how) = rules.admit(comer.peer.ip(), (sni, about.ja4.as_deref()), worker.number) else {
        return Some(comer);
    };
    comer.crowd.steered.refused(Refused::Limited);
    pass::write(about, ("", ""), None, (0, 0), Outcome::Refused(Refused::Limited));
    if let Some(watched) = watched {
        watched.did(Deed::Limited);
    }
    refuse::limited(comer.stream, how);
    None
}

/// Refuses a connection because a route says so: nothing is served for that name.
fn refuse_by<S: Stream>(mut comer: Comer<S>, route: &str, how: Refuse, about: &About, held: &Held) {
    comer.crowd.steered.refused(Refused::Rule);
    if let Some(watched) = Watched::of(&held.abuse, comer.peer.ip(), &comer.listener) {
        watched.did(Deed::UnknownSni);
    }
    pass::write(about, (route, ""), None, (0, 0), Outcome::Refused(Refused::Rule));
    match how {
        Refuse::Alert => refuse::say(comer.stream, Alert::AccessDenied.record().to_vec()),
        Refuse::Reset => comer.stream.reset_at_end(),
        Refuse::Drop => {}
    }
}

/// The first flight, after StartTLS where the listener has it; in time.
async fn first_flight<S: Stream>(comer: &mut Comer<S>, names: &Names) -> Result<Flight, NoFlight> {
    let _reading = Reading::of(&comer.crowd);
    let due = comer.started + comer.listener.limits.header_timeout.min(LONGEST);
    let starttls = comer.listener.steer.starttls;
    let wants_ja4 = comer.tls.wants_ja4 || names.wants_ja4();
    let Comer { stream, read, .. } = comer;
    let flight = async {
        if let Some(how) = starttls {
            match starttls::let_ask(stream, read, how).await {
                Ok(Asked::Begins) => {}
                Ok(Asked::Declines) | Err(_) => {
                    return Err(NoFlight { why: Refused::StartTls, alert: None });
                }
            }
        }
        flight::read(stream, read, wants_ja4).await
    };
    let late = NoFlight { why: Refused::Timeout, alert: None };
    timeout_at(due.into(), flight).await.unwrap_or(Err(late))
}

/// Ends a connection that comes to nothing, and says why to whoever wants to know.
fn refused<S: Stream>(comer: Comer<S>, about: &About, why: Refused, alert: Option<Alert>, held: &Held) {
    comer.crowd.steered.refused(why);
    pass::write(about, ("", ""), None, (0, 0), Outcome::Refused(why));
    tracing::debug!(client = %comer.peer, listener = %comer.listener.name, "connection refused: {}", why.word());
    if let Some(watched) = Watched::of(&held.abuse, comer.peer.ip(), &comer.listener) {
        match why {
            Refused::NoSni | Refused::UnknownSni => watched.did(Deed::UnknownSni),
            Refused::NotTls | Refused::Malformed | Refused::TooLong | Refused::Timeout => {
                watched.did(Deed::Handshake);
            }
            _ => {}
        }
    }
    match (why, alert) {
        (_, Some(alert)) => refuse::say(comer.stream, alert.record().to_vec()),
        // It was told in its own words: they must not be lost by a reset.
        (Refused::StartTls, None) => refuse::say(comer.stream, Vec::new()),
        (_, None) => {}
    }
}

/// Tells whoever looks on.
fn tell<S>(
    comer: &Comer<S>,
    worker: &Worker,
    flight: Option<&Flight>,
    (decision, reason): (&'static str, Option<&'static str>),
    route: Option<&str>,
) {
    worker.shared.crowd.hellos.tell(|| Decided {
        listener: comer.listener.name.as_str().into(),
        client: comer.peer,
        name: flight.map_or_else(Box::default, |flight| flight.sni.clone()),
        alpn: flight
            .and_then(|flight| flight.hello.alpn.first())
            .map(|name| String::from_utf8_lossy(name).into()),
        version: flight.map_or(0, |flight| flight.hello.version),
        decision,
        reason,
        route: route.unwrap_or_default().into(),
    });
}

fn about<S>(comer: &Comer<S>, worker: &Rc<Worker>) -> About {
    About {
        worker: Rc::clone(worker),
        listener: Arc::clone(&comer.listener),
        crowd: Arc::clone(&comer.crowd),
        started: comer.started,
        addresses: Addresses { source: comer.peer, destination: comer.local },
        sni: "".into(),
        ja4: None,
        alpn: None,
        counted: comer.limits.as_ref().is_some_and(|limits| limits.counts_those_inside()),
    }
}

/// Where a route's connections go; none: it refuses them.
pub(in crate::l7) fn to(held: &Held, route: u32) -> Option<To> {
    let config = &held.config.routes[route as usize];
    let (RouteAction::Pool(_), Action::Pool(pool)) = (&config.action, &held.routes[route as usize].action)
    else {
        return None;
    };
    Some(To {
        route: config.name.clone(),
        pool: Arc::clone(&held.pools[*pool as usize]),
        hand_off: held.hand_off.clone(),
    })
}

/// A first flight that is being read, counted until this is dropped.
struct Reading(Arc<ListenerCrowd>);

impl Reading {
    fn of(crowd: &Arc<ListenerCrowd>) -> Self {
        let reading: &AtomicU32 = &crowd.steered.reading;
        reading.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(crowd))
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.steered.reading.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::epoll::EpollStream;

    /// Bytes of what such a function gives.
    fn size<A, B, F>(_: impl FnOnce(A, B) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_client_that_says_nothing_takes_little_memory() {
        let steer = size(|comer: Comer<EpollStream>, worker: &'static Rc<Worker>| steer(comer, worker));
        let decide = size(|comer: Comer<EpollStream>, worker: &'static Rc<Worker>| decide(comer, worker));
        assert!(steer <= 1024 && decide <= 3072, "{steer} + {decide}");
    }
}

//! What becomes of a flow, by its ClientHello: it is passed on to a backend, or dropped.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::ban::View;
use crate::config::WebListenerConfig;
use crate::l7::crowd::{ListenerCrowd, Place};
use crate::l7::limit::{ConnectionRules, Inside};
use crate::l7::relay::flight::Flight;
use crate::l7::relay::hand_off;
use crate::l7::relay::pass::{self, About, Outcome, To};
use crate::l7::relay::steer::to;
use crate::l7::worker::Worker;
use crate::net::proxy_protocol::Addresses;
use crate::net::quic::NoFlight;
use crate::route::{Hello, Steered};
use crate::telemetry::hellos::Decided;
use crate::telemetry::steering::Refused;
use crate::tls::fingerprint::Over;

/// TLS 1.3: QUIC has no other.
const TLS13: u16 = 0x0304;

/// The listener as it is configured now.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) generation: u64,
    pub(super) config: Arc<WebListenerConfig>,
    pub(super) wants_ja4: bool,
    pub(super) limits: Option<Arc<ConnectionRules>>,
    pub(super) bans: Arc<View>,
    pub(super) crowd: Arc<ListenerCrowd>,
}

/// A flow that is passed on.
#[derive(Debug)]
pub(super) struct Passed {
    pub(super) about: About,
    pub(super) to: To,
    /// What it takes up of the listener's and its client's connections, and of limits, until it is over.
    _held: Held,
}

impl Passed {
    /// Another one had to go for it.
    pub(super) fn crowded(&self) {
        self.about.crowd.steered.refused(Refused::Crowded);
    }

    /// The flow, once it has this backend.
    pub(super) fn to(&self, backend: SocketAddr) -> hand_off::Passed {
        hand_off::Passed {
            listener: self.about.listener.name.clone(),
            route: self.to.route.clone(),
            pool: self.to.pool.name().clone(),
            client: self.about.addresses.source,
            local: self.about.addresses.destination,
            backend,
        }
    }
}

/// What a flow takes up.
type Held = (Place, Option<Inside>);

/// Why a datagram comes to nothing, in the words of metrics.
pub(super) fn reason(why: NoFlight) -> Refused {
    match why {
        NoFlight::NotInitial | NoFlight::TooShort(_) | NoFlight::Sealed => Refused::NotInitial,
        NoFlight::Version(_) => Refused::Version,
        NoFlight::Malformed | NoFlight::Hello(_) => Refused::Malformed,
        NoFlight::TooLong => Refused::TooLong,
        NoFlight::Closed => Refused::Closed,
    }
}

/// Decides about a client that has said this.
pub(super) fn by_hello(
    worker: &Rc<Worker>,
    known: &Known,
    client: SocketAddr,
    local: SocketAddr,
    (message, began): (&[u8], Instant),
) -> Option<Passed> {
    let mut about = about(worker, known, client, local, began);
    let flight = match Flight::of(message, known.wants_ja4, Over::Quic) {
        Ok(flight) => flight,
        Err(why) => {
            tracing::debug!(%client, listener = %known.config.name, "flow refused: {why}");
            return refused(known, &about, Refused::Malformed, None);
        }
    };
    about.sni.clone_from(&flight.sni);
    about.ja4.clone_from(&flight.hello.ja4);
    about.alpn = flight.hello.alpn.first().cloned();
    by_routes(worker, known, about, &flight.hello)
}

/// Decides about a client that speaks a version which is not known here: the route for who names no host has it.
pub(super) fn by_version(
    worker: &Rc<Worker>,
    known: &Known,
    client: SocketAddr,
    local: SocketAddr,
) -> Option<Passed> {
    let about = about(worker, known, client, local, Instant::now());
    let hello = Hello { version: TLS13, ..Hello::default() };
    let held = worker.snapshot();
    let names = held.steering.of(&known.config.name)?;
    if !matches!(names.find("", client.ip(), &hello), Some(Steered::Pass(_))) {
        known.crowd.steered.refused(Refused::Version);
        return None;
    }
    by_routes(worker, known, about, &hello)
}

fn about(worker: &Rc<Worker>, known: &Known, client: SocketAddr, local: SocketAddr, began: Instant) -> About {
    About {
        worker: Rc::clone(worker),
        listener: Arc::clone(&known.config),
        crowd: Arc::clone(&known.crowd),
        started: began,
        addresses: Addresses { source: client, destination: local },
        sni: "".into(),
        ja4: None,
        alpn: None,
        counted: known.limits.as_ref().is_some_and(|limits| limits.counts_those_inside()),
    }
}

fn by_routes(worker: &Rc<Worker>, known: &Known, about: About, hello: &Hello) -> Option<Passed> {
    let held = worker.snapshot();
    let names = held.steering.of(&known.config.name)?;
    let client = about.addresses.source;
    let route = match names.find(&about.sni, client.ip(), hello) {
        Some(Steered::Pass(route)) => route,
        // A listener of QUIC has no route that decrypts: `check` says so.
        Some(Steered::Refuse(route, _) | Steered::Terminate(route)) => {
            let name = &held.config.routes[route as usize].name;
            return refused(known, &about, Refused::Rule, Some(name));
        }
        None => {
            let why = match (about.sni.is_empty(), names.knows(&about.sni)) {
                (_, true) => Refused::NoRoute,
                (true, false) => Refused::NoSni,
                (false, false) => Refused::UnknownSni,
            };
            return refused(known, &about, why, None);
        }
    };
    let Some(taken) = admitted(worker, known, &about) else {
        return refused(known, &about, Refused::Limited, None);
    };
    let to = to(&held, route)?;
    tell(worker, &about, ("passed", None), &to.route);
    Some(Passed { about, to, _held: taken })
}

/// Lets a flow in, if limits do. What its address has done is told nobody who bans: anybody can write it.
fn admitted(worker: &Rc<Worker>, known: &Known, about: &About) -> Option<Held> {
    let (client, limits) = (about.addresses.source.ip(), &known.config.limits);
    let mut place = worker.shared.crowd.enter(&known.crowd, limits).ok()?;
    place.of(client, limits).ok()?;
    let Some(rules) = known.limits.as_deref() else { return Some((place, None)) };
    let inside = rules.connect(client, worker.number).ok()?;
    rules.handshake(client, worker.number).ok()?;
    if let Some(hellos) = rules.hellos() {
        let sni = Some(&*about.sni).filter(|sni| !sni.is_empty());
        hellos.admit(client, (sni, about.ja4.as_deref()), worker.number).ok()?;
    }
    Some((place, Some(inside)))
}

fn refused(known: &Known, about: &About, why: Refused, route: Option<&str>) -> Option<Passed> {
    known.crowd.steered.refused(why);
    pass::write(about, (route.unwrap_or_default(), ""), None, (0, 0), Outcome::Refused(why));
    tell(&about.worker, about, ("refused", Some(why.word())), route.unwrap_or_default());
    None
}

/// Tells whoever looks on.
fn tell(
    worker: &Worker,
    about: &About,
    (decision, reason): (&'static str, Option<&'static str>),
    route: &str,
) {
    worker.shared.crowd.hellos.tell(|| Decided {
        listener: about.listener.name.as_str().into(),
        client: about.addresses.source,
        name: about.sni.clone(),
        alpn: about.alpn.as_ref().map(|name| String::from_utf8_lossy(name).into()),
        version: TLS13,
        decision,
        reason,
        route: route.into(),
    });
}

/// Counts a client that came.
pub(super) fn came(known: &Known) {
    known.crowd.accepted.fetch_add(1, Ordering::Relaxed);
}

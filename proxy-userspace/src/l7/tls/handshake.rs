//! From a ClientHello to a connection that HTTP can be spoken on. The whole of it is bounded in time and bytes, and
//! touches no disk; only a name that gets its certificate now may take longer.

use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rustls::server::Accepted;
use rustls::{ServerConfig, ServerConnection};
use tokio::sync::oneshot;
use tokio::time::{timeout, timeout_at};

use super::failed::Failed;
use super::hello::Hello;
use super::info::{self, TlsInfo};
use super::listener::TlsListener;
use crate::l7::limit::deeds::Watched;
use crate::l7::limit::{HelloRules, TurnedAway};
use crate::l7::refuse;
use crate::net::stream::Stream;
use crate::net::tls::TlsStream;
use crate::route;
use crate::telemetry::abuse::Deed;
use crate::telemetry::handshakes::{Failure, Handshakes};
use crate::tls::{Answer, Denied, Served, Wanted, canonical};

/// Who shakes hands, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub(in crate::l7) struct Terms<'a> {
    pub(in crate::l7) listener: &'a Arc<TlsListener>,
    pub(in crate::l7) client: SocketAddr,
    pub(in crate::l7) local: SocketAddr,
    /// When the connection came.
    pub(in crate::l7) since: Instant,
    pub(in crate::l7) time: Duration,
    pub(in crate::l7) counts: &'a Handshakes,
    /// Who wants to hear what the client does.
    pub(in crate::l7) watched: Option<&'a Watched>,
    /// The limits of its handshakes that a ClientHello decides, and which worker asks.
    pub(in crate::l7) limits: Option<(&'a HelloRules, usize)>,
}

/// Shakes hands with a client that has said `read` so far, of which the ClientHello may be known already. None: there is nothing to be served; the client has been told.
pub(in crate::l7) async fn shake<S: Stream>(
    mut stream: S,
    mut read: BytesMut,
    known: Option<Box<route::Hello>>,
    terms: Terms<'_>,
) -> Option<(TlsStream<S>, TlsInfo)> {
    let due = terms.since + terms.time;
    let hello = Hello::read(&mut stream, &mut read, known.is_none() && terms.listener.wants_ja4);
    let begun = match within(due, hello).await {
        Ok(mut hello) => {
            if let Some(known) = &known {
                hello.ja4.clone_from(&known.ja4);
            }
            look(&hello, terms);
            if let Err(how) = limit(&hello, terms) {
                terms.counts.failed(Failure::Limited);
                if let Some(watched) = terms.watched {
                    watched.did(Deed::Limited);
                }
                refuse::limited(stream, how);
                return None;
            }
            begin(hello.accepted, terms).await.map(|begun| (begun, hello.ja4))
        }
        Err(failed) => Err(failed),
    };
    let ((tls, begun), ja4) = match begun {
        Ok(begun) => begun,
        Err(failed) => {
            fail(&failed, terms);
            refuse::say(stream, failed.last_words);
            return None;
        }
    };
    // Waiting for a certificate is not the client's fault.
    let due = if begun.late { Instant::now() + terms.time } else { due };
    let mut stream = TlsStream::server(stream, tls, read);
    let shaken = async { poll_fn(|context| stream.poll_handshake(context)).await.map_err(Failed::from) };
    if let Err(failed) = within(due, shaken).await {
        fail(&failed, terms);
        if !matches!(failed.why, Failure::Closed | Failure::Timeout) {
            // The alert has been sent: it must not be lost by a reset.
            refuse::say(stream.into_inner(), Vec::new());
        }
        return None;
    }
    let Some(served) = begun.what else {
        terms.counts.done(info::agreed(stream.tls()));
        refuse::say(stream, Vec::new());
        return None;
    };
    let info = TlsInfo::of(stream.tls(), served, (ja4, known), Arc::clone(terms.listener));
    terms.counts.done(info.agreed);
    Some((stream, info))
}

/// What a handshake goes on with.
struct Begun {
    /// None: a CA looks for its proof, and that is all.
    what: Option<Served>,
    /// The client had to wait for a certificate.
    late: bool,
}

async fn within<T>(due: Instant, what: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    timeout_at(due.into(), what).await.unwrap_or_else(|_| Err(Failed::late()))
}

fn fail(failed: &Failed, terms: Terms<'_>) {
    terms.counts.failed(failed.why);
    if let Some(watched) = terms.watched {
        watched.failed(failed.why);
    }
    tracing::debug!(client = %terms.client, "no TLS: {}", failed.text);
}

/// Whether this kind of client is listed.
fn look(hello: &Hello, terms: Terms<'_>) {
    if let (Some(watched), Some(ja4)) = (terms.watched, &hello.ja4)
        && terms.listener.listed_ja4.contains(ja4)
    {
        watched.is_listed(ja4);
    }
}

/// Whether this may go on, by what it says.
fn limit(hello: &Hello, terms: Terms<'_>) -> Result<(), TurnedAway> {
    let Some((rules, worker)) = terms.limits else { return Ok(()) };
    let said = hello.accepted.client_hello();
    // One name has one bucket, however it is written.
    let name = said.server_name().map(canonical);
    rules.admit(terms.client.ip(), (name, hello.ja4.as_deref()), worker)
}

/// Chooses what to go on with.
async fn begin(accepted: Accepted, terms: Terms<'_>) -> Result<(ServerConnection, Begun), Failed> {
    let mut late = false;
    let (config, what): (Arc<ServerConfig>, _) = loop {
        let local = Some(terms.local.ip().to_canonical());
        match terms.listener.rules.config_for(&accepted.client_hello(), local) {
            Answer::Serve(chosen) => break (chosen.config, Some(chosen.served)),
            Answer::Challenge(config) => break (config, None),
            Answer::Refuse(refusal) => return Err(Failed::refused(refusal)),
            // It was got, and has gone again already.
            Answer::Ask(_) if late => return Err(Failed::denied(&Denied::TooMany)),
            Answer::Ask(name) => {
                late = true;
                ask(name, terms.client.ip(), terms.listener)
                    .await
                    .map_err(|denied| Failed::denied(&denied))?;
            }
        }
    };
    match accepted.into_connection(config) {
        Ok(tls) => Ok((tls, Begun { what, late })),
        Err((error, alert)) => Err(Failed::with_alert(&error, alert)),
    }
}

/// Gets a certificate for a name that has none.
async fn ask(name: Box<str>, client: IpAddr, listener: &TlsListener) -> Result<(), Denied> {
    let Some((ask, wait)) = &listener.on_demand else { return Err(Denied::NotPermitted) };
    let (answer, answered) = oneshot::channel();
    // Whoever gets certificates has more to do than it can: nobody waits in a queue for that.
    ask.try_send(Wanted { name, client, answer }).map_err(|_| Denied::TooMany)?;
    match timeout(*wait, answered).await {
        Ok(Ok(answer)) => answer.map(drop),
        Ok(Err(_)) => Err(Denied::TooMany),
        Err(_) => Err(Denied::Failed("it takes too long".into())),
    }
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;

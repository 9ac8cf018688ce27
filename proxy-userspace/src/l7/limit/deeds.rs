//! What clients do that they may be kept out for, told as it happens. Who bans is elsewhere, and so is what is too much.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::WebListenerConfig;
use crate::l7::cause::Cause;
use crate::l7::request::{Connection, Record};
use crate::telemetry::abuse::{Deed, Event, Sink};
use crate::telemetry::handshakes::Failure;

/// Causes that no client has that means well.
const MALFORMED: [Cause; 4] = [Cause::BadRequest, Cause::BadTarget, Cause::BadHost, Cause::BadBody];

/// A client, and who wants to hear of it.
#[derive(Clone, Debug)]
pub(in crate::l7) struct Watched {
    sink: Sink,
    client: IpAddr,
    listener: Arc<WebListenerConfig>,
}

impl Watched {
    /// None: nobody wants to hear anything, or it is a trusted proxy, whose clients did it.
    pub(in crate::l7) fn of(sink: &Sink, client: IpAddr, listener: &Arc<WebListenerConfig>) -> Option<Self> {
        let trusted = || listener.trusted_proxies.iter().any(|proxies| proxies.contains(&client));
        (!sink.is_idle() && !trusted()).then(|| Self {
            sink: sink.clone(),
            client: client.to_canonical(),
            listener: Arc::clone(listener),
        })
    }

    /// It did this.
    pub(in crate::l7) fn did(&self, deed: Deed) {
        self.sink.tell(deed, || event(self.client, &self.listener, deed));
    }

    /// It is of this kind, which is listed.
    pub(in crate::l7) fn is_listed(&self, ja4: &str) {
        let told = || Event { ja4: Some(ja4.into()), ..event(self.client, &self.listener, Deed::Ja4) };
        self.sink.tell(Deed::Ja4, told);
    }

    /// Its handshake has failed. Not every failure is the client's: who refuses our certificate, or goes away, may have
    /// good reasons; and what we have no certificate for yet is ours.
    pub(in crate::l7) fn failed(&self, why: Failure) {
        match why {
            Failure::UnknownName | Failure::NoName | Failure::NotPermitted => self.did(Deed::UnknownSni),
            Failure::Timeout
            | Failure::PlainHttp
            | Failure::Version
            | Failure::Incompatible
            | Failure::Alpn
            | Failure::ClientCertificateMissing
            | Failure::ClientCertificate
            | Failure::Protocol => self.did(Deed::Handshake),
            _ => {}
        }
    }
}

/// A connection was more than a limit lets in.
pub(in crate::l7) fn turned_away(sink: &Sink, client: IpAddr, listener: &Arc<WebListenerConfig>) {
    if let Some(watched) = Watched::of(sink, client, listener) {
        watched.did(Deed::Limited);
    }
}

/// A request is over.
pub(in crate::l7) fn request(sink: &Sink, connection: &Connection, record: &Record) {
    if sink.is_idle() {
        return;
    }
    // Of whom a trusted proxy says nothing, nothing is known.
    let direct = (!connection.trusted).then(|| connection.client.ip());
    let Some(client) = record.client.get().or(direct).map(|client| client.to_canonical()) else { return };
    let did = |deed| sink.tell(deed, || event(client, &connection.listener, deed));
    match record.status.get() {
        // None was sent.
        0 => {}
        status => {
            did(Deed::Answered);
            match status {
                401 => did(Deed::Unauthorized),
                403 => did(Deed::Forbidden),
                404 => did(Deed::NotFound),
                _ => {}
            }
        }
    }
    let cause = record.cause.get();
    if cause == Some(Cause::Limited.word()) {
        did(Deed::Limited);
    }
    if cause.is_some_and(|cause| MALFORMED.iter().any(|malformed| malformed.word() == cause)) {
        did(Deed::Malformed);
    }
}

fn event(client: IpAddr, listener: &WebListenerConfig, deed: Deed) -> Event {
    Event { client, listener: listener.name.shared(), deed, ja4: None }
}

#[cfg(test)]
#[path = "deeds_tests.rs"]
mod tests;

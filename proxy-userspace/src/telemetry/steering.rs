//! Connections that are steered by their ClientHello, counted by listener, and by route where they are relayed. Once a
//! connection, but for bytes: all workers share these.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::prometheus::{Kind, Text};

/// Why a connection came to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refused {
    /// It did not begin with TLS.
    NotTls,
    /// Its ClientHello contradicts itself.
    Malformed,
    /// Its first flight is longer than anybody's.
    TooLong,
    /// Its first flight took too long.
    Timeout,
    /// The client has gone before it was complete.
    Closed,
    /// The client named no host, and no route is for those.
    NoSni,
    /// The client named a host that no route is for.
    UnknownSni,
    /// Routes are for the host, and none for such a client.
    NoRoute,
    /// A route said so.
    Rule,
    /// There are more than a limit lets through.
    Limited,
    /// It did not ask for TLS as it should have.
    StartTls,
    /// No backend could be connected to.
    NoBackend,
    /// QUIC: a datagram of no connection that is known, which opens none.
    NotInitial,
    /// QUIC: a version that is not known, and no route is for those who name no host.
    Version,
    /// QUIC: more first flights are incomplete than are kept; this was the oldest.
    Crowded,
}

impl Refused {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::NotTls,
        Self::Malformed,
        Self::TooLong,
        Self::Timeout,
        Self::Closed,
        Self::NoSni,
        Self::UnknownSni,
        Self::NoRoute,
        Self::Rule,
        Self::Limited,
        Self::StartTls,
        Self::NoBackend,
        Self::NotInitial,
        Self::Version,
        Self::Crowded,
    ];

    /// The word for it in metrics and logs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotTls => "not_tls",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::NoSni => "no_sni",
            Self::UnknownSni => "unknown_sni",
            Self::NoRoute => "no_route",
            Self::Rule => "rule",
            Self::Limited => "limited",
            Self::StartTls => "starttls",
            Self::NoBackend => "no_backend",
            Self::NotInitial => "not_initial",
            Self::Version => "version",
            Self::Crowded => "crowded",
        }
    }
}

/// Connections of one listener.
#[derive(Debug, Default)]
pub struct Steered {
    /// Those whose first flight is being read.
    pub reading: AtomicU32,
    /// Those that were decrypted here.
    pub terminated: AtomicU64,
    refused: [AtomicU64; Refused::ALL.len()],
    routes: Mutex<BTreeMap<Box<str>, Arc<Relayed>>>,
}

/// Connections of one route that are relayed, and of one listener.
#[derive(Debug, Default)]
pub struct Relayed {
    /// All there ever were.
    pub begun: AtomicU64,
    /// Those that are open, in this process.
    pub open: AtomicU32,
    /// Bytes from clients.
    pub received: AtomicU64,
    /// Bytes to clients.
    pub sent: AtomicU64,
    /// Those that the kernel part took over.
    pub handed_off: AtomicU64,
    /// Those that it did not, by reason.
    kept: Mutex<BTreeMap<&'static str, u64>>,
}

/// One open connection, counted until it is dropped.
#[derive(Debug)]
pub struct Open(Arc<Relayed>);

impl Open {
    /// A connection begins.
    pub fn of(relayed: &Arc<Relayed>) -> Self {
        relayed.begun.fetch_add(1, Ordering::Relaxed);
        relayed.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(relayed))
    }

    /// What is counted of it.
    pub fn counts(&self) -> &Relayed {
        &self.0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Relayed {
    /// It stays in this process.
    pub fn kept(&self, why: &'static str) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner).entry(why).or_default() += 1;
    }

    /// Those that stayed in this process, by reason.
    pub fn reasons(&self) -> Vec<(&'static str, u64)> {
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .map(|(why, count)| (*why, *count))
            .collect()
    }
}

impl Steered {
    /// One came to nothing.
    pub fn refused(&self, why: Refused) {
        self.refused[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many came to nothing for this.
    pub fn count(&self, why: Refused) -> u64 {
        self.refused[why as usize].load(Ordering::Relaxed)
    }

    /// What is counted of a route.
    pub fn route(&self, name: &str) -> Arc<Relayed> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        match routes.get(name) {
            Some(relayed) => Arc::clone(relayed),
            None => Arc::clone(routes.entry(name.into()).or_default()),
        }
    }

    /// All routes that ever had a connection, and are still wanted.
    pub fn routes(&self) -> Vec<(Box<str>, Arc<Relayed>)> {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.iter().map(|(name, relayed)| (name.clone(), Arc::clone(relayed))).collect()
    }

    /// Forgets routes that are not wanted any more, and have no connection.
    pub fn retain(&self, wanted: impl Fn(&str) -> bool) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.retain(|name, relayed| wanted(name) || relayed.open.load(Ordering::Relaxed) > 0);
    }
}

/// Connections of these listeners.
pub fn write(text: &mut Text, listeners: &[(&str, &Steered)]) {
    let mut metric = text.metric(
        "proxy_now_steered_total",
        Kind::Counter,
        "Connections whose ClientHello was looked at, by what became of them.",
    );
    for (listener, steered) in listeners {
        let labels = |decision| [("listener", *listener), ("decision", decision), ("reason", "")];
        metric.count(&labels("terminated"), steered.terminated.load(Ordering::Relaxed));
        let passed = steered.routes().iter().map(|(_, one)| one.begun.load(Ordering::Relaxed)).sum();
        metric.count(&labels("relayed"), passed);
        for why in Refused::ALL {
            let labels = [("listener", *listener), ("decision", "refused"), ("reason", why.word())];
            metric.count(&labels, steered.count(why));
        }
    }
    let mut metric = text.metric(
        "proxy_now_steered_reading",
        Kind::Gauge,
        "Connections whose first flight is being read.",
    );
    for (listener, steered) in listeners {
        metric.count(&[("listener", listener)], u64::from(steered.reading.load(Ordering::Relaxed)));
    }
    let routes: Vec<_> =
        listeners.iter().flat_map(|(name, one)| one.routes().into_iter().map(|it| (*name, it))).collect();
    let mut each = |name, kind, help, value: fn(&Relayed) -> u64| {
        let mut metric = text.metric(name, kind, help);
        for (listener, (route, relayed)) in &routes {
            metric.count(&[("listener", listener), ("route", route)], value(relayed));
        }
    };
    each("proxy_now_relay_connections_total", Kind::Counter, "Connections that were relayed.", |it| {
        it.begun.load(Ordering::Relaxed)
    });
    each("proxy_now_relay_connections", Kind::Gauge, "Connections that are relayed by this process.", |it| {
        u64::from(it.open.load(Ordering::Relaxed))
    });
    each("proxy_now_relay_received_bytes_total", Kind::Counter, "Bytes relayed from clients.", |it| {
        it.received.load(Ordering::Relaxed)
    });
    each("proxy_now_relay_sent_bytes_total", Kind::Counter, "Bytes relayed to clients.", |it| {
        it.sent.load(Ordering::Relaxed)
    });
    each(
        "proxy_now_relay_handed_off_total",
        Kind::Counter,
        "Connections that the kernel part took over.",
        |it| it.handed_off.load(Ordering::Relaxed),
    );
    let mut metric = text.metric(
        "proxy_now_relay_kept_total",
        Kind::Counter,
        "Times that a connection was not handed to the kernel part, by reason.",
    );
    for (listener, (route, relayed)) in &routes {
        for (why, count) in relayed.reasons() {
            metric.count(&[("listener", listener), ("route", route), ("reason", why)], count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_number() {
        let steered = Steered::default();
        for why in Refused::ALL {
            steered.refused(why);
            assert_eq!(steered.count(why), 1, "{}", why.word());
        }
    }

    #[test]
    fn a_route_that_is_gone_is_forgotten_with_its_last_connection() {
        let steered = Steered::default();
        let open = Open::of(&steered.route("a"));
        steered.retain(|_| false);
        assert_eq!(steered.routes().len(), 1);
        drop(open);
        steered.retain(|_| false);
        assert!(steered.routes().is_empty());
    }
}

//! What workers serve by: made by `control` from a configuration, immutable, and replaced as a whole.

use std::fmt;
use std::sync::Arc;

use super::answer::Answer;
use super::limit::Limits;
use super::middleware::Stack;
use super::relay::hand_off::HandOff;
use super::tls::TlsListener;
use crate::ban::View;
use crate::config::{Config, ListenerName, WebListenerConfig};
use crate::route::{Router, Steering};
use crate::telemetry::abuse::Sink;
use crate::tls::{Challenges, Store};
use crate::upstream::Pool;

/// Everything that a request's way depends on.
pub struct Snapshot {
    /// Counted from 1: a higher one is a later one.
    pub generation: u64,
    /// What it was made from.
    pub config: Arc<Config>,
    /// Listeners, in the configuration's order.
    pub listeners: Vec<Arc<WebListenerConfig>>,
    /// What those of them go by that speak TLS, in the same order.
    pub tls: Vec<Option<Arc<TlsListener>>>,
    /// Which connection goes where, before it is decrypted.
    pub steering: Steering,
    /// Takes connections over that are passed through; none: there is no kernel part that could.
    pub hand_off: Option<Arc<dyn HandOff>>,
    /// Which request takes which route.
    pub router: Router,
    /// Routes, in the configuration's order.
    pub routes: Vec<Route>,
    /// Who is kept out.
    pub bans: Arc<View>,
    /// How much is let through.
    pub limits: Limits,
    /// Who wants to hear what clients do.
    pub abuse: Sink,
    /// Certificates that may be served.
    pub certificates: Arc<Store>,
    /// Names that are being proved to CAs.
    pub challenges: Arc<Challenges>,
    /// Pools that routes lead to.
    pub pools: Vec<Arc<Pool>>,
}

impl Snapshot {
    /// The listener that connections of `old` are of by now: it may have been given another name since they came. None:
    /// there is none that is known to be the same.
    pub fn heir(&self, old: &WebListenerConfig) -> Option<&ListenerName> {
        if let Some(same) = self.listeners.iter().find(|it| it.name == old.name) {
            return Some(&same.name);
        }
        // It waits wherever the old one did: who came there could have come to it.
        let inherits = |it: &&Arc<WebListenerConfig>| {
            it.tls.is_some() == old.tls.is_some() && old.bind.iter().all(|bind| it.bind.contains(bind))
        };
        self.listeners.iter().find(inherits).map(|it| &it.name)
    }

    /// What a listener goes by that speaks TLS.
    pub fn tls_of(&self, listener: &ListenerName) -> Option<&Arc<TlsListener>> {
        let at = self.listeners.iter().position(|it| it.name == *listener)?;
        self.tls.get(at)?.as_ref()
    }
}

/// A route, ready to be taken.
#[derive(Debug)]
pub struct Route {
    /// What happens to a request on its way.
    pub stack: Stack,
    /// What is done with a request.
    pub action: Action,
}

/// What is done with a request.
#[derive(Debug)]
pub enum Action {
    /// It goes to this pool, by its place in the snapshot.
    Pool(u32),
    /// It is answered.
    Answer(Answer),
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot({}, {} routes)", self.generation, self.routes.len())
    }
}

//! How many are in: connections of each listener and of each client, requests in flight. Of all workers together.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::{ListenerName, WebLimits};
use crate::net::customer::customer;
use crate::telemetry::handshakes::Handshakes;
use crate::telemetry::hellos::Watch;
use crate::telemetry::steering::Steered;

/// Parts of the table of clients, each with a lock of its own. Taken once a connection.
const SHARDS: usize = 64;

/// What all workers count together.
#[derive(Debug)]
pub struct Crowd {
    listeners: Mutex<HashMap<ListenerName, Arc<ListenerCrowd>>>,
    clients: [Mutex<HashMap<IpAddr, u32>>; SHARDS],
    hasher: RandomState,
    /// Requests in flight.
    pub requests: AtomicU32,
    /// Requests in flight that are too many.
    pub most_requests: AtomicU32,
    /// Requests that were answered 503 for one of these reasons.
    pub turned_away: AtomicU64,
    /// Who looks on at ClientHellos.
    pub hellos: Watch,
}

/// Connections of a listener, of all workers.
#[derive(Debug, Default)]
pub struct ListenerCrowd {
    /// Those that are open.
    pub open: AtomicU32,
    /// All there ever were.
    pub accepted: AtomicU64,
    /// Those refused because the listener has too many.
    pub refused_full: AtomicU64,
    /// Those refused because their client has too many.
    pub refused_client: AtomicU64,
    /// Those refused for what their PROXY protocol header said, or for want of one.
    pub refused_proxy: AtomicU64,
    /// TLS handshakes.
    pub handshakes: Handshakes,
    /// Connections that are steered by their ClientHello.
    pub steered: Steered,
}

/// Why a connection is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// The listener has as many as it may.
    Full,
    /// The client has as many as it may.
    Client,
}

/// A connection's place. It is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    crowd: Arc<Crowd>,
    listener: Arc<ListenerCrowd>,
    client: Option<IpAddr>,
}

/// A request's place. It is free again when this is dropped.
#[derive(Debug)]
pub struct InFlight(Arc<Crowd>);

impl Crowd {
    /// Nobody is in.
    pub fn new() -> Self {
        Self {
            listeners: Mutex::default(),
            clients: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            requests: AtomicU32::new(0),
            most_requests: AtomicU32::new(u32::MAX),
            turned_away: AtomicU64::new(0),
            hellos: Watch::default(),
        }
    }

    /// The counters of a listener. They stay through reloads, and through a listener's absence.
    pub fn listener(&self, name: &ListenerName) -> Arc<ListenerCrowd> {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        match listeners.get(name) {
            Some(crowd) => crowd.clone(),
            None => listeners.entry(name.clone()).or_default().clone(),
        }
    }

    /// All listeners that ever had a client.
    pub fn listeners(&self) -> BTreeMap<ListenerName, Arc<ListenerCrowd>> {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.iter().map(|(name, crowd)| (name.clone(), crowd.clone())).collect()
    }

    /// Lets a connection in, if there is a place.
    ///
    /// # Errors
    /// There is none.
    pub fn enter(
        self: &Arc<Self>,
        listener: &Arc<ListenerCrowd>,
        limits: &WebLimits,
    ) -> Result<Place, Refused> {
        if listener.open.fetch_add(1, Ordering::Relaxed) >= limits.connections {
            listener.open.fetch_sub(1, Ordering::Relaxed);
            listener.refused_full.fetch_add(1, Ordering::Relaxed);
            return Err(Refused::Full);
        }
        Ok(Place { crowd: Arc::clone(self), listener: Arc::clone(listener), client: None })
    }

    /// Takes a request in, if there is a place.
    pub fn begin(self: &Arc<Self>) -> Option<InFlight> {
        let most = self.most_requests.load(Ordering::Relaxed);
        let before = self.requests.fetch_add(1, Ordering::Relaxed);
        let taken = InFlight(Arc::clone(self));
        if before >= most {
            self.turned_away.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(taken)
    }

    fn shard(&self, client: IpAddr) -> &Mutex<HashMap<IpAddr, u32>> {
        &self.clients[self.hasher.hash_one(client) as usize % SHARDS]
    }
}

impl Default for Crowd {
    fn default() -> Self {
        Self::new()
    }
}

impl Place {
    /// Counts the connection as this client's, once it is known who it is. Who has a network of IPv6 has one share, from
    /// however many of its addresses it comes.
    ///
    /// # Errors
    /// The client has as many as it may.
    pub fn of(&mut self, client: IpAddr, limits: &WebLimits) -> Result<(), Refused> {
        let client = customer(client);
        let mut clients = self.crowd.shard(client).lock().unwrap_or_else(PoisonError::into_inner);
        let open = clients.entry(client).or_insert(0);
        if *open >= limits.connections_per_client {
            self.listener.refused_client.fetch_add(1, Ordering::Relaxed);
            return Err(Refused::Client);
        }
        *open += 1;
        self.client = Some(client);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.listener.open.fetch_sub(1, Ordering::Relaxed);
        let Some(client) = self.client else { return };
        let mut clients = self.crowd.shard(client).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = clients.get_mut(&client) {
            *open -= 1;
            if *open == 0 {
                clients.remove(&client);
            }
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(connections: u32, connections_per_client: u32) -> WebLimits {
        WebLimits { connections, connections_per_client, ..WebLimits::default() }
    }

    #[test]
    fn a_listener_takes_no_more_connections_than_it_may() {
        let crowd = Arc::new(Crowd::new());
        let web = crowd.listener(&"web".into());
        let first = crowd.enter(&web, &limits(1, 9)).unwrap();
        assert_eq!(crowd.enter(&web, &limits(1, 9)).unwrap_err(), Refused::Full);
        drop(first);
        assert!(crowd.enter(&web, &limits(1, 9)).is_ok());
        assert_eq!((web.open.load(Ordering::Relaxed), web.refused_full.load(Ordering::Relaxed)), (0, 1));
    }

    #[test]
    fn a_client_takes_no_more_connections_than_it_may_and_another_is_not_concerned() {
        let crowd = Arc::new(Crowd::new());
        let web = crowd.listener(&"web".into());
        let [one, other] = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse::<IpAddr>().unwrap());
        let limits = limits(9, 1);
        let mut first = crowd.enter(&web, &limits).unwrap();
        first.of(one, &limits).unwrap();
        let mut second = crowd.enter(&web, &limits).unwrap();
        assert_eq!(second.of(one, &limits), Err(Refused::Client));
        second.of(other, &limits).unwrap();
        drop((first, second));
        assert!(crowd.clients.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let crowd = Arc::new(Crowd::new());
        let web = crowd.listener(&"web".into());
        let limits = limits(9, 1);
        let enter = |ip: &str| {
            let mut place = crowd.enter(&web, &limits).unwrap();
            place.of(ip.parse().unwrap(), &limits).map(|()| place)
        };
        let _first = enter("2001:db8:0:1::1").unwrap();
        assert_eq!(enter("2001:db8:0:1:ffff::2").unwrap_err(), Refused::Client);
        let _neighbour = enter("2001:db8:0:2::1").unwrap();
        let _old = enter("192.0.2.1").unwrap();
        assert_eq!(enter("::ffff:192.0.2.1").unwrap_err(), Refused::Client);
        let _other = enter("192.0.2.2").unwrap();
    }

    #[test]
    fn no_more_requests_are_in_flight_than_may_be() {
        let crowd = Arc::new(Crowd::new());
        crowd.most_requests.store(1, Ordering::Relaxed);
        let first = crowd.begin().unwrap();
        assert!(crowd.begin().is_none());
        drop(first);
        assert!(crowd.begin().is_some());
        assert_eq!(crowd.requests.load(Ordering::Relaxed), 0);
        assert_eq!(crowd.turned_away.load(Ordering::Relaxed), 1);
    }
}

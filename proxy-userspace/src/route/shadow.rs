//! Routes that no connection comes to: another one always takes it before.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::hello;
use super::steering::conditions;
use crate::config::{HostPattern, ListenerName, RouteConfig};

/// For each route, what takes its connections, if something always does.
///
/// A route that decrypts is not shadowed by another one that does: requests find their own.
pub(super) fn shadows(routes: &[RouteConfig]) -> Vec<Option<Vec<u32>>> {
    let mut shadows: Vec<Option<Vec<u32>>> = vec![Some(Vec::new()); routes.len()];
    let mut groups: HashMap<(&ListenerName, Option<&HostPattern>), Vec<u32>> = HashMap::new();
    for (index, route) in (0..).zip(routes) {
        for listener in &route.listeners {
            let every = route.hosts.is_empty().then_some(None);
            for host in every.into_iter().chain(route.hosts.iter().map(Some)) {
                groups.entry((listener, host)).or_default().push(index);
            }
        }
    }
    for mut places in groups.into_values() {
        // Most listeners have none, and nothing to look for.
        if places.iter().all(|route| !routes[*route as usize].takes_connections()) {
            places.iter().for_each(|route| shadows[*route as usize] = None);
            continue;
        }
        places.sort_by_key(|route| (Reverse(conditions(&routes[*route as usize])), *route));
        places.dedup();
        for (at, route) in places.iter().enumerate() {
            let own = &routes[*route as usize];
            let before = places[..at].iter().find(|earlier| takes(&routes[**earlier as usize], own));
            match (before, &mut shadows[*route as usize]) {
                (Some(before), Some(by)) => by.push(*before),
                (Some(_), None) => {}
                (None, by) => *by = None,
            }
        }
    }
    shadows
}

/// Whether a route that comes first takes all connections of another one.
fn takes(first: &RouteConfig, second: &RouteConfig) -> bool {
    let differ = first.takes_connections() || second.takes_connections();
    let within = |inner: &ipnet::IpNet| first.client_ip.iter().any(|outer| outer.contains(inner));
    let clients =
        first.client_ip.is_empty() || !second.client_ip.is_empty() && second.client_ip.iter().all(within);
    differ && clients && hello::implies(&second.client_hello, &first.client_hello)
}

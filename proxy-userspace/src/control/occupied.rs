//! Addresses of listeners on which a socket of this host waits: the kernel part would take its clients away without a
//! word.

use std::collections::HashSet;
use std::net::SocketAddr;

use crate::config::{Config, ListenerName, Protocol};
use crate::net::sockets::{self, Waiting};

/// A socket of this host waits where a listener is to be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{address} ({protocol}, listener \"{listener}\") is in use: a socket of this host waits there, and would never \
     see a client again; `ss -lnp 'sport = :{}'` says whose it is", .address.port()
)]
pub struct Occupied {
    /// The listener.
    pub listener: ListenerName,
    /// Its address.
    pub address: SocketAddr,
    /// Its protocol.
    pub protocol: Protocol,
}

/// Refuses a configuration whose new listeners are bound where a socket waits. Those in `served` are balanced already.
/// A socket that waits on all addresses is only warned of: it may have others to serve.
pub(super) fn refuse_occupied(
    config: &Config,
    served: &HashSet<(SocketAddr, Protocol)>,
) -> Result<(), Occupied> {
    // The list is as long as this host has connections: it is read for what is new alone.
    if addresses(config).all(|(_, address, protocol)| served.contains(&(address, protocol))) {
        return Ok(());
    }
    // What cannot be read says nothing.
    let waiting: HashSet<Waiting> = sockets::waiting().unwrap_or_default().into_iter().collect();
    judge(config, served, &waiting, |warning| tracing::warn!("{warning}"))
}

/// Every address of every listener.
pub(super) fn addresses(config: &Config) -> impl Iterator<Item = (&ListenerName, SocketAddr, Protocol)> + '_ {
    config.listeners.iter().flat_map(|l| l.bind.iter().map(move |address| (&l.name, *address, l.protocol)))
}

fn judge(
    config: &Config,
    served: &HashSet<(SocketAddr, Protocol)>,
    waiting: &HashSet<Waiting>,
    mut warn: impl FnMut(String),
) -> Result<(), Occupied> {
    for (listener, address, protocol) in addresses(config) {
        if served.contains(&(address, protocol)) {
            continue;
        }
        if waiting.contains(&Waiting { protocol: protocol.number(), address }) {
            return Err(Occupied { listener: listener.clone(), address, protocol });
        }
        let everywhere = waiting.iter().find(|w| {
            w.protocol == protocol.number()
                && w.address.port() == address.port()
                && w.address.ip().is_unspecified()
                && (w.address.is_ipv6() || address.is_ipv4())
        });
        if everywhere.is_some() {
            warn(format!(
                "a socket of this host waits on port {} ({protocol}) of all addresses: clients of {address} now go to \
                 listener \"{listener}\" instead",
                address.port()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_on_the_same_address_is_refused_and_one_on_all_is_warned_of() {
        let text = "[kernel]\ninterfaces = [\"eth0\"]\n[listener.web]\nbind = [\"10.0.0.1:80\"]\nprotocol = \"tcp\"\n\
                    pool = \"app\"\n[pool.app]\nbackends = [\"10.1.0.1:80\"]\n";
        let config = crate::config::parse(text, "proxy.toml").unwrap();
        let on = |protocol, address: &str| {
            HashSet::from([Waiting { protocol, address: address.parse().unwrap() }])
        };
        let judged = |waiting: &HashSet<Waiting>, served: &HashSet<_>| {
            let mut warnings = 0;
            let refused = judge(&config, served, waiting, |_| warnings += 1).is_err();
            (refused, warnings)
        };
        let none = HashSet::new();
        assert_eq!(judged(&on(6, "10.0.0.1:80"), &none), (true, 0));
        assert_eq!(judged(&on(17, "10.0.0.1:80"), &none), (false, 0));
        assert_eq!(judged(&on(6, "10.0.0.2:80"), &none), (false, 0));
        assert_eq!(judged(&on(6, "0.0.0.0:80"), &none), (false, 1));
        assert_eq!(judged(&on(6, "[::]:80"), &none), (false, 1));
        let served = HashSet::from([("10.0.0.1:80".parse().unwrap(), Protocol::Tcp)]);
        assert_eq!(judged(&on(6, "10.0.0.1:80"), &served), (false, 0));
    }
}

//! Listeners as the tables have them: those that are balanced, and those whose packets are the host's.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};

use proxy_common::guard::GuardRule;
use proxy_common::listener::Forward;

use super::present::Bind;
use crate::config::{GuardConfig, Protocol, SynCookies};
use crate::l4::desired::{Desired, Surroundings};

/// A listener, each of its addresses said.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Bound<'a> {
    pub(super) name: &'a str,
    pub(super) forward: Forward,
    /// None: nothing is guarded.
    pub(super) guard: Option<GuardRule>,
    pub(super) binds: Vec<Bind>,
    /// Its clients begin with a ClientHello, which is read before a socket exists.
    pub(super) tls: bool,
    /// Connections may be handed over.
    pub(super) handoff: bool,
}

impl Bound<'_> {
    /// Whether its first address is IPv6.
    pub(super) fn is_ipv6(&self) -> bool {
        self.binds.first().is_some_and(|(address, _)| address.is_ipv6())
    }
}

/// All listeners: first those that are balanced, in their order.
pub(super) fn bound<'a>(desired: &'a Desired, around: &dyn Surroundings) -> io::Result<Vec<Bound<'a>>> {
    let mut all: Vec<Bound<'a>> = desired
        .listeners
        .iter()
        .map(|listener| Bound {
            name: listener.name.as_str(),
            forward: listener.forward,
            guard: rule(&listener.guard),
            binds: binds(&listener.addresses, listener.protocol),
            tls: false,
            handoff: false,
        })
        .collect();
    let unspecified = |address: &SocketAddr| address.ip().is_unspecified();
    let any = desired.local.iter().any(|listener| listener.addresses.iter().any(unspecified));
    let host = if any { around.host_addresses()? } else { Vec::new() };
    // An address that is said by one listener is not another's wildcard's, as with sockets.
    let mut said: BTreeSet<Bind> = all.iter().flat_map(|listener| listener.binds.iter().copied()).collect();
    for listener in &desired.local {
        let own = listener.addresses.iter().filter(|address| !unspecified(address));
        said.extend(own.map(|address| (*address, listener.protocol.number())));
    }
    for listener in &desired.local {
        let (wild, own): (Vec<SocketAddr>, Vec<SocketAddr>) =
            listener.addresses.iter().copied().partition(unspecified);
        let mut binds = binds(&own, listener.protocol);
        for bind in wild.iter().flat_map(|wildcard| stands_for(*wildcard, &host)) {
            let bind = (bind, listener.protocol.number());
            if !said.contains(&bind) {
                binds.push(bind);
            }
        }
        all.push(Bound {
            name: listener.name.as_str(),
            forward: Forward::Local,
            guard: rule(&listener.guard),
            binds,
            tls: listener.tls,
            handoff: listener.handoff,
        });
    }
    Ok(all)
}

/// The addresses of its family that an unspecified address stands for.
fn stands_for(wildcard: SocketAddr, host: &[IpAddr]) -> impl Iterator<Item = SocketAddr> + '_ {
    let of_family = move |ip: &&IpAddr| ip.is_ipv6() == wildcard.is_ipv6();
    host.iter().filter(of_family).map(move |ip| SocketAddr::new(*ip, wildcard.port()))
}

fn binds(addresses: &[SocketAddr], protocol: Protocol) -> Vec<Bind> {
    addresses.iter().map(|address| (*address, protocol.number())).collect()
}

/// What the tables say of a guard; none: that there is none.
fn rule(guard: &GuardConfig) -> Option<GuardRule> {
    let threshold = match guard.syn_cookies {
        SynCookies::Off => 0,
        SynCookies::Auto | SynCookies::Always => guard.syn_threshold.max(1),
    };
    let flags = if guard.syn_cookies == SynCookies::Always { GuardRule::ALWAYS } else { 0 };
    let rule = GuardRule { threshold, flags, amplification: guard.amplification.unwrap_or(0) };
    (rule != GuardRule::default()).then_some(rule)
}

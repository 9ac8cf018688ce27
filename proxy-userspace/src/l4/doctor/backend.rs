//! Listeners' addresses and backends: the way to each, and its neighbour.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::around::Around;
use super::finding::{Check, Findings, Severity};
use super::interface;
use crate::config::{Config, Forward, ListenerConfig};
use crate::net::link::Link;
use crate::net::neighbour::{self, Neighbour};
use crate::net::netlink::Socket;
use crate::net::route::{self, Way};

pub(super) fn look(around: &Around<'_>, config: &Config, findings: &mut Findings) {
    let Ok(mut socket) = Socket::open() else { return };
    let neighbours = neighbour::all(&mut socket).unwrap_or_default();
    let mut seen = BTreeSet::new();
    let mut peers = BTreeSet::new();
    for listener in &config.listeners {
        for bind in &listener.bind {
            address(&mut socket, listener, *bind, findings);
        }
        for (backend, _) in config.backends(listener) {
            if !seen.insert((backend, listener.forward as u8)) {
                continue;
            }
            let subject = backend.to_string();
            match route::to(&mut socket, backend.ip()) {
                Ok(way) => {
                    let visit = Visit { around, way, neighbours: &neighbours, subject: &subject };
                    visit.route(listener, backend.ip(), findings);
                    if let Some(link) = around.by_index(way.ifindex).filter(|link| link.kind == "veth")
                        && !is_interface(around, link)
                        && peers.insert(link.index)
                    {
                        interface::peer(around, link, findings);
                    }
                }
                Err(error) => {
                    let fix = format!("ip route add {} via GATEWAY", backend.ip());
                    let found = format!("there is no way to it: {error}");
                    findings.bad(Severity::Error, Check::Route, &subject, found, fix);
                }
            }
        }
    }
}

fn is_interface(around: &Around<'_>, link: &Link) -> bool {
    let kernel = around.config.and_then(|config| config.kernel.as_ref());
    kernel.is_some_and(|kernel| kernel.interfaces.contains(&link.name))
}

/// Routers send packets for a listener's address here either because the host has it, or by a route.
fn address(socket: &mut Socket, listener: &ListenerConfig, bind: SocketAddr, findings: &mut Findings) {
    let subject = format!("listener {}", listener.name);
    let local = route::to(socket, bind.ip()).is_ok_and(|way| way.local);
    if local {
        findings.good(Check::Address, &subject, format!("{} is an address of this host", bind.ip()));
    } else {
        findings.bad(
            Severity::Hint,
            Check::Address,
            &subject,
            format!("{} is not an address of this host: a router has to send its packets here", bind.ip()),
            format!("ip addr add {}/{} dev lo", bind.ip(), if bind.is_ipv6() { 128 } else { 32 }),
        );
    }
}

/// A backend, and the way to it.
struct Visit<'a> {
    around: &'a Around<'a>,
    way: Way,
    neighbours: &'a [Neighbour],
    subject: &'a str,
}

impl Visit<'_> {
    fn route(&self, listener: &ListenerConfig, backend: IpAddr, findings: &mut Findings) {
        let link = self.around.by_index(self.way.ifindex);
        let name = link.map_or("?", |link| link.name.as_str());
        if self.way.local {
            let found =
                "it is an address of this host, which packets that leave by an interface do not reach";
            let fix = "run it on another host, or in a network namespace of its own";
            findings.bad(Severity::Error, Check::Route, self.subject, found, fix);
            return;
        }
        match (self.way.gateway, listener.forward) {
            (Some(gateway), Forward::Dsr) => {
                let found = format!("dsr needs it on the same link, but the way to it leads over {gateway}");
                findings.bad(Severity::Error, Check::Route, self.subject, found, "forward = \"nat\"");
            }
            (Some(gateway), Forward::Nat | Forward::Local) => {
                findings.good(Check::Route, self.subject, format!("by {name}, over {gateway}"));
            }
            (None, _) => findings.good(Check::Route, self.subject, format!("by {name}, on the link")),
        }
        if listener.forward == Forward::Nat {
            self.answers(link, name, findings);
        }
        self.neighbour(backend, name, findings);
    }

    /// With `nat` answers have to come in where a program translates them back.
    fn answers(&self, link: Option<&Link>, name: &str, findings: &mut Findings) {
        let below = link.and_then(|link| self.around.by_index(link.below));
        let candidates = [link, below.filter(|_| link.is_some_and(|link| link.kind == "vlan"))];
        if !candidates.into_iter().flatten().any(|link| is_interface(self.around, link)) {
            findings.bad(
                Severity::Error,
                Check::Return,
                self.subject,
                format!("its answers come in by {name}, where nothing is attached"),
                format!("add \"{name}\" to [kernel] interfaces"),
            );
        }
    }

    fn neighbour(&self, backend: IpAddr, name: &str, findings: &mut Findings) {
        let next = self.way.neighbour(backend);
        let known = self.neighbours.iter().find(|n| n.ifindex == self.way.ifindex && n.address == next);
        match known {
            Some(neighbour) if neighbour.is_resolved() => {
                findings.good(Check::Neighbour, self.subject, format!("{next} is known on {name}"));
            }
            Some(neighbour) if neighbour.has_failed() => findings.bad(
                Severity::Error,
                Check::Neighbour,
                self.subject,
                format!("nobody answers for {next} on {name}"),
                format!("ping -c 1 -I {name} {next}; ip neigh show dev {name}"),
            ),
            _ => findings.add(
                Severity::Hint,
                Check::Neighbour,
                self.subject,
                format!("{next} has not been asked for on {name} yet: the first packet does"),
            ),
        }
    }
}

//! What the kernel part should do, in the words of the configuration: no number of a map, no layout.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use proxy_common::sni::action;

use crate::config::{Forward, GuardConfig, HostPattern, KernelConfig, LimitConfig, ListenerName, Protocol};

/// The state of the kernel part that is wanted.
#[derive(Clone, PartialEq, Debug)]
pub struct Desired {
    /// What holds for all listeners.
    pub kernel: KernelConfig,
    /// Each with a name of its own.
    pub listeners: Vec<DesiredListener>,
    /// Listeners whose packets are the host's, and that the kernel part shall know all the same: to guard and to limit
    /// them. Each with a name of its own.
    pub local: Vec<LocalListener>,
    /// All limits, those that others keep too.
    pub limits: Vec<LimitConfig>,
}

impl Desired {
    /// Whether clients of connections in the flow table of this family show that they are there: with `nat` they acknowledge what
    /// only the backend's answer told them, and who was relayed has talked.
    pub(super) fn proves(&self, ipv6: bool) -> bool {
        let balanced = |listener: &DesiredListener| {
            let with_nat = listener.forward == Forward::Nat && listener.protocol == Protocol::Tcp;
            with_nat && listener.is_ipv6() == ipv6
        };
        self.listeners.iter().any(balanced) || self.local.iter().any(|listener| listener.handoff)
    }
}

/// A listener whose connections a socket of this host takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalListener {
    /// Its name.
    pub name: ListenerName,
    /// Where clients connect to. An unspecified address stands for all that the host has.
    pub addresses: Vec<SocketAddr>,
    /// What it speaks.
    pub protocol: Protocol,
    /// What floods meet.
    pub guard: GuardConfig,
    /// Its clients begin with a ClientHello.
    pub tls: bool,
    /// Hosts that a ClientHello may name. The most specific one counts; whatever none is for goes on to the socket.
    pub names: Vec<NameRule>,
    /// Its connections may be handed over to the kernel part once they are relayed.
    pub handoff: bool,
    /// The backends that they are relayed to, each address once.
    pub backends: Vec<DesiredBackend>,
}

/// What is done with who names a host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NameRule {
    /// The host; none: whatever no other one is for, and no host at all.
    pub host: Option<HostPattern>,
    /// The route that says so.
    pub route: Box<str>,
    /// What it says.
    pub action: NameAction,
}

/// What is done with who names a host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameAction {
    /// It goes on to the socket.
    Pass,
    /// Refused in silence.
    Drop,
    /// Refused by a reset.
    Reset,
}

impl NameAction {
    /// As the tables have it.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Pass => action::PASS,
            Self::Drop => action::DROP,
            Self::Reset => action::RESET,
        }
    }
}

/// A listener that is wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DesiredListener {
    /// Its name.
    pub name: ListenerName,
    /// Where clients connect to. At least one, all of one family, bound by no other listener of the protocol.
    pub addresses: Vec<SocketAddr>,
    /// What it balances.
    pub protocol: Protocol,
    /// How packets get to the backend.
    pub forward: Forward,
    /// What floods meet.
    pub guard: GuardConfig,
    /// Each address once, of the listener's family.
    pub backends: Vec<DesiredBackend>,
}

impl DesiredListener {
    /// Whether its addresses are IPv6.
    pub fn is_ipv6(&self) -> bool {
        self.addresses.first().is_some_and(SocketAddr::is_ipv6)
    }
}

/// A backend that is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DesiredBackend {
    /// Where packets go (`dsr`: the port is the listener's).
    pub address: SocketAddr,
    /// Its share of new flows, relative to the others'.
    pub weight: u32,
    /// The health checks say that it does not answer: no new flows.
    pub down: bool,
    /// The configuration drains it: no new flows, old ones stay.
    pub draining: bool,
    /// The operator drains it: the same, and remembered across a restart of the daemon.
    pub drained_by_hand: bool,
}

impl DesiredBackend {
    /// A backend that gets new flows.
    pub const fn ready(address: SocketAddr, weight: u32) -> Self {
        Self { address, weight, down: false, draining: false, drained_by_hand: false }
    }

    /// Whether new flows may go to it.
    pub const fn takes_new_flows(&self) -> bool {
        self.weight > 0 && !self.down && !self.draining && !self.drained_by_hand
    }
}

/// What connections to a backend leave from, as the route to it and the host's settings have it.
pub(super) trait Surroundings {
    /// The source address that the route to `backend` prefers.
    fn source_towards(&self, backend: IpAddr) -> std::io::Result<IpAddr>;
    /// The ports that the host gives to its own connections.
    fn host_ports(&self) -> std::io::Result<RangeInclusive<u16>>;
    /// The addresses that the host has, but for those of one link alone.
    fn host_addresses(&self) -> std::io::Result<Vec<IpAddr>>;
}

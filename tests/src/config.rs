//! Configuration texts for worlds, in the words of `proxy.toml`.

use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::world::{Family, Layout, World};

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP
    Tcp,
    /// UDP
    Udp,
}

impl Protocol {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Tcp, Self::Udp];

    /// As the configuration writes it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A listener and its pool of the same name.
#[derive(Clone, Debug)]
pub struct Listener {
    /// `tcp4`, `udp6`, …
    pub name: String,
    /// Where it listens.
    pub bind: Vec<SocketAddr>,
    /// What it speaks.
    pub protocol: Protocol,
    /// `nat` or `dsr`
    pub forward: &'static str,
    /// Its backends.
    pub backends: Vec<Backend>,
    /// The value of `health`, if any.
    pub health: Option<String>,
}

/// A backend of a pool.
#[derive(Clone, Copy, Debug)]
pub struct Backend {
    /// Address and port.
    pub address: SocketAddr,
    /// Its share of new flows.
    pub weight: u32,
    /// No new flows.
    pub drain: bool,
}

impl Listener {
    /// The world's service for one protocol and family, with all its backends, forwarded as the world is cabled.
    #[must_use]
    pub fn of(world: &World, protocol: Protocol, family: Family) -> Self {
        let digit = if family == Family::V4 { 4 } else { 6 };
        let backends = (0..world.backends.len()).map(|number| {
            let address = match protocol {
                Protocol::Tcp => world.backend(family, number),
                Protocol::Udp => world.backend_udp(family, number),
            };
            Backend { address, weight: 1, drain: false }
        });
        let bind = match protocol {
            Protocol::Tcp => world.service(family),
            Protocol::Udp => world.service_udp(family),
        };
        Self {
            name: format!("{}{digit}", protocol.word()),
            bind: vec![bind],
            protocol,
            forward: if world.layout == Layout::Routed { "nat" } else { "dsr" },
            backends: backends.collect(),
            health: None,
        }
    }

    /// All four: TCP and UDP, IPv4 and IPv6.
    #[must_use]
    pub fn all(world: &World) -> Vec<Self> {
        let families = Family::BOTH.into_iter();
        families.flat_map(|family| Protocol::BOTH.map(|protocol| Self::of(world, protocol, family))).collect()
    }

    /// With this check.
    #[must_use]
    pub fn with_health(mut self, health: &str) -> Self {
        self.health = Some(health.to_owned());
        self
    }

    /// Without the backend `number`.
    #[must_use]
    pub fn without(mut self, number: usize) -> Self {
        self.backends.remove(number);
        self
    }
}

/// The configuration of a world's daemon: these listeners, a small flow table, pins and socket of its own.
#[must_use]
pub fn text(world: &World, listeners: &[Listener]) -> String {
    with_kernel(world, "flows = 65536\n", listeners)
}

/// Like [`text`], with other lines in `[kernel]`.
#[must_use]
pub fn with_kernel(world: &World, kernel: &str, listeners: &[Listener]) -> String {
    let mut text = format!(
        "[kernel]\ninterfaces = {:?}\npin_dir = {:?}\n{kernel}\n[admin]\nsocket = {:?}\n",
        world.interfaces(),
        world.pin_dir(),
        world.folder().join("admin.sock"),
    );
    for listener in listeners {
        listener.write(&mut text);
    }
    text
}

impl Listener {
    fn write(&self, text: &mut String) {
        let Self { name, forward, .. } = self;
        let bind: Vec<String> = self.bind.iter().map(SocketAddr::to_string).collect();
        let protocol = self.protocol.word();
        let mut pool = format!("\n[pool.{name}]\nbackends = [\n");
        for backend in &self.backends {
            let Backend { address, weight, drain } = backend;
            if (*weight, *drain) == (1, false) {
                pool.push_str(&format!("  \"{address}\",\n"));
            } else {
                pool.push_str(&format!(
                    "  {{ address = \"{address}\", weight = {weight}, drain = {drain} }},\n"
                ));
            }
        }
        pool.push_str("]\n");
        if let Some(health) = &self.health {
            pool.push_str(&format!("health = {health}\n"));
        }
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n[listener.{name}]\nbind = {bind:?}\nprotocol = \"{protocol}\"\nforward = \"{forward}\"\npool = \"{name}\"\n{pool}"
        );
    }
}

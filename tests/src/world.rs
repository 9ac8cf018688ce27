//! Worlds: clients, a balancer and backends, each in a namespace of its own, cabled by veth pairs and bridges.
//!
//! ```text
//! routed (nat)   clients ── front ┤balancer├ back ── backends          two subnets; answers come back through the balancer
//! flat (dsr)     clients ──┬── front ┤balancer                         one subnet; backends hold the service's address
//!                          └── backends                                on lo and answer clients themselves
//! ```
//!
//! | | IPv4 | IPv6 |
//! |---|---|---|
//! | balancer, `front` | 192.0.2.1/24 | 2001:db8:1::1/64 |
//! | service, on `front` | 192.0.2.10 (TCP 80, UDP 53) | 2001:db8:1::10 |
//! | clients | 192.0.2.101, … | 2001:db8:1::101, … |
//! | balancer, `back` (routed) | 10.0.0.1/24 | fd00::1/64 |
//! | backends (routed) | 10.0.0.11, … (TCP 8080, UDP 5353) | fd00::11, … |
//! | backends (flat) | 192.0.2.11, … (TCP 80, UDP 53) | 2001:db8:1::11, … |

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context, Result, bail};

use crate::ethtool::{self, Offload};
use crate::leftovers::{self, BPF_DIR, RUN_DIR, unique_name};
use crate::netns::{self, Namespace};
use crate::server::Server;
use crate::wait::{SOON, until};

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

impl Family {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];
}

/// How things are cabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Clients and backends in two subnets, the balancer between them.
    Routed,
    /// Everything on one link.
    Flat,
}

/// The addresses of a world.
impl Layout {
    /// The service's address and TCP port.
    #[must_use]
    pub fn service(self, family: Family) -> SocketAddr {
        SocketAddr::new(front_address(family, 10), SERVICE_TCP)
    }

    /// The service's address and UDP port.
    #[must_use]
    pub fn service_udp(self, family: Family) -> SocketAddr {
        SocketAddr::new(front_address(family, 10), SERVICE_UDP)
    }

    /// The address of client `number`.
    #[must_use]
    pub fn client_address(self, family: Family, number: usize) -> IpAddr {
        front_address(family, 101 + number)
    }

    /// Where connections to backends leave from, unless the configuration says otherwise.
    #[must_use]
    pub fn nat_source(self, family: Family) -> IpAddr {
        if self == Self::Routed { back_address(family, 1) } else { front_address(family, 1) }
    }

    /// The address of backend `number`.
    #[must_use]
    pub fn backend_address(self, family: Family, number: usize) -> IpAddr {
        if self == Self::Routed {
            back_address(family, 11 + number)
        } else {
            front_address(family, 11 + number)
        }
    }

    /// Address and TCP port of the server of backend `number`.
    #[must_use]
    pub fn backend(self, family: Family, number: usize) -> SocketAddr {
        let port = if self == Self::Routed { 8080 } else { SERVICE_TCP };
        SocketAddr::new(self.backend_address(family, number), port)
    }

    /// Address and UDP port of the server of backend `number`.
    #[must_use]
    pub fn backend_udp(self, family: Family, number: usize) -> SocketAddr {
        let port = if self == Self::Routed { 5353 } else { SERVICE_UDP };
        SocketAddr::new(self.backend_address(family, number), port)
    }
}

/// A backend's host.
#[derive(Debug)]
pub struct Host {
    /// `b0`, `b1`, …: what its server says.
    pub name: String,
    /// Its servers.
    pub server: Server,
    /// Where it lives.
    pub namespace: Namespace,
}

/// A world. Everything in it is gone when it is dropped.
#[derive(Debug)]
pub struct World {
    /// `pn-<process>-<number>`
    pub name: String,
    /// How it is cabled.
    pub layout: Layout,
    /// Backends.
    pub backends: Vec<Host>,
    /// Clients.
    pub clients: Vec<Namespace>,
    /// Where the daemon lives.
    pub balancer: Namespace,
    /// Bridges `front` and `back`.
    pub wire: Namespace,
}

/// What a world shall have.
#[derive(Clone, Copy, Debug)]
pub struct Builder {
    layout: Layout,
    clients: usize,
    backends: usize,
}

/// Port of the service, by protocol.
pub const SERVICE_TCP: u16 = 80;
/// Port of the service, by protocol.
pub const SERVICE_UDP: u16 = 53;

impl World {
    /// Clients and backends in two subnets: for `nat`.
    #[must_use]
    pub const fn routed() -> Builder {
        Builder { layout: Layout::Routed, clients: 1, backends: 3 }
    }

    /// Everything on one link: for `dsr`.
    #[must_use]
    pub const fn flat() -> Builder {
        Builder { layout: Layout::Flat, clients: 1, backends: 3 }
    }

    /// The client, where there is but one.
    #[must_use]
    pub fn client(&self) -> &Namespace {
        &self.clients[0]
    }

    /// The service's address and TCP port.
    #[must_use]
    pub fn service(&self, family: Family) -> SocketAddr {
        self.layout.service(family)
    }

    /// The service's address and UDP port.
    #[must_use]
    pub fn service_udp(&self, family: Family) -> SocketAddr {
        self.layout.service_udp(family)
    }

    /// The address of client `number`.
    #[must_use]
    pub fn client_address(&self, family: Family, number: usize) -> IpAddr {
        self.layout.client_address(family, number)
    }

    /// The balancer's own address on the clients' side.
    #[must_use]
    pub fn balancer_address(&self, family: Family) -> IpAddr {
        front_address(family, 1)
    }

    /// The address of backend `number`.
    #[must_use]
    pub fn backend_address(&self, family: Family, number: usize) -> IpAddr {
        self.layout.backend_address(family, number)
    }

    /// Address and TCP port of the server of backend `number`.
    #[must_use]
    pub fn backend(&self, family: Family, number: usize) -> SocketAddr {
        self.layout.backend(family, number)
    }

    /// Address and UDP port of the server of backend `number`.
    #[must_use]
    pub fn backend_udp(&self, family: Family, number: usize) -> SocketAddr {
        self.layout.backend_udp(family, number)
    }

    /// The interfaces that the daemon shall take.
    #[must_use]
    pub const fn interfaces(&self) -> &'static [&'static str] {
        match self.layout {
            Layout::Routed => &["front", "back"],
            Layout::Flat => &["front"],
        }
    }

    /// A folder of this world for configurations, sockets and logs.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        PathBuf::from(RUN_DIR).join(&self.name)
    }

    /// Where this world's daemon pins.
    #[must_use]
    pub fn pin_dir(&self) -> PathBuf {
        PathBuf::from(BPF_DIR).join(&self.name)
    }

    /// Servers of backend `number` begin anew, after they were stopped.
    ///
    /// # Errors
    /// When an address is not to be had.
    pub fn serve(&mut self, number: usize) -> Result<()> {
        let mut addresses = Vec::new();
        for family in Family::BOTH {
            addresses.push((self.backend(family, number), self.backend_udp(family, number)));
            if self.layout == Layout::Flat {
                addresses.push((self.service(family), self.service_udp(family)));
            }
        }
        let host = &mut self.backends[number];
        host.server = Server::new(&host.name);
        for (tcp, udp) in addresses {
            host.server.http(&host.namespace, tcp)?;
            host.server.udp(&host.namespace, udp)?;
        }
        Ok(())
    }

    /// The backend that says this name.
    #[must_use]
    pub fn number_of(&self, name: &str) -> Option<usize> {
        self.backends.iter().position(|host| host.name == name)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        leftovers::remove(&self.pin_dir());
        leftovers::remove(&self.folder());
    }
}

/// `192.0.2.N`, `2001:db8:1::N`
fn front_address(family: Family, n: usize) -> IpAddr {
    address(family, "192.0.2.", "2001:db8:1::", n)
}

/// `10.0.0.N`, `fd00::N`
fn back_address(family: Family, n: usize) -> IpAddr {
    address(family, "10.0.0.", "fd00::", n)
}

fn address(family: Family, v4: &str, v6: &str, n: usize) -> IpAddr {
    let prefix = if family == Family::V4 { v4 } else { v6 };
    format!("{prefix}{n}").parse().expect("a prefix and a small number are an address")
}

impl Builder {
    /// How many clients.
    #[must_use]
    pub const fn clients(self, clients: usize) -> Self {
        Self { clients, ..self }
    }

    /// How many backends.
    #[must_use]
    pub const fn backends(self, backends: usize) -> Self {
        Self { backends, ..self }
    }

    /// Makes the world, and waits until everybody reaches their neighbours.
    ///
    /// # Errors
    /// What could not be made, and why.
    pub fn build(self) -> Result<World> {
        let name = unique_name();
        let wire = Namespace::create(&format!("{name}-wire"))?;
        let balancer = Namespace::create(&format!("{name}-lb"))?;
        fs::create_dir_all(PathBuf::from(RUN_DIR).join(&name)).context(RUN_DIR)?;
        let mut world =
            World { name, layout: self.layout, backends: Vec::new(), clients: Vec::new(), balancer, wire };
        world.quiet(&world.wire)?;
        world.wire.ip_batch(
            "link add front type bridge\nlink add back type bridge\nlink set front up\nlink set back up\n",
        )?;
        world.make_balancer()?;
        for number in 0..self.clients {
            world.make_client(number)?;
        }
        for number in 0..self.backends {
            world.make_backend(number)?;
        }
        world.wait_for_neighbours()?;
        Ok(world)
    }
}

impl World {
    /// No router solicitations, no duplicate address detection: addresses are usable at once.
    fn quiet(&self, namespace: &Namespace) -> Result<()> {
        for scope in ["all", "default"] {
            namespace.sysctl(&format!("ipv6/conf/{scope}/accept_dad"), "0")?;
            namespace.sysctl(&format!("ipv6/conf/{scope}/accept_ra"), "0")?;
            namespace.sysctl(&format!("ipv6/conf/{scope}/router_solicitations"), "0")?;
            namespace.sysctl(&format!("ipv4/conf/{scope}/rp_filter"), "0")?;
        }
        Ok(())
    }

    /// A cable from `interface` of a host to a port of a bridge of the wire.
    fn cable(&self, host: &Namespace, interface: &str, bridge: &str, port: &str) -> Result<()> {
        let wire = self.wire.name();
        let name = host.name();
        netns::batch(
            &[],
            &format!("link add {interface} netns {name} type veth peer name {port} netns {wire}\n"),
        )?;
        self.wire.ip_batch(&format!("link set {port} master {bridge} up\n"))
    }

    /// A cable to the balancer. What XDP redirects into its port arrives only where the port polls (GRO); what the
    /// port sends has its checksums computed, for XDP does not know of partial ones.
    fn cable_balancer(&self, interface: &str) -> Result<()> {
        let port = format!("lb-{interface}");
        self.cable(&self.balancer, interface, interface, &port)?;
        self.wire.enter(|| {
            ethtool::set(&port, Offload::Gro, true)?;
            ethtool::set(&port, Offload::TransmitChecksum, false)?;
            ethtool::tags_in_frames(&port)
        })?
    }

    fn make_balancer(&mut self) -> Result<()> {
        self.quiet(&self.balancer)?;
        for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv6/conf/default/forwarding"] {
            self.balancer.sysctl(key, "1")?;
        }
        let mut lines = String::new();
        for interface in self.interfaces() {
            self.cable_balancer(interface)?;
            writeln!(lines, "link set {interface} up")?;
        }
        self.front_addresses(&mut lines);
        for (family, length) in [(Family::V4, 24), (Family::V6, 64)] {
            if self.layout == Layout::Routed {
                let address = back_address(family, 1);
                writeln!(lines, "addr add {address}/{length} dev back{}", nodad(family))?;
            }
        }
        self.balancer.ip_batch(&lines)
    }

    /// The interface `front` of the balancer comes anew, as after a driver was loaded again: another MAC, another
    /// number, the same addresses.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn renew_front(&self) -> Result<()> {
        self.balancer.ip("link del front")?;
        self.cable_balancer("front")?;
        let mut lines = "link set front up\n".to_owned();
        self.front_addresses(&mut lines);
        self.balancer.ip_batch(&lines)
    }

    fn front_addresses(&self, lines: &mut String) {
        for (family, length) in [(Family::V4, 24), (Family::V6, 64)] {
            for n in [1, 10] {
                let address = front_address(family, n);
                // The service's address is never a source: a backend of a flat world would take the answer for itself.
                let deprecated = if (family, n) == (Family::V6, 10) { " preferred_lft 0" } else { "" };
                lines.push_str(&format!(
                    "addr add {address}/{length} dev front{}{deprecated}\n",
                    nodad(family)
                ));
            }
        }
    }

    fn make_client(&mut self, number: usize) -> Result<()> {
        let client = Namespace::create(&format!("{}-c{number}", self.name))?;
        self.quiet(&client)?;
        self.cable(&client, "eth0", "front", &format!("c{number}"))?;
        self.make_endpoint(&client, |family| {
            (self.client_address(family, number), front_address(family, 1))
        })?;
        self.clients.push(client);
        Ok(())
    }

    fn make_backend(&mut self, number: usize) -> Result<()> {
        let name = format!("b{number}");
        let namespace = Namespace::create(&format!("{}-{name}", self.name))?;
        self.quiet(&namespace)?;
        let bridge = if self.layout == Layout::Routed { "back" } else { "front" };
        self.cable(&namespace, "eth0", bridge, &name)?;
        let gateway = if self.layout == Layout::Routed { back_address } else { front_address };
        if self.layout == Layout::Flat {
            // The service's address is held, but never spoken for.
            for scope in ["all", "eth0"] {
                namespace.sysctl(&format!("ipv4/conf/{scope}/arp_ignore"), "1")?;
                namespace.sysctl(&format!("ipv4/conf/{scope}/arp_announce"), "2")?;
            }
            let (v4, v6) = (front_address(Family::V4, 10), front_address(Family::V6, 10));
            namespace.ip_batch(&format!("addr add {v4}/32 dev lo\naddr add {v6}/128 dev lo nodad\n"))?;
        }
        self.make_endpoint(&namespace, |family| (self.backend_address(family, number), gateway(family, 1)))?;
        self.backends.push(Host { server: Server::new(&name), name, namespace });
        self.serve(number)
    }

    /// Addresses, a default route, and checksums computed by the sender.
    fn make_endpoint(&self, host: &Namespace, of: impl Fn(Family) -> (IpAddr, IpAddr)) -> Result<()> {
        let mut lines = "link set eth0 up\n".to_owned();
        for (family, length) in [(Family::V4, 24), (Family::V6, 64)] {
            let (address, gateway) = of(family);
            writeln!(lines, "addr add {address}/{length} dev eth0{}", nodad(family))?;
            writeln!(lines, "route add default via {gateway}")?;
        }
        host.ip_batch(&lines)?;
        host.enter(|| ethtool::set("eth0", Offload::TransmitChecksum, false))?
    }

    /// Links come up, bridges begin to forward and addresses become usable in their own time: all of it is done when
    /// every host has had a word with the balancer (a closed port refuses at once).
    fn wait_for_neighbours(&self) -> Result<()> {
        for family in Family::BOTH {
            for client in &self.clients {
                reach(client, self.balancer_address(family))?;
            }
            for number in 0..self.backends.len() {
                reach(&self.balancer, self.backend_address(family, number))?;
            }
        }
        Ok(())
    }
}

const fn nodad(family: Family) -> &'static str {
    match family {
        Family::V4 => "",
        Family::V6 => " nodad",
    }
}

/// Waits until `address` answers from inside `namespace`: by refusing a connection to a port where nobody listens.
///
/// # Errors
/// When it does not in time.
pub fn reach(namespace: &Namespace, address: IpAddr) -> Result<()> {
    let to = SocketAddr::new(address, 9);
    until(&format!("{address} answers {}", namespace.name()), SOON, || {
        match namespace.enter(|| TcpStream::connect_timeout(&to, Duration::from_millis(300)))? {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => bail!("somebody listens at {to}"),
        }
    })
}

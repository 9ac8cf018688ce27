//! Three namespaces (client, balancer, backend), and what joins them.
//!
//! ```text
//! client eth0 ── front ┤balancer├ back ── eth0 backend
//! ```

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use proxy_tests::bpf::Program;
use proxy_tests::ethtool::{self, Offload};
use proxy_tests::leftovers::{self, BPF_DIR, RUN_DIR};
use proxy_tests::netns::{self, Namespace};
use proxy_tests::world;

use super::load;

/// Where clients connect to.
pub(super) const SERVICE: &str = "192.0.2.1:443";
/// Where the server is.
pub(super) const BACKEND: &str = "10.0.0.11:8443";

/// All of it; gone when dropped.
#[derive(Debug)]
pub(super) struct Wires {
    name: String,
    client: Namespace,
    pub(super) balancer: Namespace,
    backend: Namespace,
}

impl Wires {
    /// New ones.
    pub(super) fn lay() -> Result<Self> {
        let name = leftovers::unique_name();
        let part = |part: &str| Namespace::create(&format!("{name}-{part}"));
        let (client, balancer, backend) = (part("client")?, part("lb")?, part("backend")?);
        let wires = Self { name, client, balancer, backend };
        fs::create_dir_all(wires.folder()).context(RUN_DIR)?;
        fs::create_dir_all(wires.pins()).context(BPF_DIR)?;
        wires.balancer.sysctl("ipv4/ip_forward", "1")?;
        for (host, inner, address, outer) in [
            (&wires.client, "front", "192.0.2.101/24", "192.0.2.1/24"),
            (&wires.backend, "back", "10.0.0.11/24", "10.0.0.1/24"),
        ] {
            let (end, balancer) = (host.name(), wires.balancer.name());
            netns::batch(
                &[],
                &format!("link add eth0 netns {end} type veth peer name {inner} netns {balancer}\n"),
            )?;
            let gateway = outer.trim_end_matches("/24");
            host.ip_batch(&format!(
                "addr add {address} dev eth0\nlink set eth0 up\nroute add default via {gateway}\n"
            ))?;
            wires.balancer.ip_batch(&format!("addr add {outer} dev {inner}\nlink set {inner} up\n"))?;
            host.enter(|| offloads("eth0"))??;
            wires.balancer.enter(|| offloads(inner))??;
            // Many connections, one after another.
            host.sysctl("ipv4/ip_local_port_range", "10240 65535")?;
            host.sysctl("core/somaxconn", "16384")?;
            // Whoever sends waits for nothing but room: no pacing by a timer. (Namespaces may always have this one.)
            host.sysctl("ipv4/tcp_congestion_control", "reno")?;
        }
        wires.balancer.sysctl("ipv4/tcp_congestion_control", "reno")?;
        wires.balancer.sysctl("ipv4/ip_local_port_range", "32768 65535")?;
        wires.balancer.sysctl("core/somaxconn", "16384")?;
        for (host, address) in [(&wires.client, "192.0.2.1"), (&wires.balancer, "10.0.0.11")] {
            world::reach(host, address.parse::<IpAddr>()?)?;
        }
        Ok(wires)
    }

    /// A folder for configurations and logs.
    pub(super) fn folder(&self) -> PathBuf {
        Path::new(RUN_DIR).join(&self.name)
    }

    /// Where a daemon may pin.
    pub(super) fn pins(&self) -> PathBuf {
        Path::new(BPF_DIR).join(&self.name)
    }

    /// XDP that lets everything pass: what the wires of ours have, without what ours does by it.
    pub(super) fn let_pass(&self) -> Result<()> {
        let pin = self.pins().join("pass");
        Program::foreign("pass")?.pin(&pin)?;
        for interface in ["front", "back"] {
            self.balancer.ip(&format!("link set dev {interface} xdpdrv pinned {}", pin.display()))?;
        }
        Ok(())
    }

    /// What arrives by an interface is worked on by a thread of that interface (`napi/NAME-…`): so it is seen who works for
    /// whom. To be called when XDP is attached.
    pub(super) fn thread(&self) -> Result<()> {
        let ends = [(&self.client, "eth0"), (&self.backend, "eth0")];
        let inner = ["front", "back"].map(|interface| (&self.balancer, interface));
        for (host, interface) in ends.into_iter().chain(inner) {
            // Each namespace has a /sys of its own.
            let write = format!("echo 1 > /sys/class/net/{interface}/threaded");
            netns::ip(&["netns", "exec", host.name(), "sh", "-c", &write])?;
        }
        Ok(())
    }

    /// The server's socket.
    pub(super) fn listen(&self) -> Result<TcpListener> {
        let address: SocketAddr = BACKEND.parse()?;
        Ok(self.backend.enter(|| TcpListener::bind(address))??)
    }

    /// A client.
    pub(super) fn connect(&self) -> Result<TcpStream> {
        let to: SocketAddr = SERVICE.parse()?;
        Ok(self.client.enter(|| TcpStream::connect_timeout(&to, Duration::from_secs(10)))??)
    }

    /// What a round begins with.
    pub(super) fn ready(&self, what: u8) -> Result<Vec<TcpStream>> {
        load::ready(what, &|| self.connect())
    }

    /// One round of a case.
    pub(super) fn load(&self, what: u8, ready: Vec<TcpStream>) -> Result<()> {
        load::run(what, ready, &|| self.connect())
    }
}

/// No packet is larger than the wire takes, checksums are there, and packets that XDP sends are received.
fn offloads(interface: &str) -> Result<()> {
    ethtool::set(interface, Offload::Gro, true)?;
    ethtool::set(interface, Offload::TransmitChecksum, false)?;
    ethtool::set(interface, Offload::Tso, false)?;
    ethtool::set(interface, Offload::Gso, false)
}

impl Drop for Wires {
    fn drop(&mut self) {
        leftovers::remove(&self.pins());
        leftovers::remove(&self.folder());
    }
}

//! Where packets come in by another interface than the way back goes out by.

use std::io::Write as _;
use std::net::{IpAddr, TcpStream};

use anyhow::{Result, ensure};
use proxy_tests::ethtool::{self, Offload};
use proxy_tests::facts;
use proxy_tests::netns::Namespace;
use proxy_tests::runner::Fact;
use proxy_tests::wait::until;
use proxy_tests::world::{Family, World};

use super::front::{exactly, metrics};
use super::spliced::{PATIENCE, Spliced};

pub(crate) const FACTS: &[Fact] = facts![
    who_comes_by_an_interface_that_is_not_seen_stays_with_the_relay,
    who_comes_by_another_interface_that_is_seen_leaves,
];

/// A second cable from a host to the balancer, `side0` or `side1` there.
struct Side<'w> {
    host: &'w Namespace,
    number: usize,
    /// An address of the balancer's.
    to: IpAddr,
}

impl<'w> Side<'w> {
    fn new(world: &'w World, host: &'w Namespace, number: usize, to: IpAddr) -> Result<Self> {
        let (here, there) = (&world.balancer, format!("198.51.{}", 100 + number));
        here.ip(&format!("link add side{number} type veth peer name side netns {}", host.name()))?;
        here.ip_batch(&format!("addr add {there}.1/24 dev side{number}\nlink set side{number} up\n"))?;
        host.ip_batch(&format!("addr add {there}.2/24 dev side\nlink set side up\n"))?;
        for (namespace, interface) in [(host, "side"), (here, &*format!("side{number}"))] {
            namespace.enter(|| ethtool::set(interface, Offload::TransmitChecksum, false))??;
            namespace.enter(|| ethtool::set(interface, Offload::Gro, true))??;
        }
        Ok(Self { host, number, to })
    }

    /// Packets to the balancer go there, or no more. They come from where they came from before.
    fn route(&self, word: &str, from: IpAddr) -> Result<()> {
        let Self { to, number, .. } = self;
        self.host
            .ip(&format!("route {word} {to}/32 via 198.51.{}.1 dev side src {from}", 100 + number))
            .map(drop)
    }
}

/// What was asked for, and answered.
fn talk((client, server): &mut (TcpStream, TcpStream)) -> Result<()> {
    for _ in 0..10 {
        client.write_all(b"question")?;
        ensure!(exactly(server, 8)? == b"question");
        server.write_all(b"answer")?;
        ensure!(exactly(client, 6)? == b"answer");
    }
    Ok(())
}

/// How many stay for this reason.
fn stay(spliced: &Spliced<'_>) -> Result<u64> {
    let text = metrics(&spliced.daemon)?;
    let line = text
        .lines()
        .find(|line| line.starts_with("proxy_now_relay_kept_total{") && line.contains("reason=\"way\""));
    Ok(line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0))
}

fn who_comes_by_an_interface_that_is_not_seen_stays_with_the_relay() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let side = Side::new(&world, world.client(), 0, world.service(Family::V4).ip())?;
    let spliced = Spliced::start(&world, Family::V4, "")?;
    side.route("add", world.client_address(Family::V4, 0))?;
    let mut pair = spliced.pair(443)?;
    pair.1.write_all(b"answer")?;
    ensure!(exactly(&mut pair.0, 6)? == b"answer");
    until("it stays", PATIENCE, || {
        let stay = stay(&spliced)?;
        ensure!(stay == 1, "{stay} stay for this; {}", spliced.kept()?);
        Ok(())
    })?;
    talk(&mut pair)?;
    ensure!(spliced.handed_off()? == 0, "it has left");
    Ok(())
}

fn who_comes_by_another_interface_that_is_seen_leaves() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let of_client = Side::new(&world, world.client(), 0, world.service(Family::V4).ip())?;
    let of_backend = Side::new(&world, &world.backends[0].namespace, 1, world.layout.nat_source(Family::V4))?;
    of_client.route("add", world.client_address(Family::V4, 0))?;
    of_backend.route("add", world.backend_address(Family::V4, 0))?;
    let text = Spliced::text(&world, Family::V4, "");
    let more = text.replace("[\"front\", \"back\"]", "[\"front\", \"back\", \"side0\", \"side1\"]");
    ensure!(more != text, "{text}");
    let spliced = Spliced::with(&world, Family::V4, &more)?;
    let mut pair = spliced.left()?;
    talk(&mut pair)?;
    ensure!(stay(&spliced)? == 0, "{}", spliced.kept()?);
    Ok(())
}

//! The pipeline on plain memory, as an engine: no kernel, no privilege.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, ensure};
use proxy_ebpf::host::{Host, Service, Way};
use proxy_ebpf::verdict::Verdict;
use proxy_tests::bpf;
use proxy_tests::config::Protocol;
use proxy_tests::packet::{Packet, protocol};
use proxy_tests::parsed::Parsed;
use proxy_tests::world::{Family, Layout};

use super::engine::{Engine, Fate, Place, Side};
use crate::corpus;

/// The host build with a world's services.
pub(super) struct OnHost {
    host: Host,
    place: Place,
}

const FRONT: u32 = 2;
const BACK: u32 = 3;

const fn number_of(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => protocol::TCP,
        Protocol::Udp => protocol::UDP,
    }
}

impl OnHost {
    pub(super) fn new(layout: Layout) -> Self {
        let place = Place::new(layout);
        let mut ways = HashMap::new();
        let back = if layout == Layout::Routed { BACK } else { FRONT };
        let mut way = |to: IpAddr, ifindex, to_mac, from_mac| {
            ways.insert(to, Way { ifindex, to_mac, from_mac, mtu: 1500 });
        };
        for family in Family::BOTH {
            way(layout.client_address(family, 0), FRONT, place.client_mac, place.front);
            for number in 0..3 {
                let mac = place.backend_macs[number];
                way(layout.backend_address(family, number), back, mac, place.back);
            }
        }
        let services = place.services.iter().map(|(protocol, family, bind)| Service {
            protocol: number_of(*protocol),
            bind: *bind,
            backends: place
                .backends
                .iter()
                .filter(|backend| (backend.0, backend.1) == (*protocol, *family))
                .map(|backend| backend.2)
                .collect(),
            nat_source: (layout == Layout::Routed).then(|| layout.nat_source(*family)),
        });
        let services: Vec<Service> = services.collect();
        Self { host: Host::new(&services, ways), place }
    }
}

impl Engine for OnHost {
    fn place(&self) -> &Place {
        &self.place
    }

    fn run(&mut self, side: Side, frame: &[u8]) -> Result<Fate> {
        let ifindex = if side == Side::Back && self.place.layout == Layout::Routed { BACK } else { FRONT };
        let (verdict, after) = self.host.run(ifindex, frame);
        Ok(match verdict {
            Verdict::Transmit | Verdict::Redirect(_) => Fate::Sent(after.to_vec()),
            Verdict::Drop(reason) => Fate::Dropped(reason.label().to_owned()),
            Verdict::Pass => {
                ensure!(after == frame, "passed, but changed: {after:02x?}");
                Fate::Passed
            }
            Verdict::Defer => anyhow::bail!("every neighbour is known"),
            Verdict::GoOn(_) => anyhow::bail!("a whole way has a verdict"),
        })
    }

    fn noticed(&self, notice: &str) -> Result<u64> {
        Ok(self.host.noticed(notice))
    }
}

/// Listeners on the very address that connections to backends leave from: their ports are left alone.
pub(super) fn ports_of_listeners_are_not_given_to_flows() -> Result<()> {
    let ours: IpAddr = "10.0.0.1".parse()?;
    let to = SocketAddr::new("10.0.0.11".parse()?, 80);
    let listened = 1024..2048u16;
    let services = listened.clone().map(|port| Service {
        protocol: protocol::TCP,
        bind: SocketAddr::new(ours, port),
        backends: vec![to],
        nat_source: Some(ours),
    });
    let way = Way { ifindex: BACK, to_mac: [2, 0, 0, 0, 1, 0], from_mac: [2, 0, 0, 0, 0, 2], mtu: 1500 };
    let mut host = Host::new(&services.collect::<Vec<_>>(), HashMap::from([(to.ip(), way)]));
    for port in 40_000..40_500 {
        let client = SocketAddr::new("192.0.2.1".parse()?, port);
        let syn = Packet::syn(client, SocketAddr::new(ours, 1500), 1)
            .between([2, 0, 0, 0, 2, 0], [2, 0, 0, 0, 0, 1]);
        let (verdict, after) = host.run(FRONT, &syn.bytes());
        ensure!(verdict == Verdict::Redirect(BACK), "{verdict:?}");
        let seen = Parsed::of(after)?;
        ensure!(
            !listened.contains(&seen.from().port()),
            "an answer to {} would meet a listener",
            seen.from()
        );
    }
    Ok(())
}

/// The corpus and its mutants: judged as in the kernel.
pub(super) fn corpus(layout: Layout) -> Result<()> {
    let cases = corpus::cases()?;
    let mut host = corpus_host(layout)?;
    let wrong = corpus::judge(&cases, |frame| {
        let (verdict, after) = host.run(FRONT, frame);
        let verdict = match verdict {
            Verdict::Pass | Verdict::Defer => bpf::Verdict::Pass,
            Verdict::Drop(_) => bpf::Verdict::Drop,
            Verdict::Transmit => bpf::Verdict::Tx,
            Verdict::Redirect(_) => bpf::Verdict::Redirect,
            Verdict::GoOn(slot) => unreachable!("a whole way has a verdict, not {slot}"),
        };
        // Frames shorter than an Ethernet header never reach a program.
        (frame.len() >= 14).then(|| (verdict, after.to_vec()))
    });
    ensure!(wrong.is_empty(), "{layout:?}: {} of {}:\n  {}", wrong.len(), cases.len(), wrong.join("\n  "));
    let mut random = corpus::Random(0x5eed);
    for _ in 0..100_000 {
        let frame = corpus::mutate(&cases[random.below(cases.len())].frame, &mut random);
        host.run(FRONT, &frame);
    }
    Ok(())
}

/// The listeners that the corpus writes to.
fn corpus_host(layout: Layout) -> Result<Host> {
    let mut services = Vec::new();
    let mut ways = HashMap::new();
    for family in Family::BOTH {
        let address: IpAddr = if family == Family::V4 { "10.0.0.1" } else { "fd00::1" }.parse()?;
        for (protocol, port) in [(protocol::TCP, 80), (protocol::UDP, 80), (protocol::TCP, 443)] {
            let bind = SocketAddr::new(address, port);
            let backends = (0..3).map(|number| layout.backend(family, number)).collect();
            let nat_source = (layout == Layout::Routed).then(|| layout.nat_source(family));
            services.push(Service { protocol, bind, backends, nat_source });
        }
        for number in 0..3 {
            let to_mac = [2, 0, 0, 0, 1, number as u8];
            let way = Way { ifindex: BACK, to_mac, from_mac: [2, 0, 0, 0, 0, 2], mtu: 1500 };
            ways.insert(layout.backend_address(family, number), way);
        }
    }
    Ok(Host::new(&services, ways))
}

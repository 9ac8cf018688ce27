//! Steps, planned and taken in memory.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use proptest::prelude::*;
use proxy_common::backend::Backend;

use super::present::RingContent;
use super::take::Store;
use super::*;
use proxy_common::settings::Settings;

use crate::config::{AttachMode, Forward, GuardConfig, KernelConfig, Protocol, SynCookies};
use crate::l4::desired::{Desired, DesiredBackend, DesiredListener, LocalListener, Surroundings};
use crate::l4::maps::{Action, MapError};

/// A kernel in memory, which fails when it is told to and notices what a packet must never meet.
#[derive(Clone)]
struct Memory {
    holds: Present,
    left: usize,
}

impl Memory {
    fn empty() -> Self {
        Self { holds: Present::default(), left: usize::MAX }
    }

    /// Whatever an entry refers to is there.
    fn check(&self) {
        for listener in self.holds.listeners.values() {
            let local = listener.forward == Forward::Local as u8;
            assert!(local || self.holds.rings.contains_key(&listener.id), "a listener without a ring");
            assert_ne!(self.holds.settings.hop_epoch, 0, "a listener without settings");
        }
        for ring in self.holds.rings.values() {
            let RingContent::Shares(shares) = ring else { continue };
            for share in shares {
                let backend = self.holds.backends.get(&share.id).expect("a ring's backend is there");
                assert_eq!(backend.address, share.address);
                let source = (backend.address.is_ipv6(), backend.nat_source);
                assert!(self.holds.sources.contains_key(&source), "a backend without a source address");
            }
        }
        let filter = diff::filter(self.holds.listeners.iter(), self.holds.sources.values());
        let missing = filter.words.iter().zip(&self.holds.filter.words).any(|(want, have)| want & !have != 0);
        assert!(!missing || self.holds.listeners.is_empty(), "a packet that is ours is not recognised");
    }
}

impl Store for Memory {
    fn take(&mut self, step: &Step) -> Result<(), MapError> {
        if self.left == 0 {
            // Fails once, as a full table does; what is taken back fits again.
            self.left = usize::MAX;
            let cause = io::Error::from_raw_os_error(libc::E2BIG);
            return Err(MapError { map: "TEST", action: Action::Write, cause });
        }
        self.left = self.left.saturating_sub(1);
        self.holds.note(step);
        self.check();
        Ok(())
    }
}

struct Routes;

impl Surroundings for Routes {
    fn source_towards(&self, backend: IpAddr) -> io::Result<IpAddr> {
        match backend {
            IpAddr::V4(ip) if ip.octets()[3] == 255 => Err(io::ErrorKind::NetworkUnreachable.into()),
            IpAddr::V4(ip) => Ok(IpAddr::from([10, 0, ip.octets()[2], 1])),
            IpAddr::V6(_) => Ok("fd00::1".parse().unwrap()),
        }
    }
    fn host_ports(&self) -> io::Result<RangeInclusive<u16>> {
        Ok(32_768..=60_999)
    }
    fn host_addresses(&self) -> io::Result<Vec<IpAddr>> {
        Ok(["192.0.2.1", "192.0.2.2", "fd00::1"].map(|text| text.parse().unwrap()).into())
    }
}

const CONSTANTS: Constants = Constants { hash_seed: 7, hop_lifetime: 1, young_lifetime: 1, redirect: false };

fn kernel() -> KernelConfig {
    KernelConfig {
        interfaces: vec!["eth0".into()],
        attach: AttachMode::Auto,
        flows: 1024,
        limit_keys: 1024,
        nat_ports: None,
        nat_source: Vec::new(),
        hash_seed: None,
        tcp_idle: Duration::from_secs(1),
        tcp_closing: Duration::from_secs(1),
        udp_idle: Duration::from_secs(1),
        icmp_limit: None,
        pin_dir: "/x".into(),
    }
}

fn listener(name: &str, bind: &[&str], backends: &[&str]) -> DesiredListener {
    DesiredListener {
        name: name.into(),
        addresses: bind.iter().map(|text| text.parse().unwrap()).collect(),
        protocol: Protocol::Tcp,
        forward: Forward::Nat,
        guard: GuardConfig::default(),
        backends: backends.iter().map(|text| DesiredBackend::ready(text.parse().unwrap(), 1)).collect(),
    }
}

fn desired(listeners: Vec<DesiredListener>) -> Desired {
    Desired { kernel: kernel(), listeners, local: Vec::new(), limits: Vec::new() }
}

fn apply(memory: &mut Memory, present: &mut Present, desired: &Desired) -> Result<usize, Failed> {
    let goal = plan(desired, present, &CONSTANTS, &Routes).unwrap();
    let steps = difference(present, &goal);
    let count = steps.len();
    take_all(memory, present, steps)?;
    assert_eq!(memory.holds, *present);
    Ok(count)
}

fn id(present: &Present, address: &str) -> u16 {
    let address: SocketAddr = address.parse().unwrap();
    *present.backends.iter().find(|(_, entry)| entry.address == address).expect("it has a number").0
}

fn shares(present: &Present, listener: u16) -> Vec<u16> {
    let Some(RingContent::Shares(shares)) = present.rings.get(&listener) else { panic!("no ring") };
    shares.iter().map(|share| share.id).collect()
}

#[test]
fn what_is_as_wanted_takes_no_step() {
    let (mut memory, mut present) = (Memory::empty(), Present::default());
    let wanted = desired(vec![listener("web", &["192.0.2.1:80"], &["10.0.0.11:80", "10.0.0.12:80"])]);
    assert!(apply(&mut memory, &mut present, &wanted).unwrap() > 0);
    assert_eq!(apply(&mut memory, &mut present, &wanted).unwrap(), 0);
}

#[test]
fn a_change_of_health_swaps_one_ring_and_writes_one_flag() {
    let (mut memory, mut present) = (Memory::empty(), Present::default());
    let mut wanted = desired(vec![
        listener("a", &["192.0.2.1:80"], &["10.0.0.11:80", "10.0.0.12:80"]),
        listener("b", &["192.0.2.1:81"], &["10.0.0.11:80"]),
    ]);
    apply(&mut memory, &mut present, &wanted).unwrap();
    wanted.listeners[0].backends[1].down = true;
    assert_eq!(apply(&mut memory, &mut present, &wanted).unwrap(), 2);
    assert_eq!(shares(&present, 0), [id(&present, "10.0.0.11:80")]);
}

#[test]
fn a_backend_of_two_listeners_has_two_numbers() {
    let (mut memory, mut present) = (Memory::empty(), Present::default());
    let wanted = desired(vec![
        listener("a", &["192.0.2.1:80"], &["10.0.0.11:80"]),
        listener("b", &["192.0.2.1:81"], &["10.0.0.11:80"]),
    ]);
    apply(&mut memory, &mut present, &wanted).unwrap();
    assert_eq!(present.backends.len(), 2);
    assert_eq!(present.sources.len(), 1);
}

#[test]
fn a_number_is_given_again_only_when_it_was_forgotten() {
    let (mut memory, mut present) = (Memory::empty(), Present::default());
    let with = |backends: &[&str]| desired(vec![listener("web", &["192.0.2.1:80"], backends)]);
    apply(&mut memory, &mut present, &with(&["10.0.0.11:80", "10.0.0.12:80"])).unwrap();
    let old = id(&present, "10.0.0.11:80");
    apply(&mut memory, &mut present, &with(&["10.0.0.12:80", "10.0.0.13:80"])).unwrap();
    assert_ne!(id(&present, "10.0.0.13:80"), old);
    assert!(present.backends[&old].has(Backend::<()>::DRAINING));
    assert!(!shares(&present, 0).contains(&old));

    let mut returned = (memory.clone(), present.clone());
    apply(&mut returned.0, &mut returned.1, &with(&["10.0.0.11:80"])).unwrap();
    assert_eq!(
        id(&returned.1, "10.0.0.11:80"),
        old,
        "one that returns in time keeps its number and its flows"
    );

    let steps = forget(&present, &[old], &[]);
    take_all(&mut memory, &mut present, steps).unwrap();
    apply(&mut memory, &mut present, &with(&["10.0.0.12:80", "10.0.0.14:80"])).unwrap();
    assert_eq!(id(&present, "10.0.0.14:80"), old);
}

#[test]
fn a_listener_keeps_its_number_by_address_then_by_name() {
    let (mut memory, mut present) = (Memory::empty(), Present::default());
    let at = |name: &str, bind: &str| desired(vec![listener(name, &[bind], &["10.0.0.11:80"])]);
    apply(&mut memory, &mut present, &at("web", "192.0.2.1:80")).unwrap();
    let backend = id(&present, "10.0.0.11:80");
    for next in [at("renamed", "192.0.2.1:80"), at("renamed", "192.0.2.2:80")] {
        apply(&mut memory, &mut present, &next).unwrap();
        assert_eq!((present.listeners.len(), present.names[&0].as_str()), (1, "renamed"));
        assert_eq!(id(&present, "10.0.0.11:80"), backend, "its flows stay");
    }
}

#[test]
fn a_backend_without_a_route_gets_nothing_and_is_told() {
    let (mut memory, mut present) = (Memory::empty(), Present::default());
    let wanted = desired(vec![listener("web", &["192.0.2.1:80"], &["10.0.0.255:80", "10.0.0.12:80"])]);
    let goal = plan(&wanted, &present, &CONSTANTS, &Routes).unwrap();
    assert_eq!(goal.unroutable.len(), 1);
    for _ in 0..2 {
        apply(&mut memory, &mut present, &wanted).unwrap();
        assert_eq!(shares(&present, 0), [id(&present, "10.0.0.12:80")]);
        assert!(present.backends[&id(&present, "10.0.0.255:80")].has(Backend::<()>::DOWN));
    }
}

#[test]
fn configured_source_addresses_are_spread_and_kept() {
    let (mut memory, mut present) = (Memory::empty(), Present::default());
    let backends: Vec<String> = (1..100).map(|n| format!("10.0.0.{n}:80")).collect();
    let backends: Vec<&str> = backends.iter().map(String::as_str).collect();
    let mut wanted = desired(vec![listener("web", &["192.0.2.1:80"], &backends)]);
    wanted.kernel.nat_source = vec!["10.1.0.1".parse().unwrap(), "10.1.0.2".parse().unwrap()];
    apply(&mut memory, &mut present, &wanted).unwrap();
    let count = present.backends.values().filter(|entry| entry.nat_source == 0).count();
    assert!((30..70).contains(&count), "{count}");
    wanted.kernel.nat_source.push("10.1.0.3".parse().unwrap());
    assert_eq!(apply(&mut memory, &mut present, &wanted).unwrap(), 0, "old ones stay where they were");
}

#[test]
fn ports_are_the_largest_range_that_the_host_leaves() {
    let (mut memory, mut present) = (Memory::empty(), Present::default());
    let wanted = desired(vec![listener("web", &["192.0.2.1:80"], &["10.0.0.11:80"])]);
    apply(&mut memory, &mut present, &wanted).unwrap();
    let source = present.sources.values().next().unwrap();
    assert_eq!((source.port_low, source.port_count), (1024, 31_744));
}

#[test]
fn the_seed_is_drawn_once() {
    let (mut memory, mut present) = (Memory::empty(), Present::default());
    let mut wanted = desired(vec![]);
    apply(&mut memory, &mut present, &wanted).unwrap();
    let again = Constants { hash_seed: 8, ..CONSTANTS };
    assert_eq!(plan(&wanted, &present, &again, &Routes).unwrap().settings.hash_seed, 7);
    wanted.kernel.hash_seed = Some(9);
    assert_eq!(plan(&wanted, &present, &again, &Routes).unwrap().settings.hash_seed, 9);
}

/// A small world, so that things collide: listeners of three names on four addresses, nine backends of two families.
fn any_desired() -> impl Strategy<Value = Desired> {
    let backend = (0..9u8, 0..3u32, any::<[bool; 3]>());
    let one = (0..3usize, 0..4u8, any::<bool>(), proptest::collection::vec(backend, 0..5));
    proptest::collection::vec(one, 0..4).prop_map(|all| {
        let mut by_name = BTreeMap::new();
        for (name, at, v6, backends) in all {
            let ip = |last: u8| if v6 { format!("[fd00::{last}]") } else { format!("10.0.0.{last}") };
            let mut listener =
                listener(["a", "b", "c"][name], &[&format!("{}:{}", ip(200), 80 + u16::from(at))], &[]);
            let mut known = BTreeMap::new();
            for (last, weight, [down, draining, drained_by_hand]) in backends {
                let address: SocketAddr = format!("{}:80", ip(last)).parse().unwrap();
                known.insert(address, DesiredBackend { address, weight, down, draining, drained_by_hand });
            }
            listener.backends = known.into_values().collect();
            by_name.insert(listener.addresses[0], listener);
        }
        let mut listeners: Vec<DesiredListener> = by_name.into_values().collect();
        listeners.dedup_by(|a, b| a.name == b.name);
        desired(listeners)
    })
}

proptest! {
    /// Whatever follows whatever: no packet ever meets an entry that refers to nothing; a failure at any step leaves
    /// everything as it was; numbers stay with their backends.
    #[test]
    fn any_change_is_whole_or_not_at_all(
        all in proptest::collection::vec(any_desired(), 1..6),
        fail_at in 0..20usize,
    ) {
        let (mut memory, mut present) = (Memory::empty(), Present::default());
        for wanted in all {
            let before = present.clone();
            memory.left = fail_at;
            if let Err(failed) = apply(&mut memory, &mut present, &wanted) {
                prop_assert_eq!(failed.stuck, 0);
                prop_assert_eq!(&present, &before);
                prop_assert_eq!(&memory.holds, &before);
            }
            memory.left = usize::MAX;
            apply(&mut memory, &mut present, &wanted).unwrap();
            for (id, entry) in &before.backends {
                let now = &present.backends[id];
                prop_assert_eq!((now.address, now.listener), (entry.address, entry.listener));
            }
            let bound: usize = wanted.listeners.iter().map(|listener| listener.addresses.len()).sum();
            prop_assert_eq!(present.listeners.len(), bound);
        }
    }
}

#[test]
fn listeners_of_sockets_are_known_by_every_address_they_wait_at() {
    let (mut memory, mut present) = (Memory::empty(), Present::default());
    let guard = GuardConfig { syn_cookies: SynCookies::Auto, syn_threshold: 10, amplification: None };
    let local = |name: &str, addresses: &[&str]| LocalListener {
        name: name.into(),
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        protocol: Protocol::Tcp,
        guard,
        tls: false,
        names: Vec::new(),
        handoff: false,
        backends: Vec::new(),
    };
    let mut wanted = desired(vec![listener("tcp", &["192.0.2.1:80"], &["10.0.0.1:80"])]);
    wanted.local = vec![local("all", &["0.0.0.0:80", "[::]:80"]), local("one", &["192.0.2.2:80"])];
    apply(&mut memory, &mut present, &wanted).unwrap();
    let at = |present: &Present, address: &str| {
        let entry = present.listeners.get(&(address.parse().unwrap(), 6)).copied();
        entry.map(|entry| (present.names[&entry.id].clone(), entry.forward))
    };
    let local_of = |name: &str| Some((name.to_owned(), Forward::Local as u8));
    assert_eq!(at(&present, "[fd00::1]:80"), local_of("all"));
    assert_eq!(
        at(&present, "192.0.2.1:80"),
        Some(("tcp".into(), 0)),
        "the wildcard is not what another says"
    );
    assert_eq!(at(&present, "192.0.2.2:80"), local_of("one"));
    assert_eq!(present.guards.len(), 2, "a listener without a guard has no rule");
    assert!(present.settings.flags & Settings::LOCAL != 0);
    assert_eq!(apply(&mut memory, &mut present, &wanted).unwrap(), 0, "nothing is left to do");
    wanted.local.clear();
    apply(&mut memory, &mut present, &wanted).unwrap();
    assert_eq!((present.listeners.len(), present.guards.len()), (1, 0));
    assert!(present.settings.flags & Settings::LOCAL == 0);
}

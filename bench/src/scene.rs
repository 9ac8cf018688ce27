//! What the kernel path is measured with: a namespace with routes and neighbours, listeners, and flows that real
//! packets made.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use proxy_tests::netns::Namespace;
use proxy_userspace::ban::{Book, Content, List};
use proxy_userspace::config::{
    Amount, AttachMode, Forward, GuardConfig, KernelConfig, LimitAction, LimitConfig, Measure, Measures, Per,
    Protocol, Rate,
};
use proxy_userspace::l4::{Desired, DesiredBackend, DesiredListener, Kernel};

use crate::harness::{PACKET, Program, Template};

/// Verdicts of XDP.
pub(crate) const XDP_DROP: u32 = 1;
pub(crate) const XDP_PASS: u32 = 2;
pub(crate) const XDP_REDIRECT: u32 = 4;

const SYN: u8 = 0x02;
const SYN_ACK: u8 = 0x12;
const ACK: u8 = 0x10;
/// Clients are 10.0.0.0/8 by their low 16 bits; listeners 192.0.2.1 (`nat`) and 192.0.2.2 (`dsr`), port 80.
const NAT: [u8; 4] = [192, 0, 2, 1];
const DSR: [u8; 4] = [192, 0, 2, 2];
/// `dsr`, too: one with a limit that nobody meets, one with a limit that is spent.
const LIMITED: [u8; 4] = [192, 0, 2, 3];
const SPENT: [u8; 4] = [192, 0, 2, 4];
const CLIENT: [u8; 4] = [10, 1, 0, 0];
const CLIENT_PORT: u16 = 20_000;
const BACKENDS: u8 = 64;

/// A namespace with a way to 64 backends.
pub(crate) fn namespace() -> Result<Namespace> {
    let namespace = Namespace::create(&proxy_tests::leftovers::unique_name())?;
    let mut lines = String::from(
        "link add front type veth peer name far
         addr add 10.0.0.1/8 dev front
         addr add 192.0.2.254/24 dev front
         link set front up
         link set far up
",
    );
    for n in 1..=BACKENDS {
        lines.push_str(&format!("neigh add 192.0.2.{} lladdr 02:00:00:00:01:{n:02x} dev front\n", 100 + n));
    }
    namespace.ip_batch(&lines)?;
    namespace.sysctl("ipv4/ip_forward", "1")?;
    Ok(namespace)
}

/// A loaded kernel part with its listeners, made and used by a thread inside [`namespace`].
pub(crate) struct Scene {
    kernel: Kernel,
    pins: PathBuf,
    pub(crate) program: Program,
}

impl Drop for Scene {
    fn drop(&mut self) {
        // What is left of the pins is found and removed by the next run.
        let _gone = std::fs::remove_dir_all(&self.pins);
    }
}

impl Scene {
    /// Two listeners with 64 backends each.
    pub(crate) fn new() -> Result<Self> {
        let pins = PathBuf::from(format!("/sys/fs/bpf/{}", proxy_tests::leftovers::unique_name()));
        let desired = desired(pins.clone());
        let kernel = Kernel::open(&desired.kernel)?;
        kernel.apply(&desired)?;
        let folder = pins.join(format!("v{}", proxy_common::ABI_VERSION));
        let program = Program::pinned(&folder.join(proxy_common::names::PROGRAM_XDP))?;
        Ok(Self { kernel, pins, program })
    }

    /// Established `nat` flows: SYN, the backend's SYN-ACK, ACK, each through the program.
    pub(crate) fn establish_nat(&self, flows: u32) -> Result<Template> {
        let (syn, ack) = (tcp(NAT, SYN, 0, flows), tcp(NAT, ACK, 5001, flows));
        for n in 0..flows {
            let (verdict, sent, _) = self.program.run(&syn.flow(n), 1)?;
            ensure!(verdict == XDP_REDIRECT, "the SYN of flow {n} got verdict {verdict}");
            let (verdict, _, _) = self.program.run(&answer(&sent), 1)?;
            // The client has no neighbour entry here: its answers wait for one in the host's stack.
            ensure!(
                verdict == XDP_REDIRECT || verdict == XDP_PASS,
                "the SYN-ACK of flow {n} got verdict {verdict}"
            );
            let (verdict, _, _) = self.program.run(&ack.flow(n), 1)?;
            ensure!(verdict == XDP_REDIRECT, "the ACK of flow {n} got verdict {verdict}");
        }
        Ok(ack)
    }

    /// Established `dsr` flows: SYN and ACK.
    pub(crate) fn establish_dsr(&self, flows: u32) -> Result<Template> {
        self.establish(DSR, flows)
    }

    /// Established flows of a listener with a limit of packets.
    pub(crate) fn establish_limited(&self, flows: u32) -> Result<Template> {
        self.establish(LIMITED, flows)
    }

    /// Established flows whose client has spent its packets of the hour.
    pub(crate) fn establish_spent(&self, flows: u32) -> Result<Template> {
        let template = self.establish(SPENT, flows)?;
        let rate = Rate { count: 1, period: Duration::from_secs(3600), burst: 1 };
        let kept = self.kernel.set_limit(&"spent".into(), Measure::Packets, Amount::Rate(rate))?;
        ensure!(kept, "the limit is the kernel's");
        for n in 0..flows {
            self.program.run(&template.flow(n), 1)?;
        }
        Ok(template)
    }

    fn establish(&self, to: [u8; 4], flows: u32) -> Result<Template> {
        let (syn, ack) = (tcp(to, SYN, 0, flows), tcp(to, ACK, 5001, flows));
        for n in 0..flows {
            for packet in [&syn, &ack] {
                let (verdict, _, _) = self.program.run(&packet.flow(n), 1)?;
                ensure!(verdict == XDP_REDIRECT, "a packet of flow {n} got verdict {verdict}");
            }
        }
        Ok(ack)
    }

    /// Bare SYNs of ever other sources.
    pub(crate) fn syns(forward: Forward, flows: u32) -> Template {
        tcp(if forward == Forward::Nat { NAT } else { DSR }, SYN, 0, flows)
    }

    /// Bans `count` addresses; the first 65,536 of them are the clients of [`Scene::not_ours`].
    pub(crate) fn ban(&self, count: u32) -> Result<()> {
        let mut book = Book::open(Arc::new(self.kernel.bans()?), Arc::default())?;
        let client = |n: u32| u32::from_be_bytes(CLIENT) + n;
        let stranger = |n: u32| n.wrapping_mul(0x9e37_79b1);
        let address = |n: u32| if n < 1 << 16 { client(n) } else { stranger(n) };
        let prefixes = (0..count).map(|n| IpAddr::from(address(n).to_be_bytes()).into()).collect();
        let list = List { name: "bench".into(), prefixes };
        Ok(book.replace(Content { lists: vec![Arc::new(list)], ..Content::default() })?)
    }

    /// Packets for an address that is nobody's here.
    pub(crate) fn not_ours(flows: u32) -> Template {
        tcp([198, 51, 100, 7], ACK, 1, flows)
    }
}

fn desired(pins: PathBuf) -> Desired {
    let listener = |name: &str, address: [u8; 4], forward| {
        let port = if forward == Forward::Nat { 8080 } else { 80 };
        let backend = |n: u8| DesiredBackend::ready(SocketAddr::from(([192, 0, 2, 100 + n], port)), 1);
        DesiredListener {
            name: name.into(),
            addresses: vec![SocketAddr::from((address, 80))],
            protocol: Protocol::Tcp,
            forward,
            guard: GuardConfig::default(),
            backends: (1..=BACKENDS).map(backend).collect(),
        }
    };
    Desired {
        kernel: KernelConfig {
            interfaces: vec!["front".into()],
            attach: AttachMode::Auto,
            flows: 1 << 20,
            limit_keys: 1 << 16,
            nat_ports: None,
            nat_source: Vec::new(),
            hash_seed: Some(7),
            tcp_idle: Duration::from_secs(3600),
            tcp_closing: Duration::from_secs(60),
            udp_idle: Duration::from_secs(120),
            icmp_limit: None,
            pin_dir: pins,
        },
        listeners: vec![
            listener("nat", NAT, Forward::Nat),
            listener("dsr", DSR, Forward::Dsr),
            listener("limited", LIMITED, Forward::Dsr),
            listener("spent", SPENT, Forward::Dsr),
        ],
        local: Vec::new(),
        limits: vec![limit("limited"), limit("spent")],
    }
}

/// A limit of a listener, of its name: more packets than anybody sends.
fn limit(listener: &str) -> LimitConfig {
    let packets = Rate { count: 1_000_000_000, period: Duration::from_secs(1), burst: 10_000_000 };
    LimitConfig {
        name: listener.into(),
        listeners: vec![listener.into()],
        routes: Vec::new(),
        per: Per::Ip,
        measures: Measures { packets: Some(packets), ..Measures::default() },
        action: LimitAction::Auto,
        exempt: Vec::new(),
        line: 1,
    }
}

/// A TCP packet of 72 bytes: Ethernet, IPv4, TCP, padding as payload.
fn tcp(to: [u8; 4], flags: u8, acknowledgment: u32, flows: u32) -> Template {
    let mut b = [0u8; PACKET];
    b[..14].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
    b[14..26].copy_from_slice(&[0x45, 0, 0, (PACKET - 14) as u8, 0xff, 0xff, 0x40, 0, 64, 6, 0, 0]);
    b[26..30].copy_from_slice(&CLIENT);
    b[30..34].copy_from_slice(&to);
    let sum = proxy_common::checksum::fold(proxy_common::checksum::sum_bytes(&b[14..34]));
    b[24..26].copy_from_slice(&(!sum).to_ne_bytes());
    b[34..36].copy_from_slice(&CLIENT_PORT.to_be_bytes());
    b[36..38].copy_from_slice(&80u16.to_be_bytes());
    let sequence = if flags & SYN != 0 { 1000u32 } else { 1001 };
    b[38..42].copy_from_slice(&sequence.to_be_bytes());
    b[42..46].copy_from_slice(&acknowledgment.to_be_bytes());
    b[46] = 0x50;
    b[47] = flags;
    Template { bytes: b, flows }
}

/// The SYN-ACK that a backend sends for a SYN as it left the balancer: sequence number 5000.
fn answer(syn: &[u8]) -> Vec<u8> {
    let mut b = syn.to_vec();
    // Source and destination change places: the sum stays.
    b[26..30].copy_from_slice(&syn[30..34]);
    b[30..34].copy_from_slice(&syn[26..30]);
    b[34..36].copy_from_slice(&syn[36..38]);
    b[36..38].copy_from_slice(&syn[34..36]);
    b[38..42].copy_from_slice(&5000u32.to_be_bytes());
    b[42..46].copy_from_slice(&1001u32.to_be_bytes());
    b[47] = SYN_ACK;
    b
}

/// What an error here would be about.
pub(crate) fn context<T>(what: &str, result: Result<T>) -> Result<T> {
    result.with_context(|| format!("while measuring: {what}"))
}

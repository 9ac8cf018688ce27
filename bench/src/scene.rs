//! What the kernel path is measured with: a namespace with routes and neighbours, listeners, and flows that real
//! packets made.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use proxy_common::addr::{Be16, Ip4};
use proxy_common::cookie::Keys;
use proxy_common::flow::{Flow, FlowKey, FlowKind, Rewrite, SPLICED};
use proxy_common::guard::GuardSettings;
use proxy_common::splice::{self, Shift, Splice};
use proxy_common::{known, names};
use proxy_tests::hello::Hello;
use proxy_tests::netns::Namespace;
use proxy_userspace::ban::{Book, Content, List};
use proxy_userspace::config::{
    Amount, AttachMode, Forward, GuardConfig, HostPattern, KernelConfig, LimitAction, LimitConfig, Measure,
    Measures, Per, Protocol, Rate, SynCookies,
};
use proxy_userspace::l4::{
    Desired, DesiredBackend, DesiredListener, Kernel, LocalListener, NameAction, NameRule,
};

use crate::harness::{Map, PACKET, Program, Template};

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
/// Guarded as listeners are by default: `dsr`, and `nat`.
const GUARDED: [u8; 4] = [192, 0, 2, 5];
const GUARDED_NAT: [u8; 4] = [192, 0, 2, 6];
/// Where sockets of this host wait: one guarded as by default, one of a listener of TLS whose connections are handed over.
const SOCKET: [u8; 4] = [192, 0, 2, 254];
const COOKIE: [u8; 4] = SOCKET;
const DOOR: u16 = 443;
/// Hosts that ClientHellos ask for there: of no entry, of one that lets them in, and of a wildcard that does.
pub(crate) const UNKNOWN_HOST: &str = "www.example.test";
pub(crate) const KNOWN_HOST: &str = "own.example.test";
pub(crate) const WILDCARD_HOST: &str = "www.example.wild";
const WILDCARD: &str = "example.wild";
const CLIENT: [u8; 4] = [10, 1, 0, 0];
/// Likewise, but nobody of these was ever seen to be alive.
const STRANGER: [u8; 4] = [10, 2, 0, 0];
const CLIENT_PORT: u16 = 20_000;
const BACKENDS: u8 = 64;

/// What the daemon says for guards, once it has drawn keys.
const GUARDS: GuardSettings = GuardSettings {
    keys: Keys { keys: [[0x0102_0304_0506_0708, 2], [3, 4]], current: 0 },
    second: 250,
    icmp_limit: 0,
    flags: GuardSettings::SOCKETS
        | GuardSettings::TIMESTAMPS
        | GuardSettings::WINDOW_SCALE
        | GuardSettings::SACK,
    mtu: 1500,
};

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
    folder: PathBuf,
    /// Held: cookies are for sockets that wait.
    _socket: TcpListener,
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
        let socket = TcpListener::bind(SocketAddr::from((COOKIE, 80)))?;
        let kernel = Kernel::open(&desired.kernel)?;
        kernel.apply(&desired)?;
        let folder = pins.join(format!("v{}", proxy_common::ABI_VERSION));
        let program = Program::pinned(&folder.join(names::PROGRAM_XDP))?;
        Map::pinned(&folder.join(names::GUARD_SETTINGS))?.put(&0u32, &GUARDS)?;
        Ok(Self { kernel, pins, program, folder, _socket: socket })
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

    /// Bare SYNs of ever other sources, to a balanced listener that is guarded: it asks whether they are there.
    pub(crate) fn asked(&self, forward: Forward, flows: u32) -> Result<Template> {
        self.answered(if forward == Forward::Nat { GUARDED_NAT } else { GUARDED }, flows)
    }

    /// The same to a socket, for which cookies answer.
    pub(crate) fn cookies(&self, flows: u32) -> Result<Template> {
        self.answered(COOKIE, flows)
    }

    /// The first segment of a TLS connection: a ClientHello of the usual length for this host, or, without one, what only
    /// looks like one at first.
    pub(crate) fn hello(host: Option<&str>) -> Template {
        let hello = Hello::asking_for(host.unwrap_or(UNKNOWN_HOST));
        let padding = 512 - hello.message().len();
        let mut record = hello.after(21, vec![0; padding]).record();
        if host.is_none() {
            record[0] = 23;
        }
        from(STRANGER, segment(DOOR, 2000, &record, 1))
    }

    /// Connections that userspace handed over, with timestamps, as the relay leaves them behind.
    pub(crate) fn handed_over(&self, flows: u32) -> Result<Template> {
        let pinned = |name| Map::pinned(&self.folder.join(name));
        let (table, known, splices) =
            (pinned(names::FLOWS4)?, pinned(names::KNOWN)?, pinned(names::SPLICES)?);
        let options = [1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 8];
        let mut template = segment(DOOR, 5001, &[&options[..], b"abcdef"].concat(), flows);
        template.bytes[46] = 0x80;
        let shift = Shift { sequence: 1000, acknowledgment: 2000, flags: Shift::SACK, ..Shift::default() };
        let splice = Splice {
            state: splice::state::LIVE,
            shifts: [shift; 2],
            clocks: [splice::clock::RUNS | 77; 2],
            ..Splice::default()
        };
        let ip = |octets: [u8; 4]| Ip4::from_octets(octets);
        for n in 0..flows {
            let packet = template.flow(n);
            let port = u16::from_be_bytes([packet[34], packet[35]]);
            let mut key = FlowKey::default();
            let client = [packet[26], packet[27], packet[28], packet[29]];
            key.set(&ip(client), &ip(SOCKET), Be16::new(port), Be16::new(DOOR), 6);
            let rewrite = Rewrite {
                new_source: ip(SOCKET),
                new_destination: ip([192, 0, 2, 101]),
                new_source_port: Be16::new(port),
                new_destination_port: Be16::new(DOOR),
                backend: 1,
                kind: FlowKind::NatForward as u8 | SPLICED,
                ..Rewrite::default()
            };
            splices.put(&n, &splice)?;
            table.put(&key, &Flow::<Ip4> { rewrite, born: n, ..Flow::default() })?;
            let (word, bits) = known::place(known::hash(&key));
            for word in [0, 1].map(|copy| known::of_copy(copy, word)) {
                known.put(&word, &(known.number(word)? | bits))?;
            }
        }
        Ok(template)
    }

    fn answered(&self, to: [u8; 4], flows: u32) -> Result<Template> {
        let template = from(STRANGER, tcp(to, SYN, 0, flows));
        // So many that the guard goes on.
        self.program.singly(&template, 0, 100_000)?;
        let (_, answer, _) = self.program.run(&template.flow(0), 1)?;
        ensure!(answer[26..30] == to && answer[47] == SYN_ACK, "a SYN was answered with {answer:02x?}");
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
    let guard = |threshold| GuardConfig {
        syn_cookies: SynCookies::Auto,
        syn_threshold: threshold,
        ..GuardConfig::default()
    };
    let local = |name: &str, port, guard, tls| LocalListener {
        name: name.into(),
        addresses: vec![SocketAddr::from((SOCKET, port))],
        protocol: Protocol::Tcp,
        guard,
        tls,
        names: if tls { names_at_the_door() } else { Vec::new() },
        handoff: tls,
        backends: Vec::new(),
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
            DesiredListener { guard: guard(10_000), ..listener("guarded", GUARDED, Forward::Dsr) },
            DesiredListener { guard: guard(1000), ..listener("guarded-nat", GUARDED_NAT, Forward::Nat) },
        ],
        local: vec![
            local("cookie", 80, guard(10_000), false),
            local("door", DOOR, GuardConfig::default(), true),
        ],
        limits: vec![limit("limited"), limit("spent")],
    }
}

/// The names of the listener of TLS: a hundred and two wildcards that are kept out, two that are let in. All hosts that are
/// asked for have as many bytes, and as many labels as a wildcard has that is not theirs.
fn names_at_the_door() -> Vec<NameRule> {
    let rule = |host, action| NameRule { host: Some(host), route: "r".into(), action };
    let exact = (0..100).map(|n| HostPattern::Exact(format!("bad{n}.example.test").into()));
    let wildcards = ["wild.test", "bad.example.test"].map(|name| HostPattern::Wildcard(name.into()));
    let refused = exact.chain(wildcards).map(|host| rule(host, NameAction::Drop));
    let let_in = [HostPattern::Exact(KNOWN_HOST.into()), HostPattern::Wildcard(WILDCARD.into())];
    refused.chain(let_in.map(|host| rule(host, NameAction::Pass))).collect()
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
    packet((to, 80), flags, acknowledgment, &[0; PACKET - 54], flows)
}

/// A segment to a socket of this host.
fn segment(port: u16, acknowledgment: u32, payload: &[u8], flows: u32) -> Template {
    packet((SOCKET, port), ACK, acknowledgment, payload, flows)
}

fn packet(
    (to, port): ([u8; 4], u16),
    flags: u8,
    acknowledgment: u32,
    payload: &[u8],
    flows: u32,
) -> Template {
    let mut b = vec![0u8; 54];
    let [high, low] = (40 + payload.len() as u16).to_be_bytes();
    b[..14].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
    b[14..26].copy_from_slice(&[0x45, 0, high, low, 0xff, 0xff, 0x40, 0, 64, 6, 0, 0]);
    b[30..34].copy_from_slice(&to);
    b[34..36].copy_from_slice(&CLIENT_PORT.to_be_bytes());
    b[36..38].copy_from_slice(&port.to_be_bytes());
    let sequence = if flags & SYN != 0 { 1000u32 } else { 1001 };
    b[38..42].copy_from_slice(&sequence.to_be_bytes());
    b[42..46].copy_from_slice(&acknowledgment.to_be_bytes());
    b[46] = 0x50;
    b[47] = flags;
    b.extend_from_slice(payload);
    from(CLIENT, Template { bytes: b, flows })
}

/// The same packets, of other clients.
fn from(client: [u8; 4], mut template: Template) -> Template {
    let b = &mut template.bytes;
    b[26..30].copy_from_slice(&client);
    b[24..26].fill(0);
    let sum = proxy_common::checksum::fold(proxy_common::checksum::sum_bytes(&b[14..34]));
    b[24..26].copy_from_slice(&(!sum).to_ne_bytes());
    template
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
